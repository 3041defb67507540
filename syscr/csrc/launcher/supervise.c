/* The outer half's loop: sleeps until a signal, a request, the end of the task or a deadline comes. */
#define _GNU_SOURCE
#include "supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double SENTINEL_WAIT = 0.05; /* slurmd signals a tree within far less */
#ifndef TOOL_GRACE_SECONDS /* tests have a shorter one */
#define TOOL_GRACE_SECONDS 8
#endif
static const double TOOL_GRACE = TOOL_GRACE_SECONDS; /* to end by itself once it cannot write any more */
enum { END_ROUNDS = 500, END_PAUSE_NS = 10000000 };

static void send_signal(pid_t pid, void *number)
{
    kill(pid, *(int *)number); /* gone already: nothing to do */
}

static void count_process(pid_t pid, void *count)
{
    (void)pid;
    ++*(int *)count;
}

static void visit_tree(struct supervisor *self, visit_process visit, void *data)
{
    pid_t except[SIDECARS_MAX + 3] = {self->sentinel, self->tool, self->fence};
    memcpy(except + 3, self->task->options->sidecars, sizeof self->task->options->sidecars);
    pid_t root = self->task->namespaces ? self->task->child : getpid();
    visit_descendants(root, except, sizeof except / sizeof *except, visit, data);
}

void signal_tree(struct supervisor *self, int number)
{
    if (number == SIGCONT && self->suspended)
        return; /* Slurm's word goes before ours */
    visit_tree(self, send_signal, &number);
}

/* Ends every process of the task. In namespaces the kernel does it at once. */
void end_tree(struct supervisor *self)
{
    const struct timespec pause = {.tv_nsec = END_PAUSE_NS};
    for (int round = 0; round < END_ROUNDS; round++) {
        int left = 0;
        if (self->task->namespaces)
            kill(self->task->child, SIGKILL);
        else
            signal_tree(self, SIGKILL);
        for (int status; waitpid(-1, &status, WNOHANG) > 0;)
            ;
        visit_tree(self, count_process, &left);
        if (left == 0)
            return;
        nanosleep(&pause, NULL);
    }
    complain("some processes of the task do not end; Slurm will see to them");
}

/* Kills a child that was not reaped yet: after that its number may be another's. */
static void kill_child(pid_t pid)
{
    siginfo_t info;
    if (pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        kill(pid, SIGKILL); /* sidecars block all other signals */
}

/* Ends and reaps what is left of us. Where anything of a step still lives when its task has ended, slurmstepd
 * looks again only a second later (24.11.5, 2026-11: one start in ten took 1.1 s longer). */
static void end_helpers(const struct supervisor *self)
{
    kill_child(self->sentinel);
    kill_child(self->fence);
    for (int index = 0; index < SIDECARS_MAX; index++)
        kill_child(self->task->options->sidecars[index]);
    if (self->task->namespaces)
        kill_child(self->task->child); /* PID 1; it has told us the end and may still live */
    end_children(); /* and what helpers had started */
}

_Noreturn void leave(struct supervisor *self, int status)
{
    /* linuxproc kills helpers before the stub, and a program under DMTCP ends with its coordinator: no end of its own */
    bool is_killed = !tell_stub(self->task->options, status);
    if (self->task->ended && self->parked_until == 0 && !is_killed)
        write_end(self->task->options, status, self->told ? "told" : "own");
    if (!self->task->namespaces)
        end_tree(self); /* background processes end with the task, as in any step */
    end_helpers(self);
    leave_with(status);
}

static bool is_deadly(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}

static void forward(struct supervisor *self, int number)
{
    unsigned char byte = (unsigned char)number;
    bool failed = self->task->namespaces ? !write_all(self->task->signal_pipe, &byte, 1)
                                         : kill(self->task->child, number) != 0;
    if (failed && errno != EPIPE && errno != ESRCH)
        complain("cannot pass signal %d on: %s", number, strerror(errno));
}

static void pass_on(struct supervisor *self, int number)
{
    self->told |= is_deadly(number);
    forward(self, number);
}

static void receive_agent(struct supervisor *self)
{
    int number = hear_agent(self);
    if (number > 0)
        pass_on(self, number);
}

static void receive_status(struct supervisor *self)
{
    struct message message;
    if (read_all(self->task->status_pipe, &message, sizeof message)) {
        if (message.kind == MSG_ENDED) {
            self->task->ended = true;
            self->task->status = message.value;
        }
        return;
    }
    close(self->task->status_pipe); /* PID 1 has gone */
    self->task->status_pipe = -1;
}

static void reap(struct supervisor *self)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == self->tool) {
            tool_ended(self, status);
            continue;
        }
        if (pid == self->fence) {
            fence_ended(self, status);
            continue;
        }
        if (pid != self->task->child)
            continue;
        while (self->task->status_pipe >= 0)
            receive_status(self); /* what PID 1 told before it ended; the pipe ends with it */
        if (!self->task->ended) {
            self->task->ended = true;
            self->task->status = self->task->namespaces ? SIGKILL : status;
        }
    }
}

/* A signal of Slurm's: it is passed on unless the sentinel sees it, too. */
static void take_signal(struct supervisor *self, int number)
{
    double now = now_seconds();
    if (self->parked_until > 0) { /* the program is gone: nothing to wait for */
        if (is_deadly(number))
            leave(self, number);
        return;
    }
    if (number > SIGNAL_MAX || now - self->sentinel_saw[number] < SENTINEL_WAIT)
        return;
    self->forward_due[number] = now + SENTINEL_WAIT;
}

static void receive_signal(struct supervisor *self)
{
    struct signalfd_siginfo info;
    if (read(self->signals, &info, sizeof info) != sizeof info)
        return;
    int number = (int)info.ssi_signo;
    if (number == SIGCHLD)
        return reap(self);
    if (info.ssi_pid != (unsigned)getpid()) /* not our own SIGPIPE, from a complaint that nobody reads */
        take_signal(self, number);
}

static void receive_stub(struct supervisor *self)
{
    int number = hear_stub(self);
    if (number > 0)
        take_signal(self, number);
}

static void receive_sentinel(struct supervisor *self)
{
    unsigned char number;
    if (!read_all(self->sentinel_pipe, &number, 1)) {
        close(self->sentinel_pipe);
        self->sentinel_pipe = -1;
        return;
    }
    if (number <= SIGNAL_MAX) {
        self->sentinel_saw[number] = now_seconds();
        self->forward_due[number] = 0;
        self->told |= is_deadly(number); /* the whole tree was */
    }
}

static double earliest(double one, double other)
{
    return one <= 0 ? other : other <= 0 || one < other ? one : other;
}

/* Milliseconds until the next deadline, rounded up; -1 for none. */
static int time_left(const struct supervisor *self)
{
    double next = earliest(earliest(self->held_until, self->parked_until), self->agent_due);
    next = earliest(earliest(next, self->say_gone_due), self->look_due);
    if (self->tool > 0)
        next = earliest(next, self->tool_deadline);
    for (int number = 1; number <= SIGNAL_MAX; number++)
        next = earliest(next, self->forward_due[number]);
    if (next <= 0)
        return -1;
    double left = next - now_seconds();
    return left <= 0 ? 0 : left > 3600 ? 3600000 : (int)(left * 1000) + 1;
}

/* Ends the tool, first gently: what it holds stopped must not come to harm. */
static void end_tool(struct supervisor *self)
{
    if (self->tool_timed_out || !stop_tool_writing(self->tool))
        kill(self->tool, SIGKILL);
    self->tool_timed_out = true;
}

static void meet_deadlines(struct supervisor *self)
{
    double now = now_seconds();
    if (self->look_due > 0 && now >= self->look_due)
        look_at_stub(self);
    for (int number = 1; number <= SIGNAL_MAX; number++)
        if (self->forward_due[number] > 0 && now >= self->forward_due[number]) {
            self->forward_due[number] = 0;
            if (number == SIGCONT && self->held_until > 0)
                continue; /* Slurm sends it before TERM; the end of the hold wakes the program */
            if (!ask_agent(self, number))
                pass_on(self, number);
        }
    if (self->agent_due > 0 && now >= self->agent_due) {
        self->agent_due = 0;
        pass_on(self, SIGTERM);
    }
    if (self->say_gone_due > 0 && now >= self->say_gone_due)
        say_agent_gone(self);
    if (self->tool > 0 && now >= self->tool_deadline) {
        end_tool(self);
        self->tool_deadline = now + TOOL_GRACE;
    }
    if (self->held_until > 0 && now >= self->held_until) {
        self->held_until = 0;
        complain("nobody ended the hold after a checkpoint; the program goes on");
        signal_tree(self, SIGCONT);
    }
    if (self->parked_until > 0 && now >= self->parked_until) {
        complain("the program was ended after a checkpoint, but nobody ended its job; "
                 "bring it back with 'syscr restart'");
        leave(self, EXIT_UNFINISHED << 8); /* not 0: the job is not done, and others may wait for it */
    }
}

static void start(struct supervisor *self)
{
    if (self->task->options->stub_stat >= 0)
        look_at_stub(self);
    self->sentinel_pipe = start_sentinel(&self->sentinel);
    if (self->sentinel_pipe < 0)
        complain("no sentinel (%s): some signals may arrive twice", strerror(errno));
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    self->signals = signalfd(-1, &all, SFD_CLOEXEC);
    if (self->signals < 0)
        complain("cannot receive signals: %s", strerror(errno));
}

_Noreturn void supervise(struct task *task)
{
    struct supervisor self = {.task = task, .client = -1, .tool_output = -1, .sentinel_pipe = -1};
    self.agent = task->options->agent_fd;
    self.fence = start_fence(task->options);
    start(&self);
    reap(&self); /* what ended before the signalfd was there */
    for (;;) {
        if (task->ended && self.parked_until == 0 && self.tool == 0)
            leave(&self, task->status);
        if (self.fenced && self.tool == 0)
            leave_to_newer(&self);
        struct pollfd polled[] = {
            {.fd = self.signals, .events = POLLIN},
            {.fd = self.sentinel_pipe, .events = POLLIN},
            {.fd = task->status_pipe, .events = POLLIN},
            {.fd = task->options->control_fd, .events = POLLIN},
            {.fd = self.agent, .events = POLLIN},
            {.fd = task->options->stub_link, .events = POLLIN},
        };
        if (poll(polled, sizeof polled / sizeof *polled, time_left(&self)) < 0)
            continue;
        if (polled[2].revents)
            receive_status(&self);
        if (polled[1].revents)
            receive_sentinel(&self);
        if (polled[4].revents)
            receive_agent(&self);
        if (polled[0].revents)
            receive_signal(&self);
        if (polled[5].revents)
            receive_stub(&self);
        if (polled[3].revents)
            accept_request(&self);
        meet_deadlines(&self);
    }
}
