/* What the parts of the SPANK plugin share. plugin.c: entry points; client.c: in srun, sbatch and salloc;
 * task.c: in slurmstepd, in the process that is about to become the task. */
#ifndef SYSCR_PLUGIN_H
#define SYSCR_PLUGIN_H

#include <slurm/spank.h>
#include <stdbool.h>

/* Slurm sees the entry points only. */
#pragma GCC visibility push(hidden)

enum { CHECKPOINT, CHECKPOINT_DIR, RESTART_DIR, OPTIONS };

/* One option of the plugin. */
struct own_option {
    const char *name;     /* on the command line */
    const char *exported; /* the variable by which Slurm itself hands it on, and reads it between script and
                             command line. Source: src/common/spank.c, spank_process_env_options, 20.11 to 26.05 */
    const char *srun;     /* the documented variable of srun */
    const char *sbatch;   /* the same of sbatch; NULL: it never had one */
};

extern const struct own_option own_options[OPTIONS];
extern char *given[OPTIONS]; /* values; NULL: not given */

/* sbatch's note to the batch step that it has asked for appended output. "SLURM_": such names survive
 * `sbatch --export=NONE`. */
#define TRUNCATE_VARIABLE "SLURM_SYSCR_TRUNCATE"

bool is_asked(void);
bool give(int which, const char *value);

/* client.c */
enum tool { SRUN, SBATCH, SALLOC };
enum tool find_tool(void);
void client_begin(void);
void client_end(void);

/* task.c */
struct syscr {
    const char *command; /* path of syscr */
    const char *seconds; /* how long it has to start a program */
};
void task_wrap(spank_t spank, const struct syscr *syscr);

#pragma GCC visibility pop

#endif
