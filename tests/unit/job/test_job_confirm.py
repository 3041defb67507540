"""A restored task whose tool does not tell gets a file that says how it went."""

from __future__ import annotations

from dataclasses import replace

import pytest
from job_support import Job

from syscr.errors import ImageNotFoundError, RestartTimeoutError
from syscr.job import confirm
from syscr.job.control import LauncherControl
from syscr.model import Image, TaskSpec
from syscr.testing.backend import FakeBackend
from syscr.wire import WorkerRequest

SPEC = TaskSpec(12, "0", 0, "c1", "12", "/shared", "fake")


class Restored:
    """A task that is being restored.

    Attributes:
        backend: Its backend.
        tasks: Tasks of the step on this node.
        folder: Its private folder.
    """

    def __init__(self, job: Job) -> None:
        self.backend = FakeBackend()
        self.job = job
        self.folder = job.root / "run"
        self.folder.mkdir()
        spec = replace(SPEC, run_dir=str(self.folder))
        other = replace(SPEC, rank=1, run_dir=str(job.root / "other"))
        self.tasks = [LauncherControl(other, 31), LauncherControl(spec, 30)]

    def confirm(self, image: Image | None) -> str:
        """Return what the file says afterwards."""

        def get_image(folder: str) -> Image:
            if image is None:
                raise ImageNotFoundError(f"no image in {folder}")
            return image

        request = WorkerRequest(
            "confirm", 12, "0", staging_dir="/image", run_dir=str(self.folder), timeout_seconds=9
        )
        confirm.confirm_restored(request, {"fake": self.backend}, get_image, self.job.clock)
        assert [path.name for path in self.folder.iterdir()] == ["ready"]
        return (self.folder / "ready").read_text()


@pytest.fixture
def restored(job: Job, monkeypatch: pytest.MonkeyPatch) -> Restored:
    restored = Restored(job)
    monkeypatch.setattr(confirm, "find_tasks", lambda number, step: tuple(restored.tasks))
    return restored


def test_task_that_runs_again_is_said_to(job: Job, restored: Restored) -> None:
    assert restored.confirm(job.publish(0, 1, step="0")) == "started\n"
    assert restored.backend.calls == [("wait_restored", 0)]


def test_launcher_that_comes_late_is_waited_for(
    job: Job, restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def find_late(number: int, step: str | None) -> tuple[LauncherControl, ...]:
        nonlocal looks
        looks += 1
        return tuple(restored.tasks) if looks > 5 else ()

    monkeypatch.setattr(confirm, "find_tasks", find_late)
    assert restored.confirm(job.publish(0, step="0")) == "started\n"


def test_task_that_never_comes_is_said_to_have_failed(job: Job, restored: Restored) -> None:
    restored.tasks.clear()
    assert restored.confirm(job.publish(0, step="0")) == (
        "failed: the task has ended before it was restored\n"
    )
    assert sum(job.clock.sleeps) >= 29


def test_reason_of_the_backend_is_passed_on(job: Job, restored: Restored) -> None:
    restored.backend.failures["wait_restored"] = RestartTimeoutError("not back after 9 s")
    assert restored.confirm(job.publish(0, step="0")) == "failed: not back after 9 s\n"


def test_image_that_is_gone_is_said(restored: Restored) -> None:
    assert restored.confirm(None) == "failed: no image in /image\n"


def test_rank_that_the_image_does_not_have_is_a_failure(job: Job, restored: Restored) -> None:
    image = job.publish(7, step="0", task_count=1)
    assert restored.confirm(image).startswith("failed: ")
