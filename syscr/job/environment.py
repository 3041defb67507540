"""What Slurm tells a task about itself; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# Numbers above this are Slurm's own steps (batch, extern, interactive).
# Source: slurm/slurm.h, SLURM_MAX_NORMAL_STEP_ID 0xfffffff0 and SLURM_BATCH_SCRIPT 0xfffffffb, 24.11.
_MAX_NORMAL_STEP = 0xFFFFFFF0


class TaskPlace(NamedTuple):
    """Where a task stands in its job.

    Attributes:
        number: Plain job number (for an array task its own).
        step: ``batch`` or the step number.
        rank: Rank in the step.
        task_count: Tasks of the step.
        node: Node name as Slurm knows it.
        restart_count: How often Slurm has requeued the job.
    """

    number: int
    step: str
    rank: int
    task_count: int
    node: str
    restart_count: int


def read_place(environ: Mapping[str, str], host_name: str) -> TaskPlace | None:
    """Read Slurm's variables; None outside of a job.

    Source: `sbatch` and `srun` manuals, 24.11, OUTPUT ENVIRONMENT VARIABLES; a batch script has no
    SLURM_STEP_ID (seen on 24.11.5, 2026-11).
    """
    number = _number(environ.get("SLURM_JOB_ID") or environ.get("SLURM_JOBID"))
    if number is None:
        return None
    step = _number(environ.get("SLURM_STEP_ID") or environ.get("SLURM_STEPID"))
    is_batch = step is None or step >= _MAX_NORMAL_STEP
    return TaskPlace(
        number=number,
        step="batch" if is_batch else str(step),
        rank=0 if is_batch else _number(environ.get("SLURM_PROCID")) or 0,
        task_count=1 if is_batch else _number(environ.get("SLURM_STEP_NUM_TASKS")) or 1,
        node=environ.get("SLURMD_NODENAME") or host_name,
        restart_count=_number(environ.get("SLURM_RESTART_COUNT")) or 0,
    )


def name_job(environ: Mapping[str, str], number: int) -> str:
    """Return the job's name for Slurm: the number of an array's last task names the whole array."""
    array = _number(environ.get("SLURM_ARRAY_JOB_ID"))
    task = _number(environ.get("SLURM_ARRAY_TASK_ID"))
    return str(number) if array is None or task is None else f"{array}_{task}"


def find_bypass(environ: Mapping[str, str], is_terminal: bool) -> str:
    """Return why a task must be left alone, empty if it need not.

    A program on a terminal would lose it (job control, Ctrl-C) in a session of its own. The processes
    of an MPI program read each other's memory, which user namespaces of their own forbid, and no
    backend can dump them. Both run as if syscr were not there.
    """
    if is_terminal:
        return "a program on a terminal cannot be checkpointed"
    if any(name in environ for name in ("PMI_FD", "PMI_RANK", "PMIX_RANK", "PMIX_NAMESPACE")):
        return "a step of MPI (srun --mpi=...) cannot be checkpointed; without MPI use --mpi=none"
    return ""


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
