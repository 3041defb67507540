"""A runner that knows what it will be asked; the unexpected and the unused both fail the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from syscr.ports import CommandTimeout, Completed

ANSWER_END = "\v"
"""Separates the answers in the output of a command that is talked to."""


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


class FakeConversation:
    """A command that answers each ``send`` with the next part of its output.

    Attributes:
        sent: What it was told, in order.
        ended: Whether it was sent away.
    """

    def __init__(
        self, completed: Completed, on_line: Callable[[str], None], *, times_out: bool
    ) -> None:
        """Give the first answer as soon as somebody waits."""
        self._completed = completed
        self._on_line = on_line
        self._times_out = times_out
        self._answers = completed.stdout.split(ANSWER_END)
        self.sent: list[str] = []
        self.ended = False

    def send(self, text: str) -> None:
        """Take note."""
        self.sent.append(text)

    def wait(self, is_done: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Give the next answer."""
        if self._answers:
            *lines, _ = self._answers.pop(0).split("\n")
            for line in lines:
                self._on_line(line)
        if not is_done() and self._times_out:
            raise CommandTimeout(self._completed, timeout_seconds)
        return is_done()

    def end(self, *, timeout_seconds: float) -> Completed:
        """End."""
        del timeout_seconds
        self.ended = True
        return self._completed


class FakeRunner:
    r"""Plays a script of commands in order.

    Use it as a context manager, or call ``check`` at the end, so that an unused reply is noticed.

    Attributes:
        calls: What was run, in order.
        conversations: What was started, in order.

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
        self.conversations: list[FakeConversation] = []

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
        completed, times_out = self._next(argv, Call(tuple(argv), timeout_seconds, env, cwd, stdin))
        if on_line is not None:
            *lines, _ = completed.stdout.split("\n")
            for line in lines:
                on_line(line)
        if times_out:
            raise CommandTimeout(completed, timeout_seconds or 0.0)
        return completed

    def _next(self, argv: Sequence[str], call: Call) -> tuple[Completed, bool]:
        """Take the next command of the script; return how it ends, and whether it does not in time."""
        words = tuple(argv)
        self.calls.append(call)
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
        return completed, expected.times_out

    def start(self, argv: Sequence[str], *, on_line: Callable[[str], None]) -> FakeConversation:
        """Start the next command of the script; see ``ports.TalkingRunner.start``.

        Its output is the answer to the start and to each ``send``, one after the other, with
        ``ANSWER_END`` between them. With ``times_out`` the wait for an answer that is not there does.
        """
        completed, times_out = self._next(argv, Call(tuple(argv)))
        talk = FakeConversation(completed, on_line, times_out=times_out)
        self.conversations.append(talk)
        return talk

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
