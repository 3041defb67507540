"""Findings about a live task: each check alone, on made-up facts."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from syscr.backends import checks
from syscr.model import Severity
from syscr.procfs.facts import TreeFacts
from syscr.procfs.files import FileKind, Mapping, OpenFile
from syscr.procfs.sockets import HeldSocket, Peer, SocketKind, SocketState
from syscr.procfs.tree import Process

PROGRAM = Process(pid=7, ppid=6, ns_pid=3, comm="python3", uid=1000, effective_uid=1000)
FACTS = TreeFacts(uid=1000, processes=(PROGRAM,))
ALL = (
    checks.find_srun,
    checks.find_other_users,
    checks.find_traced,
    checks.find_namespaces,
    checks.find_outside_sockets,
    checks.find_tcp_connections,
    checks.find_bound_addresses,
    checks.find_terminals,
    checks.find_devices,
    checks.find_anonymous,
    checks.find_deleted_mappings,
    checks.find_sysv_memory,
    checks.find_deleted_links,
    checks.find_local_files,
)


def find(facts: TreeFacts) -> list[tuple[str, str, str]]:
    """Return (code, message, hint) of everything that any check finds."""
    return [(one.code, one.message, one.hint) for check in ALL for one in check(facts)]


def opened(fd: int, kind: FileKind, target: str, **more: object) -> OpenFile:
    """Return a descriptor of the program."""
    path = target if target.startswith("/") else ""
    return replace(OpenFile(pid=7, fd=fd, kind=kind, target=target, path=path), **more)  # type: ignore[arg-type]


def held(kind: SocketKind, peer: Peer, **more: object) -> HeldSocket:
    """Return a connected socket of the program."""
    one = HeldSocket(
        pid=7, fd=5, inode=1, kind=kind, state=SocketState.CONNECTED, local="a:1", remote="b:2"
    )
    return replace(one, peer=peer, **more)  # type: ignore[arg-type]


def test_plain_program_has_no_findings() -> None:
    fine = (
        opened(0, FileKind.DEVICE, "/dev/null"),
        opened(1, FileKind.PIPE, "pipe:[3]"),
        opened(2, FileKind.REGULAR, "/shared/out", link_count=1),
        opened(3, FileKind.REGULAR, "/tmp/gone", is_deleted=True, link_count=0),
        opened(4, FileKind.ANON, "anon_inode:[eventfd]"),
        opened(5, FileKind.ANON, "anon_inode:[eventpoll]"),
        opened(6, FileKind.ANON, "anon_inode:[pidfd]"),
    )
    mapped = (
        Mapping(7, "/usr/lib/libc.so"),
        Mapping(7, "/memfd:x", is_deleted=True),
        Mapping(7, "/dev/zero", is_shared=True, is_deleted=True),
    )
    sockets = (
        held(SocketKind.UNIX_STREAM, Peer.INSIDE),
        held(SocketKind.UNIX_DGRAM, Peer.NODE),
        held(SocketKind.UDP, Peer.ELSEWHERE),
        HeldSocket(7, 9, 2, SocketKind.TCP, SocketState.LISTENING, local="0.0.0.0:80"),
        HeldSocket(7, 9, 2, SocketKind.TCP, SocketState.LISTENING, local="[::]:80"),
        HeldSocket(7, 8, 3, SocketKind.TCP, SocketState.LISTENING, "127.0.0.1:9", is_loopback=True),
        HeldSocket(7, 7, 4, SocketKind.OTHER),
    )
    assert find(replace(FACTS, files=fine, mappings=mapped, sockets=sockets)) == []


def test_running_srun_says_what_works_instead() -> None:
    srun = replace(PROGRAM, pid=8, comm="srun")
    ((code, message, hint),) = find(replace(FACTS, processes=(PROGRAM, srun)))
    assert code == "srun_in_tree"
    assert "process 8 (srun)" in message
    assert "syscr srun" in hint


def test_zombies_are_fine() -> None:
    zombie = replace(PROGRAM, comm="srun", state="Z", uid=0, effective_uid=0)
    assert find(replace(FACTS, processes=(zombie,))) == []


def test_process_of_another_user_is_found() -> None:
    setuid = replace(PROGRAM, effective_uid=0)
    assert [code for code, _, _ in find(replace(FACTS, processes=(setuid,)))] == ["other_user"]


def test_traced_process_names_its_tracer() -> None:
    ((code, message, _),) = find(replace(FACTS, processes=(replace(PROGRAM, tracer_pid=99),)))
    assert code == "traced"
    assert "process 7 (python3) is traced by process 99" in message


def test_namespace_of_its_own_is_named() -> None:
    ((code, message, _),) = find(replace(FACTS, foreign_namespaces=((7, ("pid", "user")),)))
    assert code == "nested_namespace"
    assert "(pid, user)" in message


@pytest.mark.parametrize(
    ("kind", "peer", "code"),
    [
        (SocketKind.TCP, Peer.INSIDE, "tcp_connection"),
        (SocketKind.TCP, Peer.NODE, "socket_to_outside"),
        (SocketKind.TCP, Peer.ELSEWHERE, "socket_to_outside"),
        (SocketKind.UNIX_STREAM, Peer.NODE, "socket_to_outside"),
    ],
)
def test_connection_is_found_once_for_each_process(kind: SocketKind, peer: Peer, code: str) -> None:
    two = (held(kind, peer), held(kind, peer, fd=6))
    ((found, message, _),) = find(replace(FACTS, sockets=two))
    assert found == code
    assert "process 7 (python3)" in message
    assert "a:1 -> b:2 (descriptor 5) and 1 more" in message


def test_socket_that_pmi_fd_names_is_slurms() -> None:
    one = held(SocketKind.UNIX_STREAM, Peer.NODE, local="", remote="")
    ((code, message, hint),) = find(replace(FACTS, sockets=(one,), pmi_fds=((7, 5),)))
    assert code == "pmi_socket"
    assert "without a name" in message
    assert "--mpi=none" in hint


def test_socket_bound_to_the_node_is_a_warning() -> None:
    bound = HeldSocket(7, 9, 2, SocketKind.TCP, SocketState.LISTENING, local="10.0.0.1:80")
    (found,) = checks.find_bound_addresses(replace(FACTS, sockets=(bound,)))
    assert (found.code, found.severity) == ("bound_to_node", Severity.WARNING)


@pytest.mark.parametrize(
    ("kind", "target", "more", "code"),
    [
        (FileKind.TERMINAL, "/dev/pts/0", {}, "terminal"),
        (FileKind.DEVICE, "/dev/nvidia0", {}, "gpu"),
        (FileKind.DEVICE, "/dev/infiniband/uverbs0", {}, "network_device"),
        (FileKind.DEVICE, "/dev/fuse", {}, "device_file"),
        (FileKind.ANON, "anon_inode:[io_uring]", {}, "io_uring"),
        (FileKind.ANON, "anon_inode:[userfaultfd]", {}, "userfaultfd"),
        (FileKind.ANON, "anon_inode:inotify", {}, "file_watch"),
        (FileKind.ANON, "anon_inode:[fanotify]", {}, "file_watch"),
        (FileKind.ANON, "anon_inode:bpf-map", {}, "unsupported_descriptor"),
        (
            FileKind.REGULAR,
            "/shared/a",
            {"is_deleted": True, "link_count": 1},
            "deleted_file_with_links",
        ),
        (FileKind.REGULAR, "/tmp/big", {"size_bytes": 2 << 30}, "big_local_file"),
    ],
)
def test_descriptor_is_found(
    kind: FileKind, target: str, more: dict[str, object], code: str
) -> None:
    files = (opened(3, kind, target, **more), opened(4, kind, target, **more))
    ((found, message, hint),) = find(replace(FACTS, files=files))
    assert found == code
    assert hint
    assert target.removeprefix("anon_inode:").strip("[]") in message


@pytest.mark.parametrize(
    ("path", "deleted", "code", "hint"),
    [
        ("/dev/shm/sem.x", True, "deleted_mapping", "dmtcp"),
        ("/usr/lib/libx.so", True, "deleted_mapping", "replaced"),
        ("/SYSV00000000", True, "sysv_shared_memory", "dmtcp"),
        ("/dev/nvidiactl", False, "gpu", "application"),
    ],
)
def test_mapping_is_found(path: str, deleted: bool, code: str, hint: str) -> None:
    mapping = Mapping(7, path, is_shared=True, is_deleted=deleted)
    ((found, message, advice),) = find(replace(FACTS, mappings=(mapping,)))
    assert found == code
    assert "process 7 (python3)" in message
    assert hint in advice


def test_unknown_process_is_named_by_number() -> None:
    assert FACTS.name(os.getpid()) == f"process {os.getpid()} (?)"
