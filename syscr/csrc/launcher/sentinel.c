/* The sentinel: a sleeping child in a session of its own that no one has a reason to signal.
 *
 * proctrack/cgroup signals slurmstepd's direct child alone, so the outer half must pass signals on;
 * proctrack/linuxproc (and SignalChildrenProcesses=yes) signals every process of the tree, and passing on
 * would deliver them twice. If the sentinel saw the signal too, the whole tree did.
 * Source: facts of 2026-11, Slurm 24.11.5, section "who gets which signal". */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

int start_sentinel(pid_t *pid)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    pid_t parent = getpid();
    *pid = fork();
    if (*pid < 0) {
        close_pipe(fds);
        return -1;
    }
    if (*pid > 0) {
        close(fds[1]);
        return fds[0];
    }
    set_name("syscr-sentinel");
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    for (int fd = 0; fd < 1024; fd++) /* holds none of the task's descriptors open */
        if (fd != fds[1])
            close(fd);
    sigset_t all;
    sigfillset(&all);
    for (;;) {
        siginfo_t info;
        int number = sigwaitinfo(&all, &info);
        if (number < 0)
            continue;
        unsigned char byte = (unsigned char)number;
        if (!write_all(fds[1], &byte, 1))
            _exit(0);
    }
}
