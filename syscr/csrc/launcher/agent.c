/* The agent is asked before SIGTERM is passed on to the program: it may take a last image first.
 *
 *   to the agent:   one byte, the signal; then as text, in seconds of CLOCK_MONOTONIC, when it is asked and
 *                   when the signal came: a question may have waited for an agent that is started again
 *   from the agent: 'h' SIGNAL   it sees to it: keep the signal back
 *                   'f' SIGNAL   pass it on
 *                   's' TEXT     a line for the job's error output
 *   from its tender: 'd'           it has died, and is started again
 *
 * A signal that the site has made the agent's own (--agent-signal) is not passed on while there is an agent.
 * An agent that has gone, or gives no answer in time, keeps nothing back. One that dies is started again a few
 * times (tend.c), and asked about what the dead one kept back; that there is none any more is said here, once. */
#define _GNU_SOURCE
#include "supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef AGENT_SECONDS /* tests have a shorter one */
#define AGENT_SECONDS 5
#endif
static const double AGENT_ANSWER = AGENT_SECONDS; /* it has to ask Slurm first; with KillWait=30 there is time */
#ifndef SAY_GONE_SECONDS
#define SAY_GONE_SECONDS 2
#endif
static const double SAY_GONE_AFTER = SAY_GONE_SECONDS;
static const double AGENT_KEEPS = 86400; /* whatever it waits for: Slurm's SIGKILL comes long before */

/* Slurm's SIGKILL for the whole step may reach the agent first: nothing is said of it before that has passed. */
static void lose_agent(struct supervisor *self)
{
    close(self->agent);
    self->agent = -1;
    self->say_gone_due = now_seconds() + SAY_GONE_AFTER;
}

void say_agent_gone(struct supervisor *self)
{
    self->say_gone_due = 0;
    if (self->task->ended || self->parked_until > 0)
        return; /* it is not missed */
    complain("the agent of this job has gone: no more checkpoints by itself; the program runs on, and "
             "'syscr checkpoint' still works");
    write_agent_gone(self->task->options);
}

static bool send_question(const struct supervisor *self, int number, double now, double came)
{
    char text[64];
    int size = snprintf(text, sizeof text, "%c%.3f %.3f", number, now, came);
    return send(self->agent, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) == size;
}

/* Returns whether the agent has been asked; it then decides. */
bool ask_agent(struct supervisor *self, int number)
{
    bool is_its_own = number == self->task->options->agent_signal;
    double now = now_seconds(), came = self->agent_due > 0 ? self->agent_since : now;
    if ((number != SIGTERM && !is_its_own) || self->agent < 0 ||
        !send_question(self, number, now, is_its_own ? now : came))
        return false;
    if (is_its_own)
        return true; /* there is no answer to it */
    self->agent_since = came;
    self->agent_due = now + AGENT_ANSWER;
    self->agent_keeps = false;
    return true;
}

/* The next one knows nothing of what was kept back, and nobody else would ever pass it on. */
static int ask_next_agent(struct supervisor *self)
{
    if (self->agent_due <= 0 || !self->agent_keeps || ask_agent(self, SIGTERM))
        return 0; /* a question that the dead one has not answered has its time limit */
    self->agent_due = 0;
    return SIGTERM;
}

/* Returns a signal that is to be passed on now, or 0. */
int hear_agent(struct supervisor *self)
{
    unsigned char answer[512];
    bool asked = self->agent_due > 0;
    ssize_t size = recv(self->agent, answer, sizeof answer, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size <= 0) {
        lose_agent(self);
    } else if (answer[0] == 's') {
        complain("%.*s", (int)size - 1, (const char *)answer + 1);
        return 0;
    } else if (size == 1 && answer[0] == 'd') {
        return ask_next_agent(self);
    } else if (size != 2 || answer[1] != SIGTERM) {
        return 0;
    } else if (answer[0] == 'h') {
        if (asked)
            self->agent_due = now_seconds() + AGENT_KEEPS;
        self->agent_keeps = asked;
        return 0;
    } else if (answer[0] != 'f') {
        return 0;
    }
    self->agent_due = 0;
    return asked ? SIGTERM : 0;
}
