"""The contract of Scheduler for the fake, and for Slurm's commands as recorded from four versions.

``tests/cluster/test_scheduler_real.py`` runs the same suite against real Slurm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fake_pyslurm import build_library
from scheduler_suite import SchedulerSuite, World

from syscr.model import JobDetails, JobId, JobState
from syscr.ports import Completed
from syscr.slurm import commands
from syscr.slurm.pyslurm_client import PyslurmScheduler
from syscr.slurm.scheduler import SlurmScheduler
from syscr.testing.clock import FakeClock
from syscr.testing.scheduler import FakeScheduler

TESTS = Path(__file__).resolve().parents[1]
VERSIONS = sorted(path.name for path in (TESTS / "data" / "slurm").iterdir() if path.is_dir())


def _make_fake() -> World:
    scheduler = FakeScheduler()
    running = scheduler.add_job(5, nodes=("c1", "c2")).job_id
    held = scheduler.add_job(6, state=JobState.PENDING).job_id
    fixed = scheduler.add_job(7, details=JobDetails(can_requeue=False)).job_id
    ended = scheduler.add_job(8, state=JobState.COMPLETED).job_id
    task = scheduler.add_job(10, array=(9, 0)).job_id
    scheduler.add_job(11, array=(9, 1))
    down = FakeScheduler()
    down.is_available = False
    return World(scheduler, down, running, held, fixed, ended, task)


def _make_pyslurm() -> World:
    """Wrap the same jobs in a library: it must not be told from the adapter that it stands on."""
    world = _make_fake()
    schedulers = (world.scheduler, world.unreachable)
    wrapped = [PyslurmScheduler(build_library(one), one) for one in schedulers]  # type: ignore[arg-type]
    return replace(world, scheduler=wrapped[0], unreachable=wrapped[1])


class RecordedRunner:
    """Answers each command as the real one did (tests/data/slurm/record.py)."""

    def __init__(self, records: Sequence[Mapping[str, object]]) -> None:
        self._replies: dict[tuple[str, ...], Completed] = {}
        for record in records:
            argv = tuple(map(str, record["argv"]))  # type: ignore[call-overload]
            code = int(str(record["exit_code"]))
            reply = Completed(argv, code, str(record["stdout"]), str(record["stderr"]))
            self._replies[argv] = reply

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        return self._replies[tuple(argv)]


def _make_recorded(version: str) -> World:
    folder = TESTS / "data" / "slurm" / version
    records = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    special = ("_down", "_foreign", "_completing", "_requeued")
    usual = [record for case, record in records.items() if not case.endswith(special)]
    down = [record for case, record in records.items() if case.endswith("_down")]

    def job(case: str) -> JobId:
        return JobId.parse(str(records[case]["job_id"]))

    return World(
        SlurmScheduler(RecordedRunner(usual), FakeClock()),
        SlurmScheduler(RecordedRunner(down), FakeClock()),
        running=job("jobs_running"),
        held=job("jobs_waiting"),
        fixed=job("act_requeue_forbidden"),
        ended=job("jobs_ended"),
        task=job("jobs_array_running"),
    )


@pytest.fixture(scope="module", params=["fake", "pyslurm", *VERSIONS])
def world(request: pytest.FixtureRequest) -> World:
    made = {"fake": _make_fake, "pyslurm": _make_pyslurm}
    return made[request.param]() if request.param in made else _make_recorded(request.param)


class TestScheduler(SchedulerSuite):
    """The fake and every recorded version."""


def test_commands_ask_for_no_user_text_with_other_fields() -> None:
    for letter in "jkoZf":
        assert f"%{letter}" not in commands.JOB_FORMAT
