"""Everything that pre-flight judges about one live task, read in one go.

``backends/checks.py`` turns it into findings and does no I/O itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syscr.procfs.files import Mapping, OpenFile, list_mappings, list_open_files
from syscr.procfs.sockets import HeldSocket, list_sockets
from syscr.procfs.tree import PROC, Process, find_process, read_namespace

# Namespaces of which CRIU would have to dump one that is not the task's own.
NAMESPACES = ("pid", "user", "mnt", "net", "ipc", "uts", "time")


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """One task as /proc shows it.

    Attributes:
        uid: User the task belongs to.
        processes: Live processes and zombies.
        files: Their open descriptors.
        mappings: Their mapped files.
        sockets: Their sockets.
        foreign_namespaces: pid -> kinds of namespace that differ from those of the dump root.
        pmi_fds: pid -> descriptor that Slurm's PMI gave it.
    """

    uid: int
    processes: tuple[Process, ...] = ()
    files: tuple[OpenFile, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    sockets: tuple[HeldSocket, ...] = ()
    foreign_namespaces: tuple[tuple[int, tuple[str, ...]], ...] = ()
    pmi_fds: tuple[tuple[int, int], ...] = ()

    def name(self, pid: int) -> str:
        """Return ``process 123 (python3)``."""
        comm = next((process.comm for process in self.processes if process.pid == pid), "?")
        return f"process {pid} ({comm})"


def read_tree_facts(pids: Sequence[int], *, uid: int, root_pid: int) -> TreeFacts:
    """Look at the processes of one task; those that vanish meanwhile are left out.

    Args:
        pids: All processes of the task.
        uid: User it belongs to.
        root_pid: Dump root, whose namespaces are the task's own; need not be among ``pids``.
    """
    found = [find_process(pid) for pid in pids]
    processes = tuple(process for process in found if process is not None)
    live = tuple(process.pid for process in processes if not process.is_zombie)
    own = {kind: read_namespace(root_pid, kind) for kind in NAMESPACES}
    foreign = ((pid, _find_foreign(pid, own)) for pid in live)
    pmi = ((pid, _read_pmi_fd(pid)) for pid in live)
    return TreeFacts(
        uid=uid,
        processes=processes,
        files=tuple(file for pid in live for file in list_open_files(pid)),
        mappings=tuple(mapping for pid in live for mapping in list_mappings(pid)),
        sockets=list_sockets(live),
        foreign_namespaces=tuple((pid, kinds) for pid, kinds in foreign if kinds),
        pmi_fds=tuple((pid, fd) for pid, fd in pmi if fd is not None),
    )


def _find_foreign(pid: int, own: dict[str, int]) -> tuple[str, ...]:
    """Return the kinds that are known and differ; 0 means that we may not look."""
    inodes = {kind: read_namespace(pid, kind) for kind in own}
    return tuple(
        kind for kind, inode in inodes.items() if inode and own[kind] and inode != own[kind]
    )


def _read_pmi_fd(pid: int) -> int | None:
    """Return the descriptor that PMI_FD names in the environment a process was started with.

    Source: Slurm 24.11, ``src/plugins/mpi/pmi2/setup.c``: the step daemon sets PMI_FD.
    """
    try:
        data = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    for entry in data.split(b"\0"):
        if entry.startswith(b"PMI_FD=") and entry[7:].isdigit():
            return int(entry[7:])
    return None
