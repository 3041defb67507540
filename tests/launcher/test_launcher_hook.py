"""The action script of CRIU: lists the open files of a frozen tree and copies the node-local ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launcher_support import eventually

from syscr.backends.criu.parse import parse_open_files
from syscr.model import FileState

HOLE = 16 << 20


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A shell and its child with files open; returns the shell's pid and the directory."""
    for name in ("read", "write", "append"):
        (tmp_path / name).write_text("12345")
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(HOLE)
        file.write(b"tail")
    script = (
        "exec 3<read 4<>write 5>>append 6<sparse 7>gone; rm gone; "
        "(exec 8>>write; touch child; exec sleep 1000) & echo; wait"
    )
    process = subprocess.Popen(
        ["/bin/sh", "-c", script], cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
    )
    eventually((tmp_path / "child").exists, "both run")
    yield process.pid, tmp_path
    os.killpg(process.pid, 9)
    process.wait()


def run_hook(binary: str, pid: int, folder: Path, stage: str = "post-dump") -> tuple[int, str]:
    environ = {
        "CRTOOLS_SCRIPT_ACTION": stage,
        "CRTOOLS_INIT_PID": str(pid),
        "CRTOOLS_IMAGE_DIR": str(folder),
    }
    done = subprocess.run([binary], env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_open_files_of_the_whole_tree_are_listed(
    binary: str, tree: tuple[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pid, folder = tree
    images = tmp_path_factory.mktemp("images")
    assert run_hook(binary, pid, images) == (0, "")
    states = {
        Path(file.path).name: file
        for file in parse_open_files((images / "open-files").read_bytes())
    }
    assert {"read", "write", "append", "sparse"} <= set(states)
    assert not any("gone" in name for name in states)

    def flags(file: FileState) -> tuple[int, bool, bool]:
        return (file.size_bytes, file.writable, file.append)

    assert flags(states["read"]) == (5, False, False)
    assert flags(states["append"]) == (5, True, True)
    assert flags(states["write"]) == (5, True, False)  # one of the two does not append
    assert states["read"].path == str(folder / "read")
    assert states["read"].modified_ns == (folder / "read").stat().st_mtime_ns


def test_files_in_temporary_directories_are_copied_with_their_holes(
    binary: str, tree: tuple[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pid, folder = tree
    if not str(folder).startswith(("/tmp/", "/var/tmp/")):
        pytest.skip(f"'{folder}' is no temporary directory")
    images = tmp_path_factory.mktemp("images")
    run_hook(binary, pid, images)
    states = {
        Path(file.path).name: file
        for file in parse_open_files((images / "open-files").read_bytes())
    }
    copies = {name: images / state.copy for name, state in states.items() if state.copy}
    assert (copies["read"].read_text(), copies["append"].read_text()) == ("12345", "12345")
    assert len({state.copy for state in states.values()}) == len(states)
    sparse = copies["sparse"].stat()
    assert (sparse.st_size, sparse.st_blocks * 512 < 1 << 20) == (HOLE + 4, True)
    assert copies["sparse"].read_bytes().endswith(b"\0tail")
    assert {copy.stat().st_mode & 0o777 for copy in copies.values()} == {0o600}


@pytest.mark.parametrize("stage", ["pre-dump", "post-restore", "setup-namespaces", ""])
def test_other_stages_are_none_of_its_business(binary: str, tmp_path: Path, stage: str) -> None:
    assert run_hook(binary, os.getpid(), tmp_path, stage) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_list_that_is_there_already_makes_the_dump_fail(
    binary: str, tree: tuple[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    images = tmp_path_factory.mktemp("images")
    (images / "open-files").write_text("")
    status, errors = run_hook(binary, tree[0], images)
    assert status == 1
    assert "File exists" in errors


def test_hook_without_what_criu_gives_makes_the_dump_fail(binary: str) -> None:
    environ = {"CRTOOLS_SCRIPT_ACTION": "post-dump"}
    done = subprocess.run([binary], env=environ, capture_output=True, check=False)
    assert done.returncode == 1
