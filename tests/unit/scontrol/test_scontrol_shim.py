"""The shim, run by the shells at hand: who gets which call, and that it never calls itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from syscr.errors import RequestError, StoreAccessError, ToolMissingError
from syscr.scontrol import shim

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


def make(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '{says}'\nprintf ' <%s>' \"$@\"\nexit 3\n")
    path.chmod(0o755)
    return path


class Place:
    """Folders with a real scontrol, a syscr and a shim."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.real = make(path / "slurm", "scontrol", "real")
        self.syscr = make(path / "a b'c", "syscr", "syscr")
        self.bin = path / "new $HOME"
        self.shim = Path(shim.install(str(self.bin), str(self.syscr)))

    def run(
        self, *words: str, folders: tuple[Path | str, ...] | None = None, shell: str = ""
    ) -> tuple[int, str]:
        chosen = (self.bin, self.path / "slurm", "/usr/bin", "/bin") if folders is None else folders
        interpreter = {"": [], "busybox": ["busybox", "sh"]}.get(shell, [shell])
        done = subprocess.run(
            [*interpreter, str(self.shim), *words],
            capture_output=True,
            text=True,
            timeout=20,
            env={"PATH": ":".join(map(str, chosen))},
        )
        return done.returncode, done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


OURS = (
    (),
    ("-o",),
    ("checkpoint", "able", "12"),
    ("CHE", "able", "12"),
    ("-M", "far", "ch", "a", "1"),
    ("-Q", "checkpoint"),
    ("show", "checkpoint"),  # syscr decides: this is not the keyword's place
)
REAL = (
    ("show", "job", "12"),
    ("-M", "check", "show"),
    ("--help",),
    ("-V",),
    ("c",),
    ("create", "a b"),
    ("",),
)


@pytest.mark.parametrize("shell", ["", *SHELLS])
@pytest.mark.parametrize("words", OURS)
def test_keyword_and_prompt_go_to_syscr(place: Place, words: tuple[str, ...], shell: str) -> None:
    shown = "".join(f" <{word}>" for word in ("scontrol", "--", *words))
    assert place.run(*words, shell=shell) == (3, f"syscr{shown}")


@pytest.mark.parametrize("shell", ["", *SHELLS])
@pytest.mark.parametrize("words", REAL)
def test_everything_else_goes_to_the_real_one(
    place: Place, words: tuple[str, ...], shell: str
) -> None:
    shown = "".join(f" <{word}>" for word in words)
    assert place.run(*words, shell=shell) == (3, f"real{shown}")


@pytest.mark.parametrize("shell", SHELLS)
def test_without_syscr_everything_goes_to_the_real_one(place: Place, shell: str) -> None:
    place.syscr.unlink()
    assert place.run("checkpoint", shell=shell) == (3, "real <checkpoint>")
    assert place.run(shell=shell) == (3, "real <>")


def test_folder_named_twice_or_by_a_link_is_passed(place: Place) -> None:
    link = place.path / "link"
    link.symlink_to(place.bin)
    folders = (place.bin, link, place.bin, place.path / "slurm", "/bin")
    assert place.run("show", folders=folders) == (3, "real <show>")


def test_real_one_in_front_of_the_shim_is_found(place: Place) -> None:
    assert place.run("show", folders=(place.path / "slurm", place.bin, "/bin")) == (
        3,
        "real <show>",
    )
    assert place.run("show", folders=(place.path / "slurm", "/bin")) == (3, "real <show>")


def test_two_shims_pass_on_and_never_go_round(place: Place) -> None:
    second = place.path / "second"
    shim.install(str(second), str(place.syscr))
    slurm = place.path / "slurm"
    for folders in ((place.bin, second, slurm), (second, place.bin, second, slurm)):
        assert place.run("show", folders=(*folders, "/bin")) == (3, "real <show>")
    code, out = place.run("show", folders=(place.bin, second, "/bin"))
    assert (code, out) == (127, "")


def test_no_scontrol_at_all_says_so(place: Place) -> None:
    assert place.run("show", folders=(place.bin, "/bin")) == (127, "")


def test_install_replaces_only_what_is_ours(tmp_path: Path) -> None:
    path = Path(shim.install(str(tmp_path / "bin"), "/opt/syscr"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert shim.is_shim(str(path))
    assert shim.install(str(tmp_path / "bin"), "/other/syscr") == str(path)
    assert "syscr=/other/syscr\n" in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["scontrol"]


def test_install_leaves_a_real_scontrol_alone(tmp_path: Path) -> None:
    make(tmp_path, "scontrol", "real")
    with pytest.raises(RequestError, match="another scontrol is there"):
        shim.install(str(tmp_path), "/opt/syscr")
    (tmp_path / "scontrol").unlink()
    (tmp_path / "scontrol").symlink_to("/nowhere")
    with pytest.raises(RequestError):
        shim.install(str(tmp_path), "/opt/syscr")
    assert os.readlink(tmp_path / "scontrol") == "/nowhere"


def test_install_that_cannot_write_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreAccessError, match="cannot install the shim as"):
        shim.install(str(tmp_path / "file" / "bin"), "/opt/syscr")


def test_find_real_passes_all_shims(place: Place) -> None:
    folders = [str(place.bin), "/nowhere", str(place.path / "slurm")]
    assert shim.find_real(":".join(folders)) == str(place.real)
    with pytest.raises(ToolMissingError):
        shim.find_real(str(place.bin))
    assert not shim.is_shim("/nowhere")
