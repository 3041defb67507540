/* Starts the dump tool inside the namespaces of the task, as a child of the outer half.
 *
 * The outer half runs it, not the checkpoint command: a command that is killed, loses its connection or is
 * cancelled never takes a tool with it that has stopped the user's processes. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_namespace(pid_t pid, const char *kind)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static bool enter_namespaces(pid_t pid)
{
    int user = open_namespace(pid, "user"), pids = open_namespace(pid, "pid"),
        mounts = open_namespace(pid, "mnt");
    return user >= 0 && pids >= 0 && mounts >= 0 && setns(user, CLONE_NEWUSER) == 0 &&
           setns(pids, CLONE_NEWPID) == 0 && setns(mounts, CLONE_NEWNS) == 0;
}

static _Noreturn void run_tool(char **argv, bool privileged)
{
    set_name("syscr-tool");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (privileged && !keep_tool_capabilities())
        complain("cannot keep capabilities for '%s': %s", argv[0], strerror(errno));
    struct options options = {.argv = argv, .is_tool = true};
    exec_program(&options);
}

/* Returns the tool's pid (our child), or -1 with errno. Its output goes to output_fd. */
pid_t start_tool(const struct task *task, char **argv, int output_fd)
{
    int answer[2];
    if (pipe2(answer, O_CLOEXEC) != 0)
        return -1;
    pid_t helper = fork();
    if (helper == 0) {
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        dup2(output_fd, 1);
        dup2(output_fd, 2);
        setsid();
        pid_t tool = -1;
        if (!task->namespaces || enter_namespaces(task->child)) {
            /* CLONE_PARENT: the tool is the outer half's child, although it lives in the namespace. */
            tool = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_PARENT, 0, 0, 0, 0);
            if (tool == 0)
                run_tool(argv, task->namespaces);
        }
        int reply[2] = {tool, errno};
        write_all(answer[1], reply, sizeof reply);
        _exit(0);
    }
    close(answer[1]);
    int reply[2] = {-1, errno};
    if (helper > 0) {
        if (!read_all(answer[0], reply, sizeof reply))
            reply[1] = ECHILD;
        while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(answer[0]);
    errno = reply[1];
    return reply[0];
}

/* Makes the tool fail by itself: its next write is an error, and it cleans up as for a full disk.
 *
 * A CRIU that is killed leaves its code in processes where it was just putting it, about 50 ms at the
 * beginning of each dump; of 15 killed at random moments, one took the program with it (4.2.1, SIGTRAP). */
bool stop_tool_writing(pid_t tool)
{
    const struct rlimit nothing = {0, 0};
    return prlimit(tool, RLIMIT_FSIZE, &nothing, NULL) == 0;
}
