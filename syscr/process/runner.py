"""``LocalRunner``: runs commands to their end on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from syscr.errors import ToolMissingError
from syscr.ports import CommandTimeout, Completed
from syscr.process.replace import find_executable

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 30.0
_GRACE_SECONDS = 2.0
_CAPTURE_BYTES = 64 << 20
_LOGGED_CHARS = 4096
_LOOK_SECONDS = 0.2  # how often an ended command is noticed whose pipes a grandchild holds open

OnLine = Callable[[str], None]

# Variables that change what Slurm's commands do or print; a user's must not reach ours.
# Source: manuals of squeue, scontrol, sbatch and srun, 24.11, "ENVIRONMENT"; checked 2026-11.
_SCRUBBED_PREFIXES = ("SQUEUE_", "SBATCH_", "SALLOC_", "SINFO_", "SACCT_", "SCANCEL_", "SLURM_")
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT", "SLURM_CONF_SERVER")


def build_environment(
    base: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a child: no user's Slurm defaults, C locale, one time format; pure."""
    env = {
        key: value
        for key, value in base.items()
        if key in _KEPT or not key.startswith(_SCRUBBED_PREFIXES)
    }
    env.update(LC_ALL="C.UTF-8", SLURM_TIME_FORMAT="standard")
    env.update(extra or {})
    return env


class LocalRunner:
    """Runs commands on this machine.

    Attributes:
        timeout_seconds: Limit where a call names none.
    """

    def __init__(self, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Keep the default limit."""
        self.timeout_seconds = timeout_seconds

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
        """Run one command to its end; see ``ports.Runner.run``."""
        limit = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        child_env = build_environment(os.environ, env)
        started = time.monotonic()
        process = _start(argv, child_env, cwd, stdin=stdin is not None)
        with process:
            try:
                out, err, timed_out = _Exchange(process, stdin, on_line).run(started + limit)
            except BaseException:
                _end_group(process)  # an interrupted caller leaves nothing behind that works on
                raise
        completed = _describe(argv, process.returncode, out, err, started, timed_out=timed_out)
        if timed_out:
            raise CommandTimeout(completed, limit)
        return completed

    def start(self, argv: Sequence[str], *, on_line: OnLine) -> LocalConversation:
        """Start a command and keep talking to it; see ``ports.TalkingRunner.start``."""
        process = _start(argv, build_environment(os.environ), None, stdin=True)
        return LocalConversation(argv, process, on_line)


class LocalConversation:
    """One command that runs on this machine; see ``ports.Conversation``."""

    def __init__(
        self, argv: Sequence[str], process: subprocess.Popen[bytes], on_line: OnLine
    ) -> None:
        """Take over a process that was just started."""
        self._argv = tuple(argv)
        self._process = process
        self._exchange = _Exchange(process, None, on_line)
        self._started = time.monotonic()
        self._completed: Completed | None = None

    def send(self, text: str) -> None:
        """Write to its standard input."""
        if self._process.stdin is None or self._process.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), text.encode("utf-8", "surrogateescape"))

    def wait(self, is_done: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Read until ``is_done``."""
        try:
            in_time = self._exchange.pump(time.monotonic() + timeout_seconds, is_done)
        except BaseException:
            _end_group(self._process)  # an interrupted caller leaves nothing behind that works on
            raise
        if not in_time:
            raise CommandTimeout(self._finish(0.0), timeout_seconds)
        return is_done()

    def end(self, *, timeout_seconds: float) -> Completed:
        """Close standard input and wait for the end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return self._finish(timeout_seconds)

    def _finish(self, timeout_seconds: float) -> Completed:
        if self._completed is None:
            with self._process:
                try:
                    out, err, late = self._exchange.run(time.monotonic() + timeout_seconds)
                except BaseException:
                    _end_group(self._process)
                    raise
            code = self._process.returncode
            self._completed = _describe(self._argv, code, out, err, self._started, timed_out=late)
        return self._completed


def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: str | None, *, stdin: bool
) -> subprocess.Popen[bytes]:
    executable = find_executable(argv[0], env.get("PATH"))
    log.debug("run %s", list(argv))
    try:
        return subprocess.Popen(
            argv,
            executable=executable,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolMissingError(f"cannot run '{argv[0]}': {error.strerror}", tool=argv[0]) from error


def _describe(
    argv: Sequence[str], code: int, out: bytes, err: bytes, started: float, *, timed_out: bool
) -> Completed:
    """Return how a command ended, and write it to the log."""
    completed = Completed(
        argv=tuple(argv),
        exit_code=None if timed_out or code < 0 else code,
        signal=-code if code < 0 else None,
        stdout=out.decode("utf-8", "surrogateescape"),
        stderr=err.decode("utf-8", "surrogateescape"),
        duration_seconds=time.monotonic() - started,
    )
    log.debug(
        "%s ended: exit %s signal %s after %.3f s; %r %r",
        argv[0],
        completed.exit_code,
        completed.signal,
        completed.duration_seconds,
        completed.stdout[:_LOGGED_CHARS],
        completed.stderr[:_LOGGED_CHARS],
    )
    return completed


class _Exchange:
    """Feeds and reads one process until it ends or a deadline (monotonic seconds) passes."""

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: str | None, on_line: OnLine | None
    ) -> None:
        self._process = process
        self._pending = memoryview(
            b"" if stdin is None else stdin.encode("utf-8", "surrogateescape")
        )
        self._on_line = on_line
        self._partial = b""
        self._poller = select.poll()
        self._open: dict[int, IO[bytes]] = {}
        self._captured = {"out": bytearray(), "err": bytearray()}
        self._names: dict[int, str] = {}
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._open[stream.fileno()] = stream
                self._names[stream.fileno()] = name
                self._poller.register(stream, select.POLLIN)
        self._input = process.stdin
        self._input_fd = -1
        if process.stdin is not None and stdin is not None:
            self._input_fd = process.stdin.fileno()
            os.set_blocking(self._input_fd, False)
            self._poller.register(self._input_fd, select.POLLOUT)

    def run(self, deadline: float) -> tuple[bytes, bytes, bool]:
        """Return both streams, and whether the deadline ended the process."""
        timed_out = not self.pump(deadline)
        if not timed_out:
            try:
                self._process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                timed_out = True
        if timed_out:
            _end_group(self._process)
        return bytes(self._captured["out"]), bytes(self._captured["err"]), timed_out

    def pump(self, deadline: float, is_done: Callable[[], bool] = lambda: False) -> bool:
        """Move data until the process ends or ``is_done``; False where the deadline passes first."""
        while self._open and not is_done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for fd, _ in self._poller.poll(min(left, _LOOK_SECONDS) * 1000):
                if fd == self._input_fd:
                    self._feed()
                else:
                    self._read(fd)
            if self._process.poll() is not None and not self._poller.poll(0):
                return True  # a grandchild may hold the pipes open; the command itself has ended
        return True

    def _read(self, fd: int) -> None:
        try:
            chunk = os.read(fd, 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self._poller.unregister(fd)
            del self._open[fd]
            return
        captured = self._captured[self._names[fd]]
        if len(captured) < _CAPTURE_BYTES:
            captured += chunk
        if self._on_line is not None and self._names[fd] == "out":
            *lines, self._partial = (self._partial + chunk).split(b"\n")
            for line in lines:
                self._on_line(line.decode("utf-8", "surrogateescape"))

    def _feed(self) -> None:
        """Write what fits; close at the end or when the reader has gone."""
        try:
            written = os.write(self._input_fd, self._pending[: 1 << 16]) if self._pending else 0
        except BlockingIOError:
            return
        except BrokenPipeError:
            written = len(self._pending)
        self._pending = self._pending[written:]
        if not self._pending and self._input is not None:
            self._poller.unregister(self._input_fd)
            self._input.close()
            self._input_fd = -1


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """TERM to the group, a grace, KILL, reap."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        # The leader is gone; the rest of the group must not outlive it.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        break
