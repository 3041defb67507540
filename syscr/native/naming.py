"""Names and places that Slurm's own checkpoints use; pure.

Source: Slurm 18.08.9, ``checkpoint_blcr.c``; seen with 18.08.9 and 19.05.8, 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import join

NAME = "native"
"""Name of the backend, as manifests and ``doctor`` have it."""

DATA = "data"
"""Folder of an image that is Slurm's ``ImageDir``: below it Slurm makes one folder for each job or step."""

ORDER = "native"
"""Record of a line: when the last dump was ordered."""

_SCRIPT = "script.ckpt"


def name_target(number: int, step: str) -> str:
    """Return what Slurm takes for a job (``batch``) or step, and how it names its folder.

    Example:
        >>> name_target(4711, "batch"), name_target(4711, "0")
        ('4711', '4711.0')
    """
    return str(number) if step == "batch" else f"{number}.{step}"


def name_own(environ: Mapping[str, str]) -> str:
    """Return the job or step that a process with this environment is a part of; empty: none.

    Example:
        >>> name_own({"SLURM_JOB_ID": "7"}), name_own({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"})
        ('7', '7.0')
        >>> name_own({})
        ''
    """
    job, step = environ.get("SLURM_JOB_ID", ""), environ.get("SLURM_STEP_ID", "")
    return f"{job}.{step}" if job and step.isdigit() else job


def find_image_files(
    sizes: Mapping[str, int], number: int, step: str, task_count: int
) -> tuple[str, ...]:
    """Return which of the files in an image folder are the dump of a job or step.

    Contract: a batch script is one file, a step one for each task from 0 without a gap; none may be empty.

    Args:
        sizes: Files and their sizes in bytes.
        number: Job.
        step: Step.
        task_count: How many tasks there are at least.

    Returns:
        Paths in the order of the ranks; empty if the dump is not whole.

    Example:
        >>> find_image_files({"data/7.0/task.1.ckpt": 5, "data/7.0/task.0.ckpt": 4}, 7, "0", 2)
        ('data/7.0/task.0.ckpt', 'data/7.0/task.1.ckpt')
        >>> find_image_files({"data/7.0/task.0.ckpt": 4}, 7, "0", 2)
        ()
        >>> find_image_files({"data/7/script.ckpt": 0}, 7, "batch", 1)
        ()
    """
    folder = join(DATA, name_target(number, step))
    if step == "batch":
        paths: tuple[str, ...] = (join(folder, _SCRIPT),)
    else:
        count = max(task_count, sum(path.startswith(f"{folder}/task.") for path in sizes))
        paths = tuple(join(folder, f"task.{rank}.ckpt") for rank in range(count))
    return paths if all(sizes.get(path, 0) > 0 for path in paths) else ()
