"""A copy of a job ends itself, without a word, once the record of the newest life names a later one."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from launcher_support import (
    SLEEPER,
    Laboratory,
    Launched,
    eventually,
    is_gone,
    wait_for_wakes,
)

from syscr.lives import name_copy, parse_end
from syscr.store.atomic import write_atomic

START = datetime(2026, 11, 29, 9, tzinfo=UTC)
OWN = name_copy(12, 1, START)
EVERY_MS = 20


@pytest.fixture
def record(tmp_path: Path) -> Path:
    tmp_path.chmod(0o777)
    path = tmp_path / "fence.json"
    name(path, OWN)
    return path


def name(path: Path, life: object) -> None:
    """Write the record as the store does."""
    write_atomic(str(path), json.dumps({"fence": life}, sort_keys=True).encode(), durable=False)
    path.chmod(0o644)


def start(lab: Laboratory, record: Path, script: str = SLEEPER) -> Launched:
    options = ["--fence", str(record), "--fence-life", OWN, "--fence-ms", str(EVERY_MS)]
    launched = lab.start(
        "sh", "-c", script, options=[*options, "--end", str(record.with_name("end"))]
    )
    launched.expect("ready")
    return launched


def list_fences(launched: Launched) -> list[int]:
    return [one.pid for one in launched.tree() if one.comm == "syscr-fence" and one.state != "Z"]


def find_fence(launched: Launched) -> int:
    """Return the fence; it has its name a moment after it is there."""
    eventually(lambda: len(list_fences(launched)) == 1, "one fence")
    (pid,) = list_fences(launched)
    return pid


def look_again(launched: Launched) -> None:
    """Wait until the fence has looked a few times more."""
    wait_for_wakes(find_fence(launched))


@pytest.mark.parametrize(
    "newer",
    [name_copy(12, 2, START), name_copy(12, 2, datetime(2025, 1, 1, tzinfo=UTC)), name_copy(7, 0, datetime.now(UTC))],
    ids=["next life", "clock of another node", "another job goes on with it"],
)  # fmt: skip
def test_copy_ends_for_a_newer_life(lab: Laboratory, record: Path, newer: str) -> None:
    launched = start(lab, record)
    name(record, newer)
    status, output, errors = launched.end()
    assert (status, output, errors) == (75, "", "")
    end = parse_end(record.with_name("end").read_text())
    assert end is not None
    assert end.how == "fenced"


@pytest.mark.parametrize(
    "other",
    [OWN, name_copy(12, 0, START), name_copy(99, 0, datetime(2025, 1, 1, tzinfo=UTC)), "12", "", 3, "x.y.z"],
)  # fmt: skip
def test_copy_lives_on_for_any_other_record(lab: Laboratory, record: Path, other: object) -> None:
    launched = start(lab, record)
    name(record, other)
    look_again(launched)
    assert launched.is_running()
    assert not record.with_name("end").exists()


def test_record_that_is_missing_or_cannot_be_read_ends_nobody(
    lab: Laboratory, record: Path
) -> None:
    launched = start(lab, record)
    record.unlink()
    look_again(launched)
    record.mkdir()
    look_again(launched)
    record.rmdir()
    newer = record.with_name("elsewhere")
    name(newer, name_copy(12, 2, START))
    record.symlink_to(newer)
    look_again(launched)
    assert launched.is_running()


def test_fence_that_is_killed_is_there_again(lab: Laboratory, record: Path) -> None:
    launched = start(lab, record)
    first = find_fence(launched)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: is_gone(first), "it is gone")
    assert find_fence(launched) != first
    name(record, name_copy(12, 2, START))
    assert launched.end()[0] == 75


def test_fence_is_no_process_of_the_program(lab: Laboratory, record: Path) -> None:
    launched = start(lab, record)
    assert find_fence(launched) not in launched.control.pids()
    launched.control.hold(10)
    eventually(launched.is_stopped, "the program stands still")
    name(record, name_copy(12, 2, START))  # it looks all the same
    assert launched.end()[0] == 75


def test_copy_that_is_just_being_dumped_ends_with_its_tool(hasty: Laboratory, record: Path) -> None:
    launched = start(hasty, record)
    with launched.connect() as link:
        words = b"sleep\x001000\x00"
        link.sendall(b"run 60000 0 %d\n" % len(words) + words)
        eventually(lambda: "sleep" in {one.comm for one in launched.tree()}, "the tool runs")
        name(record, name_copy(12, 2, START))
        assert launched.end()[0] == 75


def test_vacated_copy_keeps_its_note(lab: Laboratory, record: Path) -> None:
    launched = start(lab, record)
    launched.control.kill()
    name(record, name_copy(12, 2, START))
    assert launched.end()[0] == 75
    end = parse_end(record.with_name("end").read_text())
    assert end is not None
    assert end.how == "image"


def test_storage_that_hangs_keeps_no_signal_back(lab: Laboratory, record: Path) -> None:
    record.unlink()
    os.mkfifo(record)  # opening it for reading blocks
    launched = start(lab, record)
    launched.send(signal.SIGTERM)
    assert launched.end()[0] == -signal.SIGTERM
