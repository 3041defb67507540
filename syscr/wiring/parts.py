"""Parts that several of our processes are made of."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from syscr.process.runner import LocalRunner

if TYPE_CHECKING:
    from syscr.job.launcher import Launcher
    from syscr.ports import Backend, CheckpointController, Store
    from syscr.settings import Settings


_LAUNCHER = Path(__file__).parents[1].joinpath("csrc") / "bin" / "syscr-launcher"


def find_syscr() -> str:
    """Return the absolute path of the ``syscr`` command that belongs to this installation."""
    script = Path(sys.argv[0])
    if script.name == "syscr" and script.is_absolute():
        return str(script)
    return str(Path(sys.prefix, "bin", "syscr"))


def user_name() -> str:
    """Return the user's name, or number where he has none."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the user's values of the variables that our runner sets for itself: a job gets his."""
    return {name: environ[name] for name in ("LC_ALL", "SLURM_TIME_FORMAT") if name in environ}


def open_store(checkpoint_dir: str) -> Store:
    """Return the store of a checkpoint directory; nothing is touched."""
    from syscr.clock import SystemClock
    from syscr.store.directory import DirectoryStore

    return DirectoryStore(checkpoint_dir, clock=SystemClock())


def build_launcher(settings: Settings) -> Launcher:
    """Return the launcher, configured or installed."""
    from syscr.job.launcher import Launcher

    return Launcher(settings.launcher_path or str(_LAUNCHER))


def build_backends(settings: Settings) -> dict[str, Backend]:
    """Return all backends, by name, in the configured order."""
    from syscr.backends import registry
    from syscr.clock import SystemClock

    launcher = build_launcher(settings).installed
    return registry.build_backends(registry.Parts(settings, LocalRunner(), SystemClock(), launcher))


def build_controller(settings: Settings) -> CheckpointController:
    """Return Slurm's own checkpoint commands; nothing is asked yet."""
    from syscr.backends.native.controller import NativeController
    from syscr.slurm.failure import build_failure

    runner = LocalRunner(timeout_seconds=settings.slurm_timeout_seconds)
    return NativeController(runner, explain=build_failure)
