/* SPANK plugin: --checkpoint, --checkpoint-dir and --restart-dir for srun, sbatch and salloc.
 *
 * plugstack.conf:  optional /path/syscr_spank.so [syscr=/path/syscr] [wait=SECONDS]
 *
 * As root, in slurmstepd, nothing is done but to name the options to Slurm. What a job asks for is done in
 * task_init: in the process that becomes the task, as the job's user. A job that asks for nothing costs
 * three comparisons there. No entry point ever fails: that could end jobs and drain nodes.
 */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

#ifndef SYSCR_COMMAND
#define SYSCR_COMMAND "/usr/local/bin/syscr"
#endif

SPANK_PLUGIN(syscr, 1)

#define EXPORTED "SLURM_SPANK__SLURM_SPANK_OPTION_syscr_"

const struct own_option own_options[OPTIONS] = {
    {"checkpoint", EXPORTED "checkpoint", "SLURM_CHECKPOINT", "SBATCH_CHECKPOINT"},
    {"checkpoint-dir", EXPORTED "checkpoint_dir", "SLURM_CHECKPOINT_DIR", "SBATCH_CHECKPOINT_DIR"},
    {"restart-dir", EXPORTED "restart_dir", "SLURM_RESTART_DIR", NULL},
};
char *given[OPTIONS];
static char command[4096] = SYSCR_COMMAND;
static char seconds[8] = "60";

bool is_asked(void)
{
    return given[CHECKPOINT] != NULL || given[CHECKPOINT_DIR] != NULL || given[RESTART_DIR] != NULL;
}

/* Keep a value; the last one counts. */
bool give(int which, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return false;
    free(given[which]);
    given[which] = copy;
    return true;
}

static bool is_number(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < sizeof seconds && strspn(text, "0123456789") == length && atoi(text) > 0;
}

static void read_argument(const char *word)
{
    if (strncmp(word, "syscr=/", 7) == 0 && strlen(word) < sizeof command)
        strcpy(command, word + 6);
    else if (strncmp(word, "wait=", 5) == 0 && is_number(word + 5))
        strcpy(seconds, word + 5);
    else
        slurm_error("syscr: plugstack.conf: '%s' is not understood: syscr=/PATH or wait=SECONDS is meant", word);
}

/* Slurm calls it for each source in turn, weakest first, and on older versions twice in slurmstepd.
 * Intervals are checked when all sources have been read: as in 18.08, a wrong one that is overridden harms nobody. */
static int take_option(int which, const char *value, int remote)
{
    (void)remote;
    if (which >= 0 && which < OPTIONS && value != NULL)
        give(which, value);
    return ESPANK_SUCCESS;
}

static struct spank_option registered[OPTIONS] = {
    {"checkpoint", "interval", "time between two checkpoints of the job or step (minutes, M:S, H:M:S, D-H, auto); 0: on demand only",
     1, CHECKPOINT, take_option},
    {"checkpoint-dir", "dir", "directory for its images", 1, CHECKPOINT_DIR, take_option},
    {"restart-dir", "dir", "continue from this image, or from the newest of this folder", 1, RESTART_DIR, take_option},
};

int slurm_spank_init(spank_t spank, int argc, char *argv[])
{
    spank_context_t context = spank_context();
    bool is_client = context == S_CTX_LOCAL || context == S_CTX_ALLOCATOR;
    if (!is_client && context != S_CTX_REMOTE)
        return ESPANK_SUCCESS;
    for (int i = 0; i < argc; i++)
        read_argument(argv[i]);
    bool is_salloc = context == S_CTX_ALLOCATOR && find_tool() == SALLOC;
    for (int i = 0; i < OPTIONS; i++)
        if (i != RESTART_DIR || !is_salloc) /* the steps of an allocation cannot all continue from one image */
            (void)spank_option_register(spank, &registered[i]); /* a conflict is told by Slurm */
    if (is_client)
        client_begin();
    return ESPANK_SUCCESS;
}

int slurm_spank_init_post_opt(spank_t spank, int argc, char *argv[])
{
    (void)spank, (void)argc, (void)argv;
    spank_context_t context = spank_context();
    if (context == S_CTX_LOCAL || context == S_CTX_ALLOCATOR)
        client_end();
    return ESPANK_SUCCESS;
}

int slurm_spank_task_init(spank_t spank, int argc, char *argv[])
{
    (void)argc, (void)argv;
    if (spank_remote(spank) == 1)
        task_wrap(spank, &(struct syscr){command, seconds});
    return ESPANK_SUCCESS;
}
