"""A runner that knows what it will be asked; the unexpected and the unused both fail the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from syscr.ports import CommandTimeout, Completed


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ``FakeRunner.run``, for assertions.

    Attributes:
        argv: Argument list.
        timeout_seconds: Limit that was given.
        env: Variables that were added.
        cwd: Directory.
        stdin: Text for standard input.
    """

    argv: tuple[str, ...]
    timeout_seconds: float | None = None
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    stdin: str | None = None


@dataclass(frozen=True, slots=True)
class _Script:
    argv: tuple[object, ...]
    completed: Completed
    times_out: bool
    error: Exception | None


class FakeRunner:
    r"""Plays a script of commands in order.

    Use it as a context manager, or call ``check`` at the end, so that an unused reply is noticed.

    Attributes:
        calls: What was run, in order.

    Example:
        >>> with FakeRunner() as runner:
        ...     runner.expect(["sinfo", "-V"], stdout="slurm 24.11.5\n")
        ...     runner.run(["sinfo", "-V"]).stdout
        'slurm 24.11.5\n'
    """

    def __init__(self) -> None:
        """Expect nothing."""
        self._script: list[_Script] = []
        self.calls: list[Call] = []

    def expect(
        self,
        argv: Sequence[object],
        *,
        stdout: str = "",
        stderr: str = "",
        exit_code: int | None = 0,
        signal: int | None = None,
        times_out: bool = False,
        error: Exception | None = None,
    ) -> None:
        """Add the next command and what it answers.

        Args:
            argv: Argument list; an item may be anything that compares equal (``unittest.mock.ANY``).
            stdout: Standard output; its lines go to ``on_line``.
            stderr: Standard error.
            exit_code: Exit code; None where a signal ended it.
            signal: That signal.
            times_out: Raise CommandTimeout with what was read.
            error: Raise this instead of answering (ToolMissingError).
        """
        words = tuple(str(word) for word in argv)
        ended = None if times_out or signal is not None else exit_code
        completed = Completed(words, ended, stdout, stderr, signal)
        self._script.append(_Script(tuple(argv), completed, times_out, error))

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
        """Answer the next command of the script; see ``ports.Runner.run``."""
        words = tuple(argv)
        self.calls.append(Call(words, timeout_seconds, env, cwd, stdin))
        if not self._script:
            raise AssertionError(f"unexpected command: {list(words)}")
        expected = self._script.pop(0)
        if expected.argv != words:
            raise AssertionError(f"unexpected command: {list(words)}, not {list(expected.argv)}")
        if expected.error is not None:
            raise expected.error
        completed = Completed(
            words,
            expected.completed.exit_code,
            expected.completed.stdout,
            expected.completed.stderr,
            expected.completed.signal,
        )
        if on_line is not None:
            *lines, _ = completed.stdout.split("\n")
            for line in lines:
                on_line(line)
        if expected.times_out:
            raise CommandTimeout(completed, timeout_seconds or 0.0)
        return completed

    def check(self) -> None:
        """Fail if something of the script was not used."""
        if self._script:
            raise AssertionError(f"never run: {[list(left.argv) for left in self._script]}")

    def __enter__(self) -> FakeRunner:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Check, unless the test has failed already."""
        if kind is None:
            self.check()
