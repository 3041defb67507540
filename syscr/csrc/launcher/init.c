/* init: PID 2 of the namespace and root of every dump. Session leader and subreaper, so that orphans stay
 * in the tree that CRIU dumps; passes on what PID 1 sends it and ends as the program ends.
 *
 * It lives through dump and restore, so it holds no descriptor but /dev/null and has no state but one pid. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static bool reap(pid_t program, int *status)
{
    bool ended = false;
    int one;
    for (pid_t pid; (pid = waitpid(-1, &one, WNOHANG)) > 0;)
        if (pid == program) {
            *status = one;
            ended = true;
        }
    return ended;
}

_Noreturn void run_init(const struct options *options)
{
    set_name("syscr-init");
    setsid();
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        complain("cannot adopt orphans: %s", strerror(errno));
    block_signals();
    pid_t program = fork();
    if (program < 0) {
        complain("cannot start the program: %s", strerror(errno));
        _exit(EXIT_NOT_EXECUTABLE);
    }
    if (program == 0) {
        setpgid(0, 0); /* as slurmstepd does for a task */
        exec_program(options);
    }
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    sigset_t all;
    sigfillset(&all);
    for (int status = 0;;) {
        siginfo_t info;
        int number = sigwaitinfo(&all, &info);
        if (number == SIGCHLD) {
            if (reap(program, &status))
                leave_with(status);
        } else if (number > 0 && info.si_pid == 1) { /* others went to the program directly */
            kill(program, number);
        }
    }
}
