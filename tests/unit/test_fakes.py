"""The fakes themselves: what they accept must be what the ports say, and they must not hide mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import ANY

import pytest

from syscr.errors import (
    CheckpointError,
    JobNotFoundError,
    JobStateError,
    SchedulerDeniedError,
    ToolMissingError,
)
from syscr.model import Finding, Job, JobId, JobState, Severity, TaskSpec
from syscr.ports import CommandTimeout, Runner, Scheduler, SubmitOptions, Workers
from syscr.testing.runner import FakeRunner
from syscr.testing.scheduler import FakeScheduler
from syscr.testing.workers import FakeWorkers

JOB = Job(JobId(5), 5, "alice", 1000, JobState.RUNNING, "RUNNING", nodes=("c1", "c2"))
TASKS = (
    TaskSpec(5, "batch", 0, "c1", "5", "/c", "criu"),
    TaskSpec(5, "0", 0, "c1", "5", "/c", "criu"),
    TaskSpec(5, "0", 1, "c2", "5", "/c", "criu"),
)


def test_fakes_satisfy_their_ports() -> None:
    ports: tuple[Runner, Scheduler, Workers] = (FakeRunner(), FakeScheduler(), FakeWorkers())
    assert len(ports) == 3


def test_runner_gives_what_was_scripted_and_passes_lines_on() -> None:
    lines: list[str] = []
    with FakeRunner() as runner:
        runner.expect(["a", ANY], stdout="1\n2\nrest", stderr="e", exit_code=3)
        completed = runner.run(["a", "b"], stdin="x", on_line=lines.append)
    assert (completed.argv, completed.exit_code, completed.stderr) == (("a", "b"), 3, "e")
    assert lines == ["1", "2"]
    assert runner.calls[0].stdin == "x"


def test_runner_refuses_the_unexpected_and_the_unused() -> None:
    runner = FakeRunner()
    with pytest.raises(AssertionError, match="unexpected command"):
        runner.run(["a"])
    runner.expect(["b"])
    with pytest.raises(AssertionError, match="unexpected command"):
        runner.run(["a"])
    runner.expect(["c"])
    with pytest.raises(AssertionError, match="never run"):
        runner.check()


def test_runner_leaves_the_error_of_a_failed_test_alone() -> None:
    def fail() -> None:
        with FakeRunner() as runner:
            runner.expect(["never"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_runner_times_out_fails_to_start_and_dies_by_signal() -> None:
    with FakeRunner() as runner:
        runner.expect(["a"], stdout="half", times_out=True)
        runner.expect(["a"], error=ToolMissingError("no a"))
        runner.expect(["a"], signal=9)
        with pytest.raises(CommandTimeout) as caught:
            runner.run(["a"], timeout_seconds=5)
        with pytest.raises(ToolMissingError):
            runner.run(["a"])
        assert runner.run(["a"]).signal == 9
    assert (caught.value.completed.stdout, caught.value.timeout_seconds) == ("half", 5)


def test_scheduler_takes_a_job_through_requeue_and_cancel() -> None:
    scheduler = FakeScheduler()
    job_id = scheduler.add_job(5, nodes=("c1", "c2")).job_id
    scheduler.requeue(job_id, hold=True)
    assert scheduler.get_job(job_id).reason == "JobHeldUser"
    assert scheduler.get_job_details(job_id).restart_count == 1
    scheduler.require_nodes(job_id, ("c2",))
    scheduler.release(job_id)
    scheduler.start_now(job_id)
    scheduler.set_state(job_id, JobState.RUNNING, nodes=("c2",))
    assert scheduler.get_job(job_id).batch_host == "c2"
    assert scheduler.find_own_jobs() == (job_id,)
    scheduler.cancel(job_id)
    assert scheduler.get_job(job_id).state is JobState.CANCELLED
    assert scheduler.find_own_jobs() == ()
    assert [act[0] for act in scheduler.acts] == [
        "requeue",
        "require_nodes",
        "release",
        "start_now",
        "cancel",
    ]


def test_scheduler_submits_held_jobs_under_new_numbers() -> None:
    scheduler = FakeScheduler()
    first = scheduler.submit(SubmitOptions("#!/bin/sh\n", ("--hold",)))
    second = scheduler.submit(SubmitOptions("#!/bin/sh\n"))
    assert (first, second) == (JobId(1), JobId(2))
    assert scheduler.get_job(first).reason == "JobHeldUser"
    assert scheduler.submissions[first].options == ("--hold",)


def test_scheduler_cancels_one_step_only() -> None:
    scheduler = FakeScheduler()
    job_id = scheduler.add_job(5).job_id
    scheduler.steps[job_id] = ("0", "1")
    scheduler.cancel(job_id, step="0")
    assert scheduler.find_steps(job_id) == ("1",)
    assert scheduler.get_job(job_id).state is JobState.RUNNING


def test_scheduler_fails_once_where_it_is_told_to_and_forgets() -> None:
    scheduler = FakeScheduler()
    job_id = scheduler.add_job(5, array=(4, 0), script=None).job_id
    scheduler.failures["get_job"] = SchedulerDeniedError("no")
    with pytest.raises(SchedulerDeniedError):
        scheduler.get_job(job_id)
    assert scheduler.get_job(JobId(5)).job_id == JobId(4, 0)
    with pytest.raises(JobNotFoundError):
        scheduler.get_batch_script(job_id)
    assert scheduler.version() == "24.11.5"
    scheduler.forget(job_id)
    assert scheduler.get_jobs([job_id]) == {}


def test_workers_inspect_dump_hold_and_kill() -> None:
    workers = FakeWorkers(TASKS)
    finding = Finding("x", Severity.NOTE, "m")
    workers.findings["c2"] = (finding,)
    first, second = workers.inspect(JOB, step=None)
    assert (len(first.tasks), second.findings) == (2, (finding,))
    seen: list[Mapping[str, object]] = []
    reports = workers.dump(
        JOB,
        step="0",
        staging_dir="/s",
        hold_seconds=30,
        timeout_seconds=60,
        progress=seen.append,
    )
    assert [image.rank for report in reports for image in report.images] == [0, 1]
    assert [message["node"] for message in seen] == ["c1", "c2"]
    assert workers.held == {(5, "0")}
    workers.finish(JOB, step="0", action="resume")
    assert workers.held == set()
    workers.finish(JOB, step="0", action="kill")
    assert [task.step for task in workers.tasks] == ["batch"]
    assert workers.killed == {(5, "0")}


def test_workers_fail_where_they_are_told_to_and_for_jobs_that_do_not_run() -> None:
    workers = FakeWorkers(TASKS)
    workers.failures["inspect"] = CheckpointError("no answer")
    with pytest.raises(CheckpointError):
        workers.inspect(JOB, step=None)
    suspended = Job(JobId(5), 5, "alice", 1000, JobState.SUSPENDED, "SUSPENDED")
    with pytest.raises(JobStateError):
        workers.inspect(suspended, step=None)
