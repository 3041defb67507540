"""Nodes of a step that is to stand still after its dump wait for each other.

Each worker renews the hold of its own tasks while it lives. One that left when its own node was done
would let its tasks run on while a slower node still dumps.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from syscr.ports import Clock
from syscr.waiting import wait_until
from syscr.wire import name_ended


def mark_ended(staging_dir: str, node: str) -> None:
    """Tell the others that this node is done, well or not; silent where that cannot be written."""
    with suppress(OSError):
        Path(staging_dir, name_ended(node)).touch(mode=0o600)


def wait_for_others(
    staging_dir: str, node_count: int, clock: Clock, *, timeout_seconds: float
) -> bool:
    """Wait until all nodes are done; False where time is over first, or nobody can be seen.

    A node that has died tells nothing: then the time limit of the checkpoint ends the wait.
    """
    prefix = name_ended("")

    def are_all_done() -> bool:
        try:
            names = os.listdir(staging_dir)
        except OSError:
            return True  # the checkpoint was given up, and its staging removed
        return sum(name.startswith(prefix) for name in names) >= node_count

    return wait_until(clock, are_all_done, timeout_seconds=timeout_seconds)
