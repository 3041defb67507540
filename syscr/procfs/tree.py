"""Processes as /proc shows them: one tree, or all of a name. Vanished processes are left out.

Only numbers and names are read here; descriptors and mappings are in ``files.py``, sockets in
``sockets.py``. Everything is a snapshot of something that moves.

Source: Linux, Documentation/filesystems/proc.rst, 6.18; checked 2026-11.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes:
        pid: Its number in our PID namespace.
        ppid: Its parent's number; 0 if that is not in our namespace.
        ns_pid: Its number in its own, innermost PID namespace.
        comm: Name, at most 15 characters (threads may have others).
        exe: Path of the executable; empty for kernel threads and where we may not look.
        state: One letter: R S D T t Z X I.
        uid: Real user id, as our user namespace sees it.
        effective_uid: Effective user id.
        tracer_pid: Process that traces it; 0 if none.
        threads: Number of threads.
        resident_bytes: Resident memory.
        pid_namespace: Inode of its PID namespace; 0 where we may not look.
        start_ticks: Start, clock ticks since boot: pid and this together are unique.
    """

    pid: int
    ppid: int
    ns_pid: int
    comm: str
    exe: str = ""
    state: str = "S"
    uid: int = -1
    effective_uid: int = -1
    tracer_pid: int = 0
    threads: int = 1
    resident_bytes: int = 0
    pid_namespace: int = 0
    start_ticks: int = 0

    @property
    def is_zombie(self) -> bool:
        """Whether it has ended and waits for its parent."""
        return self.state in {"Z", "X"}


@dataclass(frozen=True, slots=True)
class _Stat:
    """The fields of /proc/PID/stat that are used here."""

    comm: str
    state: str
    ppid: int
    threads: int
    start_ticks: int
    resident_bytes: int


def list_tree(root_pid: int) -> tuple[Process, ...]:
    """Return a process and all its descendants, parents before children, siblings by pid.

    Returns:
        Empty if the root does not exist. Zombies are included.
    """
    children: dict[int, list[int]] = {}
    for pid in _iter_pids():
        stat = _read_stat(pid)
        if stat is not None:
            children.setdefault(stat.ppid, []).append(pid)
    found: list[Process] = []
    pending = [root_pid]
    while pending:
        pid = pending.pop(0)
        process = find_process(pid)
        if process is not None:
            found.append(process)
        pending.extend(sorted(children.get(pid, ())))
    return tuple(found)


def find_processes(comm: str, uid: int | None = None) -> tuple[Process, ...]:
    """Return the processes of this name, by pid.

    Args:
        comm: Exact name; cut to 15 characters as the kernel does.
        uid: Only those of this real user id; None: of anybody.
    """
    wanted = comm.encode()[:15].decode("utf-8", "surrogateescape")
    found = []
    for pid in _iter_pids():
        stat = _read_stat(pid)
        if stat is None or stat.comm != wanted:
            continue
        process = find_process(pid)
        if process is not None and (uid is None or process.uid == uid):
            found.append(process)
    return tuple(found)


def find_process(pid: int) -> Process | None:
    """Return one process, or None if it does not exist (any more)."""
    stat = _read_stat(pid)
    status = _read_text(PROC / str(pid) / "status")
    if stat is None or status is None:
        return None
    fields = {}
    for line in status.splitlines():
        key, _, value = line.partition(":")
        fields[key] = value.split()
    uids = [int(word) for word in fields.get("Uid", ["-1", "-1"])]
    return Process(
        pid=pid,
        ppid=stat.ppid,
        ns_pid=int(fields.get("NSpid", [str(pid)])[-1]),
        comm=stat.comm,
        exe=_read_link(PROC / str(pid) / "exe"),
        state=stat.state,
        uid=uids[0],
        effective_uid=uids[1],
        tracer_pid=int(fields.get("TracerPid", ["0"])[0]),
        threads=stat.threads,
        resident_bytes=stat.resident_bytes,
        pid_namespace=read_namespace(pid, "pid"),
        start_ticks=stat.start_ticks,
    )


def read_arguments(pid: int) -> tuple[str, ...]:
    """Return the argument list of a process; empty for zombies, kernel threads and vanished ones."""
    text = _read_text(PROC / str(pid) / "cmdline")
    if not text:
        return ()
    return tuple(text.removesuffix("\0").split("\0"))


def read_namespace(pid: int, kind: str) -> int:
    """Return the inode of a namespace (``pid``, ``net``, ``user``, ...); 0 if unknown."""
    link = _read_link(PROC / str(pid) / "ns" / kind)
    number = link.partition("[")[2].removesuffix("]")
    return int(number) if number.isdigit() else 0


def _iter_pids() -> Iterator[int]:
    for name in os.listdir(PROC):
        if name.isdigit():
            yield int(name)


def _read_stat(pid: int) -> _Stat | None:
    """Read /proc/PID/stat; the name may hold blanks and brackets, so look for the last bracket."""
    text = _read_text(PROC / str(pid) / "stat")
    if text is None:
        return None
    head, bracket, rest = text.rpartition(")")
    words = rest.split()
    if not bracket or len(words) < 22:
        return None
    return _Stat(
        comm=head.partition("(")[2],
        state=words[0],
        ppid=int(words[1]),
        threads=int(words[17]),
        start_ticks=int(words[19]),
        resident_bytes=int(words[21]) * _PAGE_BYTES,
    )


def _read_text(path: Path) -> str | None:
    """Return a file of /proc, None if the process has gone or it may not be read."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return None


def _read_link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
