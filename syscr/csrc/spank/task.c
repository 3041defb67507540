/* In slurmstepd, in the process that is about to become a task, as the job's user: `syscr run` goes in front.
 *
 * Standard error is the task's own there. Source of the order of things: src/slurmd/slurmstepd/task.c,
 * exec_task, 20.11 to 26.05: TaskProlog, TMPDIR, PATH look-up and the user's limits come after this.
 */
#define _GNU_SOURCE
#include "plugin.h"

#include "command.h"
#include "interval.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Source: slurm/slurm.h, 20.11 to 26.05. */
#define BATCH_STEP 0xfffffffbu
#define MAX_NORMAL_STEP 0xfffffff0u

#define MOST_WORDS 24
#define STARTER_NAME "syscr-start"

struct words {
    const char *list[MOST_WORDS];
    int count;
};

static void add(struct words *words, const char *word)
{
    if (words->count < MOST_WORDS - 1)
        words->list[words->count++] = word;
}

static void add_option(struct words *words, const char *name, const char *value)
{
    if (value == NULL)
        return;
    add(words, name);
    add(words, value);
}

/* Tell the user, once per node. */
static void say(spank_t spank, const char *format, ...)
{
    int local_rank = 0;
    char line[8704];
    va_list arguments;
    if (spank_get_item(spank, S_TASK_ID, &local_rank) == ESPANK_SUCCESS && local_rank != 0)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "syscr: %s; the program runs without checkpoints\n", line);
}

static bool has_variable(spank_t spank, const char *name)
{
    char value[2];
    spank_err_t found = spank_getenv(spank, name, value, sizeof value);
    return found == ESPANK_SUCCESS || found == ESPANK_NOSPACE;
}

/* Before 23.11 `sbatch --export=NONE` loses the options on their way to the batch step; these copies stay.
 * Source: Slurm NEWS, 23.11.0; src/sbatch/sbatch.c, _set_spank_env. */
static void read_copies(spank_t spank)
{
    char value[4096];
    for (int i = 0; i < OPTIONS; i++)
        if (spank_getenv(spank, own_options[i].exported, value, sizeof value) == ESPANK_SUCCESS)
            give(i, value);
}

/* What was meant for this job or step is not meant for what it starts: srun in a batch script would read it,
 * under either name. Slurm takes the second one away itself, but not every one (24.11.5: only the first of two). */
static void hide_variables(spank_t spank)
{
    for (int i = 0; i < OPTIONS; i++) {
        spank_unsetenv(spank, own_options[i].exported);
        spank_unsetenv(spank, own_options[i].exported + strlen("SLURM_SPANK_"));
    }
    if (has_variable(spank, TRUNCATE_VARIABLE)) {
        spank_unsetenv(spank, TRUNCATE_VARIABLE);
        spank_unsetenv(spank, "SLURM_OPEN_MODE"); /* srun would append, too */
    }
}

/* Why a task is left alone although it asks; NULL: it need not be. */
static const char *find_obstacle(spank_t spank, const char *program)
{
    size_t length = strlen(program);
    if (length > 0 && program[length - 1] == '/') /* Slurm adds the name to the first word, later */
        return "a program that srun --bcast copies into a directory cannot be checkpointed (name the file)";
    if (has_variable(spank, "SLURM_HET_SIZE"))
        return "a heterogeneous job cannot be checkpointed";
    if (has_variable(spank, "SLURM_CONTAINER") || has_variable(spank, "SLURM_CONTAINER_ID"))
        return "a program in a container (--container) cannot be checkpointed";
    return NULL;
}

/* Whether the program is `syscr run` already: `syscr srun`, or somebody's own. */
static bool is_syscr_run(char **argv, int argc)
{
    const char *base = argc < 2 ? NULL : strrchr(argv[0], '/');
    return argc >= 2 && strcmp(base == NULL ? argv[0] : base + 1, "syscr") == 0 && strcmp(argv[1], "run") == 0;
}

/* Return the path of the program that starts syscr: it lies beside the plugin. */
static const char *find_starter(void)
{
    static char path[4096];
    Dl_info info;
    if (dladdr((void *)&own_options, &info) == 0 || info.dli_fname == NULL)
        return "/" STARTER_NAME;
    const char *end = strrchr(info.dli_fname, '/');
    int length = end == NULL ? 0 : (int)(end - info.dli_fname);
    snprintf(path, sizeof path, "%.*s/" STARTER_NAME, length, info.dli_fname);
    return path;
}

/* 23.11 and newer have a function for it, others do not know its name. */
static bool prepend(spank_t spank, const struct syscr *syscr, const struct words *options)
{
    spank_err_t (*prepend_argv)(spank_t, int, const char **);
    struct words words = {.count = 0};
    *(void **)&prepend_argv = dlsym(RTLD_DEFAULT, "spank_prepend_task_argv");
    if (prepend_argv == NULL)
        return false;
    add(&words, find_starter());
    add(&words, syscr->seconds);
    add(&words, syscr->command);
    add(&words, "run");
    for (int i = 0; i < options->count; i++)
        add(&words, options->list[i]);
    add(&words, "--");
    words.list[words.count] = NULL;
    return prepend_argv(spank, words.count, words.list) == ESPANK_SUCCESS;
}

/* Before 23.11 the argument list cannot grow, but its first word can be another: the starter, which finds the
 * rest in the environment. srun --multi-prog keeps lists of its own, which are not reached.
 * Source: src/slurmd/slurmstepd/slurmstepd_job.c, 20.11.9 to 23.02.6. */
static bool exchange(spank_t spank, const struct syscr *syscr, const struct words *options, char **argv)
{
    char name[64];
    if (spank_setenv(spank, "SYSCR_TASK_PROGRAM", argv[0], 1) != ESPANK_SUCCESS ||
        spank_setenv(spank, "SYSCR_TASK_COMMAND", syscr->command, 1) != ESPANK_SUCCESS ||
        spank_setenv(spank, "SYSCR_TASK_SECONDS", syscr->seconds, 1) != ESPANK_SUCCESS)
        return false;
    for (int i = 0; i < options->count; i++) {
        snprintf(name, sizeof name, "SYSCR_TASK_OPTION_%d", i);
        if (spank_setenv(spank, name, options->list[i], 1) != ESPANK_SUCCESS)
            return false;
    }
    argv[0] = strdup(find_starter());
    return argv[0] != NULL;
}

/* Why syscr cannot be started on this node; NULL: it can. */
static const char *check_installation(const struct syscr *syscr)
{
    static char reason[8192];
    char interpreter[1024];
    if (access(find_starter(), X_OK) == 0)
        return check_command(syscr->command, interpreter, sizeof interpreter);
    snprintf(reason, sizeof reason, "cannot run '%s' on this node: %s", find_starter(), strerror(errno));
    return reason;
}

static void add_own_options(struct words *words, bool is_batch, bool truncate)
{
    static char text[32];
    long seconds = given[CHECKPOINT] == NULL ? 0 : interval_seconds(given[CHECKPOINT]);
    add_option(words, "--checkpoint-dir", given[CHECKPOINT_DIR]);
    add_option(words, "--restart-dir", given[RESTART_DIR]);
    if (seconds == INTERVAL_AUTO) {
        add_option(words, "--interval", "auto");
    } else if (seconds > 0) {
        snprintf(text, sizeof text, "%ld", seconds);
        add_option(words, "--interval", text);
    }
    if (is_batch)
        add(words, "--keep-script");
    if (truncate)
        add(words, "--truncate-output");
}

void task_wrap(spank_t spank, const struct syscr *syscr)
{
    struct words options = {.count = 0};
    uint32_t step = 0;
    int argc = 0;
    char **argv = NULL;
    bool has_step = spank_get_item(spank, S_JOB_STEPID, &step) == ESPANK_SUCCESS;
    bool is_batch = has_step && step == BATCH_STEP;
    if (!is_asked() && is_batch)
        read_copies(spank);
    if (!is_asked() || !has_step || (step > MAX_NORMAL_STEP && !is_batch))
        return; /* interactive and extern steps belong to the allocation */
    if (spank_get_item(spank, S_JOB_ARGV, &argc, &argv) != ESPANK_SUCCESS || argc < 1 || argv == NULL || argv[0] == NULL)
        return;
    add_own_options(&options, is_batch, has_variable(spank, TRUNCATE_VARIABLE));
    hide_variables(spank);
    if (is_syscr_run(argv, argc))
        return;
    if (given[CHECKPOINT_DIR] != NULL)
        spank_setenv(spank, "SLURM_CHECKPOINT_IMAGE_DIR", given[CHECKPOINT_DIR], 1);
    const char *obstacle = find_obstacle(spank, argv[0]);
    if (obstacle == NULL)
        obstacle = check_installation(syscr);
    if (obstacle != NULL)
        say(spank, "%s", obstacle);
    else if (!prepend(spank, syscr, &options) && !exchange(spank, syscr, &options, argv))
        say(spank, "Slurm does not let it be started through '%s'", syscr->command);
}
