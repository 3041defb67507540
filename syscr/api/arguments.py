"""What the functions take, and what they work with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from syscr.model import JobId, Target
from syscr.settings import Settings

if TYPE_CHECKING:
    from syscr.manager import CheckpointManager


AnyTarget = Target | JobId | int | str
Progress = Callable[[Mapping[str, object]], None]


def build_manager_for(settings: Settings) -> CheckpointManager:
    """Return the manager that does the work."""
    from syscr.wiring.manager import build_manager  # the only importer of adapters

    return build_manager(settings)


def read_target(target: AnyTarget) -> Target:
    """Return what is meant by any form of a target; raises RequestError."""
    if isinstance(target, Target):
        return target
    return Target(target) if isinstance(target, JobId) else Target.parse(str(target))


def find_directory(path: str | os.PathLike[str] | None) -> str | None:
    """Return a directory as absolute path."""
    return None if path is None else os.path.abspath(os.fspath(path))
