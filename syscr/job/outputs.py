"""Where the output of a step goes, as far as a restart cannot make it exact."""

from __future__ import annotations

from collections.abc import Sequence

from syscr.job.control import LauncherControl
from syscr.model import Finding, Severity
from syscr.preflight import THROUGH_SRUN


def check_outputs(tasks: Sequence[LauncherControl]) -> tuple[Finding, ...]:
    """Name the steps whose tasks print into a pipe: srun writes what comes out of it, outside of the image.

    slurmstepd gives a task a file only where each task has one of its own (``--output=x.%t``), or /dev/null;
    else a pipe. Source: Slurm 20.11 to 26.05, ``src/slurmd/slurmstepd/io.c``, ``_init_task_stdio_fds``; seen with 24.11.5, 2026-11.
    """
    steps = dict.fromkeys(
        f"{task.spec.number}.{task.spec.step}"
        for task in tasks
        if task.spec.step != "batch" and any(name.startswith("pipe:") for name in task.stdio()[1:])
    )
    return tuple(
        Finding(
            THROUGH_SRUN,
            Severity.WARNING,
            f"the output of step {step} goes through srun, where no restart can cut it back: what it prints "
            "after this image is there twice then",
            "give each task a file of its own: 'syscr srun --output=out.%t'",
        )
        for step in steps
    )
