/* The stub: all of us that Slurm sees where it follows parent links (proctrack/linuxproc).
 *
 * Such a Slurm signals every process below slurmstepd, so a program without a handler would die of the SIGTERM
 * that asks for its checkpoint, and no launcher could keep it back. Here slurmstepd's child stays as the stub and
 * the outer half, with all that is below it, is forked away, twice, so that its parent is the node's init:
 *
 *   slurmstepd                          init (or the nearest subreaper)
 *    `- stub (this file) <-- link -->    `- outer half (supervise.c) ...
 *        `- sidecars
 *
 * The stub sends the numbers of the signals it gets; the outer half its wait status, which the stub confirms and
 * with which it ends. The link is the lifeline of both. SIGSTOP cannot be caught, so the outer half looks every
 * second whether the stub is stopped (`scontrol suspend`, `scancel -s STOP`), and stops the task as well.
 * Source: Slurm 18.08 to 26.05, src/plugins/proctrack/linuxproc/kill_tree.c: descendants by /proc/PID/stat. */
#define _GNU_SOURCE
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_TAKEN = 0 }; /* no signal has this number */
static const double LOOK_SECONDS = 1; /* Slurm stops a job two seconds after it has sent SIGTSTP */

static void pass_signal_on(int signals, int link)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != sizeof info)
        return;
    unsigned char number = (unsigned char)info.ssi_signo;
    if (number == SIGCHLD)
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    else if (info.ssi_pid != (unsigned)getpid() && send(link, &number, 1, MSG_NOSIGNAL) < 0)
        return; /* the outer half has gone: the link says so, too */
}

static _Noreturn void run_stub(int link)
{
    sigset_t all;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) /* only now: the outer half has found its new parent */
        complain("cannot adopt orphans: %s", strerror(errno));
    sigfillset(&all);
    int status, signals = signalfd(-1, &all, SFD_CLOEXEC);
    if (signals < 0)
        complain("cannot receive signals: %s", strerror(errno));
    struct pollfd polled[] = {{.fd = link, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    while (!polled[0].revents)
        if (poll(polled, 2, -1) >= 0 && polled[1].revents)
            pass_signal_on(signals, link);
    if (!read_all(link, &status, sizeof status))
        status = SIGKILL; /* somebody has killed the outer half */
    const char taken = STATUS_TAKEN;
    char byte;
    send(link, &taken, 1, MSG_NOSIGNAL);
    while (read_all(link, &byte, 1))
        ; /* until it is gone */
    end_children(); /* sidecars, and what they have left */
    leave_with(status);
}

/* Returns in the outer half; or, with a complaint, in the one process there is where that cannot be. */
void leave_tree(struct options *options)
{
    char path[64];
    int link[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) != 0) {
        complain("cannot leave Slurm's tree: %s", strerror(errno));
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/stat", getpid());
    set_name("syscr-stub");
    pid_t between = fork();
    if (between == 0) {
        close(link[0]);
        pid_t outer = fork();
        if (outer == 0) {
            setpgid(0, 0); /* slurmstepd signals the group of its child, too */
            set_name("syscr-launcher");
            options->stub_link = link[1];
            options->stub_stat = open(path, O_RDONLY | O_CLOEXEC);
            return;
        }
        _exit(outer < 0 ? errno : 0);
    }
    int status = EAGAIN << 8;
    while (between > 0 && waitpid(between, &status, 0) < 0 && errno == EINTR)
        ;
    close(link[1]);
    if (WEXITSTATUS(status) == 0) { /* or somebody has killed it: there may be an outer half all the same */
        close_sockets(options);     /* the outer half's */
        run_stub(link[0]);
    }
    complain("cannot leave Slurm's tree: %s; the program gets each signal at once", strerror(WEXITSTATUS(status)));
    close(link[0]);
    set_name("syscr-launcher");
}

/* With this wait status the stub ends. Returns whether it has taken it: not where Slurm is killing the job, even if
 * the stub has yet to die of that. */
bool tell_stub(const struct options *options, int status)
{
    unsigned char number;
    if (options->stub_link < 0)
        return true;
    if (send(options->stub_link, &status, sizeof status, MSG_NOSIGNAL) < 0)
        return false;
    do { /* signals come too late */
        if (!read_all(options->stub_link, &number, 1))
            return false;
    } while (number != STATUS_TAKEN);
    return true;
}

static bool is_stub_stopped(const struct options *options)
{
    char text[512];
    ssize_t size = pread(options->stub_stat, text, sizeof text - 1, 0);
    if (size <= 0)
        return false;
    text[size] = '\0';
    const char *after_name = strrchr(text, ')'); /* the name may hold anything */
    return after_name != NULL && after_name[1] == ' ' && after_name[2] == 'T';
}

/* Stops and wakes the tree as Slurm does the stub; not while a dump tool works on it: of 30 dumps by CRIU 4.2.1 that
 * a SIGSTOP came into, 18 failed, and one cost the program a process. */
void look_at_stub(struct supervisor *self)
{
    self->look_due = now_seconds() + LOOK_SECONDS;
    if (self->tool > 0)
        return;
    bool stopped = is_stub_stopped(self->task->options), changed = stopped != self->suspended;
    self->suspended = stopped;
    if (changed && stopped)
        signal_tree(self, SIGSTOP);
    else if (changed && self->held_until == 0) /* else the end of the hold wakes it */
        signal_tree(self, SIGCONT);
}

/* Returns a signal that Slurm has sent, or 0. */
int hear_stub(struct supervisor *self)
{
    unsigned char number;
    if (!read_all(self->task->options->stub_link, &number, 1))
        leave(self, SIGKILL); /* the stub was killed, and the job with it */
    if (number != SIGCONT || !self->suspended)
        return number;
    look_at_stub(self); /* this one wakes the whole tree */
    return 0;
}
