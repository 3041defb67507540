"""Sizes of a task's files at the moment of its image, and copies of node-local ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from syscr.backends.dmtcp import files
from syscr.model import FileState
from syscr.procfs.files import FileKind, OpenFile

OUT = OpenFile(7, 1, FileKind.REGULAR, "/s/out", "/s/out", os.O_WRONLY | os.O_APPEND, 0, 5, inode=1)
LOG = OpenFile(
    8, 3, FileKind.REGULAR, "/s/log", "/s/log", os.O_RDONLY, 0, 9, inode=2, mode=0o100640
)


def test_states_are_merged_by_path_and_sorted() -> None:
    shared = replace(OUT, pid=8, flags=os.O_RDONLY)
    states = files.build_states([OUT, LOG, shared], "/s/run")
    assert states == (
        FileState("/s/log", 9, writable=False, mode=0o640),
        FileState("/s/out", 5, writable=True, append=True, mode=0),
    )


@pytest.mark.parametrize("path", ["/s/run/x.temp", "/proc/7/pagemap"])
def test_states_leave_out_what_dmtcp_works_with(path: str) -> None:
    deleted = replace(OUT, is_deleted=True)
    assert files.build_states([replace(OUT, path=path), deleted], "/s/run") == ()


def test_growth_or_another_file_is_a_change() -> None:
    assert files.is_unchanged([OUT, LOG], [LOG, OUT])
    assert not files.is_unchanged([OUT], [replace(OUT, size_bytes=6)])
    assert not files.is_unchanged([OUT], [replace(OUT, inode=9)])


def test_only_files_open_before_or_after_are_the_programs() -> None:
    extra = replace(OUT, fd=9, inode=77)
    assert files.select_known([OUT, extra], [replace(OUT, size_bytes=99)]) == (OUT,)


def test_descriptors_of_dmtcp_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    with path.open() as plain:
        os.dup2(plain.fileno(), 832)
        try:
            found = [
                file for file in files.list_task_files([os.getpid()]) if file.path == str(path)
            ]
        finally:
            os.close(832)
    assert len(found) == 1


def test_local_files_are_copied_up_to_their_size(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    source = Path("/tmp") / f"syscr-test-{os.getpid()}"
    source.write_text("0123456789")
    try:
        states = (
            FileState("/shared/x", 3, writable=True),
            FileState(str(source), 4, writable=True),
            FileState("/tmp/gone-long-ago", 4, writable=True),
        )
        done, remarks = files.copy_local_files(states, str(data))
        kept, _ = files.copy_local_files(states[1:2], str(data), frozenset({str(source)}))
    finally:
        source.unlink()
    assert [state.copy for state in done] == ["", "local/0001", ""]
    assert (data / "local" / "0001").read_text() == "0123"
    assert "gone-long-ago" in remarks[0]
    assert kept[0].copy == ""


def test_outputs_are_the_files_of_descriptors_one_and_two(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        descriptor = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.kill(os.getpid(), 19)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    try:
        assert files.list_outputs(pid) == frozenset({str(tmp_path / "out")})
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
