"""The sockets that a set of processes holds, and who is at their other end.

What may be dumped is not judged here; that depends on the backend.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from syscr.procfs import netlink
from syscr.procfs.tree import PROC


class SocketKind(StrEnum):
    """Family and type of a socket."""

    TCP = "tcp"
    UDP = "udp"
    UNIX_STREAM = "unix stream"
    UNIX_DGRAM = "unix datagram"
    OTHER = "other"


class SocketState(StrEnum):
    """What a socket is doing."""

    LISTENING = "listening"
    CONNECTED = "connected"
    UNCONNECTED = "unconnected"


class Peer(StrEnum):
    """Where the other end of a socket is."""

    NONE = "none"
    INSIDE = "inside"
    NODE = "node"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class HeldSocket:
    """One socket in the hands of one process; of several holders the first is named.

    Attributes:
        pid: A process that holds it.
        fd: Its descriptor there.
        inode: Its inode.
        kind: Family and type; OTHER for what the kernel does not list (netlink, raw, unbound TCP).
        state: What it is doing; connections that are being made or closed count as CONNECTED.
        local: ``address:port``, path or ``@name``; empty if it has none.
        remote: The same of the other end; of a unix socket the name that was connected to.
        peer: Where the other end is: none, in the same set of processes, on this node, elsewhere.
        is_loopback: Whether it is bound or connected to a loopback address (TCP and UDP).
    """

    pid: int
    fd: int
    inode: int
    kind: SocketKind
    state: SocketState = SocketState.UNCONNECTED
    local: str = ""
    remote: str = ""
    peer: Peer = Peer.NONE
    is_loopback: bool = False


def list_sockets(pids: Iterable[int]) -> tuple[HeldSocket, ...]:
    """Return the sockets of these processes, each once, by process and descriptor.

    Only processes in our own network namespace can be told; sockets of others come as OTHER.
    """
    holders = _find_holders(pids)
    if not holders:
        return ()
    known = {
        **_list_inet(SocketKind.TCP, socket.IPPROTO_TCP, holders),
        **_list_inet(SocketKind.UDP, socket.IPPROTO_UDP, holders),
        **_list_unix(holders),
    }
    return tuple(
        known.get(inode) or HeldSocket(pid, fd, inode, SocketKind.OTHER)
        for inode, (pid, fd) in holders.items()
    )


def find_outside_sockets(pids: Iterable[int]) -> tuple[HeldSocket, ...]:
    """Return the sockets whose other end is not one of these processes."""
    outside = {Peer.NODE, Peer.ELSEWHERE}
    return tuple(found for found in list_sockets(pids) if found.peer in outside)


def _find_holders(pids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return inode -> (pid, fd) of all sockets, the first holder wins."""
    holders: dict[int, tuple[int, int]] = {}
    for pid in pids:
        folder = PROC / str(pid) / "fd"
        try:
            numbers = sorted(int(name) for name in os.listdir(folder))
        except OSError:
            continue
        for fd in numbers:
            try:
                target = os.readlink(folder / str(fd))
            except OSError:
                continue
            if target.startswith("socket:["):
                holders.setdefault(int(target[8:-1]), (pid, fd))
    return holders


def _list_inet(
    kind: SocketKind, protocol: int, holders: Mapping[int, tuple[int, int]]
) -> dict[int, HeldSocket]:
    entries = netlink.list_inet_sockets(protocol)
    ends = {(entry.local, entry.remote): entry for entry in entries}
    found = {}
    for entry in entries:
        if entry.inode not in holders:
            continue
        state = _inet_state(kind, entry.state)
        peer = Peer.NONE
        if state is SocketState.CONNECTED:
            other = ends.get((entry.remote, entry.local))
            if other is None:
                peer = Peer.NODE if _is_loopback(entry.remote[0]) else Peer.ELSEWHERE
            else:
                peer = Peer.INSIDE if other.inode in holders else Peer.NODE
        pid, fd = holders[entry.inode]
        address = entry.remote[0] if state is SocketState.CONNECTED else entry.local[0]
        found[entry.inode] = HeldSocket(
            pid=pid,
            fd=fd,
            inode=entry.inode,
            kind=kind,
            state=state,
            local=_format_end(entry.local),
            remote=_format_end(entry.remote) if state is SocketState.CONNECTED else "",
            peer=peer,
            is_loopback=_is_loopback(address),
        )
    return found


def _inet_state(kind: SocketKind, number: int) -> SocketState:
    if number == netlink.TCP_LISTEN:
        return SocketState.LISTENING
    if number == netlink.TCP_CLOSE or (
        kind is SocketKind.UDP and number != netlink.TCP_ESTABLISHED
    ):
        return SocketState.UNCONNECTED
    return SocketState.CONNECTED


def _list_unix(holders: Mapping[int, tuple[int, int]]) -> dict[int, HeldSocket]:
    entries = {entry.inode: entry for entry in netlink.list_unix_sockets()}
    found = {}
    for inode in entries.keys() & holders.keys():
        entry = entries[inode]
        is_dgram = entry.kind == socket.SOCK_DGRAM
        peer, remote = Peer.NONE, ""
        if entry.peer_inode:
            peer = Peer.INSIDE if entry.peer_inode in holders else Peer.NODE
            other = entries.get(entry.peer_inode)
            remote = other.name if other else ""
        state = SocketState.CONNECTED if entry.peer_inode else SocketState.UNCONNECTED
        if entry.state == netlink.TCP_LISTEN:
            state = SocketState.LISTENING
        pid, fd = holders[inode]
        found[inode] = HeldSocket(
            pid=pid,
            fd=fd,
            inode=inode,
            kind=SocketKind.UNIX_DGRAM if is_dgram else SocketKind.UNIX_STREAM,
            state=state,
            local=entry.name,
            remote=remote,
            peer=peer,
        )
    return found


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _format_end(end: tuple[str, int]) -> str:
    address, port = end
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
