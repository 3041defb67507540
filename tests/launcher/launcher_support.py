"""A real launcher under test: started as slurmstepd would, watched from outside, asked as a worker asks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syscr import wire
from syscr.job import fresh
from syscr.job.control import LAUNCHER_NAME, LauncherControl
from syscr.model import TaskSpec
from syscr.procfs.tree import Process, find_processes, list_tree, read_arguments

WAIT_SECONDS = 20.0
"""How long a condition may take on a busy machine; no test waits that long where all is well."""

NOBODY = 65534

# Says "ready", then "got" for each TERM; USR2 lets it say how many there were, and end with 5.
COUNTER = (
    "n=0; trap 'n=$((n+1)); echo got' TERM; trap 'echo total $n; exit 5' USR2; "
    "echo ready; while :; do sleep 100 & wait $!; done"
)
# Says "ready" and sleeps until something ends it.
SLEEPER = "echo ready; exec sleep 1000"


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT_SECONDS:g} s: {what}")
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for_wakes(pid: int) -> None:
    """Wait until a process that sleeps and looks has looked a few times more."""
    path = Path(f"/proc/{pid}/status")

    def count() -> int:
        (line,) = (line for line in path.read_text().splitlines() if line.startswith("voluntary"))
        return int(line.split()[1])

    before = count()
    eventually(lambda: count() >= before + 3, f"process {pid} looks again")


def find_by_argument(argument: str) -> tuple[int, ...]:
    """Return the live processes that have exactly this argument, whatever namespace they live in."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and argument.encode() in (entry / "cmdline").read_bytes().split(
                b"\0"
            ):
                found.append(int(entry.name))
    return tuple(found)


def find_outer_half(stub: subprocess.Popen[bytes], task: str) -> int:
    """Return the launcher of this task that is forked away; that of the stub where it has ended already."""
    found: list[int] = []

    def is_found() -> bool:
        found[:] = [
            process.pid
            for process in find_processes(LAUNCHER_NAME)
            if stub.pid not in {process.pid, process.ppid} and task in read_arguments(process.pid)
        ]
        return bool(found) or stub.poll() is not None

    eventually(is_found, "an outer half")
    return found[0] if found else stub.pid


@dataclass
class Launched:
    """One launcher with its program.

    Attributes:
        process: What slurmstepd would have started: the outer half, or its stub.
        control: The client that workers use.
        name: Name of its control socket.
    """

    process: subprocess.Popen[bytes]
    control: LauncherControl
    name: str
    _pending: bytearray = field(default_factory=bytearray)

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> str:
        """Return the next line of the program's output; empty at its end."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + WAIT_SECONDS
        while b"\n" not in self._pending:
            readable, _, _ = select.select([self.process.stdout], [], [], WAIT_SECONDS)
            if not readable or time.monotonic() > deadline:
                raise AssertionError(f"no line within {WAIT_SECONDS:g} s: {bytes(self._pending)!r}")
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                break
            self._pending += chunk
        line, _, rest = bytes(self._pending).partition(b"\n")
        self._pending = bytearray(rest)
        return line.decode("utf-8", "surrogateescape")

    def expect(self, text: str) -> None:
        """Read a line and compare it."""
        line = self.line()
        assert line == text

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return (status as subprocess gives it, rest of the output, errors)."""
        out, err = self.process.communicate(timeout=WAIT_SECONDS)
        text = (bytes(self._pending) + out).decode()
        return self.process.returncode, text, (err or b"").decode()

    def send(self, number: int) -> None:
        """Signal the outer half alone, as proctrack/cgroup does."""
        self.process.send_signal(number)

    def send_tree(self, number: int) -> None:
        """Signal every process below slurmstepd, as proctrack/linuxproc does."""
        for process in list_tree(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def tree(self) -> tuple[Process, ...]:
        return list_tree(self.control.launcher_pid)

    def is_watched(self) -> bool:
        """Whether the launcher has a sentinel, which tells what the program gets without it."""
        return "syscr-sentinel" in {process.comm for process in self.tree()}

    def states(self) -> set[str]:
        """Return the states of the program's processes."""
        pids = self.control.pids()
        return {process.state for process in self.tree() if process.pid in pids}

    def names(self) -> set[str]:
        """Return the names of the program's processes."""
        pids = self.control.pids()
        return {process.comm for process in self.tree() if process.pid in pids}

    def is_stopped(self) -> bool:
        return self.states() == {"T"}

    def is_running(self) -> bool:
        return bool(self.states()) and "T" not in self.states()

    def connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(WAIT_SECONDS)
        link.connect(b"\0" + self.name.encode())
        return link

    def ask(self, request: bytes) -> bytes:
        """Send raw bytes, close our half where they are not enough, and return the whole answer."""
        with self.connect() as link:
            link.sendall(request)
            return receive(link)


def receive(link: socket.socket) -> bytes:
    """Read to the end."""
    answer = bytearray()
    with contextlib.suppress(ConnectionResetError):  # it left our bytes unread
        while chunk := link.recv(1 << 16):
            answer += chunk
    return bytes(answer)


def run_request(argv: Sequence[str], *, timeout_ms: int = 20000, hold_ms: int = 0) -> bytes:
    """Return the bytes of a ``run`` request."""
    payload = b"".join(os.fsencode(word) + b"\0" for word in argv)
    return f"run {timeout_ms} {hold_ms} {len(payload)}\n".encode() + payload


@contextlib.contextmanager
def _acting_as(user: int | None) -> Iterator[None]:
    if user is not None:
        os.seteuid(user)
    try:
        yield
    finally:
        if user is not None:
            os.seteuid(0)


@dataclass
class Laboratory:
    """Starts launchers and ends them all.

    Attributes:
        binary: The launcher.
        namespaces: Whether tasks live in namespaces.
        user: Run as this user; None: as we are.
        detached: Whether a stub is what the parent has, and the launcher is forked away from it.
    """

    binary: str
    namespaces: bool = False
    user: int | None = None
    detached: bool = False
    _launched: list[Launched] = field(default_factory=list)

    def start(
        self,
        *program: str,
        role: str = "run",
        options: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        restore_signals: bool = True,
        close_stderr: bool = False,
    ) -> Launched:
        """Start a launcher with a program."""
        with _acting_as(self.user):  # the kernel notes who began to listen
            listener = fresh.open_control()
        name = listener.getsockname()[1:].decode()
        spec = TaskSpec(
            number=1,
            step="0",
            rank=0,
            node="here",
            lineage="1",
            checkpoint_dir="/nowhere",
            backend="criu",
            control=name,
            argv=program,
        )
        modes = {"--namespaces": self.namespaces, "--detach": self.detached}
        argv = [self.binary, role, *(mode for mode, is_on in modes.items() if is_on), *options]
        argv += ["--control-fd", str(listener.fileno()), "--task", wire.encode_task_spec(spec)]
        read_end, write_end = os.pipe() if close_stderr else (-1, subprocess.PIPE)
        process = subprocess.Popen(
            [*argv, "--", *program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=write_end,
            pass_fds=(listener.fileno(), *pass_fds),
            restore_signals=restore_signals,
            cwd="/",
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else (),
        )
        listener.close()
        if close_stderr:
            os.close(read_end)
            os.close(write_end)
        pid = (
            find_outer_half(process, wire.encode_task_spec(spec)) if self.detached else process.pid
        )
        launched = Launched(process, LauncherControl(spec, pid), name)
        self._launched.append(launched)
        return launched

    def run(self, *program: str, options: Sequence[str] = ()) -> tuple[int, str, str]:
        """Start a program and wait for its end."""
        return self.start(*program, options=options).end()

    def shell(self, script: str) -> Launched:
        return self.start("/bin/sh", "-c", script)

    def close(self) -> None:
        """End what still runs."""
        for launched in self._launched:
            if launched.process.poll() is None:
                launched.process.send_signal(signal.SIGKILL)
            launched.process.wait(WAIT_SECONDS)
            for stream in (launched.process.stdout, launched.process.stderr):
                if stream is not None:
                    stream.close()


@contextlib.contextmanager
def laboratory(
    binary: str, *, namespaces: bool = False, user: int | None = None, detached: bool = False
) -> Iterator[Laboratory]:
    """Return a laboratory that is closed at the end."""
    lab = Laboratory(binary, namespaces, user, detached)
    try:
        yield lab
    finally:
        lab.close()
