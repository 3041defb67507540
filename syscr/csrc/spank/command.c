/* Whether `syscr` can be started on this node: a job must not fail because it cannot. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Read the beginning of a file. */
static ssize_t read_head(const char *path, char *head, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, head, size - 1);
    int cause = errno;
    close(fd);
    errno = cause;
    if (length >= 0)
        head[length] = '\0';
    return length;
}

/* Return the only word of a line "#!/path", NULL where there is something else. */
static char *read_interpreter(char *head)
{
    char *end = strchr(head, '\n');
    if (strncmp(head, "#!", 2) != 0 || end == NULL)
        return NULL;
    *end = '\0';
    char *word = head + 2 + strspn(head + 2, " \t");
    return word[strcspn(word, " \t\r")] == '\0' ? word : NULL;
}

const char *check_command(const char *command, char *interpreter, unsigned size)
{
    static char reason[8192];
    char head[1024];
    *interpreter = '\0';
    if (access(command, X_OK) != 0 || read_head(command, head, sizeof head) < 0) {
        snprintf(reason, sizeof reason, "cannot run '%s' on this node: %s", command, strerror(errno));
        return reason;
    }
    char *word = read_interpreter(head);
    if (word == NULL)
        return NULL;
    if (access(word, X_OK) != 0) {
        snprintf(reason, sizeof reason, "cannot run '%s' on this node: its interpreter '%s': %s", command, word,
                 strerror(errno));
        return reason;
    }
    const char *base = strrchr(word, '/');
    if (base != NULL && strncmp(base + 1, "python", 6) == 0 && strlen(word) < size)
        strcpy(interpreter, word);
    return NULL;
}
