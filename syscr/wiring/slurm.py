"""Slurm's commands in front of syscr: ``sbatch``, ``srun``, ``salloc``; the SPANK plugin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from syscr.process.runner import LocalRunner
from syscr.wiring.parts import find_syscr, job_environment, open_store

if TYPE_CHECKING:
    from syscr.settings import Settings
    from syscr.spank import PluginBuilder


def pass_through(verb: str, argv: Sequence[str], settings: Settings) -> int:
    """Run ``syscr sbatch``, ``srun`` or ``salloc``; returns the exit status."""
    from syscr.known import KnownDirs
    from syscr.submit import Submitter

    submitter = Submitter(
        settings=settings,
        runner=LocalRunner(timeout_seconds=settings.slurm_timeout_seconds),
        open_store=open_store,
        remember=KnownDirs.of_user(os.environ).remember,
        syscr=find_syscr(),
        environ=os.environ,
        job_environment=job_environment(os.environ),
    )
    verbs = {"sbatch": submitter.sbatch, "srun": submitter.srun, "salloc": submitter.salloc}
    return verbs[verb](argv)


def build_plugin_builder() -> PluginBuilder:
    """Return what builds the SPANK plugin."""
    from syscr.spank import PluginBuilder

    return PluginBuilder(LocalRunner(), find_syscr())
