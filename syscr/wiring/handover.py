"""Commands that this process becomes, or runs with its own streams."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from syscr.wiring.parts import find_syscr


def become_user(user_name: str, args: Sequence[str]) -> None:
    """Go on with a command line of root's as another user, with that user's own environment."""
    from syscr.process.replace import replace_user

    replace_user(user_name, [find_syscr(), *args])


def become_scontrol(argv: Sequence[str]) -> NoReturn:
    """Become Slurm's own scontrol, past our shim."""
    from syscr.process.replace import replace_process
    from syscr.scontrol.shim import find_real

    real = find_real(os.environ.get("PATH", os.defpath))
    replace_process(["scontrol", *argv], executable=real)


def call_scontrol(argv: Sequence[str]) -> int:
    """Run Slurm's own scontrol with our streams; returns its exit status."""
    from syscr.process.attached import run_attached
    from syscr.scontrol.shim import find_real

    return run_attached([find_real(os.environ.get("PATH", os.defpath)), *argv])


def call_own(argv: Sequence[str]) -> int:
    """Run a command line of ours in a process of its own; returns its exit status."""
    from syscr.process.attached import run_attached

    return run_attached([find_syscr(), *argv])
