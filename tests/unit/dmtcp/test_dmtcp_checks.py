"""Facts of a live task -> findings of the DMTCP backend."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syscr.backends.dmtcp import checks
from syscr.backends.dmtcp.parse import Client
from syscr.backends.dmtcp.program import Program
from syscr.model import Severity
from syscr.procfs.facts import TreeFacts
from syscr.procfs.files import FileKind, Mapping, OpenFile
from syscr.procfs.sockets import HeldSocket, Peer, SocketKind, SocketState
from syscr.procfs.tree import Process

PROCESS = Process(7, 1, 7, "prog", uid=1000, effective_uid=1000, resident_bytes=100 << 20)
CLEAN = TreeFacts(uid=1000, processes=(PROCESS,))
CONNECTED = SocketState.CONNECTED


def codes(facts: TreeFacts) -> list[str]:
    return [finding.code for finding in checks.check_facts(facts)]


def test_clean_task_has_no_findings() -> None:
    assert codes(CLEAN) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(CLEAN, processes=(replace(PROCESS, comm="srun"),)), "srun_in_tree"),
        (
            replace(
                CLEAN,
                sockets=(HeldSocket(7, 3, 1, SocketKind.TCP, CONNECTED, peer=Peer.ELSEWHERE),),
            ),
            "socket_to_outside",
        ),
        (
            replace(
                CLEAN,
                sockets=(HeldSocket(7, 3, 1, SocketKind.UDP, CONNECTED, peer=Peer.ELSEWHERE),),
            ),
            "datagram_socket",
        ),
        (
            replace(CLEAN, files=(OpenFile(7, 4, FileKind.ANON, "anon_inode:[io_uring]"),)),
            "io_uring",
        ),
        (
            replace(CLEAN, files=(OpenFile(7, 4, FileKind.MEMFD, "/memfd:x (deleted)"),)),
            "memory_file",
        ),
        (replace(CLEAN, mappings=(Mapping(7, "/usr/lib/libmpi.so.40"),)), "mpi"),
        (replace(CLEAN, mappings=(Mapping(7, "/dev/nvidia0"),)), "gpu"),
    ],
)
def test_what_dmtcp_cannot_take_is_found(facts: TreeFacts, expected: str) -> None:
    assert codes(facts) == [expected]


def test_tcp_inside_the_task_and_inotify_are_taken() -> None:
    inside = HeldSocket(7, 3, 1, SocketKind.TCP, CONNECTED, peer=Peer.INSIDE, is_loopback=True)
    watch = OpenFile(7, 4, FileKind.ANON, "anon_inode:inotify")
    assert codes(replace(CLEAN, sockets=(inside,), files=(watch,))) == []


def test_shared_anonymous_memory_of_two_processes_is_refused() -> None:
    shared = Mapping(7, "/dev/zero", is_shared=True, writable=True, device="00:01", inode=5)
    assert codes(replace(CLEAN, mappings=(shared,))) == []
    assert codes(replace(CLEAN, mappings=(shared, replace(shared, pid=8)))) == ["shared_memory"]
    own = replace(shared, writable=False)
    assert codes(replace(CLEAN, mappings=(own, replace(own, pid=8)))) == []


def test_what_dmtcp_has_open_itself_is_dropped() -> None:
    facts = replace(
        CLEAN,
        files=(OpenFile(7, 832, FileKind.REGULAR, "/r/x"), OpenFile(7, 3, FileKind.REGULAR, "/f")),
        sockets=(HeldSocket(7, 821, 1, SocketKind.TCP, CONNECTED, peer=Peer.NODE),),
        mappings=(Mapping(7, "/r/dmtcp/area"), Mapping(7, "/lib/x.so")),
    )
    left = checks.drop_own(facts, "/r")
    assert [file.fd for file in left.files] == [3]
    assert left.sockets == ()
    assert [entry.path for entry in left.mappings] == ["/lib/x.so"]


def test_process_that_is_just_starting_talks_to_its_coordinator_by_another_descriptor() -> None:
    remotes = ("127.0.0.1:7779", "127.0.0.1:7780")
    sockets = tuple(
        HeldSocket(7, 3, inode, SocketKind.TCP, CONNECTED, remote=remote, peer=Peer.NODE)
        for inode, remote in enumerate(remotes)
    )
    facts = replace(CLEAN, sockets=sockets)
    assert checks.drop_own(facts, "/r", 7779).sockets == sockets[1:]
    assert checks.drop_own(facts, "/r").sockets == sockets


@pytest.mark.parametrize(
    ("clients", "program", "expected"),
    [
        ([Client("prog", 7, "RUNNING")], Program("/bin/prog"), []),
        ([], Program("/bin/prog"), ["unprotected_process"]),
        ([Client("bash", 7, "RUNNING")], Program("/bin/x", is_static=True), ["static_program"]),
        ([], Program("/bin/x", is_privileged=True), ["privileged_program"]),
        ([Client("p", 7, "RUNNING")], Program("/o/bin/mtcp_restart", is_static=True), []),
        ([], Program("/o/bin/mtcp_restart", is_static=True), ["unprotected_process"]),
    ],
)
def test_processes_are_compared_with_clients(
    clients: list[Client], program: Program, expected: list[str]
) -> None:
    found = checks.check_protection(CLEAN, clients, [program])
    assert [finding.code for finding in found] == expected
    assert all("process 7 (prog)" in finding.message for finding in found)


def test_zombie_needs_no_protection() -> None:
    dead = replace(CLEAN, processes=(replace(PROCESS, state="Z"),))
    assert checks.check_protection(dead, [], [Program("")]) == ()


def test_space_needs_resident_memory_and_a_margin() -> None:
    needed = round(1.3 * (100 << 20)) + (64 << 20)
    assert checks.check_space(CLEAN, checks.Space("/d", needed)) == ()
    (finding,) = checks.check_space(CLEAN, checks.Space("/d", needed - 1))
    assert (finding.code, finding.severity) == ("not_enough_space", Severity.ERROR)
    assert "194.0 MiB are needed" in finding.message
