"""Who holds a lock or writes a staging directory, and whether that process still lives.

A process is known by host, boot, PID namespace, pid and start time together: pids come round again,
and two containers may share a host name.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from datetime import datetime

from syscr.store.layout import StagingName

_PROC = "/proc"
_CLOCK_SLACK_SECONDS = 3600.0  # the file server's clock may differ from ours


@dataclass(frozen=True, slots=True)
class Holder:
    """One process at work on a folder; the content of ``locks/<lock_id>.json``.

    Attributes:
        host: Host name.
        pid: Process id as it sees itself.
        boot_id: The kernel's id of this boot; empty if unknown.
        pid_namespace: PID namespace in which ``pid`` counts; empty if unknown.
        start_ticks: Start time of the process in clock ticks since boot; 0 if unknown.
        user: User name.
        time: When the lock was taken.
        exclusive: Whether nobody else may hold one.
        purpose: What for, for people (``checkpoint of job 4711``).
    """

    host: str
    pid: int
    boot_id: str
    pid_namespace: str
    start_ticks: int
    user: str
    time: datetime
    exclusive: bool = True
    purpose: str = ""

    def __str__(self) -> str:
        """Return the holder for a message."""
        purpose = f" ({self.purpose})" if self.purpose else ""
        since = self.time.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"process {self.pid} of '{self.user}' on '{self.host}'{purpose}, since {since}"


def host_name() -> str:
    """Return the name of this host."""
    return os.uname().nodename


def current_holder(now: datetime, purpose: str) -> Holder:
    """Return this process."""
    pid = os.getpid()
    found = read_start_ticks(pid)
    return Holder(
        host=host_name(),
        pid=pid,
        boot_id=_read_text("sys/kernel/random/boot_id"),
        pid_namespace=_pid_namespace(),
        start_ticks=found or 0,
        user=_own_name(),
        time=now,
        purpose=purpose,
    )


def is_alive(holder: Holder, here: Holder) -> bool | None:
    """Whether the process lives, seen from ``here`` (``current_holder``).

    Returns:
        None: it cannot be known from here (another host, boot or PID namespace).
    """
    same_place = (
        holder.host == here.host
        and holder.boot_id == here.boot_id != ""
        and holder.pid_namespace == here.pid_namespace != ""
    )
    if not same_place:
        return None
    started = read_start_ticks(holder.pid)
    if started is None:
        return False
    return holder.start_ticks in (0, started)


def is_same_process(holder: Holder, here: Holder) -> bool:
    """Whether both are one process."""
    return (holder.host, holder.boot_id, holder.pid_namespace, holder.pid, holder.start_ticks) == (
        here.host,
        here.boot_id,
        here.pid_namespace,
        here.pid,
        here.start_ticks,
    )


def is_abandoned(name: StagingName, *, modified: float, now: float, limit_seconds: float) -> bool:
    """Whether the writer of a staging directory is gone.

    Contract: on this host its process must be gone, or have begun long after the directory was last
    changed (the pid came round again). Of other hosts nothing is known, so only age tells.

    Args:
        name: Staging directory.
        modified: When it was last changed, seconds since the epoch.
        now: Current time, likewise.
        limit_seconds: Age from which no writer on another host can be at work any more.
    """
    if name.host != host_name().replace("/", "_"):
        return now - modified > limit_seconds
    ticks = read_start_ticks(name.pid)
    if ticks is None:
        return True
    started = _boot_seconds() + ticks / os.sysconf("SC_CLK_TCK")
    return started > modified + _CLOCK_SLACK_SECONDS


def read_start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None: it has ended.

    Source: proc_pid_stat(5), Linux man-pages 6.9: field 3 is the state, field 22 the start time,
    and the name in field 2 may hold blanks and parentheses. Checked 2026-11.
    """
    text = _read_text(f"{pid}/stat")
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in {"Z", "X"}:
        return None
    return int(fields[19])


def _boot_seconds() -> float:
    """Return the time of boot, seconds since the epoch; 0 if unknown."""
    for line in _read_text("stat").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _pid_namespace() -> str:
    try:
        return os.readlink(f"{_PROC}/self/ns/pid")
    except OSError:
        return ""


def _own_name() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read_text(name: str) -> str:
    """Return a file of /proc, or an empty text where it cannot be read."""
    try:
        with open(f"{_PROC}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
