/* Whether `syscr` can be started on this node. No header of Slurm is needed. */
#ifndef SYSCR_COMMAND_H
#define SYSCR_COMMAND_H

/* NULL: `command` can be run, and `interpreter` is its Python, or empty where it has none. Else why it cannot. */
__attribute__((visibility("hidden"))) const char *check_command(const char *command, char *interpreter, unsigned size);

#endif
