"""Slurm's commands in front of syscr: ``sbatch``, ``srun``, ``salloc``; the SPANK plugin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from syscr.process.runner import LocalRunner
from syscr.wiring.parts import build_controller, find_syscr, job_environment, open_store

if TYPE_CHECKING:
    from syscr.settings import Settings
    from syscr.spank import PluginBuilder


def pass_through(verb: str, argv: Sequence[str], settings: Settings) -> int:
    """Run ``syscr sbatch``, ``srun`` or ``salloc``; returns the exit status."""
    from syscr.known import KnownDirs
    from syscr.submit import Submitter

    words = _find_handed_over(verb, argv, settings)
    if words is not None:
        from syscr.process.attached import run_attached

        return run_attached([verb, *words])
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


def _find_handed_over(verb: str, argv: Sequence[str], settings: Settings) -> tuple[str, ...] | None:
    """Return the words for Slurm's own command where Slurm itself checkpoints; None: that is not so."""
    if verb == "salloc" or (settings.backend, settings.native_use) != ("auto", "auto"):
        return None
    from syscr.clock import SystemClock
    from syscr.handing_over import HandOver
    from syscr.slurm.scheduler import SlurmScheduler

    runner = LocalRunner(timeout_seconds=settings.slurm_timeout_seconds)
    hand_over = HandOver(
        find_version=SlurmScheduler(runner, SystemClock()).version,
        controller=build_controller(settings),
    )
    return hand_over.find_words(verb, argv)


def build_plugin_builder() -> PluginBuilder:
    """Return what builds the SPANK plugin."""
    from syscr.spank import PluginBuilder

    return PluginBuilder(LocalRunner(), find_syscr())
