/* PID 1 of the task's user, PID and mount namespace: makes it, starts init or the restoring tool in it,
 * reaps, passes on the signals that arrive by pipe, and ends with the outer half (the pipe's end). */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

struct ends {
    int go, signals, status; /* PID 1's ends of the pipes */
};

static void tell(int fd, int kind, int value, const char *where)
{
    struct message message = {.kind = kind, .value = value};
    snprintf(message.where, sizeof message.where, "%s", where);
    if (!write_all(fd, &message, sizeof message))
        _exit(1); /* the outer half has gone, and the lifeline with it */
}

static _Noreturn void fail(int fd, const char *where)
{
    tell(fd, MSG_FAILED, errno, where);
    _exit(1);
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool done = write_all(fd, text, strlen(text));
    int reason = errno;
    close(fd);
    errno = reason;
    return done;
}

/* CRIU's helpers must not take a pid of the tree: they start above any that a dump is likely to hold. */
static void move_pids_away(void)
{
    int fd = open("/proc/sys/kernel/pid_max", O_RDONLY | O_CLOEXEC);
    char text[32] = "";
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        close(fd);
    }
    long most = strtol(text, NULL, 10);
    snprintf(text, sizeof text, "%ld", most > 0 ? most - most / 16 : 30000);
    if (!write_file("/proc/sys/kernel/ns_last_pid", text))
        complain("cannot move pids away: %s", strerror(errno));
}

static pid_t read_only_child(void)
{
    FILE *file = fopen("/proc/1/task/1/children", "re");
    int pid = 0;
    if (file == NULL)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    return pid;
}

/* Runs the restoring tool to its end; the tree it restored is then our child. 0 where it failed. */
static pid_t restore_tree(const struct options *options)
{
    move_pids_away();
    pid_t tool = fork();
    if (tool < 0)
        return 0;
    if (tool == 0) {
        if (!keep_tool_capabilities())
            complain("cannot keep capabilities for the restore: %s", strerror(errno));
        for (int fd = 0; fd < 3; fd++)
            if (dup2(fd, STDIO_BASE + fd) < 0 || dup2(fd, STDIO_OTHER + fd) < 0)
                complain("standard stream %d is closed: %s", fd, strerror(errno));
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        exec_program(options);
    }
    int status;
    while (waitpid(tool, &status, 0) < 0 && errno == EINTR)
        ;
    errno = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? read_only_child() : 0;
}

static _Noreturn void reap_forever(const struct ends *ends, pid_t init)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int children = signalfd(-1, &child, SFD_CLOEXEC);
    struct pollfd polled[] = {{.fd = children, .events = POLLIN}, {.fd = ends->signals, .events = POLLIN}};
    for (;;) {
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == init) {
                tell(ends->status, MSG_ENDED, status, "");
                _exit(0); /* what is left of the namespace ends with us */
            }
        if (poll(polled, 2, -1) < 0)
            continue;
        if (polled[0].revents) {
            struct signalfd_siginfo info;
            if (read(children, &info, sizeof info) < 0)
                continue;
        }
        if (polled[1].revents) {
            unsigned char number;
            if (!read_all(ends->signals, &number, 1))
                _exit(0); /* the outer half is gone: so is the task */
            kill(init, number);
        }
    }
}

/* What we got from slurmstepd was opened on the host's mounts, which CRIU cannot see from inside: on most
 * nodes (all whose root is no overlayfs) it fails with "Can't lookup mount". /dev/null is opened again here;
 * output files are named to CRIU by mount and inode, and O_APPEND keeps it from checking their size. */
static void adapt_stdio(void)
{
    for (int fd = 0; fd < 3; fd++) {
        struct stat info;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &info) != 0)
            continue;
        if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3)) {
            int null = open("/dev/null", flags & O_ACCMODE);
            if (null < 0 || dup2(null, fd) < 0)
                complain("cannot open /dev/null again: %s", strerror(errno));
            if (null > 2)
                close(null);
        } else if (fd > 0 && S_ISREG(info.st_mode) && fcntl(fd, F_SETFL, flags | O_APPEND) != 0) {
            complain("cannot switch standard stream %d to appending: %s", fd, strerror(errno));
        }
    }
}

/* init is executed again, by path: its executable must lie on a mount of this namespace, else CRIU writes
 * an image without its memory and calls that a success (4.2.1, cr-dump.c, dump_task_mm). */
static _Noreturn void become_init(const struct options *options)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    size_t count = 0;
    while (options->argv[count] != NULL)
        count++;
    char **argv = calloc(count + 5, sizeof *argv), **next = argv;
    if (length > 0 && argv != NULL) {
        path[length] = '\0';
        *next++ = path;
        *next++ = "init";
        if (options->no_randomize)
            *next++ = "--no-randomize";
        *next++ = "--";
        for (size_t index = 0; index < count; index++)
            *next++ = options->argv[index];
        execv(path, argv);
    }
    complain("cannot execute init: %s", strerror(errno));
    _exit(EXIT_NOT_EXECUTABLE);
}

static _Noreturn void run_pid1(const struct options *options, const struct ends *ends)
{
    char byte;
    set_name("syscr-pid1");
    block_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!read_all(ends->go, &byte, 1))
        _exit(1);
    close(ends->go);
    if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        fail(ends->status, "make the mount tree private");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
        fail(ends->status, "mount /proc");
    pid_t init;
    if (options->restore) {
        init = restore_tree(options);
        if (init == 0)
            fail(ends->status, "restore");
    } else {
        adapt_stdio();
        init = fork();
        if (init < 0)
            fail(ends->status, "fork");
        if (init == 0) {
            close(ends->signals);
            close(ends->status);
            if (!drop_capabilities())
                complain("cannot drop capabilities: %s", strerror(errno));
            become_init(options);
        }
    }
    tell(ends->status, MSG_STARTED, init, "");
    if (!drop_capabilities())
        complain("cannot drop capabilities: %s", strerror(errno));
    reap_forever(ends, init);
}

/* The caller's own ids, one line each: all that an unprivileged user may map. */
static bool map_ids(pid_t pid)
{
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
    if (!write_file(path, "deny"))
        return false;
    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    snprintf(text, sizeof text, "%d %d 1\n", geteuid(), geteuid());
    if (!write_file(path, text))
        return false;
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    snprintf(text, sizeof text, "%d %d 1\n", getegid(), getegid());
    return write_file(path, text);
}

/* What PID 1 says first; where the stub is killed meanwhile, nobody may go on. */
static bool hear_first(const struct options *options, int status, pid_t pid, struct message *message)
{
    struct pollfd polled[] = {{.fd = status, .events = POLLIN}, {.fd = options->stub_link, .events = POLLRDHUP}};
    while (poll(polled, 2, -1) < 0)
        ;
    if (polled[1].revents) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        leave_with(SIGKILL);
    }
    return read_all(status, message, sizeof *message);
}

/* Returns once the program runs (or the tree is restored); false with errno and a message on stderr. */
bool start_in_namespaces(struct task *task)
{
    int go[2], signals[2], status[2];
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(signals, O_CLOEXEC) != 0 || pipe2(status, O_CLOEXEC) != 0) {
        complain("cannot make a pipe: %s", strerror(errno));
        return false;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS, 0, 0, 0, 0);
    if (pid < 0) {
        int reason = errno;
        complain("cannot make user, PID and mount namespaces: %s", strerror(reason));
        errno = reason;
        return false;
    }
    if (pid == 0) {
        close_sockets(task->options);
        close(go[1]);
        close(signals[1]);
        close(status[0]);
        run_pid1(task->options, &(struct ends){go[0], signals[0], status[1]});
    }
    close(go[0]);
    close(signals[0]);
    close(status[1]);
    struct message message = {.kind = MSG_FAILED};
    if (!map_ids(pid)) {
        message.value = errno;
        snprintf(message.where, sizeof message.where, "map user and group ids");
        kill(pid, SIGKILL);
    } else if (write_all(go[1], "g", 1) && !hear_first(task->options, status[0], pid, &message)) {
        snprintf(message.where, sizeof message.where, "namespace ended early");
    }
    close(go[1]);
    if (message.kind != MSG_STARTED) {
        if (!task->options->restore)
            complain("cannot %s in a namespace of its own: %s", message.where, strerror(message.value));
        waitpid(pid, NULL, 0);
        close(signals[1]);
        close(status[0]);
        errno = message.value;
        return false;
    }
    task->child = pid;
    task->namespaces = true;
    task->signal_pipe = signals[1];
    task->status_pipe = status[0];
    return true;
}
