"""What makes DMTCP unfit for a live task: facts of the processes and the coordinator -> findings; pure.

Faults behind the refusals (measured on 4.2.0 and main 2bef5cf8, 2026-11): a checkpoint with TCP to
another node never ends and never lets the program go on; one of a program with an io_uring ring, or on
a full disk, ends the program; a process that is not under DMTCP is silently missing in the image.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from syscr.backends import checks
from syscr.backends.dmtcp.commands import OWN_DESCRIPTORS
from syscr.backends.dmtcp.parse import Client
from syscr.backends.dmtcp.program import Program
from syscr.model import Finding, Severity
from syscr.procfs.facts import TreeFacts
from syscr.procfs.files import FileKind
from syscr.procfs.sockets import Peer, SocketKind, SocketState
from syscr.units import format_size

_MARGIN_BYTES = 64 << 20
_GROWTH = 1.3
_MPI_LIBRARIES = ("libmpi.so", "libmpi_", "libmpich", "libmpicxx", "libpmix.so", "libpmi2.so")
_RESTORER = "mtcp_restart"
_SHARED_ANONYMOUS = "/dev/zero"
_TMPFILE = os.O_TMPFILE & ~os.O_DIRECTORY

CHECKS: tuple[checks.Check, ...] = (
    checks.find_srun,
    checks.find_other_users,
    checks.find_traced,
    checks.find_outside_sockets,
    checks.find_bound_addresses,
    checks.find_terminals,
    checks.find_devices,
)


@dataclass(frozen=True, slots=True)
class Space:
    """Room for images.

    Attributes:
        path: Directory that they are written to.
        free_bytes: What an ordinary user may still write there.
    """

    path: str
    free_bytes: int


def drop_own(facts: TreeFacts, run_dir: str, port: int = 0) -> TreeFacts:
    """Return the facts without what DMTCP has open and mapped for itself.

    Args:
        facts: What was found.
        run_dir: Private directory of the task.
        port: The coordinator's, to which a process that is just starting is connected by another
            descriptor for a moment; 0: not known.
    """
    coordinator = f"127.0.0.1:{port}" if port else None
    inside = run_dir.rstrip("/") + "/"
    return replace(
        facts,
        files=tuple(file for file in facts.files if file.fd not in OWN_DESCRIPTORS),
        sockets=tuple(
            held
            for held in facts.sockets
            if held.fd not in OWN_DESCRIPTORS and held.remote != coordinator
        ),
        mappings=tuple(entry for entry in facts.mappings if not entry.path.startswith(inside)),
    )


def check_facts(facts: TreeFacts) -> tuple[Finding, ...]:
    """Return the findings about processes, files, mappings and sockets."""
    found = [finding for check in CHECKS for finding in check(facts)]
    found += [
        finding for finding in checks.find_anonymous(facts) if finding.code not in _TAKEN_CODES
    ]
    found += [*_find_mpi(facts), *_find_shared_memory(facts), *_find_memory_files(facts)]
    found += _find_unnamed_files(facts)
    return (*found, *_find_datagrams(facts))


_TAKEN_CODES = frozenset({"file_watch"})


def _find_mpi(facts: TreeFacts) -> list[Finding]:
    """MPI: MPICH ends at start under DMTCP, Open MPI crashes (measured with MPICH 4.2.1, 2026-11)."""
    pids = {
        entry.pid: PurePath(entry.path).name
        for entry in facts.mappings
        if PurePath(entry.path).name.startswith(_MPI_LIBRARIES)
    }
    return [
        Finding(
            "mpi",
            Severity.ERROR,
            f"{facts.name(pid)} uses MPI ({library}), which DMTCP cannot take",
            "use a program that saves its own state (backend 'application')",
            pid=pid,
        )
        for pid, library in pids.items()
    ]


def _find_shared_memory(facts: TreeFacts) -> list[Finding]:
    """Anonymous shared memory of several processes comes back as separate memory of each.

    DMTCP itself has such a mapping, which nobody may write to.
    """
    holders: dict[tuple[str, int], list[int]] = {}
    for entry in facts.mappings:
        if entry.is_shared and entry.writable and entry.path.startswith(_SHARED_ANONYMOUS):
            holders.setdefault((entry.device, entry.inode), []).append(entry.pid)
    found = {pids[0]: len(set(pids)) for pids in holders.values() if len(set(pids)) > 1}
    return [
        Finding(
            "shared_memory",
            Severity.ERROR,
            f"{facts.name(pid)} shares anonymous memory with {count - 1} other processes",
            "start the job with '--backend criu'",
            pid=pid,
        )
        for pid, count in found.items()
    ]


def _find_memory_files(facts: TreeFacts) -> list[Finding]:
    """Files without a name in any directory (memfd) cannot be opened again."""
    found = {file.pid: file for file in facts.files if file.kind is FileKind.MEMFD}
    return [
        Finding(
            "memory_file",
            Severity.ERROR,
            f"{facts.name(pid)} has a memory file open: '{file.target}' (descriptor {file.fd})",
            "start the job with '--backend criu'",
            pid=pid,
        )
        for pid, file in found.items()
    ]


def _find_unnamed_files(facts: TreeFacts) -> list[Finding]:
    """Files that never had a name (O_TMPFILE): DMTCP takes their directory for their name.

    The program then ends at the restart ("File already exists!", exit code 99; 4.2.0 and main, 2026-11).
    """
    found = {file.pid: file for file in facts.files if file.flags & _TMPFILE}
    return [
        Finding(
            "unnamed_file",
            Severity.ERROR,
            f"{facts.name(pid)} has a file open that never had a name: '{file.target}' (descriptor "
            f"{file.fd}), which DMTCP cannot bring back",
            "start the job with '--backend criu'",
            pid=pid,
        )
        for pid, file in found.items()
    ]


def _find_datagrams(facts: TreeFacts) -> list[Finding]:
    """What is on its way in a datagram socket is lost."""
    found = {
        held.pid: held
        for held in facts.sockets
        if held.state is SocketState.CONNECTED
        and held.peer in {Peer.NODE, Peer.ELSEWHERE}
        and held.kind in {SocketKind.UDP, SocketKind.UNIX_DGRAM}
    }
    return [
        Finding(
            "datagram_socket",
            Severity.WARNING,
            f"{facts.name(pid)} has a datagram socket to '{held.remote}' (descriptor {held.fd}); what is "
            "on its way at the checkpoint is lost",
            pid=pid,
        )
        for pid, held in found.items()
    ]


def check_protection(
    facts: TreeFacts, clients: Sequence[Client], programs: Sequence[Program]
) -> tuple[Finding, ...]:
    """Compare the processes of the task with those that DMTCP knows.

    Args:
        facts: Processes of the task.
        clients: Processes that the coordinator knows.
        programs: Executable files of the processes, in the order of ``facts.processes``.
    """
    known = {client.pid for client in clients}
    found = []
    for process, program in zip(facts.processes, programs, strict=True):
        is_restored = PurePath(program.path).name == _RESTORER
        code, why, hint = _find_obstacle(program) if not is_restored else ("", "", "")
        if process.is_zombie or (process.pid in known and not code):
            continue
        if not code:
            code, why = "unprotected_process", "was not started under DMTCP"
            hint = "start it from the program itself, with its environment unchanged"
        message = f"{facts.name(process.pid)} is not protected by DMTCP: it {why}"
        found.append(Finding(code, Severity.ERROR, message, hint, pid=process.pid))
    return tuple(found)


def _find_obstacle(program: Program) -> tuple[str, str, str]:
    """Return code, reason and hint for a program that DMTCP's library cannot get into; empty: it can.

    Such a program may be known to the coordinator all the same: it inherits the connection of the
    process that started it, and never answers.
    """
    if program.is_static:
        return (
            "static_program",
            f"is a static program ('{program.path}')",
            "link it dynamically, or start the job with '--backend criu'",
        )
    if program.is_privileged:
        return (
            "privileged_program",
            f"has the set-user-id bit ('{program.path}')",
            "use a copy without that bit",
        )
    return "", "", ""


def check_space(facts: TreeFacts, space: Space) -> tuple[Finding, ...]:
    """Refuse where the images may not fit: a full disk ends the program, not only the checkpoint."""
    live = [process for process in facts.processes if not process.is_zombie]
    resident = sum(process.resident_bytes for process in live)
    needed = round(resident * _GROWTH) + _MARGIN_BYTES * max(1, len(live))
    if space.free_bytes >= needed:
        return ()
    return (
        Finding(
            "not_enough_space",
            Severity.ERROR,
            f"'{space.path}' has {format_size(space.free_bytes)} free, {format_size(needed)} are needed; "
            "DMTCP ends the program when its image does not fit",
            "free space there with 'syscr image prune', or start the job with another --checkpoint-dir",
        ),
    )
