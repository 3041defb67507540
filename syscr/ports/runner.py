"""Commands that are run to their end, or talked to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """One command that has ended.

    Attributes:
        argv: Argument list.
        exit_code: Exit code; None if it was ended by a signal.
        signal: Number of the signal that ended it; None if it exited.
        stdout: Standard output, UTF-8 with surrogate escape, capped.
        stderr: Standard error, likewise.
        duration_seconds: Wall time.
    """

    argv: tuple[str, ...]
    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    signal: int | None = None
    duration_seconds: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether it exited with 0."""
        return self.exit_code == 0


class CommandTimeout(Exception):
    """A command ran past its limit; its process group is gone.

    Attributes:
        completed: What was read until then; ``exit_code`` is None.
        timeout_seconds: The limit.
    """

    def __init__(self, completed: Completed, timeout_seconds: float) -> None:
        """Keep the partial result."""
        super().__init__(f"'{completed.argv[0]}' did not end within {timeout_seconds:g} s")
        self.completed = completed
        self.timeout_seconds = timeout_seconds


class Runner(Protocol):
    """Runs one command to its end."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run ``argv`` without a shell, in its own process group.

        Contract: a non-zero exit is a result, not an exception. After a time-out the whole group is
        gone. Standard input is empty unless ``stdin`` is given.

        Args:
            argv: Argument list; the first is looked up in PATH.
            timeout_seconds: Limit; None: the runner's default.
            env: Variables to add to the scrubbed environment.
            cwd: Directory; None: the caller's.
            stdin: Text for standard input.
            on_line: Called with each complete line of standard output as it comes (progress).

        Raises:
            ToolMissingError: The executable does not exist or may not be run.
            CommandTimeout: The limit passed; carries what was read (``ports.CommandTimeout``).
        """
        ...


class Conversation(Protocol):
    """A command that runs, with its standard input open."""

    def send(self, text: str) -> None:
        """Write to its standard input; one that has ended takes nothing, and says so in ``wait``."""
        ...

    def wait(self, is_done: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Read until ``is_done`` is true, which is asked after each piece; False: the command ended first.

        Raises:
            CommandTimeout: The limit passed; the whole process group is gone.
        """
        ...

    def end(self, *, timeout_seconds: float) -> Completed:
        """Close standard input and wait for the end; what is not done in time is ended. Repeatable."""
        ...


class TalkingRunner(Runner, Protocol):
    """A runner that can go on talking to a command."""

    def start(self, argv: Sequence[str], *, on_line: Callable[[str], None]) -> Conversation:
        """Start ``argv`` as ``run`` does, with standard input open.

        Contract: standard input closes when this process ends, however that happens.

        Raises:
            ToolMissingError: The executable does not exist or may not be run.
        """
        ...
