"""Files of several tasks: one brings them back, and none runs before all are there."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from syscr.clock import SystemClock
from syscr.errors import RestartError
from syscr.job.sharing import SharedFile, choose_part, find_shared, mark_failed, meet
from syscr.model import FileState, TaskImage, TaskSpec
from syscr.testing.clock import FakeClock


def task(rank: int, *files: FileState) -> TaskImage:
    return TaskImage(rank, "c1", f"data/{rank}", open_files=files)


TASKS = (
    task(0, FileState("/log", 4, writable=False), FileState("/own", 1, writable=True)),
    task(1, FileState("/log", 5, writable=True), FileState("/input", 9, writable=False)),
    task(2, FileState("/log", 7, writable=True), FileState("/input", 9, writable=False)),
    task(3, FileState("/dev/shm/x", 3, writable=True, copy="local.0")),
    task(4, FileState("/dev/shm/x", 3, writable=True, copy="local.1")),
)


def test_shared_are_files_that_one_task_changes_and_another_has_open() -> None:
    assert find_shared(TASKS) == {"/log": SharedFile(7, 1), "/dev/shm/x": SharedFile(3, None)}
    assert find_shared(TASKS[:1]) == {}


def test_first_writer_brings_a_file_back_to_the_size_that_all_have_seen() -> None:
    shared = find_shared(TASKS)
    parts = [choose_part(one, shared).open_files for one in TASKS]
    assert [file.path for file in parts[0]] == ["/own"]
    assert parts[1] == (FileState("/log", 7, writable=True), TASKS[1].open_files[1])
    assert [file.path for file in parts[2]] == ["/input"]
    assert parts[3:] == [TASKS[3].open_files, TASKS[4].open_files]


@pytest.fixture
def spec(tmp_path: Path) -> TaskSpec:
    return TaskSpec(
        12, "0", 0, "c1", "12", str(tmp_path), "criu", 1, 3, run_dir=str(tmp_path / "12.1.0")
    )


def test_tasks_wait_for_the_last_one(spec: TaskSpec) -> None:
    done: list[int] = []

    def come(rank: int) -> None:
        meet(replace(spec, rank=rank), SystemClock(), timeout_seconds=20)
        done.append(rank)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in (0, 2)]
    for thread in threads:
        thread.start()
    assert done == []
    come(1)
    for thread in threads:
        thread.join(20)
    assert sorted(done) == [0, 1, 2]


def test_task_that_fails_keeps_the_others_from_running(spec: TaskSpec) -> None:
    mark_failed(replace(spec, rank=2))
    with pytest.raises(
        RestartError, match="task 2, with which it shares files, cannot be restored"
    ):
        meet(spec, FakeClock())


def test_task_that_does_not_come_is_named(spec: TaskSpec) -> None:
    clock = FakeClock()
    with pytest.raises(
        RestartError, match="task 1, with which it shares files, was not there within 9 s"
    ):
        meet(spec, clock, timeout_seconds=9)
    assert clock.monotonic() >= 9
