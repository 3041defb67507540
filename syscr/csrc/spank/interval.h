/* Slurm's time format, as --checkpoint of Slurm up to 19.05 read it. No header of Slurm is needed. */
#ifndef SYSCR_INTERVAL_H
#define SYSCR_INTERVAL_H

#define INTERVAL_AUTO (-2L) /* "auto", which is ours: the job's agent chooses */

/* Seconds between two checkpoints; 0: none (0, UNLIMITED, INFINITE, -1); INTERVAL_AUTO; -1: no interval. */
__attribute__((visibility("hidden"))) long interval_seconds(const char *text);

#endif
