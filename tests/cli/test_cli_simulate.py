"""simulate, and what status says of lives."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cli_support import IMAGE_ID, NOW, FakeManager, Run, make_image, make_job, make_task

from syscr.model import JobId, JobState, Life, StopReason, Target
from syscr.result import JobStatus, SimulationResult

TARGET = Target(JobId(4711))
FIRST = Life(
    4711,
    0,
    "c1",
    NOW - timedelta(minutes=10),
    ended_at=NOW - timedelta(minutes=8),
    reason=StopReason.TIME_LIMIT,
    image_id=IMAGE_ID,
    image_at=NOW - timedelta(minutes=8, seconds=30),
)
SECOND = Life(
    4711,
    1,
    "c2",
    NOW - timedelta(minutes=6),
    restored_from=IMAGE_ID,
    next_at=NOW + timedelta(minutes=5),
)


def test_life_that_was_ended_is_named_with_its_image(run: Run, manager: FakeManager) -> None:
    manager.answers["simulate"] = SimulationResult(TARGET, "timeout", FIRST, "PENDING")
    done = run("simulate", "4711", "--timeout")
    assert done.out == (
        "job 4711: its life on c1 has ended; the job is PENDING now\n"
        f"  image  {IMAGE_ID}, after 2 min\n"
        "watch it with: syscr status 4711\n"
    )
    assert manager.calls == [("simulate", (TARGET, "timeout", 60.0))]


def test_job_that_runs_on_says_why(run: Run, manager: FakeManager) -> None:
    life = replace(SECOND, note="time limit: the job cannot be requeued")
    manager.answers["simulate"] = SimulationResult(TARGET, "timeout", life, "RUNNING")
    assert (
        "job 4711 runs on: time limit" in run("simulate", "4711", "--timeout", "--wait", "5s").out
    )
    assert manager.calls[0][1][2] == 5.0


def test_loss_without_an_image_has_none_to_name(run: Run, manager: FakeManager) -> None:
    life = replace(FIRST, image_id="", image_at=None)
    manager.answers["simulate"] = SimulationResult(TARGET, "node-failure", life, "PENDING")
    assert "image" not in run("simulate", "4711", "--node-failure").out


def test_what_is_to_be_simulated_must_be_said(run: Run) -> None:
    done = run("simulate", "4711")
    assert done.status == 2
    assert "--preempt, --timeout and --node-failure" in done.err


def test_one_thing_at_a_time_is_simulated(run: Run, manager: FakeManager) -> None:
    done = run("simulate", "4711", "--preempt", "--node-failure")
    assert (done.status, manager.calls) == (2, [])
    assert "more than one thing is to be simulated" in done.err


def test_lives_are_told_one_by_one(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = (
        JobStatus(
            TARGET,
            make_job(),
            tasks=(make_task(),),
            images=(make_image(),),
            lives=(FIRST, SECOND),
            kept_seconds=450.0,
            lost_seconds=30.0,
        ),
    )
    assert run("status", "4711").out == (
        "job 4711: RUNNING on c1, of alice\n"
        "  checkpoint  possible (1 task of step batch, criu)\n"
        "  newest      20261124T114500Z-9f3c21ab, 15 min ago, 1.5 GiB in 2 files\n"
        "  images      1\n"
        "  lives       2; 7 min 30 s of running time kept, 30.0 s lost\n"
        "  next        checkpoint in 5 min\n"
        "    LIFE  NODE  STARTED          RAN    KEPT        ENDED BY\n"
        "    1     c1    11-24 11:50:00Z  2 min  1 min 30 s  time limit\n"
        "    2     c2    11-24 11:54:00Z  6 min  -           -\n"
        "write an image with: syscr checkpoint 4711\n"
    )


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"reason": StopReason.OWN_END, "exit_code": 3}, "2 min  2 min  own end, exit code 3"),
        ({"reason": StopReason.OWN_END, "exit_code": -9}, "own end, signal 9"),
        ({"reason": StopReason.LOST, "image_at": None}, "?    -     lost"),
    ],
)
def test_ends_of_lives(
    run: Run, manager: FakeManager, changes: dict[str, object], shown: str
) -> None:
    life = replace(FIRST, **changes)  # type: ignore[arg-type]
    manager.answers["status"] = (JobStatus(TARGET, None, images=(make_image(),), lives=(life,)),)
    assert shown in run("status", "4711").out


def test_remark_of_the_agent_is_shown(run: Run, manager: FakeManager) -> None:
    life = replace(SECOND, note="no last image: disk full")
    manager.answers["status"] = (JobStatus(TARGET, make_job(), lives=(life,)),)
    assert "  note: no last image: disk full\n" in run("status", "4711").out


def test_wait_that_slurm_imposes_can_be_ended(run: Run, manager: FakeManager) -> None:
    job = replace(make_job(state=JobState.PENDING), reason="BeginTime")
    manager.answers["status"] = (JobStatus(TARGET, job, images=(make_image(),), lives=(FIRST,)),)
    assert "scontrol update JobId=4711 StartTime=now" in run("status", "4711").out
    job = replace(job, state=JobState.CANCELLED)  # Slurm leaves the reason there
    manager.answers["status"] = (JobStatus(TARGET, job, images=(make_image(),), lives=(FIRST,)),)
    assert run("status", "4711").out.splitlines()[-1] == "bring it back with: syscr restart 4711"
