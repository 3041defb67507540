"""Argument lists of ``scontrol checkpoint`` (Slurm 19.05 and before); pure. Replies: ``parse.py``.

Source: Slurm 18.08.9 and 19.05.8, ``src/scontrol/update_job.c`` ``scontrol_checkpoint``; run 2026-11.
"""

from __future__ import annotations

MOST_WAIT_SECONDS = 0xFFFF
"""MaxWait is an unsigned number of 16 bits; a larger one would be cut (65541 became 5)."""


def build_show_config() -> tuple[str, ...]:
    """Ask for the configuration, which names the checkpoint plugin where there is one."""
    return ("scontrol", "show", "config")


def build_able(name: str) -> tuple[str, ...]:
    """Ask whether a job or step (``4711``, ``4711.0``) may be dumped, or since when it is being dumped."""
    return ("scontrol", "checkpoint", "able", name)


def build_show_step(name: str) -> tuple[str, ...]:
    """Ask for a step, which says how many tasks it has."""
    return ("scontrol", "show", "step", name)


def build_error(name: str) -> tuple[str, ...]:
    """Ask how the last dump ended."""
    return ("scontrol", "checkpoint", "error", name)


def build_create(name: str, *, image_dir: str, max_wait_seconds: float) -> tuple[str, ...]:
    """Order a dump into ``<image_dir>/<name>/``; returns at once.

    Args:
        name: Job or step, with the job's own plain number: other forms are not understood.
        image_dir: Absolute directory that the nodes see.
        max_wait_seconds: Limit for the dump on the nodes; at least 1 s, since 0 means another default.
    """
    seconds = min(max(1, round(max_wait_seconds)), MOST_WAIT_SECONDS)
    return ("scontrol", "checkpoint", "create", name, f"MaxWait={seconds}", f"ImageDir={image_dir}")


def build_restart(number: int, *, image_dir: str, stick_to_nodes: bool) -> tuple[str, ...]:
    """Order a restart from ``<image_dir>/<number>/``; returns at once.

    The directory is always named: without it Slurm takes that of the last dump, also of a failed one.
    """
    stick = ("StickToNodes",) if stick_to_nodes else ()
    return ("scontrol", "checkpoint", "restart", str(number), f"ImageDir={image_dir}", *stick)
