"""The launcher's binary: a copy for each release in the checkpoint directory, private and unchanged."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from syscr.errors import ToolMissingError
from syscr.job.launcher import Launcher, digest_binary, private_dir

OWN = f".syscr-{os.geteuid()}"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    path = tmp_path / "installed"
    path.write_bytes(b"binary")
    path.chmod(0o755)
    return path


def test_copy_is_made_once_and_may_not_be_written(tmp_path: Path, installed: Path) -> None:
    launcher, directory = Launcher(str(installed)), str(tmp_path / "a 'b'\udcff")
    copy = launcher.path_for(directory)
    assert copy == f"{directory}/{OWN}/launcher/{launcher.digest()}/syscr-launcher"
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o500
    before = os.stat(copy)
    assert launcher.path_for(directory) == copy
    assert os.stat(copy).st_ino == before.st_ino
    assert os.listdir(os.path.dirname(copy)) == ["syscr-launcher"]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_copy_that_another_task_runs_from_keeps_its_name(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Both have seen that there is none; the other one is quicker, and runs from its copy already."""
    directory, copied = str(tmp_path / "d"), shutil.copyfile
    quicker: list[tuple[str, int]] = []

    def be_late(source: str, target: str) -> None:
        monkeypatch.setattr("syscr.job.launcher.shutil.copyfile", copied)
        with monkeypatch.context() as other:
            other.setattr("syscr.job.launcher.os.getpid", lambda: 0)
            path = Launcher(str(installed)).path_for(directory)
        quicker.append((path, os.stat(path).st_ino))
        copied(source, target)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("syscr.job.launcher.shutil.copyfile", be_late)
    if not links:
        monkeypatch.setattr("syscr.job.launcher.os.link", refuse)
    path = Launcher(str(installed)).path_for(directory)
    assert [(path, os.stat(path).st_ino)] == quicker
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o500
    beside = [] if links else ["syscr-launcher.placed"]
    assert sorted(os.listdir(os.path.dirname(path))) == ["syscr-launcher", *beside]


def test_next_release_gets_its_own_copy(tmp_path: Path, installed: Path) -> None:
    launcher = Launcher(str(installed))
    old = launcher.path_for(str(tmp_path / "d"))
    installed.write_bytes(b"next release")
    new = launcher.path_for(str(tmp_path / "d"))
    assert (Path(old).read_bytes(), Path(new).read_bytes()) == (b"binary", b"next release")


def test_copy_that_was_changed_is_not_run(tmp_path: Path, installed: Path) -> None:
    launcher = Launcher(str(installed))
    copy = Path(launcher.path_for(str(tmp_path / "d")))
    copy.chmod(0o700)
    copy.write_bytes(b"altered")
    assert launcher.path_for(str(tmp_path / "d")) == str(installed)


def test_directory_that_cannot_be_used_means_the_installed_one(
    tmp_path: Path, installed: Path
) -> None:
    (tmp_path / "file").write_text("")
    launcher = Launcher(str(installed))
    assert launcher.path_for(str(tmp_path / "file")) == str(installed)


def test_directory_with_a_line_break_means_the_installed_one(
    tmp_path: Path, installed: Path
) -> None:
    """CRIU takes a file with such a path for a deleted one."""
    assert Launcher(str(installed)).path_for(str(tmp_path / "a\nb")) == str(installed)


def test_disk_that_is_full_means_the_installed_one(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("syscr.job.launcher.shutil.copyfile", refuse)
    assert Launcher(str(installed)).path_for(str(tmp_path / "d")) == str(installed)


def test_missing_launcher_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="cannot read the launcher") as caught:
        Launcher(str(tmp_path / "missing")).digest()
    assert "make -C syscr/csrc" in caught.value.hint


def test_digest_is_what_the_makefile_writes(installed: Path) -> None:
    assert len(digest_binary(str(installed))) == 32  # b2sum -l 128


def test_private_folder_is_private(tmp_path: Path) -> None:
    path = private_dir(str(tmp_path / "a" / "b"), "scripts")
    assert path == str(tmp_path / "a" / "b" / OWN / "scripts")
    for folder in (Path(path), Path(path).parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / OWN).mkdir()
    (tmp_path / OWN).chmod(mode)
    assert private_dir(str(tmp_path), "scripts") is None
    assert os.listdir(tmp_path / OWN) == []


def test_link_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / OWN).symlink_to("elsewhere")
    assert private_dir(str(tmp_path), "scripts") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of others")
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / OWN).mkdir(mode=0o700)
    os.chown(tmp_path / OWN, 65534, 65534)
    assert private_dir(str(tmp_path), "scripts") is None
