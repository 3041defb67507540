"""Client of the launcher's control socket, and how a worker finds the tasks of a job on its node.

The protocol is described in ``csrc/launcher/control.c``. Nothing is registered anywhere: the tasks are
the live processes named ``syscr-launcher`` of this user, and their argument ``--task`` says what they are.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from syscr import wire
from syscr.errors import CheckpointError, CheckpointTimeoutError, ToolReplyError
from syscr.model import TaskSpec
from syscr.ports import Completed
from syscr.procfs.tree import find_processes, list_tree, read_arguments

LAUNCHER_NAME = "syscr-launcher"
_CONNECT_SECONDS = 5.0
_GRACE_SECONDS = 15.0  # the launcher gives a tool 8 s to end by itself, then kills it
_OUTSIDE = frozenset({"syscr-sentinel", "syscr-fence", "syscr-note", "syscr-tool"})
_HELPERS = _OUTSIDE | {"syscr-pid1", "syscr-init"}
_REPLY_BYTES = 1 << 20


class LauncherControl:
    """One live task on this node; see ``ports.TaskControl``.

    Attributes:
        spec: What the launcher was told about its task.
        launcher_pid: The launcher's outer half.
    """

    def __init__(self, spec: TaskSpec, launcher_pid: int) -> None:
        """Keep what discovery found."""
        self.spec = spec
        self.launcher_pid = launcher_pid

    def pids(self) -> tuple[int, ...]:
        """Return the live processes of the user's own tree."""
        outside = set(read_sidecars(self.launcher_pid))
        found = []
        for process in list_tree(self.launcher_pid):  # parents come before their children
            is_tool = process.comm in _OUTSIDE
            if is_tool or process.ppid in outside:
                outside.add(process.pid)
            is_ours = process.pid == self.launcher_pid or process.comm in _HELPERS
            # its children have its name until they have set their own
            is_ours |= process.comm == LAUNCHER_NAME and process.ppid == self.launcher_pid
            if not is_ours and process.pid not in outside and process.state not in "ZX":
                found.append(process.pid)
        return tuple(found)

    def root_pid(self) -> int:
        """Return the dump root: init in namespaces, else the program."""
        tree = list_tree(self.launcher_pid)
        for process in tree:
            if process.comm == "syscr-init":
                return process.pid
        for pid in self.pids():
            return pid
        raise CheckpointError(f"{self._name()}: its program has ended")

    def run_inside(
        self, argv: Sequence[str], *, timeout_seconds: float, hold_seconds: float = 0
    ) -> Completed:
        """Let the launcher run a tool in the task's namespaces."""
        payload = b"".join(os.fsencode(argument) + b"\0" for argument in argv)
        head = (
            f"run {_milliseconds(timeout_seconds)} {_milliseconds(hold_seconds)} {len(payload)}\n"
        )
        started = time.monotonic()
        reply = self._ask(head.encode() + payload, timeout_seconds + _GRACE_SECONDS)
        line, _, output = reply.partition(b"\n")
        words = line.split()
        if len(words) != 5 or words[0] != b"ended" or not all(map(bytes.isdigit, words[1:])):
            raise ToolReplyError(f"{self._name()}: launcher answered {reply[:200]!r}")
        status, timed_out = int(words[1]), words[3] == b"1"
        if timed_out:
            raise CheckpointTimeoutError(
                f"cannot checkpoint {self._name()}: '{Path(argv[0]).name}' did not end within "
                f"{timeout_seconds:g} s and was stopped; the program runs on"
            )
        try:
            code = os.waitstatus_to_exitcode(status)
        except ValueError as error:
            raise ToolReplyError(f"{self._name()}: no wait status: {status}") from error
        return Completed(
            argv=tuple(argv),
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stderr=output.decode("utf-8", "surrogateescape"),
            duration_seconds=time.monotonic() - started,
        )

    def hold(self, seconds: float) -> None:
        """Stop the task's processes for at most ``seconds``."""
        self._command(f"hold {_milliseconds(seconds)}")

    def resume(self) -> None:
        """Let a held task go on."""
        self._command("resume")

    def kill(self) -> None:
        """End the task after its image; the launcher stays for a minute, so that the step does."""
        self._command("kill")

    def leave(self, exit_code: int) -> None:
        """Let the launcher of a task that was ended by ``kill`` end, too, with this exit code."""
        self._command(f"leave {exit_code}")

    def state(self) -> str:
        """Return ``running``, ``held``, ``busy`` (a dump runs) or ``parked`` (killed, step kept)."""
        words = self._ask(b"state\n", _CONNECT_SECONDS).split()
        if len(words) != 3 or words[0] != b"state":
            raise ToolReplyError(f"{self._name()}: launcher gave no state")
        return words[1].decode("ascii", "replace")

    def stdio(self) -> tuple[str, str, str]:
        """Return what descriptors 0, 1 and 2 of the launcher point to, as the task was given them."""
        targets = []
        for number in range(3):
            try:
                targets.append(os.readlink(f"/proc/{self.launcher_pid}/fd/{number}"))
            except OSError:
                targets.append("")
        return (targets[0], targets[1], targets[2])

    def _command(self, text: str) -> None:
        reply = self._ask(text.encode() + b"\n", _GRACE_SECONDS)
        if reply != b"ok\n":
            raise ToolReplyError(f"{self._name()}: launcher answered {reply[:200]!r}")

    def _ask(self, request: bytes, timeout_seconds: float) -> bytes:
        """Send one request and return the whole reply."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                # Strangers may have filled the queue of the socket: a connect that must not block fails at
                # once then (unix(7), EAGAIN), one with a limit of the kernel's waits for its turn.
                limit = struct.pack("ll", int(_CONNECT_SECONDS), 0)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
                link.connect(b"\0" + self.spec.control.encode())
                link.settimeout(_CONNECT_SECONDS)
                self._check_peer(link)
                link.sendall(request)
                link.settimeout(timeout_seconds)
                reply = bytearray()
                while chunk := link.recv(1 << 16):
                    reply += chunk
                    if len(reply) > _REPLY_BYTES:
                        break
        except OSError as error:
            raise CheckpointError(
                f"cannot checkpoint {self._name()}: its launcher (pid {self.launcher_pid}) does not "
                f"answer: {error.strerror or error}; the program was not touched",
                hint="has the job just ended? see 'squeue', then try again",
            ) from error
        if not reply:
            raise CheckpointError(
                f"cannot checkpoint {self._name()}: its launcher (pid {self.launcher_pid}) ended "
                "before it answered",
                hint="has the job just ended? see 'squeue', then try again",
            )
        if reply.startswith(b"error "):
            reason = reply[6:].decode("utf-8", "replace").strip()
            fate = "" if "has ended" in reason else "; the program runs on"
            raise CheckpointError(f"cannot checkpoint {self._name()}: {reason}{fate}")
        return bytes(reply)

    def _check_peer(self, link: socket.socket) -> None:
        """Refuse a socket that is not this launcher's: abstract names are free for all."""
        peer = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid = int.from_bytes(peer[:4], "little"), int.from_bytes(peer[4:8], "little")
        if uid != os.stat(f"/proc/{self.launcher_pid}").st_uid:
            raise CheckpointError(
                f"cannot checkpoint {self._name()}: its control socket belongs to user {uid} (pid {pid})"
            )

    def _name(self) -> str:
        return f"step {self.spec.number}.{self.spec.step} task {self.spec.rank}"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def find_tasks(number: int, step: str | None = None) -> tuple[LauncherControl, ...]:
    """Return the live tasks of a job on this node, by step and rank.

    Args:
        number: Plain job number.
        step: Only this step; None: all.

    Where one rank has several launchers (a script that uses ``syscr run`` twice), all are returned.
    """
    found = []
    processes = find_processes(LAUNCHER_NAME, os.getuid())
    controls = {process.pid: read_spec(process.pid) for process in processes}
    for process in processes:
        spec = controls[process.pid]
        if spec is None or spec.number != number or step not in {None, spec.step}:
            continue
        if controls.get(process.ppid) == spec:
            continue  # a child that has not set its own name yet
        found.append(LauncherControl(spec, process.pid))
    return tuple(
        sorted(found, key=lambda task: (task.spec.step, task.spec.rank, task.launcher_pid))
    )


def read_sidecars(pid: int) -> tuple[int, ...]:
    """Return the helpers that the launcher of process ``pid`` has beside its task."""
    arguments = read_arguments(pid)
    own = arguments[: arguments.index("--")] if "--" in arguments else ()
    pairs = itertools.pairwise(own)
    return tuple(int(value) for name, value in pairs if name == "--sidecar" and value.isdigit())


def read_spec(pid: int) -> TaskSpec | None:
    """Return what the launcher of process ``pid`` was told; None where it has gone or is no launcher."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return wire.decode_task_spec(os.fsdecode(arguments[arguments.index(b"--task") + 1]))
    except (OSError, ValueError, IndexError, ToolReplyError):
        return None
