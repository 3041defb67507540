/* The launcher's role `agent`: runs the agent, and runs it again if it dies, a few times.
 *
 * It holds the agent's end of the launcher's socket, so a question that comes while there is no agent waits for
 * the next one (or for the launcher's patience), and tells the launcher of each death. Once it gives up, the
 * launcher sees the socket closed; once the launcher has gone, it ends. Started by `syscr run` with all signals
 * blocked, as every sidecar; what it says is in agent.log. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef TEND_PAUSE_MS /* tests have a shorter one */
#define TEND_PAUSE_MS 1000
#endif
enum { STARTS_AGAIN = 3, PAUSE_MS = TEND_PAUSE_MS }; /* a pause, so that what always dies at once costs little */
static const double LONG_LIFE = 3600; /* after that an earlier death does not count any more */

static pid_t start_agent(char **argv)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_UNFINISHED);
    ignore_signals(); /* of Slurm's commands, too, which may be scripts */
    execvp(argv[0], argv);
    complain("cannot run '%s': %s", argv[0], strerror(errno));
    _exit(EXIT_NOT_EXECUTABLE);
}

static int open_children(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int children = sigprocmask(SIG_BLOCK, &child, NULL) == 0 ? signalfd(-1, &child, SFD_CLOEXEC) : -1;
    if (children < 0) {
        complain("cannot wait for the agent: %s", strerror(errno));
        _exit(1);
    }
    return children;
}

/* Waits for the agent; reaps what others have left on the way. With the launcher all ends: one that was killed could
 * not see to that, and its agent would go on, in the job's next life, too. */
static int wait_for(pid_t agent, int children, int launcher)
{
    struct pollfd polled[] = {{.fd = children, .events = POLLIN}, {.fd = launcher, .events = POLLRDHUP}};
    for (;;) {
        struct signalfd_siginfo info;
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == agent)
                return status;
        if (poll(polled, 2, -1) < 0)
            continue;
        if (polled[1].revents) {
            end_children();
            _exit(0);
        }
        if (polled[0].revents && read(children, &info, sizeof info) < 0)
            complain("cannot wait for the agent: %s", strerror(errno));
    }
}

static void describe_end(int status)
{
    if (WIFSIGNALED(status))
        complain("the agent was killed by signal %d", WTERMSIG(status));
    else
        complain("the agent ended with %d", WEXITSTATUS(status));
}

static void tell_launcher(const struct options *options)
{
    if (options->agent_fd >= 0 && send(options->agent_fd, "d", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        complain("cannot tell the launcher: %s", strerror(errno));
}

_Noreturn void run_tender(const struct options *options)
{
    const struct timespec pause = {.tv_sec = PAUSE_MS / 1000, .tv_nsec = PAUSE_MS % 1000 * 1000000};
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) /* what the agent leaves behind stays below us */
        complain("cannot adopt orphans: %s", strerror(errno));
    int children = open_children();
    for (int deaths = 0;;) {
        double started = now_seconds();
        pid_t pid = start_agent(options->argv);
        if (pid < 0)
            complain("cannot start the agent: %s", strerror(errno)); /* too many processes, say: not for ever */
        else
            describe_end(wait_for(pid, children, options->agent_fd));
        kill_descendants(getpid()); /* nobody waits for its helpers any more */
        deaths = now_seconds() - started > LONG_LIFE ? 1 : deaths + 1;
        if (deaths > STARTS_AGAIN) {
            complain("it is not started any more");
            _exit(1);
        }
        nanosleep(&pause, NULL);
        tell_launcher(options); /* only now: the next one has as long for its answer as any */
        complain("the agent is started again, %d of %d", deaths, STARTS_AGAIN);
    }
}
