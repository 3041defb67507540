/* Arguments of syscr-launcher. It is started by `syscr run`, never by hand:
 *
 *   syscr-launcher run     [--namespaces] [options] --task JSON -- PROGRAM ARGS...
 *   syscr-launcher restore [--namespaces] [options] --task JSON -- TOOL ARGS...
 *   syscr-launcher agent   [--agent-fd FD] -- AGENT ARGS...      (keeps the agent running: tend.c)
 *   syscr-launcher init    [--no-randomize] -- PROGRAM ARGS...   (by PID 1, in its namespace)
 *   syscr-launcher version
 *   syscr-launcher                 (by CRIU, which gives an action script no arguments: hook.c)
 */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef SYSCR_VERSION
#define SYSCR_VERSION "unknown"
#endif

static int usage(const char *problem)
{
    complain("launcher: %s; it is started by 'syscr run'", problem);
    return 2;
}

static bool add_sidecar(struct options *options, pid_t pid)
{
    int index = 0;
    while (index < SIDECARS_MAX && options->sidecars[index] != 0)
        index++;
    if (index == SIDECARS_MAX || pid <= 1)
        return false;
    options->sidecars[index] = pid;
    return true;
}

static bool take_option(struct options *options, const char *name, const char *value)
{
    if (strcmp(name, "--task") == 0)
        options->task = value;
    else if (strcmp(name, "--ready") == 0)
        options->ready = value;
    else if (strcmp(name, "--end") == 0)
        options->end = value;
    else if (strcmp(name, "--log") == 0)
        options->log = value;
    else if (strcmp(name, "--control-fd") == 0)
        options->control_fd = atoi(value);
    else if (strcmp(name, "--agent-fd") == 0)
        options->agent_fd = atoi(value);
    else if (strcmp(name, "--fence") == 0)
        options->fence = value;
    else if (strcmp(name, "--fence-life") == 0)
        options->fence_life = value;
    else if (strcmp(name, "--fence-ms") == 0)
        options->fence_ms = atoi(value);
    else if (strcmp(name, "--agent-gone") == 0)
        options->agent_gone = value;
    else if (strcmp(name, "--agent-signal") == 0)
        options->agent_signal = atoi(value);
    else if (strcmp(name, "--sidecar") == 0)
        return add_sidecar(options, atoi(value));
    else
        return false;
    return true;
}

static const char *read_options(struct options *options, char **argv)
{
    for (; *argv != NULL; argv++) {
        if (strcmp(*argv, "--") == 0) {
            options->argv = argv + 1;
            return options->argv[0] == NULL ? "no program" : NULL;
        }
        if (strcmp(*argv, "--namespaces") == 0)
            options->namespaces = true;
        else if (strcmp(*argv, "--no-randomize") == 0)
            options->no_randomize = true;
        else if (strcmp(*argv, "--detach") == 0)
            options->detach = true;
        else if (argv[1] == NULL || !take_option(options, *argv, argv[1]))
            return "unknown option";
        else
            argv++;
    }
    return "no program";
}

/* CRIU reports these two where nothing is wrong: it tries what an unprivileged user may not. */
static bool is_harmless(const char *line)
{
    return strstr(line, "net: Unexpected error: -1") != NULL ||
           strstr(line, "Can't setup RLIMIT_NOFILE") != NULL;
}

/* The last lines of the tool's log that report an error, for the job's own output. */
static void show_log(const char *path)
{
    FILE *file = path == NULL ? NULL : fopen(path, "re");
    char line[512];
    int shown = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strstr(line, "Error") != NULL && !is_harmless(line) && shown++ < 20)
            dprintf(STDERR_FILENO, "| %s%s", line, strchr(line, '\n') ? "" : "\n");
    if (file != NULL)
        fclose(file);
    if (path != NULL)
        complain("the whole log is '%s'", path);
}

static bool start_plain(struct task *task)
{
    task->child = fork();
    if (task->child < 0)
        return false;
    if (task->child == 0) {
        close_sockets(task->options);
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with us, like a tree in namespaces */
        exec_program(task->options);
    }
    return true;
}

static int run(const struct options *options)
{
    struct task task = {.options = options, .signal_pipe = -1, .status_pipe = -1};
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) /* before the program, which may end at once */
        complain("cannot adopt orphans: %s", strerror(errno));
    if (options->control_fd >= 0 && fcntl(options->control_fd, F_SETFD, FD_CLOEXEC) != 0)
        complain("control socket: %s", strerror(errno));
    if (options->agent_fd >= 0 && fcntl(options->agent_fd, F_SETFD, FD_CLOEXEC) != 0)
        complain("agent's socket: %s", strerror(errno));
    if (options->namespaces && start_in_namespaces(&task)) {
        write_ready(options, "started\n");
        supervise(&task);
    }
    if (options->namespaces && options->restore) {
        write_ready(options, "failed\n");
        complain("cannot restore this task from its image; nothing of the image was changed");
        show_log(options->log);
        return EXIT_RESTORE_FAILED;
    }
    if (options->namespaces)
        complain("the program runs all the same, but cannot be checkpointed; see 'syscr doctor'");
    if (!start_plain(&task)) {
        complain("cannot start the program: %s", strerror(errno));
        return EXIT_NOT_EXECUTABLE;
    }
    write_ready(options, "started\n");
    supervise(&task);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return getenv("CRTOOLS_SCRIPT_ACTION") != NULL ? run_hook() : usage("no role");
    if (strcmp(argv[1], "version") == 0) {
        puts(SYSCR_VERSION);
        return 0;
    }
    signal(SIGCHLD, SIG_DFL); /* where it is ignored no status of a child is ever seen */
    struct options options = {.control_fd = -1, .agent_fd = -1, .stub_link = -1, .stub_stat = -1};
    options.restore = strcmp(argv[1], "restore") == 0;
    bool init = strcmp(argv[1], "init") == 0, tender = strcmp(argv[1], "agent") == 0;
    if (!options.restore && !init && !tender && strcmp(argv[1], "run") != 0)
        return usage("unknown role");
    set_name(init ? "syscr-init" : tender ? "syscr-tender" : "syscr-launcher");
    const char *problem = read_options(&options, argv + 2);
    if (tender && problem == NULL)
        run_tender(&options);
    if (init && problem == NULL)
        run_init(&options);
    if (problem != NULL)
        return usage(problem);
    block_signals();
    if (options.detach)
        leave_tree(&options);
    int code = run(&options);
    tell_stub(&options, code << 8);
    return code;
}
