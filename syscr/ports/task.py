"""One live task on this node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from syscr.model import TaskSpec
from syscr.ports.runner import Completed


class TaskControl(Protocol):
    """One live task on this node, through its launcher's control socket (see ``csrc/launcher/control.c``)."""

    spec: TaskSpec
    launcher_pid: int

    def pids(self) -> tuple[int, ...]:
        """Return the host pids of the task's tree (launcher, PID 1 and init excluded), live ones."""
        ...

    def root_pid(self) -> int:
        """Return the host pid of the dump root (init in namespaces, else the program)."""
        ...

    def run_inside(
        self, argv: Sequence[str], *, timeout_seconds: float, hold_seconds: float = 0
    ) -> Completed:
        """Run a tool inside the task's namespaces as a child of the launcher.

        Contract: the tool ends even if the caller dies; if the caller dies or the tool fails the tree
        is resumed. With ``hold_seconds`` a successful tool may leave the tree stopped for that long.

        Raises:
            CheckpointTimeoutError: It did not end in time and was ended; the tree was resumed.
            CheckpointError: The launcher did not answer or is busy with another checkpoint.
        """
        ...

    def hold(self, seconds: float) -> None:
        """Stop all processes of the task; they go on by themselves after ``seconds``."""
        ...

    def resume(self) -> None:
        """Let a held task go on; harmless if it is not held."""
        ...

    def kill(self) -> None:
        """End the whole task at once, keeping the step alive for at most a minute."""
        ...
