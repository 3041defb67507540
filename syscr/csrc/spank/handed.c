/* Taking what syscr hands over, and becoming it. */
#define _GNU_SOURCE
#include "handed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HIGH 300 /* above all numbers that a descriptor has in syscr */
#define MOST_BYTES (16u << 20)

static bool make_room(struct handed *handed)
{
    if (handed->room - handed->length > 4096)
        return true;
    size_t room = handed->room == 0 ? 1u << 16 : handed->room * 2;
    char *text = room > MOST_BYTES ? NULL : realloc(handed->text, room);
    if (text == NULL)
        return false;
    if (handed->room == 0)
        *text = '\0';
    handed->text = text;
    handed->room = room;
    return true;
}

/* Keep a descriptor where it is in nobody's way. */
static void keep(struct handed *handed, int descriptor)
{
    int high = fcntl(descriptor, F_DUPFD_CLOEXEC, HIGH);
    close(descriptor);
    if (high >= 0 && handed->count < MOST_DESCRIPTORS)
        handed->descriptors[handed->count++] = high;
    else if (high >= 0)
        close(high);
}

static void keep_all(struct handed *handed, struct msghdr *message)
{
    for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item != NULL; item = CMSG_NXTHDR(message, item)) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(item) + i * sizeof descriptor, sizeof descriptor);
            keep(handed, descriptor);
        }
    }
}

enum taken take(struct handed *handed, int link, char *kind)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
    if (!make_room(handed))
        return TAKEN_END;
    struct iovec part = {handed->text + handed->length, handed->room - handed->length - 1};
    if (kind != NULL)
        part = (struct iovec){kind, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(link, &message, MSG_CMSG_CLOEXEC);
    if (length < 0 && errno == EINTR)
        return TAKEN_SOME;
    if (length <= 0)
        return TAKEN_END;
    keep_all(handed, &message);
    if (kind == NULL)
        handed->length += (size_t)length;
    handed->text[handed->length] = '\0';
    return TAKEN_SOME;
}

/* Return the next string; NULL: there is none. */
static char *next(struct handed *handed, size_t *at)
{
    if (*at >= handed->length)
        return NULL;
    char *text = handed->text + *at;
    *at += strlen(text) + 1;
    return *at > handed->length ? NULL : text;
}

/* Return the strings up to the end, or `count` of them, as a list; NULL: there are fewer. */
static char **next_list(struct handed *handed, size_t *at, size_t count)
{
    if (count > handed->length)
        return NULL;
    char **list = calloc(count + 1, sizeof *list);
    for (size_t i = 0; list != NULL && i < count; i++)
        if ((list[i] = next(handed, at)) == NULL)
            return NULL;
    return list;
}

/* Put the descriptors where they were in syscr: "5 7". */
static bool put_back(struct handed *handed, char *numbers)
{
    int used = 0;
    for (char *word; (word = strsep(&numbers, " ")) != NULL;) {
        int number = atoi(word);
        if (*word == '\0')
            continue;
        if (used >= handed->count || number < 3 || number >= HIGH ||
            dup2(handed->descriptors[used++], number) < 0)
            return false;
    }
    return used == handed->count;
}

const char *become(struct handed *handed)
{
    size_t at = 0;
    char *length = handed->text == NULL ? NULL : next(handed, &at);
    if (length == NULL || strtoul(length, NULL, 10) != handed->length - at)
        return "it is not complete";
    char *path = next(handed, &at), *directory = next(handed, &at), *numbers = next(handed, &at);
    char *words = next(handed, &at), *variables = next(handed, &at);
    if (variables == NULL)
        return "it is not complete";
    char **argv = next_list(handed, &at, strtoul(words, NULL, 10));
    char **environment = argv == NULL ? NULL : next_list(handed, &at, strtoul(variables, NULL, 10));
    if (environment == NULL)
        return "it is not complete";
    if (*directory != '\0' && chdir(directory) != 0)
        return strerror(errno);
    if (!put_back(handed, numbers))
        return "descriptors are missing";
    execve(path, argv, environment);
    return strerror(errno);
}
