/* Reading an interval: M, M:S, H:M:S, D-, D-H, D-H:M, D-H:M:S.
 *
 * Source: Slurm 19.05.8 src/common/parse_time.c, time_str2mins and _is_valid_timespec, and what real
 * 18.08.9 and 19.05.8 answered. Not taken over: seconds rounded up to a minute, the cut to 16 bits (65536 was
 * 0), and what overflowed an int.
 */
#include "interval.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define MOST_SECONDS 999999999LL /* the most that `syscr run --interval` takes */

static bool is_unlimited(const char *text)
{
    return strcasecmp(text, "UNLIMITED") == 0 || strcasecmp(text, "INFINITE") == 0 || strcmp(text, "-1") == 0;
}

/* Read one number and move on; -1: there is none, or it is too big. */
static long long read_number(const char **at)
{
    const char *begin = *at;
    long long value = 0;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        value = value * 10 + (**at - '0');
        if (value > MOST_SECONDS)
            return -1;
    }
    return *at == begin ? -1 : value;
}

/* Read N, N:N or N:N:N up to the end of the text; returns how many there are, 0: something else. */
static int read_clock(const char *text, long long parts[3])
{
    for (int count = 0; count < 3; text++) {
        parts[count] = read_number(&text);
        if (parts[count++] < 0)
            return 0;
        if (*text == '\0')
            return count;
        if (*text != ':')
            return 0;
    }
    return 0;
}

long interval_seconds(const char *text)
{
    long long parts[3] = {0, 0, 0};
    long long seconds;
    if (text == NULL)
        return -1;
    if (is_unlimited(text))
        return 0;
    if (strcasecmp(text, "auto") == 0)
        return INTERVAL_AUTO;
    const char *rest = text;
    long long days = read_number(&rest);
    if (days < 0)
        return -1;
    if (*rest == '-') {
        if (rest[1] != '\0' && read_clock(rest + 1, parts) == 0)
            return -1;
        seconds = days * 86400 + parts[0] * 3600 + parts[1] * 60 + parts[2];
    } else {
        int count = read_clock(text, parts);
        if (count == 0)
            return -1;
        seconds = count == 3 ? parts[0] * 3600 + parts[1] * 60 + parts[2] : parts[0] * 60 + parts[1];
    }
    return seconds > MOST_SECONDS ? -1 : (long)seconds;
}
