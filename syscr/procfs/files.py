"""What processes have open and mapped, and on which kind of file system a path lies.

Everything is read from outside, without stopping anything; what vanishes meanwhile is left out.
Sockets are only named here; who is at their other end is in ``sockets.py``.

Source: Linux, Documentation/filesystems/proc.rst, sections 3.3 and 3.8, 6.18; checked 2026-11.
"""

from __future__ import annotations

import ctypes
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from syscr.procfs.tree import PROC

_DELETED = " (deleted)"


class FileKind(StrEnum):
    """What a descriptor refers to."""

    REGULAR = "regular"
    DIRECTORY = "directory"
    MEMFD = "memfd"
    PIPE = "pipe"
    FIFO = "fifo"
    SOCKET = "socket"
    TERMINAL = "terminal"
    DEVICE = "device"
    ANON = "anon"
    OTHER = "other"


class FileSystemKind(StrEnum):
    """Where the bytes of a file live."""

    MEMORY = "memory"
    NETWORK = "network"
    LOCAL = "local"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One open descriptor of one process.

    Attributes:
        pid: Its process.
        fd: Its number.
        kind: What it refers to.
        target: What the link in /proc says: a path, ``pipe:[123]``, ``anon_inode:[eventfd]``.
        path: Absolute path without the mark of a deleted file; empty if it has none.
        flags: Open flags (``os.O_*``).
        position: Offset in the file.
        size_bytes: Size; 0 for what has none.
        modified_ns: Time of its last change, nanoseconds since 1970.
        is_deleted: Its name is gone.
        link_count: Other names that are left.
        device: Device number of the file system.
        inode: Inode number; of sockets the one that ``sockets.py`` knows.
        raw_device: Device number of a device file, else 0.
        mode: Type and permission bits.
        mount_id: Mount on which it was opened, as in mountinfo.
    """

    pid: int
    fd: int
    kind: FileKind
    target: str
    path: str = ""
    flags: int = 0
    position: int = 0
    size_bytes: int = 0
    is_deleted: bool = False
    link_count: int = 1
    device: int = 0
    inode: int = 0
    raw_device: int = 0
    mode: int = 0
    mount_id: int = 0
    modified_ns: int = 0

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self.flags & os.O_ACCMODE in {os.O_WRONLY, os.O_RDWR}

    @property
    def append(self) -> bool:
        """Whether it was opened with O_APPEND."""
        return bool(self.flags & os.O_APPEND)

    @property
    def anon_name(self) -> str:
        """The name of an anonymous kind (``io_uring``, ``inotify``), else empty."""
        if self.kind is not FileKind.ANON:
            return ""
        return self.target.removeprefix("anon_inode:").strip("[]")


@dataclass(frozen=True, slots=True)
class Mapping:
    """One file mapped by one process; its pieces are joined.

    Attributes:
        pid: Its process.
        path: Path without the mark of a deleted file.
        is_shared: Whether writes reach others (MAP_SHARED).
        writable: Whether any piece may be written.
        is_deleted: Its name is gone.
        device: Device as the kernel writes it, ``fe:01``.
        inode: Inode number.
        size_bytes: Mapped bytes.
    """

    pid: int
    path: str
    is_shared: bool = False
    writable: bool = False
    is_deleted: bool = False
    device: str = ""
    inode: int = 0
    size_bytes: int = 0


def list_open_files(pid: int) -> tuple[OpenFile, ...]:
    """Return the descriptors of a process by number; empty if it has gone or we may not look."""
    try:
        numbers = sorted(int(name) for name in os.listdir(PROC / str(pid) / "fd"))
    except OSError:
        return ()
    found = (_read_descriptor(pid, fd) for fd in numbers)
    return tuple(file for file in found if file is not None)


def _read_descriptor(pid: int, fd: int) -> OpenFile | None:
    link = PROC / str(pid) / "fd" / str(fd)
    try:
        target = os.readlink(link)
        status = link.stat()
        info = (PROC / str(pid) / "fdinfo" / str(fd)).read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    path, is_deleted = "", False
    if target.startswith("/"):
        path, is_deleted = _split_deleted(pid, target, status)
    return OpenFile(
        pid=pid,
        fd=fd,
        kind=_classify(target, status),
        target=target,
        path=path,
        flags=int(fields.get("flags", "0").strip(), 8),
        position=int(fields.get("pos", "0").strip()),
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        is_deleted=is_deleted,
        link_count=status.st_nlink,
        device=status.st_dev,
        inode=status.st_ino,
        raw_device=status.st_rdev,
        mode=status.st_mode,
        mount_id=int(fields.get("mnt_id", "0").strip()),
    )


def _split_deleted(pid: int, target: str, status: os.stat_result) -> tuple[str, bool]:
    """Tell the kernel's mark of a deleted file from a file whose name ends that way."""
    if not target.endswith(_DELETED):
        return target, False
    if status.st_nlink:
        try:
            same = (PROC / str(pid) / "root" / target[1:]).stat()
        except OSError:
            same = None
        if same is not None and (same.st_dev, same.st_ino) == (status.st_dev, status.st_ino):
            return target, False
    return target.removesuffix(_DELETED), True


def _classify(target: str, status: os.stat_result) -> FileKind:
    if target.startswith("/memfd:"):
        return FileKind.MEMFD
    if target.startswith("anon_inode:"):
        return FileKind.ANON
    mode = status.st_mode
    if stat.S_ISCHR(mode):
        major = os.major(status.st_rdev)
        return FileKind.TERMINAL if major in _TERMINAL_MAJORS else FileKind.DEVICE
    if stat.S_ISFIFO(mode):
        return FileKind.FIFO if target.startswith("/") else FileKind.PIPE
    for test, kind in _KINDS:
        if test(mode):
            return kind
    return FileKind.OTHER


# Source: Linux, Documentation/admin-guide/devices.txt: 4 and 5 terminals, 136-143 Unix98 slaves.
_TERMINAL_MAJORS = frozenset({4, 5, *range(136, 144)})
_KINDS = (
    (stat.S_ISREG, FileKind.REGULAR),
    (stat.S_ISDIR, FileKind.DIRECTORY),
    (stat.S_ISSOCK, FileKind.SOCKET),
    (stat.S_ISBLK, FileKind.DEVICE),
)


def list_mappings(pid: int) -> tuple[Mapping, ...]:
    """Return the files that a process has mapped, in order of address, each once.

    Anonymous memory is left out; shared anonymous memory is not (``/dev/zero``, deleted).
    """
    try:
        text = (PROC / str(pid) / "maps").read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ()
    return parse_mappings(pid, text)


def parse_mappings(pid: int, text: str) -> tuple[Mapping, ...]:
    """Read /proc/PID/maps; pure."""
    joined: dict[tuple[str, str, int, bool], Mapping] = {}
    for line in text.split("\n"):
        words = line.split(maxsplit=5)
        if len(words) < 6 or not words[5].startswith("/"):
            continue
        span, rights, _, device, inode, name = words
        path = name.replace("\\012", "\n")
        is_deleted = path.endswith(_DELETED)
        path = path.removesuffix(_DELETED)
        is_shared = rights[3] == "s"
        begin, _, end = span.partition("-")
        size_bytes = int(end, 16) - int(begin, 16)
        key = (path, device, int(inode), is_shared)
        old = joined.get(key)
        joined[key] = Mapping(
            pid=pid,
            path=path,
            is_shared=is_shared,
            writable=rights[1] == "w" or (old is not None and old.writable),
            is_deleted=is_deleted,
            device=device,
            inode=int(inode),
            size_bytes=size_bytes + (0 if old is None else old.size_bytes),
        )
    return tuple(joined.values())


# Source: Linux, include/uapi/linux/magic.h, 6.18; Lustre, GPFS, BeeGFS, Weka: gnulib and coreutils
# src/stat.c, 9.5. Checked 2026-11.
_MAGIC = {
    0x01021994: FileSystemKind.MEMORY,  # tmpfs
    0x858458F6: FileSystemKind.MEMORY,  # ramfs
    0x958458F6: FileSystemKind.MEMORY,  # hugetlbfs
    0x00006969: FileSystemKind.NETWORK,  # nfs
    0x0BD00BD0: FileSystemKind.NETWORK,  # lustre
    0x47504653: FileSystemKind.NETWORK,  # gpfs
    0x00C36400: FileSystemKind.NETWORK,  # ceph
    0x19830326: FileSystemKind.NETWORK,  # beegfs
    0x20030528: FileSystemKind.NETWORK,  # orangefs
    0xFF534D42: FileSystemKind.NETWORK,  # cifs
    0xFE534D42: FileSystemKind.NETWORK,  # smb2
    0x5346414F: FileSystemKind.NETWORK,  # afs
    0x7461636F: FileSystemKind.NETWORK,  # ocfs2
    0x01161970: FileSystemKind.NETWORK,  # gfs2
    0x01021997: FileSystemKind.UNKNOWN,  # 9p
    0x65735546: FileSystemKind.UNKNOWN,  # fuse: either
}


def file_system_kind(path: str | Path) -> FileSystemKind:
    """Return where the bytes of a path live; UNKNOWN if it does not exist or nobody can tell (fuse)."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)  # struct statfs: 120 bytes on x86_64, f_type first
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return FileSystemKind.UNKNOWN
    magic = ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
    return _MAGIC.get(magic, FileSystemKind.LOCAL)
