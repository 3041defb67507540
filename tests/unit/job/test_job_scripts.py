"""Copies of batch scripts in the checkpoint directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syscr.errors import StoreAccessError
from syscr.job.scripts import keep_script, store_script

SCRIPT = b"#!/bin/bash\n#SBATCH --time=5\necho work \xff\n"


def test_kept_script_is_the_same_and_can_be_run(tmp_path: Path) -> None:
    spool = tmp_path / "slurm_script"
    spool.write_bytes(SCRIPT)
    copy = Path(keep_script(str(tmp_path / "ck"), str(spool)))
    assert copy.read_bytes() == SCRIPT
    assert os.access(copy, os.X_OK)
    assert copy == Path(store_script(str(tmp_path / "ck"), SCRIPT))


def test_script_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreAccessError, match=r"cannot read the batch script '.*/gone': No such"):
        keep_script(str(tmp_path), str(tmp_path / "gone"))


def test_same_script_is_stored_once(tmp_path: Path) -> None:
    path = store_script(str(tmp_path), SCRIPT)
    before = os.stat(path)
    assert store_script(str(tmp_path), SCRIPT) == path
    assert os.stat(path).st_ino == before.st_ino
    assert store_script(str(tmp_path), SCRIPT + b"more\n") != path


def test_script_that_another_task_has_open_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks of an array start at the same moment; a shell reads on from the copy that it has opened."""
    write, quicker = Path.write_bytes, []

    def be_late(path: Path, content: bytes) -> int:
        monkeypatch.setattr(Path, "write_bytes", write)
        with monkeypatch.context() as other:
            other.setattr("syscr.job.launcher.os.getpid", lambda: 0)
            quicker.append(os.stat(store_script(str(tmp_path), SCRIPT)).st_ino)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", be_late)
    path = Path(store_script(str(tmp_path), SCRIPT))
    assert [os.stat(path).st_ino] == quicker
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("wins", [True, False], ids=["other-is-placing", "other-was-killed"])
def test_script_is_there_although_another_task_was_to_place_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wins: bool
) -> None:
    """Without hard links one task alone may rename; until it has, or if it never does, there is no script."""
    scripts = tmp_path / f".syscr-{os.geteuid()}" / "scripts"
    name = Path(store_script(str(tmp_path), SCRIPT)).name
    (scripts / name).unlink()
    (scripts / f"{name}.placed").mkdir()
    placed: list[int] = []

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def go_on(_: float) -> None:
        if wins:
            (scripts / "other").write_bytes(SCRIPT)
            (scripts / "other").rename(scripts / name)
            placed.append((scripts / name).stat().st_ino)

    monkeypatch.setattr("syscr.job.launcher.os.link", refuse)
    monkeypatch.setattr("syscr.job.launcher.time.sleep", go_on)
    monkeypatch.setattr("syscr.job.launcher._PLACED_SECONDS", 5.0 if wins else 0.01)
    path = Path(store_script(str(tmp_path), SCRIPT))
    assert path.read_bytes() == SCRIPT
    assert not wins or [path.stat().st_ino] == placed
    assert sorted(one.name for one in scripts.iterdir()) == [name, f"{name}.placed"]


def test_copy_that_was_altered_is_made_again(tmp_path: Path) -> None:
    path = Path(store_script(str(tmp_path), SCRIPT))
    path.write_text("something else")
    assert Path(store_script(str(tmp_path), SCRIPT)).read_bytes() == SCRIPT
    assert list(path.parent.iterdir()) == [path]


def test_copy_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StoreAccessError, match="No space left on device; nothing was submitted"):
        store_script(str(tmp_path), SCRIPT, consequence="nothing was submitted")


def test_directory_that_cannot_be_had_is_named_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(
        StoreAccessError, match=rf"below '{file}': '{file}.*': File exists; nothing"
    ):
        store_script(str(file), SCRIPT, consequence="nothing was submitted")
    own = tmp_path / f".syscr-{os.geteuid()}"
    own.mkdir()
    own.chmod(0o777)
    with pytest.raises(StoreAccessError, match=rf"'{own}': not a private folder of this user$"):
        store_script(str(tmp_path), SCRIPT)
