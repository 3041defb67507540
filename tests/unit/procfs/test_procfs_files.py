"""Descriptors, mappings and file systems, against this very process."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from syscr.procfs import files
from syscr.procfs.files import FileKind, FileSystemKind


def find(fd: int) -> files.OpenFile:
    """Return our own descriptor as /proc shows it."""
    return next(file for file in files.list_open_files(os.getpid()) if file.fd == fd)


def test_file_open_for_append_tells_size_position_and_flags(tmp_path: Path) -> None:
    path = tmp_path / "a b\n'c'"
    with path.open("ab") as stream:
        stream.write(b"12345")
        stream.flush()
        file = find(stream.fileno())
    assert (file.kind, file.path, file.size_bytes, file.position) == (
        FileKind.REGULAR,
        str(path),
        5,
        5,
    )
    assert file.writable
    assert file.append
    assert not file.is_deleted
    assert file.link_count == 1


def test_deleted_file_is_told_from_one_that_is_named_so(tmp_path: Path) -> None:
    gone, named = tmp_path / "gone", tmp_path / "named (deleted)"
    with gone.open("w") as first, named.open("w") as second:
        gone.unlink()
        assert (find(first.fileno()).path, find(first.fileno()).is_deleted) == (str(gone), True)
        assert find(first.fileno()).link_count == 0
        assert (find(second.fileno()).path, find(second.fileno()).is_deleted) == (str(named), False)


def test_deleted_name_with_another_link_left_counts_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("w") as stream:
        (tmp_path / "y").hardlink_to(path)
        path.unlink()
        file = find(stream.fileno())
    assert (file.is_deleted, file.link_count) == (True, 1)


@pytest.mark.parametrize(
    ("open_fd", "kind"),
    [
        (lambda: os.open("/dev/null", os.O_RDONLY), FileKind.DEVICE),
        (lambda: os.open("/", os.O_RDONLY), FileKind.DIRECTORY),
        (lambda: os.memfd_create("m"), FileKind.MEMFD),
        (lambda: os.pipe()[0], FileKind.PIPE),
        (lambda: os.openpty()[1], FileKind.TERMINAL),
        (lambda: __import__("socket").socket().detach(), FileKind.SOCKET),
    ],
)
def test_descriptor_kind_is_told(open_fd: object, kind: FileKind) -> None:
    fd = open_fd()  # type: ignore[operator]
    assert find(fd).kind is kind
    os.close(fd)


def test_anonymous_kind_has_a_name() -> None:
    fd = os.eventfd(0)
    assert (find(fd).kind, find(fd).anon_name) == (FileKind.ANON, "eventfd")
    os.close(fd)


def test_shared_mapping_of_deleted_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 8192):
        path.unlink()
        found = [entry for entry in files.list_mappings(os.getpid()) if entry.path == str(path)]
    assert [(entry.is_shared, entry.is_deleted, entry.size_bytes) for entry in found] == [
        (True, True, 8192)
    ]


def test_pieces_of_one_mapped_file_are_joined() -> None:
    text = (
        "55d0-55e0 r--p 00000000 fe:00 42   /usr/bin/a b\n"
        "55e0-55f0 rw-p 00010000 fe:00 42   /usr/bin/a b\n"
        "7f00-7f10 rw-p 00000000 00:00 0 \n"
        "7f10-7f20 rw-s 00000000 00:01 7    /SYSV00000000 (deleted)\n"
        "7f20-7f30 r--p 00000000 00:00 0    [vdso]\n"
    )
    first, second = files.parse_mappings(1, text)
    assert (first.path, first.size_bytes, first.writable, first.is_shared) == (
        "/usr/bin/a b",
        32,
        True,
        False,
    )
    assert (second.path, second.is_deleted, second.is_shared) == ("/SYSV00000000", True, True)


def test_file_system_kind_of_memory_and_disk() -> None:
    assert files.file_system_kind("/dev/shm") is FileSystemKind.MEMORY
    assert files.file_system_kind("/nowhere/at/all") is FileSystemKind.UNKNOWN
    assert files.file_system_kind("/etc/passwd") is FileSystemKind.LOCAL


def test_vanished_process_has_nothing() -> None:
    assert files.list_open_files(1 << 30) == ()
    assert files.list_mappings(1 << 30) == ()
