"""Notes of a task: whole or not there, private, and nothing is left of one that could not be written."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from syscr.job.notes import write_note


def test_note_is_private_and_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    for text in ("failed: a \udcff\n", "started\n", ""):
        write_note(path, text)
        assert path.read_bytes() == os.fsencode(text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_note_takes_the_place_of_a_link_and_follows_none(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("untouched")
    path = tmp_path / "ready"
    path.symlink_to(other)
    write_note(path, "started\n")
    assert (other.read_text(), path.is_symlink()) == ("untouched", False)


def test_nothing_is_left_of_a_note_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ready"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no space"):
        write_note(path, "started\n")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="No such file"):
        write_note(tmp_path / "gone" / "ready", "x")
