"""What /proc says of the processes of a task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from syscr.job.control import LauncherControl
from syscr.job.launcher import digest_binary
from syscr.procfs.tree import Process, list_tree


def list_own(task: LauncherControl) -> tuple[Process, ...]:
    """Return the processes of the user's own tree; /proc is read twice, however many there are."""
    pids = frozenset(task.pids())
    return tuple(process for process in list_tree(task.launcher_pid) if process.pid in pids)


def sum_resident(tasks: Sequence[LauncherControl]) -> int:
    """Return the resident memory of the tasks' trees: about the size of their images."""
    return sum(process.resident_bytes for task in tasks for process in list_own(task))


def find_working_dir(pids: Sequence[int]) -> str:
    """Return the working directory of the first process; the root directory if it cannot be read."""
    for pid in pids:
        try:
            return os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
    return "/"


def read_launcher_facts(task: LauncherControl) -> dict[str, object]:
    """Return path and digest of the launcher where it is part of the dumped tree."""
    try:
        root = Path(f"/proc/{task.root_pid()}")
        if (root / "comm").read_text().strip() != "syscr-init":
            return {}
        path = os.readlink(root / "exe")
        return {"launcher_path": path, "launcher_digest": digest_binary(path)}
    except OSError:
        return {}  # the tree has gone: the dump itself says so
