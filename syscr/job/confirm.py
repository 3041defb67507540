"""Saying that a restored task runs again, where its tool does not tell (DMTCP).

Runs beside the launcher, outside of the tree, for as long as the restore takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from syscr import wire
from syscr.errors import RestartError, SyscrError
from syscr.job.control import LauncherControl, find_tasks
from syscr.job.notes import write_note
from syscr.model import Image, TaskImage
from syscr.ports import Backend, Clock
from syscr.waiting import wait_until

_LAUNCHER_SECONDS = 30.0


def confirm_restored(
    request: wire.WorkerRequest,
    backends: Mapping[str, Backend],
    get_image: Callable[[str], Image],
    clock: Clock,
) -> None:
    """Wait for the task of ``request.run_dir`` and write its ``ready`` file, also where it fails.

    Args:
        request: Names job, step, the task's private directory and the image's folder.
        backends: By name.
        get_image: Reads an image from its folder.
        clock: Time.
    """
    try:
        task, image = _find(request, get_image(request.staging_dir), clock)
        backends[task.spec.backend].wait_restored(
            task, image, timeout_seconds=request.timeout_seconds
        )
        text = "started\n"
    except SyscrError as error:
        text = f"failed: {error.message}\n"
    write_note(Path(request.run_dir, "ready"), text)


def _find(
    request: wire.WorkerRequest, image: Image, clock: Clock
) -> tuple[LauncherControl, TaskImage]:
    """Return the task, once its launcher is there, and its part of the image."""
    found: list[LauncherControl] = []

    def is_there() -> bool:
        tasks = find_tasks(request.number, request.step)
        found.extend(task for task in tasks if task.spec.run_dir == request.run_dir)
        return bool(found)

    wait_until(clock, is_there, timeout_seconds=_LAUNCHER_SECONDS)
    for task in image.manifest.tasks:
        if found and task.rank == found[0].spec.rank:
            return found[0], task
    raise RestartError("the task has ended before it was restored")
