"""Sockets and their other ends, against real sockets of this process and a child."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from syscr.procfs import netlink, sockets
from syscr.procfs.sockets import HeldSocket, Peer, SocketKind, SocketState


def find(opened: socket.socket) -> HeldSocket:
    """Return our own socket as the kernel lists it."""
    return next(held for held in sockets.list_sockets([os.getpid()]) if held.fd == opened.fileno())


@pytest.fixture(params=["127.0.0.1", "::1"])
def loopback(request: pytest.FixtureRequest) -> str:
    """Give a loopback address of each family that this machine has."""
    address = str(request.param)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.socket(family).bind((address, 0))
    except OSError as error:
        pytest.skip(f"no {address} here: {error}")
    return address


def test_tcp_pair_inside_is_told_inside(loopback: str) -> None:
    family = socket.AF_INET6 if ":" in loopback else socket.AF_INET
    with (
        socket.create_server((loopback, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
        server.accept()[0] as end,
    ):
        listening, connected = find(server), find(client)
        assert (listening.kind, listening.state, listening.peer) == (
            SocketKind.TCP,
            SocketState.LISTENING,
            Peer.NONE,
        )
        assert (connected.state, connected.peer) == (SocketState.CONNECTED, Peer.INSIDE)
        assert connected.is_loopback
        assert connected.remote == find(end).local
        assert connected.remote.endswith(f":{server.getsockname()[1]}")


def test_tcp_to_another_process_is_told_outside() -> None:
    code = (
        "import socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\ns.recv(1)"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        with subprocess.Popen([sys.executable, "-c", code, port]) as other, server.accept()[0]:
            (alone,) = sockets.find_outside_sockets([other.pid])
            assert (alone.pid, alone.kind, alone.peer) == (other.pid, SocketKind.TCP, Peer.NODE)
            assert sockets.find_outside_sockets([other.pid, os.getpid()]) == ()


def test_udp_bound_and_connected_are_told_apart() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as bound,
        socket.socket(type=socket.SOCK_DGRAM) as sender,
    ):
        bound.bind(("127.0.0.1", 0))
        sender.connect(bound.getsockname())
        assert find(bound).state is SocketState.UNCONNECTED
        assert (find(sender).kind, find(sender).state) == (SocketKind.UDP, SocketState.CONNECTED)


def test_unix_stream_to_named_server_outside_names_it(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    code = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.recv(1)"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with subprocess.Popen([sys.executable, "-c", code, path]) as other, server.accept()[0]:
            (alone,) = sockets.find_outside_sockets([other.pid])
            assert (alone.kind, alone.remote, alone.peer) == (
                SocketKind.UNIX_STREAM,
                path,
                Peer.NODE,
            )
            assert sockets.find_outside_sockets([os.getpid(), other.pid]) == ()


def test_unix_pair_with_lost_other_end_is_not_outside() -> None:
    left, right = socket.socketpair()
    with left:
        with right:
            assert find(left).peer is Peer.INSIDE
        assert find(left).peer is Peer.NONE


def test_unix_datagram_pair_inherited_by_child_is_outside_of_it() -> None:
    left, right = socket.socketpair(type=socket.SOCK_DGRAM)
    with (
        left,
        right,
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            pass_fds=[right.fileno()],
        ) as child,
    ):
        (alone,) = sockets.find_outside_sockets([child.pid])
        assert (alone.kind, alone.peer) == (SocketKind.UNIX_DGRAM, Peer.NODE)
        child.communicate()


def test_abstract_name_is_written_with_at_sign() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0syscr-test-{os.getpid()}")
        server.listen()
        assert (find(server).local, find(server).state) == (
            f"@syscr-test-{os.getpid()}",
            SocketState.LISTENING,
        )


def test_socket_that_the_kernel_does_not_list_is_other() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as opened:
        assert find(opened).kind is SocketKind.OTHER


def test_vanished_process_has_no_sockets() -> None:
    assert sockets.list_sockets([1 << 30]) == ()


def test_malformed_attribute_ends_the_list() -> None:
    reply = bytes([1, 1, 1, 0]) + (7).to_bytes(4, sys.byteorder) + bytes(8) + bytes(4)
    assert netlink.parse_unix_reply(reply).inode == 7
