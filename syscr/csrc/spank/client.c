/* In srun, sbatch and salloc, as their user: the documented variables, checks, and appended output. */
#define _GNU_SOURCE
#include "plugin.h"

#include "interval.h"

#include <dlfcn.h>
#include <errno.h>
#include <slurm/slurm.h>
#include <stdlib.h>
#include <string.h>

/* Which of the three this is. Each has the options of its own in a variable that plugins see; the name it
 * was called by is only asked where that should change. Source: src/{srun,sbatch,salloc}/opt.c, 20.11 to 26.05. */
enum tool find_tool(void)
{
    if (dlsym(RTLD_DEFAULT, "sbopt") != NULL)
        return SBATCH;
    if (dlsym(RTLD_DEFAULT, "saopt") != NULL)
        return SALLOC;
    if (dlsym(RTLD_DEFAULT, "sropt") != NULL)
        return SRUN;
    if (strncmp(program_invocation_short_name, "sbatch", 6) == 0)
        return SBATCH;
    return strncmp(program_invocation_short_name, "salloc", 6) == 0 ? SALLOC : SRUN;
}

/* Turn the documented variables into those that Slurm reads between script and command line, so that the
 * order is the one of Slurm's own options. They must not stay: srun would export them to its tasks. */
static bool is_set_here[OPTIONS];

/* Where the variable of sbatch is not set the one of srun counts: Slurm's own page on checkpoints said so. */
static const char *read_variable(enum tool tool, const struct own_option *option)
{
    const char *value = NULL;
    if (tool == SRUN)
        return getenv(option->srun);
    if (tool == SBATCH && option->sbatch != NULL && (value = getenv(option->sbatch)) == NULL)
        value = getenv(option->srun);
    return value;
}

void client_begin(void)
{
    enum tool tool = find_tool();
    for (int i = 0; i < OPTIONS; i++) {
        const char *value = read_variable(tool, &own_options[i]);
        if (value != NULL && *value != '\0')
            is_set_here[i] = setenv(own_options[i].exported, value, 1) == 0;
    }
}

/* End the client as it ends for a wrong value of an option of Slurm's own. */
static void refuse(void)
{
    const char *text = getenv("SLURM_EXIT_ERROR");
    int status = text == NULL ? 1 : atoi(text);
    exit(status == 0 ? 1 : status);
}

/* Source of the first text: srun and sbatch of 18.08.9. */
static void check_values(void)
{
    if (given[CHECKPOINT] != NULL && interval_seconds(given[CHECKPOINT]) == -1) {
        slurm_error("Invalid checkpoint interval specification");
        refuse();
    }
    for (int i = CHECKPOINT_DIR; i < OPTIONS; i++)
        if (given[i] != NULL && *given[i] == '\0') {
            slurm_error("Invalid --%s specification: it is empty", own_options[i].name);
            refuse();
        }
}

/* Ask Slurm to append to output files, unless the user has said what he wants; true: it was asked for.
 *
 * A job that continues from an image must find its output as it was, and Slurm would empty it when it starts
 * a requeued job. By then no plugin can say anything, so it is said here, through the functions that Slurm's
 * own cli_filter plugins use. Source: src/common/slurm_opt.h, slurm_option_isset and slurm_option_set, the
 * same from 20.11 to 26.05. Where they are missing the output is emptied, as without the plugin. */
static bool append_output(void)
{
    bool (*is_set)(void *, const char *);
    int (*set)(void *, const char *, const char *, bool);
    void *options = dlsym(RTLD_DEFAULT, "opt");
    *(void **)&is_set = dlsym(RTLD_DEFAULT, "slurm_option_isset");
    *(void **)&set = dlsym(RTLD_DEFAULT, "slurm_option_set");
    if (options == NULL || is_set == NULL || set == NULL || is_set(options, "open-mode"))
        return false;
    return set(options, "open-mode", "append", false) == 0;
}

/* Whether the site appends anyway (JobFileAppend): then a first start must not empty anything. */
static bool does_site_append(void)
{
    const slurm_conf_t *conf = dlsym(RTLD_DEFAULT, "slurm_conf");
    return conf != NULL && conf->job_file_append != 0;
}

/* Whether this is a step of a job that Slurm has started again: its output may have to go on. */
static bool is_restarted(void)
{
    const char *count = getenv("SLURM_RESTART_COUNT");
    return count != NULL && atoi(count) > 0;
}

void client_end(void)
{
    enum tool tool = find_tool();
    for (int i = 0; i < OPTIONS; i++)
        if (is_set_here[i])
            unsetenv(own_options[i].exported);
    if (!is_asked())
        return;
    check_values();
    if (tool == SALLOC) {
        /* The defaults of the steps in the allocation, stronger than what the user's environment had before. */
        for (int i = 0; i < OPTIONS; i++)
            if (given[i] != NULL)
                setenv(own_options[i].srun, given[i], 1);
    } else if (tool == SRUN) {
        if (is_restarted())
            append_output();
    } else if (append_output() && !does_site_append()) {
        setenv(TRUNCATE_VARIABLE, "1", 1);
    }
}
