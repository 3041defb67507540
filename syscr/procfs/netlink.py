"""The kernel's own list of sockets, by netlink (sock_diag): requests, replies, no judgement.

Only sockets of our own network namespace appear; no privilege is needed. ``sockets.py`` says whose
they are and what they mean.

Source: Linux, include/uapi/linux/{netlink,sock_diag,inet_diag,unix_diag}.h, 6.18; manual
sock_diag(7), 6.9. Checked 2026-11.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_UDIAG_SHOW_NAME, _UDIAG_SHOW_PEER = 1, 4
_UNIX_DIAG_NAME, _UNIX_DIAG_PEER = 0, 2
_ALL_STATES = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_UNIX_REQUEST = struct.Struct("=BBHIIIII")
_UNIX_REPLY = struct.Struct("=BBBxIII")
_ATTRIBUTE = struct.Struct("=HH")
_INET_REQUEST = struct.Struct("=BBBxI48x")
_INET_REPLY = struct.Struct("=BBBB2s2s16s16sIIIIIIII")
_TIMEOUT_SECONDS = 5.0

TCP_ESTABLISHED, TCP_SYN_SENT, TCP_TIME_WAIT, TCP_CLOSE, TCP_LISTEN = 1, 2, 6, 7, 10


@dataclass(frozen=True, slots=True)
class InetSocket:
    """One TCP or UDP socket.

    Attributes:
        inode: Its inode; 0 once no process holds it.
        state: Number as in ``include/net/tcp_states.h``; UDP: 1 connected, 7 not.
        local: Address and port.
        remote: Address and port; port 0 if not connected.
    """

    inode: int
    state: int
    local: tuple[str, int]
    remote: tuple[str, int]


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """One unix socket.

    Attributes:
        inode: Its inode.
        kind: ``socket.SOCK_STREAM``, ``SOCK_DGRAM`` or ``SOCK_SEQPACKET``.
        state: 1 connected, 7 not, 10 listening.
        name: Path, or ``@name`` for an abstract one; empty if none.
        peer_inode: Socket at the other end; 0 if none.
    """

    inode: int
    kind: int
    state: int
    name: str
    peer_inode: int


def list_inet_sockets(protocol: int) -> tuple[InetSocket, ...]:
    """Return all IPv4 and IPv6 sockets of ``socket.IPPROTO_TCP`` or ``IPPROTO_UDP``."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _INET_REQUEST.pack(family, protocol, 0, _ALL_STATES)
        found += [parse_inet_reply(reply) for reply in _dump(request)]
    return tuple(found)


def list_unix_sockets() -> tuple[UnixSocket, ...]:
    """Return all unix sockets."""
    request = _UNIX_REQUEST.pack(
        socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _UDIAG_SHOW_NAME | _UDIAG_SHOW_PEER, 0, 0
    )
    return tuple(parse_unix_reply(reply) for reply in _dump(request))


def parse_inet_reply(reply: bytes) -> InetSocket:
    """Read one ``struct inet_diag_msg``; pure."""
    fields = _INET_REPLY.unpack_from(reply)
    family, state = fields[0], fields[1]
    source_port, target_port, source, target = fields[4:8]
    return InetSocket(
        inode=fields[15],
        state=state,
        local=(_format_address(family, source), int.from_bytes(source_port, "big")),
        remote=(_format_address(family, target), int.from_bytes(target_port, "big")),
    )


def parse_unix_reply(reply: bytes) -> UnixSocket:
    """Read one ``struct unix_diag_msg`` and its attributes; pure."""
    _, kind, state, inode, _, _ = _UNIX_REPLY.unpack_from(reply)
    name, peer_inode = "", 0
    for attribute, value in _iter_attributes(reply[_UNIX_REPLY.size :]):
        if attribute == _UNIX_DIAG_NAME:
            name = _format_name(value)
        elif attribute == _UNIX_DIAG_PEER:
            (peer_inode,) = struct.unpack_from("=I", value)
    return UnixSocket(inode=inode, kind=kind, state=state, name=name, peer_inode=peer_inode)


def _iter_attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _format_name(value: bytes) -> str:
    if value[:1] == b"\0":
        value = b"@" + value[1:]
    return os.fsdecode(value.rstrip(b"\0"))


def _format_address(family: int, packed: bytes) -> str:
    if family == socket.AF_INET:
        return str(ipaddress.IPv4Address(packed[:4]))
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def _dump(payload: bytes) -> Iterator[bytes]:
    """Send one dump request and yield the payload of each reply; nothing where it is refused.

    A kernel without this family (IPv6 off, module missing) answers with an error: it has no sockets
    of that kind that CRIU could dump either.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as channel:
        channel.settimeout(_TIMEOUT_SECONDS)
        size = _HEADER.size + len(payload)
        head = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
        channel.send(head + payload)
        while True:
            data = channel.recv(1 << 18)
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
                if kind in {_NLMSG_DONE, _NLMSG_ERROR} or length < _HEADER.size:
                    return
                yield data[offset + _HEADER.size : offset + length]
                offset += (length + 3) & ~3
