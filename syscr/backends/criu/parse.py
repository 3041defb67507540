"""Replies of CRIU and of the launcher's hook -> values; pure. Failures are explained in ``failures.py``.

Source: CRIU 4.2.1; images/stats.proto, criu/include/magic.h. Checked 2026-11.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from syscr.errors import ToolReplyError
from syscr.model import FileState
from syscr.ports import Completed
from syscr.units import parse_version_numbers

_VERSION = re.compile(r"^Version: (\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)
_COPY = re.compile(r"local\.\d+")
_SERVICE_MAGIC, _STATS_MAGIC = 0x55105940, 0x57093306
_HEAD = struct.Struct("<III")
_O_ACCMODE, _O_APPEND = 0o3, 0o2000
_RECORD_FIELDS = {"F": 11, "G": 12}  # F: of launchers that did not record when a file was changed


def parse_version(stdout: str) -> tuple[int, int, int]:
    r"""Read ``criu --version``.

    Raises:
        ToolReplyError: No version in it.

    Example:
        >>> parse_version("Version: 4.2.1\n")
        (4, 2, 1)
    """
    match = _VERSION.search(stdout)
    if match is None:
        raise ToolReplyError(f"cannot read the version of CRIU: '{stdout[:80]}'")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def find_version_problem(version: tuple[int, int, int], kernel: str) -> str:
    """Return why this CRIU cannot work on this kernel; empty if it can.

    Source: CRIU 3.18, RELEASE_NOTES: first with --unprivileged. Kernels from 6.16 on refuse
    SO_PASSCRED on inet sockets, which CRIU handles since 4.2 (issues 2705 and 2718).
    """
    text = ".".join(str(number) for number in version)
    if version < (3, 18, 0):
        return f"CRIU {text} has no unprivileged mode; it came with 3.18"
    linux = parse_version_numbers(kernel)
    if linux is not None and linux >= (6, 16) and version < (4, 2, 0):
        return f"CRIU {text} cannot dump sockets on kernel {kernel}; from 6.16 on it takes CRIU 4.2"
    return ""


# Files of /proc/sys that can forbid an ordinary user a user namespace -> the value that does.
# Source: Linux, Documentation/admin-guide/sysctl/user.rst; Debian's kernel patch (userns_clone);
# Ubuntu 24.04 release notes (apparmor). Checked 2026-11.
NAMESPACE_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": "0",
    "/proc/sys/user/max_pid_namespaces": "0",
    "/proc/sys/user/max_mnt_namespaces": "0",
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
}


def find_switch_problem(values: Mapping[str, str]) -> str:
    """Return which switch forbids namespaces, empty if none does; pure.

    Args:
        values: Path -> content without the newline, empty where the kernel has no such file.
    """
    for path, forbidding in NAMESPACE_SWITCHES.items():
        if values.get(path) == forbidding:
            return f"user namespaces are forbidden to ordinary users: '{path}' is {forbidding}"
    return ""


@dataclass(frozen=True, slots=True)
class DumpStats:
    """What CRIU says of a dump; times in microseconds, 0 where it does not say.

    Attributes:
        freezing_us: Time to stop the processes.
        frozen_us: Time they stood still, as CRIU measured it.
        memdump_us: Part of it for memory.
        pages_written: Pages in the image.
    """

    freezing_us: int = 0
    frozen_us: int = 0
    memdump_us: int = 0
    pages_written: int = 0


def parse_stats(data: bytes) -> DumpStats:
    """Read ``stats-dump``: two magic numbers, a length, one ``stats_entry`` in protobuf.

    Raises:
        ToolReplyError: It is none.

    Source: CRIU 4.2, images/stats.proto: entry 1 is ``dump``; in it 1 freezing_time, 2 frozen_time,
    3 memdump_time, 7 pages_written; criu/include/magic.h.
    """
    try:
        service, magic, size = _HEAD.unpack_from(data)
        if (service, magic) != (_SERVICE_MAGIC, _STATS_MAGIC):
            raise ToolReplyError(
                "cannot read CRIU's statistics: they begin with another magic number"
            )
        entry = dict(_iter_fields(data[_HEAD.size : _HEAD.size + size]))
        dump = dict(_iter_fields(_as_bytes(entry.get(1, b""))))
    except (struct.error, IndexError) as error:
        raise ToolReplyError("cannot read CRIU's statistics: they are cut short") from error
    return DumpStats(*(_as_int(dump.get(number, 0)) for number in (1, 2, 3, 7)))


def _iter_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a protobuf message that has varints and messages only."""
    offset = 0
    while offset < len(data):
        key, offset = _read_varint(data, offset)
        value, offset = _read_varint(data, offset)
        kind = key & 7
        if kind == 0:
            yield key >> 3, value
        elif kind == 2:
            yield key >> 3, data[offset : offset + value]
            offset += value
        else:
            raise ToolReplyError(f"cannot read CRIU's statistics: field of kind {kind}")


def _read_varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if not byte & 0x80:
            return value, offset


def _as_int(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0


def _as_bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def parse_open_files(data: bytes) -> tuple[FileState, ...]:
    """Read ``open-files``, which the launcher's hook writes while the task stands still.

    Returns:
        One entry per path, in order of first appearance. ``append`` holds only if every writer appends.

    Raises:
        ToolReplyError: It is not complete (the hook failed) or not understood.

    Source: csrc/launcher/hook.c.
    """
    *fields, rest = data.decode("utf-8", "surrogateescape").split("\0")
    if rest or not fields or fields.pop() != "E":
        raise ToolReplyError("cannot read the list of open files: it is not complete")
    found: dict[str, FileState] = {}
    start = 0
    while start < len(fields):
        count = _RECORD_FIELDS.get(fields[start], 1)
        file = _parse_record(fields[start : start + count])
        start += count
        old = found.get(file.path)
        found[file.path] = file if old is None else _join(old, file)
    return tuple(found.values())


def _parse_record(fields: list[str]) -> FileState:
    try:
        if len(fields) not in _RECORD_FIELDS.values():
            raise ValueError(fields)
        _, _pid, fd, flags, _position, size, mode, _device, _inode, *modified, copy, path = fields
        if copy and not _COPY.fullmatch(copy):
            raise ValueError(copy)
        bits = int(flags, 8)
        writable = fd != "-1" and bits & _O_ACCMODE != 0
        return FileState(
            path=path,
            size_bytes=int(size),
            writable=writable,
            append=writable and bool(bits & _O_APPEND),
            copy=copy,
            mode=int(mode, 8),
            modified_ns=int(modified[0]) if modified else 0,
        )
    except ValueError as error:
        raise ToolReplyError(
            "cannot read the list of open files: it has an unknown record"
        ) from error


def _join(old: FileState, new: FileState) -> FileState:
    """Join two descriptors of one path: it is appended to only if every writer appends."""
    writers = [file.append for file in (old, new) if file.writable]
    return replace(new, writable=bool(writers), append=bool(writers) and all(writers))


def parse_probe(completed: Completed) -> str:
    """Read the outcome of ``commands.build_probe``: why it failed, empty if it did not; pure.

    The launcher runs the program without namespaces where it cannot have them, and says so.
    """
    complaints = [
        line.removeprefix("syscr: ")
        for line in completed.stderr.splitlines()
        if line.startswith("syscr: cannot")
    ]
    if complaints:
        return complaints[0]
    if not completed.is_ok:
        lines = (completed.stdout + completed.stderr).strip().splitlines()
        return f"CRIU does not start in namespaces: {lines[-1] if lines else 'no output'}"
    return ""
