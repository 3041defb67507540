/* Shared by supervise.c (the loop) and control.c (requests): the state of the outer half. */
#ifndef SYSCR_SUPERVISE_H
#define SYSCR_SUPERVISE_H

#include "launcher.h"

struct supervisor {
    struct task *task;
    pid_t sentinel;
    int sentinel_pipe;
    int signals; /* signalfd */
    double sentinel_saw[SIGNAL_MAX + 1];
    double forward_due[SIGNAL_MAX + 1]; /* 0: nothing to pass on */
    double look_due;      /* when to look whether the stub is stopped; 0: there is none */
    bool suspended;       /* it was, and so is the tree */
    bool told;            /* the program was told to end */

    pid_t fence;          /* looks for a newer life, or 0 */
    bool fenced;          /* there is one */

    int agent;            /* socket, or -1 */
    double agent_due;     /* the agent has SIGTERM until then; 0: it has not */
    bool agent_keeps;     /* it has said so */
    double agent_since;   /* when that came */
    double say_gone_due;  /* when to say that there is no agent any more; 0: nothing to say */

    int client;           /* connection that waits for the tool, or -1 */
    pid_t tool;           /* running dump tool, or 0 */
    int tool_output;      /* memfd */
    double tool_started;
    double tool_deadline;
    bool tool_timed_out;
    double tool_hold;     /* seconds to hold after success, 0: none */

    double held_until;    /* tree stopped by us until then, 0: not */
    double parked_until;  /* tree ended by us; Slurm ends the step, 0: not */
};

/* control.c */
void accept_request(struct supervisor *self);
void tool_ended(struct supervisor *self, int status);
/* fence.c */
pid_t start_fence(const struct options *options);
void fence_ended(struct supervisor *self, int status);
_Noreturn void leave_to_newer(struct supervisor *self);
/* agent.c */
bool ask_agent(struct supervisor *self, int number);
int hear_agent(struct supervisor *self);
void say_agent_gone(struct supervisor *self);
/* stub.c */
void look_at_stub(struct supervisor *self);
int hear_stub(struct supervisor *self);
/* supervise.c */
_Noreturn void leave(struct supervisor *self, int status);
void signal_tree(struct supervisor *self, int number);
void end_tree(struct supervisor *self);

#endif
