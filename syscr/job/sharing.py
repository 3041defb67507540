"""Files that several tasks of a step have open: brought back by one of them, before any task runs again.

A task that ran already could append to a file which another one is still to cut. So one task, the first of
those that write a file, does all that has to be done with it, and all tasks meet before they go on.
``find_shared`` and ``choose_part`` are pure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from syscr.errors import RestartError
from syscr.model import FileState, TaskImage, TaskSpec
from syscr.ports import Clock, TaskControl
from syscr.procfs.files import FileKind, list_open_files
from syscr.waiting import wait_until

MEET_SECONDS = 120.0
_FAILED = "failed."


@dataclass(frozen=True, slots=True)
class SharedFile:
    """One file that several tasks have open, at least one of them for writing or with a copy.

    Attributes:
        size_bytes: Its largest size in the image: what any task has written before it stood still.
        owner: Rank that brings it back; None: node-local, each task has a copy of its own.
    """

    size_bytes: int
    owner: int | None


def find_shared(tasks: Sequence[TaskImage]) -> Mapping[str, SharedFile]:
    """Find the files of an image that its tasks share; by path."""
    seen: dict[str, list[tuple[int, FileState]]] = {}
    for task in tasks:
        for file in task.open_files:
            seen.setdefault(file.path, []).append((task.rank, file))
    found = {}
    for path, users in seen.items():
        writers = [rank for rank, file in users if file.writable and not file.copy]
        if len(users) > 1 and (writers or any(file.copy for _, file in users)):
            size = max(file.size_bytes for _, file in users)
            found[path] = SharedFile(size, min(writers) if writers else None)
    return found


def choose_part(task: TaskImage, shared: Mapping[str, SharedFile]) -> TaskImage:
    """Return a task with those of its files that it brings back itself, shared ones at their final size."""
    kept = []
    for file in task.open_files:
        common = shared.get(file.path)
        if common is None or common.owner is None:
            kept.append(file)
        elif common.owner == task.rank:
            kept.append(replace(file, size_bytes=common.size_bytes))
    return replace(task, open_files=tuple(kept))


def list_written(task: TaskControl) -> frozenset[str]:
    """Return the files that a live task of several has open for writing; empty where it is the only one."""
    if task.spec.task_count == 1:
        return frozenset()
    return frozenset(
        file.path
        for pid in task.pids()
        for file in list_open_files(pid)
        if file.kind is FileKind.REGULAR and file.writable and not file.is_deleted
    )


def meet(spec: TaskSpec, clock: Clock, *, timeout_seconds: float = MEET_SECONDS) -> None:
    """Wait until all tasks of the step have brought their files back.

    Raises:
        RestartError: One of them cannot, or does not come; this one must not run either.
    """
    folder = _sign(spec, str(spec.rank))
    wanted = {str(rank) for rank in range(spec.task_count)}

    def is_over() -> bool:
        names = set(os.listdir(folder))
        return wanted <= names or any(name.startswith(_FAILED) for name in names)

    wait_until(clock, is_over, timeout_seconds=timeout_seconds)
    names = set(os.listdir(folder))
    missing = sorted(int(name) for name in wanted - names)
    if not missing:
        return
    failed = sorted(int(name.removeprefix(_FAILED)) for name in names if name.startswith(_FAILED))
    why = (
        f"task {failed[0]}, with which it shares files, cannot be restored"
        if failed
        else f"task {missing[0]}, with which it shares files, was not there within {timeout_seconds:g} s"
    )
    raise RestartError(
        f"cannot restore step {spec.number}.{spec.step} task {spec.rank}: {why}",
        hint="the job's output says what that task met with",
    )


def mark_failed(spec: TaskSpec) -> None:
    """Tell tasks that wait, or will, that this one does not come back. Raises OSError."""
    _sign(spec, f"{_FAILED}{spec.rank}")


def _sign(spec: TaskSpec, name: str) -> Path:
    """Leave a name in the folder of one life of the step, beside those of its tasks; return the folder."""
    folder = Path(spec.run_dir).with_name(f"{spec.number}.{spec.restart_count}.meeting")
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / name).touch(mode=0o600)
    return folder
