/* syscr-launcher: supervises one Slurm task so that it can be dumped and restored.
 *
 *   slurmstepd
 *    `- outer half (supervise.c): slurmstepd's child (but see stub.c), host namespaces. Passes signals on
 *        |                        (after the agent's word, agent.c), gives back the exit status, runs the
 *        |                        dump tool on request (control.c, tool.c).
 *        |- sentinel (sentinel.c): notices whether Slurm signals the whole tree or the task alone
 *        |- fence (fence.c):      notices that there is a newer life of the job
 *        `- PID 1 (namespace.c):  of the task's own user, PID and mount namespace; reaps, holds the lifeline
 *            `- init (init.c):    dump root, session leader, subreaper
 *                `- the user's program
 *
 * Beside them, in sessions of their own: the sidecars, of which the tender (tend.c) keeps the agent running.
 * Without namespaces (DMTCP) the program is the outer half's own child. main.c reads the arguments;
 * hook.c is the action script that CRIU calls while the tree is frozen. No thread, no heap that grows,
 * no library but libc: this program must be too simple to fail.
 */
#ifndef SYSCR_LAUNCHER_H
#define SYSCR_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#ifndef PARK_SECONDS /* tests have a shorter one */
#define PARK_SECONDS 60
#endif

#ifndef END_MS
#define END_MS 5000
#endif

enum {
    NOTE_MS = END_MS, /* what a note of the program's beginning or end may take */
    EXIT_RESTORE_FAILED = 40, /* RestartError in syscr/errors.py */
    EXIT_UNFINISHED = 75, /* EX_TEMPFAIL of sysexits.h */
    EXIT_NOT_FOUND = 127,
    EXIT_NOT_EXECUTABLE = 126,
    STDIO_BASE = 200, /* the new task's 0, 1, 2 for the restoring tool, by path or pipe ... */
    STDIO_OTHER = 210, /* ... and once more by mount and inode: CRIU takes each descriptor once */
    SIGNAL_MAX = 64,
    SIDECARS_MAX = 4,
};

struct options {
    bool namespaces;   /* own user, PID and mount namespace */
    bool restore;      /* argv restores a tree as sibling and ends */
    bool no_randomize; /* address randomisation off for argv */
    bool is_tool;      /* argv is a dump tool: see prepare_tool() */
    bool detach;       /* Slurm follows parent links: leave its tree */
    int stub_link;     /* to what stays there, or -1; see stub.c */
    int stub_stat;     /* its /proc/PID/stat, or -1 */
    int control_fd;    /* listening control socket, or -1 */
    int agent_fd;      /* socket of the agent, which is asked before SIGTERM is passed on, or -1 */
    const char *agent_gone; /* file to write once there is no agent any more, or NULL */
    int agent_signal;  /* signal that is for the agent alone, or 0 */
    const char *fence; /* record of the newest life, or NULL; see fence.c */
    const char *fence_life; /* which one this is */
    int fence_ms;      /* time between two looks at it */
    pid_t sidecars[SIDECARS_MAX]; /* helpers started before us; 0: none */
    const char *task;  /* TaskSpec as JSON; for people and for discovery */
    const char *ready; /* file to write once the task runs, or NULL */
    const char *end;   /* file to write once the task has ended, or NULL */
    const char *log;   /* log of the restoring tool, or NULL */
    char **argv;
};

/* What PID 1 tells the outer half, one fixed-size message each. */
struct message {
    enum { MSG_FAILED, MSG_STARTED, MSG_ENDED } kind;
    int value; /* MSG_FAILED: errno; MSG_ENDED: wait status */
    char where[48];
};

struct task {
    const struct options *options;
    pid_t child;     /* PID 1 of the namespace, or the program itself */
    bool namespaces; /* whether the task really lives in its own */
    int signal_pipe; /* namespaces: signal numbers to PID 1; its end is the lifeline */
    int status_pipe; /* namespaces: struct message from PID 1 */
    bool ended;
    int status; /* wait status of the program */
};

/* util.c */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
double now_seconds(void);
void set_name(const char *name);
void close_pipe(int fds[2]);
void close_sockets(const struct options *options);
bool write_all(int fd, const void *data, size_t size);
bool read_all(int fd, void *data, size_t size);
void write_ready(const struct options *options, const char *text);
void write_end(const struct options *options, int status, const char *how);
void write_agent_gone(const struct options *options);
void reset_signals(void);
void block_signals(void);
void ignore_signals(void);
_Noreturn void exec_program(const struct options *options);
_Noreturn void leave_with(int status);

/* namespace.c */
bool start_in_namespaces(struct task *task);
/* init.c */
_Noreturn void run_init(const struct options *options);
/* tend.c */
_Noreturn void run_tender(const struct options *options);
/* stub.c */
void leave_tree(struct options *options);
bool tell_stub(const struct options *options, int status);
/* caps.c */
bool keep_tool_capabilities(void);
bool drop_capabilities(void);
/* sentinel.c */
int start_sentinel(pid_t *pid);
/* tree.c */
typedef void (*visit_process)(pid_t pid, void *data);
void visit_descendants(pid_t root, const pid_t *except, size_t count, visit_process visit, void *data);
void kill_descendants(pid_t root);
void end_children(void);
/* tool.c */
pid_t start_tool(const struct task *task, char **argv, int output_fd);
bool stop_tool_writing(pid_t tool);
/* supervise.c */
_Noreturn void supervise(struct task *task);
/* hook.c */
int run_hook(void);

#endif
