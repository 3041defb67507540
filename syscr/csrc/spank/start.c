/* Starts `syscr run` in front of a task's program, so that no fault of syscr can keep the program from running.
 *
 *   syscr-start SECONDS SYSCR run OPTION... -- PROGRAM ARGUMENT...     from Slurm 23.11 on
 *   syscr-start ARGUMENT...                                           before; the rest is in SYSCR_TASK_* (task.c)
 *
 * This process is the task. syscr works in a child of it, and does not become the launcher itself: it hands over
 * what to become (syscr/process/replace.py), with the descriptors that this needs, and ends; then this process
 * becomes it. A child that ends, or has not come so far in time, has no say: it is told, and the program runs.
 *
 * Messages: 'D': what follows is decided by syscr, and takes the time it takes (a job that has to go on from an
 * image must not run from its beginning); 'I' or 'F' and a text: a broken installation, or a fault; 'X': what to
 * become, as length, path, directory, descriptors, number of words, words, variables, each ended by NUL.
 */
#define _GNU_SOURCE
#include "command.h"
#include "handed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CANNOT_START 127
#define MOST_OPTIONS 24
#define STARTER "SYSCR_STARTER" /* our end of the socket, for syscr */

extern char **environ;

/* Starts syscr where its Python is known; -c puts the current directory into the path. */
static const char START[] =
    "import os, sys\n"
    "if sys.path[:1] == ['']:\n"
    "    del sys.path[0]\n"
    "del sys.argv[0]\n"
    "starter = int(os.environ.get('" STARTER "', 2))\n"
    "def tell(kind, error):\n"
    "    os.write(starter, f'{kind}{type(error).__name__}: {error}'.encode(errors='replace')[:1000])\n"
    "try:\n"
    "    from syscr.__main__ import main\n"
    "    sys.exit(main())\n"
    "except (ImportError, SyntaxError, EOFError) as error:\n"
    "    tell('I', error)\n"
    "    os._exit(1)\n"
    "except Exception as error:\n"
    "    tell('F', error)\n"
    "    raise\n";

/* What is to be done. */
struct order {
    int wait_seconds;
    const char *command;
    char **options; /* of syscr, ended by NULL */
    char **program;
};

/* Tell the user, once per node, and run the program as it would have run without us. */
__attribute__((noreturn, format(printf, 2, 3))) static void run_program(char **program, const char *format, ...)
{
    const char *rank = getenv("SLURM_LOCALID");
    if (rank == NULL || strcmp(rank, "0") == 0) {
        char line[4096];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        dprintf(STDERR_FILENO, "syscr: %s; the program runs without checkpoints\n", line);
    }
    execvp(program[0], program);
    dprintf(STDERR_FILENO, "syscr: cannot run '%s': %s\n", program[0], strerror(errno));
    _exit(CANNOT_START);
}

/* The child: `syscr run` with everything that this process has. */
__attribute__((noreturn)) static void be_syscr(const struct order *order, int link)
{
    char interpreter[1024], number[16];
    char *words[MOST_OPTIONS + 8];
    int count = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(link, F_SETFD, 0);
    snprintf(number, sizeof number, "%d", link);
    setenv(STARTER, number, 1);
    if (check_command(order->command, interpreter, sizeof interpreter) == NULL && *interpreter != '\0') {
        words[count++] = interpreter;
        words[count++] = "-E"; /* the variables of Python are the program's */
        words[count++] = "-c";
        words[count++] = (char *)START;
    }
    words[count++] = (char *)order->command;
    words[count++] = "run";
    for (char **option = order->options; *option != NULL; option++)
        words[count++] = *option;
    words[count++] = "--";
    size_t length = 0;
    while (order->program[length] != NULL)
        length++;
    char **all = calloc(count + length + 1, sizeof *all);
    if (all != NULL) {
        memcpy(all, words, count * sizeof *all);
        memcpy(all + count, order->program, length * sizeof *all);
        execv(all[0], all);
    }
    dprintf(link, "I%s", strerror(errno));
    _exit(CANNOT_START);
}

static long long read_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* What came of the child. */
struct outcome {
    struct handed handed;
    bool is_late;
    bool is_decided;
    char kind; /* last message, 0: none */
    char text[1024];
};

/* Listen until the child has said all it has to say, or its time is over. */
static void listen_to(int link, int wait_seconds, struct outcome *outcome)
{
    long long deadline = read_clock() + wait_seconds * 1000LL;
    struct pollfd pollfd = {.fd = link, .events = POLLIN};
    for (;;) {
        long long left = deadline - read_clock();
        int ready = poll(&pollfd, 1, outcome->is_decided ? -1 : left > 0 ? (int)left : 0);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            outcome->is_late = true;
            return;
        }
        char kind = 0;
        enum taken taken = take(&outcome->handed, link, outcome->kind == 0 ? &kind : NULL);
        if (taken == TAKEN_END)
            return;
        if (kind == 'D')
            outcome->is_decided = true;
        else if (kind != 0)
            outcome->kind = kind;
    }
}

/* End a child. One that hangs in a file system cannot even be killed: it is left. */
static void end_child(pid_t child)
{
    kill(child, SIGKILL);
    for (int round = 0; round < 200 && waitpid(child, NULL, WNOHANG) == 0; round++)
        usleep(10000);
}

/* End helpers that syscr has started: with its end they are children of this process. */
static void end_helpers(void)
{
    char name[64], text[4096];
    snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;)
        if (atoi(word) > 1)
            end_child(atoi(word));
}

/* Say what was wrong with the child, and do what is left to do. */
__attribute__((noreturn)) static void give_up(const struct order *order, const struct outcome *outcome, int status)
{
    const char *command = order->command;
    if (outcome->is_late)
        run_program(order->program, "'%s' hangs on this node: it has not started the program within %d s", command,
                    order->wait_seconds);
    if (outcome->kind == 'I')
        run_program(order->program, "'%s' is broken on this node (%s)", command, outcome->text);
    if (outcome->is_decided && WIFEXITED(status))
        _exit(WEXITSTATUS(status)); /* it has said why */
    if (outcome->is_decided)
        _exit(128 + WTERMSIG(status));
    if (outcome->kind == 'F')
        run_program(order->program, "a fault in '%s' (%s)", command, outcome->text);
    if (WIFSIGNALED(status))
        run_program(order->program, "'%s' is broken on this node (ended by signal %d)", command, WTERMSIG(status));
    run_program(order->program, "'%s' is broken on this node (exit code %d)", command, WEXITSTATUS(status));
}

__attribute__((noreturn)) static void work(const struct order *order)
{
    struct outcome outcome = {.kind = 0};
    int links[2], status = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, links) != 0)
        run_program(order->program, "cannot start '%s': %s", order->command, strerror(errno));
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* helpers of syscr become children of this process */
    pid_t child = fork();
    if (child < 0)
        run_program(order->program, "cannot start '%s': %s", order->command, strerror(errno));
    if (child == 0) {
        close(links[0]);
        be_syscr(order, links[1]);
    }
    close(links[1]);
    listen_to(links[0], order->wait_seconds, &outcome);
    if (outcome.kind != 'X' || outcome.is_late) {
        snprintf(outcome.text, sizeof outcome.text, "%s", outcome.handed.text == NULL ? "" : outcome.handed.text);
        if (outcome.is_late)
            end_child(child);
        else
            waitpid(child, &status, 0);
        end_helpers();
        prctl(PR_SET_CHILD_SUBREAPER, 0);
        give_up(order, &outcome, status);
    }
    waitpid(child, NULL, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    close(links[0]); /* its number may be one of those in syscr */
    const char *cause = become(&outcome.handed);
    end_helpers();
    run_program(order->program, "cannot run what '%s' has prepared: %s", order->command, cause);
}

/* Before 23.11 a plugin can exchange one word, no more: the others stand in variables. */
static void read_variables(char **argv, struct order *order)
{
    static char *options[MOST_OPTIONS + 1];
    char name[64], *value;
    argv[0] = strdup(getenv("SYSCR_TASK_PROGRAM"));
    order->program = argv;
    if ((value = getenv("SYSCR_TASK_SECONDS")) != NULL)
        order->wait_seconds = atoi(value);
    if ((value = getenv("SYSCR_TASK_COMMAND")) != NULL)
        order->command = strdup(value);
    for (int i = 0; i < MOST_OPTIONS; i++) {
        snprintf(name, sizeof name, "SYSCR_TASK_OPTION_%d", i);
        if ((value = getenv(name)) == NULL)
            break;
        options[i] = strdup(value);
        unsetenv(name);
    }
    order->options = options;
    for (const char **gone = (const char *[]){"SYSCR_TASK_PROGRAM", "SYSCR_TASK_SECONDS", "SYSCR_TASK_COMMAND", NULL};
         *gone != NULL; gone++)
        unsetenv(*gone);
}

static bool read_words(int argc, char **argv, struct order *order)
{
    if (argc < 6 || strcmp(argv[3], "run") != 0)
        return false;
    order->wait_seconds = atoi(argv[1]);
    order->command = argv[2];
    order->options = argv + 4;
    for (int i = 4; i < argc - 1 && i < MOST_OPTIONS + 4; i++)
        if (strcmp(argv[i], "--") == 0) {
            argv[i] = NULL;
            order->program = argv + i + 1;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    struct order order = {0};
    bool is_read = false;
    if (getenv("SYSCR_TASK_PROGRAM") != NULL && argc > 0) {
        read_variables(argv, &order);
        is_read = order.command != NULL && order.program[0] != NULL;
    } else {
        is_read = read_words(argc, argv, &order);
    }
    if (!is_read) {
        dprintf(STDERR_FILENO, "syscr-start: this is for the SPANK plugin of syscr alone\n");
        return 2;
    }
    work(&order);
}
