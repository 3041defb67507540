/* Requests of the checkpoint command, one per connection on the abstract control socket:
 *
 *   run TIMEOUT_MS HOLD_MS SIZE\n<SIZE bytes: arguments, each ended by NUL>
 *       -> ended WAIT_STATUS MICROSECONDS TIMED_OUT SIZE\n<SIZE bytes of output>
 *   kill\n -> ok\n           (its image is there)
 *   leave CODE\n -> ok\n     (after kill: end with this exit code)
 *   hold MS\n -> ok\n       resume\n -> ok\n       state\n -> state NAME PID\n
 *   anything wrong -> error TEXT\n
 *
 * Only the user the task belongs to, and root, are listened to (SO_PEERCRED). */
#define _GNU_SOURCE
#include "supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST_MAX = 64 << 10, OUTPUT_MAX = 64 << 10, ARGUMENTS_MAX = 256 };

static void reply(int client, const char *text)
{
    if (send(client, text, strlen(text), MSG_NOSIGNAL) < 0)
        return; /* the asker has gone; the job does not care */
}

static bool is_welcome(int client)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static bool is_connected(int client)
{
    struct pollfd polled = {.fd = client, .events = POLLRDHUP};
    return client >= 0 && poll(&polled, 1, 0) >= 0 &&
           !(polled.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* One line without its newline; false on end, time-out or a line that is too long. */
static bool read_line(int client, char *line, size_t size)
{
    for (size_t length = 0; length < size - 1; length++) {
        if (!read_all(client, line + length, 1))
            return false;
        if (line[length] == '\n') {
            line[length] = '\0';
            return true;
        }
    }
    return false;
}

static size_t split_arguments(char *text, size_t size, char **argv)
{
    size_t count = 0;
    if (size == 0 || text[size - 1] != '\0')
        return 0;
    for (char *next = text; next < text + size; next += strlen(next) + 1) {
        if (count == ARGUMENTS_MAX - 1)
            return 0; /* never some of them */
        argv[count++] = next;
    }
    argv[count] = NULL;
    return count;
}

static void start_run(struct supervisor *self, int client, const char *line)
{
    static char text[REQUEST_MAX];
    char *argv[ARGUMENTS_MAX];
    long timeout, hold;
    size_t size;
    if (sscanf(line, "run %ld %ld %zu", &timeout, &hold, &size) != 3 || size > sizeof text ||
        timeout <= 0 || hold < 0 || !read_all(client, text, size) || split_arguments(text, size, argv) == 0)
        return reply(client, "error malformed request\n");
    if (self->task->ended || self->parked_until > 0)
        return reply(client, "error the program has ended\n");
    self->tool_output = memfd_create("syscr-tool", MFD_CLOEXEC);
    pid_t tool = self->tool_output < 0 ? -1 : start_tool(self->task, argv, self->tool_output);
    if (tool < 0) {
        char answer[256];
        snprintf(answer, sizeof answer, "error cannot start '%.100s': %s\n", argv[0], strerror(errno));
        close(self->tool_output);
        return reply(client, answer);
    }
    self->tool = tool;
    self->client = client;
    self->tool_started = now_seconds();
    self->tool_deadline = self->tool_started + (double)timeout / 1000;
    self->tool_timed_out = false;
    self->tool_hold = (double)hold / 1000;
}

/* The tool is done: hold or resume the tree, then answer. Whoever asked may have gone meanwhile. */
void tool_ended(struct supervisor *self, int status)
{
    bool done = status == 0 && !self->tool_timed_out, asker = is_connected(self->client);
    double took = now_seconds() - self->tool_started;
    if (done && asker && self->tool_hold > 0)
        self->held_until = now_seconds() + self->tool_hold;
    else if (self->tool_hold > 0 || WIFSIGNALED(status))
        signal_tree(self, SIGCONT);
    static char output[OUTPUT_MAX];
    ssize_t size = pread(self->tool_output, output, sizeof output, 0);
    char answer[128];
    snprintf(answer, sizeof answer, "ended %d %.0f %d %zd\n", status, took * 1e6, self->tool_timed_out,
             size > 0 ? size : 0);
    if (asker) {
        reply(self->client, answer);
        if (size > 0 && send(self->client, output, (size_t)size, MSG_NOSIGNAL) < 0)
            complain("the checkpoint command has gone: %s", strerror(errno));
    }
    close(self->tool_output);
    close(self->client);
    self->client = -1;
    self->tool = 0;
}

static void hold(struct supervisor *self, int client, const char *line)
{
    long milliseconds;
    if (sscanf(line, "hold %ld", &milliseconds) != 1 || milliseconds <= 0)
        return reply(client, "error malformed request\n");
    if (self->parked_until > 0)
        return reply(client, "error the program has ended\n");
    signal_tree(self, SIGSTOP);
    self->held_until = now_seconds() + (double)milliseconds / 1000;
    reply(client, "ok\n");
}

static void resume(struct supervisor *self, int client)
{
    if (self->held_until > 0)
        signal_tree(self, SIGCONT);
    self->held_until = 0;
    reply(client, "ok\n");
}

static void kill_task(struct supervisor *self, int client)
{
    self->parked_until = now_seconds() + PARK_SECONDS;
    self->held_until = 0;
    end_tree(self);
    write_end(self->task->options, 0, "image");
    reply(client, "ok\n");
}

/* Ends the step of a program that was ended by us. */
static void leave_on_request(struct supervisor *self, int client, const char *line)
{
    int code;
    if (sscanf(line, "leave %d", &code) != 1 || code < 0 || code > 255)
        return reply(client, "error malformed request\n");
    if (self->parked_until == 0)
        return reply(client, "error the program has not been ended\n");
    reply(client, "ok\n");
    close(client);
    leave(self, code << 8);
}

static void report_state(struct supervisor *self, int client)
{
    char answer[64];
    const char *name = self->parked_until > 0 ? "parked" : self->held_until > 0 ? "held" : "running";
    if (self->tool > 0)
        name = "busy";
    snprintf(answer, sizeof answer, "state %s %d\n", name, (int)self->task->child);
    reply(client, answer);
}

/* Returns whether the connection stays open, waiting for the tool. */
static bool serve(struct supervisor *self, int client)
{
    char line[256];
    if (!read_line(client, line, sizeof line))
        reply(client, "error malformed request\n");
    else if (strcmp(line, "state") == 0)
        report_state(self, client);
    else if (self->tool > 0)
        reply(client, "error busy with another checkpoint\n");
    else if (strncmp(line, "run ", 4) == 0)
        start_run(self, client, line);
    else if (strncmp(line, "hold ", 5) == 0)
        hold(self, client, line);
    else if (strcmp(line, "resume") == 0)
        resume(self, client);
    else if (strcmp(line, "kill") == 0)
        kill_task(self, client);
    else if (strncmp(line, "leave ", 6) == 0)
        leave_on_request(self, client, line);
    else
        reply(client, "error unknown request\n");
    return self->client == client;
}

/* What is left unread would make the kernel reset the connection, and our answer might be lost. */
static void drain(int client)
{
    char waste[4096];
    for (size_t left = REQUEST_MAX * 4; left > 0; left -= sizeof waste)
        if (recv(client, waste, sizeof waste, MSG_DONTWAIT) <= 0)
            return;
}

void accept_request(struct supervisor *self)
{
    int client = accept4(self->task->options->control_fd, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    struct timeval limit = {.tv_sec = 2};
    bool timed = setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
                 setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0;
    if (timed && is_welcome(client) && serve(self, client))
        return;
    drain(client);
    close(client);
}
