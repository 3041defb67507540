"""A task without processes: FakeTask answers as a launcher would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from syscr.model import TaskSpec
from syscr.ports import Completed

Tool = Callable[[tuple[str, ...]], Completed]


def succeed(argv: tuple[str, ...]) -> Completed:
    """Return the end of a tool that did its work and said nothing."""
    return Completed(argv=argv, exit_code=0)


@dataclass
class FakeTask:
    """Implements ``ports.TaskControl``.

    Attributes:
        spec: What the task says of itself.
        launcher_pid: A pid; that of the test itself is a good one.
        tool: Stands for the tool that ``run_inside`` runs; it may write files.
        processes: Pids of the tree.
        root: Pid of the dump root.
        acts: What was asked of it, in order: ``run``, ``hold``, ``resume``, ``kill``.
        tools: Argument lists of ``run_inside``.
        hold_seconds: The last hold asked for.
    """

    spec: TaskSpec
    launcher_pid: int = 0
    tool: Tool = succeed
    processes: tuple[int, ...] = ()
    root: int = 0
    acts: list[str] = field(default_factory=list)
    tools: list[tuple[str, ...]] = field(default_factory=list)
    hold_seconds: float = 0

    def pids(self) -> tuple[int, ...]:
        """Return ``processes``."""
        return self.processes

    def root_pid(self) -> int:
        """Return ``root``."""
        return self.root

    def run_inside(
        self, argv: Sequence[str], *, timeout_seconds: float, hold_seconds: float = 0
    ) -> Completed:
        """Call ``tool``."""
        if timeout_seconds <= 0:
            raise AssertionError("a time limit must be more than 0")
        self.acts.append("run")
        self.tools.append(tuple(argv))
        self.hold_seconds = hold_seconds
        return self.tool(tuple(argv))

    def hold(self, seconds: float) -> None:
        """Note it."""
        self.acts.append("hold")
        self.hold_seconds = seconds

    def resume(self) -> None:
        """Note it."""
        self.acts.append("resume")

    def kill(self) -> None:
        """Note it."""
        self.acts.append("kill")
