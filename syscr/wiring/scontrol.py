"""What answers ``scontrol checkpoint``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from syscr.errors import SyscrError
from syscr.wiring.parts import find_syscr, open_store

if TYPE_CHECKING:
    from syscr.manager import CheckpointManager
    from syscr.model import Target
    from syscr.scontrol.command import ScontrolCommand
    from syscr.scontrol.inside import InsideJob
    from syscr.settings import Settings


def build_scontrol(
    settings: Settings, manager: CheckpointManager, cluster: str = "", again: Sequence[str] = ()
) -> ScontrolCommand:
    """Return what answers ``scontrol checkpoint``.

    Args:
        settings: Settings.
        manager: Does the work.
        cluster: ``-M`` of scontrol.
        again: Command line that a process inside of the job may be started with again; empty: it may not.
    """
    from syscr.job.inside import find_own_task
    from syscr.scontrol.command import ScontrolCommand
    from syscr.scontrol.judging import Judge
    from syscr.scontrol.places import Places

    places = Places(
        workers=manager.workers,
        open_store=open_store,
        stores=lambda: manager.locator.stores(None),
        find_own_task=find_own_task,
        environ=os.environ,
    )
    return ScontrolCommand(
        manager=manager,
        judge=Judge(manager.scheduler, os.getuid(), os.getcwd()),
        places=places,
        inside=_build_inside(manager, again),
        clock=manager.clock,
        remember=lambda path: manager.dumper.remember(path) if os.access(path, os.W_OK) else None,
        max_wait_seconds=settings.max_wait_seconds,
        time_format=os.environ.get("SLURM_TIME_FORMAT", ""),
        cluster=cluster,
    )


def is_native(manager: CheckpointManager, target: Target) -> bool:
    """Whether Slurm's own ``scontrol checkpoint`` answers for a job; no answer from Slurm is no."""
    native = manager.native
    try:
        return native is not None and native.answers(target)
    except SyscrError:
        return False


def _build_inside(manager: CheckpointManager, again: Sequence[str]) -> InsideJob:
    from syscr.job.inside import (
        find_own_launcher,
        find_own_task,
        send_request,
        wait_for_answer,
    )
    from syscr.process.replace import replace_process
    from syscr.scontrol.inside import InsideJob, shell_words
    from syscr.store.holder import read_start_ticks

    def find_launcher() -> tuple[int, int]:
        pid = find_own_launcher() or 0
        return pid, read_start_ticks(pid) or 0

    def restart_as(script: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        words = shell_words(script, arguments, (find_syscr(), *again))
        replace_process(words, env={**os.environ, **env})

    return InsideJob(
        send=lambda task, request: send_request(task, request, manager.clock),
        wait=lambda task, path, seconds: wait_for_answer(
            task, path, manager.clock, timeout_seconds=seconds
        ),
        scheduler=manager.scheduler,
        open_store=open_store,
        get_image=lambda image_id, folder: manager.get_image(image_id, checkpoint_dir=folder),
        find_own_task=find_own_task,
        find_launcher=find_launcher,
        restart_as=restart_as if again else None,
        environ=os.environ,
        clock=manager.clock,
    )


def install_shim(folder: str) -> str:
    """Put a ``scontrol`` of ours into a folder; returns its path."""
    from syscr.scontrol import shim

    return shim.install(folder, find_syscr())
