"""All tasks of a step on one node, dumped in parallel; what is held stays held, and progress is told."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from syscr import wire
from syscr.errors import SyscrError
from syscr.job.control import LauncherControl
from syscr.model import TaskImage, Timings

_PARALLEL = 4
_PROGRESS_SECONDS = 0.5
_T = TypeVar("_T")

Dumped = tuple[TaskImage, Timings, tuple[str, ...]]
"""One task's part of the image, how long it took, and remarks."""


class Dumping:
    """Dumps the tasks in parallel; while it is open, says how far things are and renews the hold."""

    def __init__(
        self,
        node: str,
        request: wire.WorkerRequest,
        tasks: Sequence[LauncherControl],
        *,
        dump: Callable[[LauncherControl], Dumped],
        emit: Callable[[str], None],
        expected_bytes: int,
    ) -> None:
        self._node = node
        self._dump_task = dump
        self._emit = emit
        self._expected_bytes = expected_bytes
        self._request = request
        self._tasks = tasks
        self._digested: int | None = None
        self._held: list[LauncherControl] = []
        self._guard = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Dumping:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if kind is not None:
            for task in self._tasks:
                _outcome(task.resume)

    def run(self) -> list[Dumped | SyscrError]:
        """Dump all tasks; one result or error for each."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            jobs = [pool.submit(self._dump, task) for task in self._tasks]
            results = [_outcome(job.result) for job in jobs]
        self._digested = 0
        return results

    def resume(self) -> None:
        """End the hold of all tasks."""
        with self._guard:  # no renewal may come after it
            self._held.clear()
        for task in self._tasks:
            task.resume()

    def _dump(self, task: LauncherControl) -> Dumped:
        result = self._dump_task(task)
        if self._request.hold_seconds > 0:
            self._held.append(task)  # its hold is renewed while others are still dumped
        return result

    def count(self, digested_bytes: int) -> None:
        """Take note of bytes that were digested."""
        self._digested = (self._digested or 0) + digested_bytes

    def _watch(self) -> None:
        renewed = time.monotonic()
        total: int | None = None
        while not self._done.wait(_PROGRESS_SECONDS):
            written = _folder_bytes(str(Path(self._request.staging_dir, "data")))
            digested = self._digested
            phase = "dump" if digested is None else "digest"
            total = self._expected_bytes if digested is None else written
            done = written if digested is None else digested
            self._emit(wire.encode_progress(self._node, phase, done, total))
            if self._held and time.monotonic() - renewed > self._request.hold_seconds / 3:
                renewed = time.monotonic()
                with self._guard:
                    for task in self._held:
                        _outcome(functools.partial(task.hold, self._request.hold_seconds))


def _folder_bytes(top: str) -> int:
    total = 0
    for folder, _, names in os.walk(top):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue  # renamed or removed by the tool meanwhile
    return total


def _outcome(act: Callable[[], _T]) -> _T | SyscrError:
    """Return what ``act`` returns, or the error it raises."""
    try:
        return act()
    except SyscrError as error:
        return error
