"""A checkpoint asked for from inside of the tree that is to be dumped.

The caller is part of the image, so it may hold nothing that cannot be dumped: it sends one datagram
to the agent, closes everything, and waits for a file. If the job is brought back from that image, the
caller goes on waiting, finds the file and reports success a second time: what it reports is true.
"""

from __future__ import annotations

import json
import os
import socket
from itertools import pairwise
from pathlib import Path

from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    OperationUnsupportedError,
    ToolReplyError,
)
from syscr.job.agent_request import AGENT_LOG
from syscr.job.control import LAUNCHER_NAME, read_spec
from syscr.lives import SOCKET_NOTE
from syscr.model import TaskSpec
from syscr.ports import Clock
from syscr.request import CheckpointRequest
from syscr.waiting import wait_until
from syscr.wire import build_error

_PID1_NAME = "syscr-pid1"
_MARGIN_SECONDS = 60.0
# The program of the job begins at the same moment as its agent, and may be the quicker of the two.
_START_SECONDS = 15.0


def find_own_launcher() -> int | None:
    """Return the process that tells what task we are part of: PID 1 of its namespace, or its launcher.

    Helpers of a launcher (its agent, say) are not in the tree, though they are its children. Under DMTCP
    the numbers in /proc are the real ones, whatever ``getpid`` says.
    """
    try:
        if Path("/proc/1/comm").read_text().strip() == _PID1_NAME:
            return 1
        pid, parent = "self", _read_parent("self")
        while parent > 1:
            if Path(f"/proc/{parent}/comm").read_text().strip() == LAUNCHER_NAME:
                real = os.path.realpath("/proc/self") if pid == "self" else pid
                return None if os.path.basename(real) in _read_sidecars(parent) else parent
            pid, parent = str(parent), _read_parent(str(parent))
    except (OSError, ValueError):
        return None
    return None


def find_own_task() -> TaskSpec | None:
    """Return the task that this process is part of; None outside of one."""
    pid = find_own_launcher()
    return None if pid is None else read_spec(pid)


def _read_parent(pid: str) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _read_sidecars(launcher_pid: int) -> set[str]:
    words = Path(f"/proc/{launcher_pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return {after for word, after in pairwise(words) if word == "--sidecar"}


def ask_agent(spec: TaskSpec, request: CheckpointRequest, clock: Clock) -> str:
    """Let the agent of our own job take a checkpoint; returns the image id.

    Raises:
        OperationUnsupportedError: The job has no agent.
        CheckpointError, CheckpointTimeoutError and others: What the agent reports.
    """
    path = send_request(spec, request, clock)
    limit = request.max_wait_seconds + _MARGIN_SECONDS
    return wait_for_answer(spec, path, clock, timeout_seconds=limit)


def send_request(spec: TaskSpec, request: CheckpointRequest, clock: Clock) -> Path:
    """Ask the agent for a checkpoint; returns the file in which it will answer.

    Contract: an agent that is just starting is waited for.

    Raises:
        OperationUnsupportedError: The job has no agent.
    """
    reply = f"reply.{os.urandom(8).hex()}"
    message = {
        "image_dir": request.image_dir,
        "max_wait_seconds": request.max_wait_seconds,
        "reply": reply,
    }
    note = Path(spec.run_dir, SOCKET_NOTE)
    if Path(spec.run_dir, AGENT_LOG).exists():
        wait_until(clock, note.exists, timeout_seconds=_START_SECONDS)
    try:
        address = b"\0" + note.read_bytes()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto(json.dumps(message).encode(), address)
    except OSError as error:
        raise OperationUnsupportedError(
            f"cannot checkpoint job {spec.number} from inside of itself: it has no agent "
            f"({error.strerror or error}); it is still running",
            hint="submit it with 'syscr sbatch --checkpoint=INTERVAL', or checkpoint it from elsewhere",
        ) from error
    return Path(spec.run_dir, reply)


def wait_for_answer(spec: TaskSpec, path: Path, clock: Clock, *, timeout_seconds: float) -> str:
    """Wait for the agent's answer; returns the image id.

    Args:
        spec: Our task when the request was sent.
        path: File of the answer.
        clock: Time.
        timeout_seconds: How long; 0: only look.

    Raises:
        CheckpointError, CheckpointTimeoutError and others: What the agent reports, or nothing.
    """
    if not wait_until(
        clock, lambda: path.exists() or _restored_from(spec) != "", timeout_seconds=timeout_seconds
    ):
        raise CheckpointTimeoutError(
            f"the agent of job {spec.number} gave no answer in time; the job is still running"
        )
    if not path.exists():  # another checkpoint caught us waiting; its image holds what we asked for
        return _restored_from(spec)
    try:
        answer = json.loads(path.read_text())  # the file stays: a restored caller looks for it, too
    except (OSError, ValueError) as error:
        raise ToolReplyError(f"the agent of job {spec.number} answered nothing readable") from error
    if not answer.get("ok"):
        failure = answer.get("error")
        if isinstance(failure, dict):
            raise build_error(failure, "")
        raise CheckpointError("the agent failed; see agent.log in the job's folder")
    return str(answer.get("image_id"))


def _restored_from(spec: TaskSpec) -> str:
    """Return the image that this process was brought back from since then; empty: it was not."""
    now = find_own_task()
    return now.restored_from if now is not None and now != spec else ""
