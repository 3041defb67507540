/* The fence: a copy of a job that a cut-off node still runs ends itself, once there is a newer life of the job.
 *
 * A sleeping child reads one small record on the shared storage again and again, {"fence": "NUMBER.RESTARTS.MS"},
 * which the newest life has written before it waited twice as long (job/beginning.py) and began. A child, so that
 * storage that hangs keeps no signal back; each task has its own, so that a copy on a node without the first task
 * is ended too, and whether there is an agent or not. What cannot be read ends nobody. */
#define _GNU_SOURCE
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STALE = 3 }; /* exit code of the child: there is a newer life */

struct life {
    long number, restarts; /* of the job */
    long long started;     /* milliseconds since 1970 */
};

static bool parse_life(const char *text, struct life *life)
{
    return sscanf(text, "%ld.%ld.%lld", &life->number, &life->restarts, &life->started) == 3;
}

static bool read_newest(const char *path, struct life *newest)
{
    char text[512];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return false;
    text[size] = '\0';
    char *value = strstr(text, "\"fence\": \"");
    return value != NULL && parse_life(value + strlen("\"fence\": \""), newest);
}

/* Of one job the one with more restarts; a job that continues another one has a number of its own. */
static bool is_newer(const struct life *one, const struct life *other)
{
    return one->number == other->number ? one->restarts > other->restarts : one->started > other->started;
}

static _Noreturn void watch(const struct options *options, const struct life *own)
{
    const struct timespec pause = {
        .tv_sec = options->fence_ms / 1000, .tv_nsec = options->fence_ms % 1000 * 1000000L};
    struct life newest;
    for (;;) {
        nanosleep(&pause, NULL);
        if (read_newest(options->fence, &newest) && is_newer(&newest, own))
            _exit(STALE);
    }
}

/* Starts the child; 0: this task has no fence. */
pid_t start_fence(const struct options *options)
{
    struct life own;
    if (options->fence == NULL || options->fence_ms <= 0 || options->fence_life == NULL ||
        !parse_life(options->fence_life, &own))
        return 0;
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        complain("no fence (%s)", strerror(errno));
        return 0;
    }
    if (pid > 0)
        return pid;
    set_name("syscr-fence");
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    for (int fd = 0; fd < 1024; fd++) /* holds none of the task's descriptors open */
        close(fd);
    watch(options, &own);
}

/* The child has ended: by itself for a newer life only; else somebody has killed it, and there is another one. */
void fence_ended(struct supervisor *self, int status)
{
    self->fenced = WIFEXITED(status) && WEXITSTATUS(status) == STALE;
    self->fence = self->fenced ? 0 : start_fence(self->task->options);
    if (self->fenced && self->tool > 0)
        self->tool_deadline = now_seconds(); /* no image of an old copy */
}

/* Not a word: the output is the newer life's. If Slurm ever hears of this copy, it is not done. */
_Noreturn void leave_to_newer(struct supervisor *self)
{
    if (self->parked_until == 0) {
        self->parked_until = now_seconds();
        end_tree(self);
        write_end(self->task->options, 0, "fenced");
    }
    leave(self, EXIT_UNFINISHED << 8);
}
