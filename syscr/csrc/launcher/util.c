/* Small helpers of the launcher: messages, names, whole reads and writes, leaving with a wait status. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void complain(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if ((size_t)length > sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    dprintf(STDERR_FILENO, "syscr: %.*s", length + 1, line);
}

double now_seconds(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void set_name(const char *name)
{
    if (prctl(PR_SET_NAME, name) != 0)
        complain("cannot name this process '%s': %s", name, strerror(errno));
}

void close_pipe(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

/* In a child that becomes something else: nobody but the launcher may hold these. */
void close_sockets(const struct options *options)
{
    if (options->control_fd >= 0)
        close(options->control_fd);
    if (options->agent_fd >= 0)
        close(options->agent_fd);
    if (options->stub_link >= 0)
        close(options->stub_link);
}

bool write_all(int fd, const void *data, size_t size)
{
    const char *next = data;
    while (size > 0) {
        ssize_t written = write(fd, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        next += written;
        size -= (size_t)written;
    }
    return true;
}

bool read_all(int fd, void *data, size_t size)
{
    char *next = data;
    while (size > 0) {
        ssize_t got = read(fd, next, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        next += got;
        size -= (size_t)got;
    }
    return true;
}

/* Written aside and renamed, so that a reader never sees half of it. */
static void write_note(const char *path, const char *text)
{
    char aside[4096];
    if (path == NULL || snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside)
        return;
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || !write_all(fd, text, strlen(text)) || rename(aside, path) != 0)
        complain("cannot write '%s': %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Lets a child write it, and waits so long for it: storage that hangs must not keep signals or the job's end
 * back. Returns at once where no child can be had: the note is worth less than the job. */
static void write_within(const struct options *options, const char *path, const char *text, int milliseconds)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    pid_t pid = path == NULL ? -1 : fork();
    if (pid == 0) {
        set_name("syscr-note"); /* not to be taken for a launcher */
        close_sockets(options);
        write_note(path, text);
        _exit(0);
    }
    for (int waited = 0; pid > 0 && waited < milliseconds; waited++) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        nanosleep(&pause, NULL);
    }
}

void write_ready(const struct options *options, const char *text)
{
    write_within(options, options->ready, text, NOTE_MS);
}

/* How the program ended: wait status, how ("own", "told" by a signal, "image": ended after its image,
 * "fenced": ended for a newer life), when. */
void write_end(const struct options *options, int status, const char *how)
{
    char text[64];
    snprintf(text, sizeof text, "%d %s %lld\n", status, how, (long long)time(NULL));
    write_within(options, options->end, text, NOTE_MS);
}

/* Since when the job has no agent, in seconds since 1970; nobody waits for it. */
void write_agent_gone(const struct options *options)
{
    char text[32];
    snprintf(text, sizeof text, "%lld\n", (long long)time(NULL));
    write_within(options, options->agent_gone, text, 0);
}

/* What slurmstepd gives a task: default dispositions, nothing blocked. Python ignores PIPE and XFSZ. */
void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number <= SIGNAL_MAX; number++)
        sigaction(number, &action, NULL); /* fails for KILL, STOP and libc's own two: as it should */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void block_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

/* What Slurm sends to every process of a step (linuxproc; scancel --full) must not end what becomes of this one.
 * That they are blocked is not enough for what a shell script starts: dash unblocks them. */
void ignore_signals(void)
{
    const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGXCPU, SIGXFSZ};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t index = 0; index < sizeof signals / sizeof *signals; index++)
        sigaction(signals[index], &ignore, NULL);
    for (int number = SIGRTMIN; number <= SIGNAL_MAX; number++)
        sigaction(number, &ignore, NULL);
}

/* The user's limits are meant for his program: a dump may be larger than any file that it may write. And a CRIU
 * that is killed can take the program with it, see stop_tool_writing(). */
static void prepare_tool(void)
{
    const int limits[] = {RLIMIT_FSIZE, RLIMIT_CPU, RLIMIT_AS, RLIMIT_DATA};
    for (size_t index = 0; index < sizeof limits / sizeof *limits; index++) {
        struct rlimit limit;
        if (getrlimit(limits[index], &limit) != 0)
            continue;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(limits[index], &limit) != 0)
            complain("cannot lift a limit of the dump tool: %s", strerror(errno));
    }
    ignore_signals();
}

_Noreturn void exec_program(const struct options *options)
{
    reset_signals();
    if (options->is_tool)
        prepare_tool();
    if (options->no_randomize) {
        int old = personality(0xffffffff);
        if (old < 0 || personality((unsigned long)old | ADDR_NO_RANDOMIZE) < 0)
            complain("cannot switch address randomisation off: %s", strerror(errno));
    }
    execvp(options->argv[0], options->argv);
    int reason = errno;
    complain("cannot run '%s': %s", options->argv[0], strerror(reason));
    _exit(reason == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* End as the program ended, so that Slurm sees the same exit code or signal; no core of ours. */
_Noreturn void leave_with(int status)
{
    if (WIFSIGNALED(status)) {
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_CORE, &none) != 0)
            _exit(128 + WTERMSIG(status));
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(WTERMSIG(status), &action, NULL);
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, WTERMSIG(status));
        raise(WTERMSIG(status));
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        _exit(128 + WTERMSIG(status));
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
