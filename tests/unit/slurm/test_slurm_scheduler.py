from __future__ import annotations

import os

import pytest
from slurm_replies import Read

from syscr.errors import JobStateError, SchedulerReplyError, SchedulerUnavailableError
from syscr.model import JobId
from syscr.ports import Completed, SubmitOptions
from syscr.slurm import commands
from syscr.slurm.scheduler import SlurmScheduler
from syscr.testing.clock import FakeClock
from syscr.testing.runner import FakeRunner

JOB = JobId(5)


def _expect(runner: FakeRunner, completed: Completed) -> None:
    runner.expect(
        completed.argv,
        stdout=completed.stdout,
        stderr=completed.stderr,
        exit_code=completed.exit_code,
    )


def test_details_of_a_version_are_read_the_way_it_allows(reply: Read, version: str) -> None:
    cases = ["version", "show_running"]
    if version < "24":
        cases = ["version", "geometry_running"]
        cases += [f"text_{field}_running" for field in commands.TEXT_FORMATS]
        cases += [f"path_{field}_running" for field in commands.PATH_FIELDS]
    job_id = reply("jobs_running").job_id
    with FakeRunner() as runner:
        for case in cases:
            _expect(runner, reply(case).completed)
        details = SlurmScheduler(runner, FakeClock()).get_job_details(job_id)
    assert details.name.endswith("1|1|1|N/A|0|root|COMPLETED|c9|c9|x|1|1|x")
    assert (details.node_count, details.working_dir, details.account) == (2, "/shared", "research")
    assert details.stdout_path.startswith("/shared/out-")
    assert details.can_requeue


def test_every_question_has_a_time_out_and_times_as_numbers(reply: Read) -> None:
    recorded = reply("jobs_running")
    with FakeRunner() as runner:
        _expect(runner, recorded.completed)
        SlurmScheduler(runner, FakeClock(), timeout_seconds=7).get_job(recorded.job_id)
    assert runner.calls[0].timeout_seconds == 7
    assert runner.calls[0].env == {"SLURM_TIME_FORMAT": "%s"}


def test_jobs_are_asked_for_at_once_and_the_unknown_is_absent(
    reply: Read,
) -> None:
    recorded = reply("jobs_many")
    ids = [JobId.parse(text) for text in recorded.completed.argv[6].split(",")]
    with FakeRunner() as runner:
        _expect(runner, recorded.completed)
        jobs = SlurmScheduler(runner, FakeClock()).get_jobs(ids)
    assert list(jobs) == [ids[0], ids[2]]


def test_no_jobs_need_no_command() -> None:
    with FakeRunner() as runner:
        assert SlurmScheduler(runner, FakeClock()).get_jobs([]) == {}


def test_time_out_is_unavailable_not_unknown() -> None:
    with FakeRunner() as runner:
        runner.expect(commands.build_get_jobs([JOB]), times_out=True)
        with pytest.raises(SchedulerUnavailableError, match="did not end within 30 s"):
            SlurmScheduler(runner, FakeClock()).get_job(JOB)


def test_time_out_of_a_submission_says_that_it_may_have_worked() -> None:
    with FakeRunner() as runner:
        runner.expect(commands.build_submit(["-N1"]), times_out=True)
        with pytest.raises(SchedulerUnavailableError, match="may have been submitted") as caught:
            SlurmScheduler(runner, FakeClock()).submit(SubmitOptions("#!/bin/sh\n", ("-N1",)))
    assert "squeue --me" in caught.value.hint


def test_act_refused_for_the_moment_is_repeated() -> None:
    busy = "Job can not be altered now, try again later for job 5\n"
    clock = FakeClock()
    with FakeRunner() as runner:
        runner.expect(commands.build_requeue(JOB, hold=True), exit_code=1, stderr=busy)
        runner.expect(commands.build_requeue(JOB, hold=True), exit_code=1, stderr=busy)
        runner.expect(commands.build_requeue(JOB, hold=True))
        SlurmScheduler(runner, clock).requeue(JOB, hold=True)
    assert clock.sleeps == [1.0, 1.0]


def test_act_refused_for_long_gives_up() -> None:
    busy = "Job can not be altered now, try again later for job 5\n"
    with FakeRunner() as runner:
        for _ in range(5):
            runner.expect(commands.build_release(JOB), exit_code=1, stderr=busy)
        with pytest.raises(JobStateError, match="try again later"):
            SlurmScheduler(runner, FakeClock()).release(JOB)


def test_act_that_fails_otherwise_is_not_repeated() -> None:
    with FakeRunner() as runner:
        runner.expect(commands.build_cancel(JOB, "0"), times_out=True)
        with pytest.raises(SchedulerUnavailableError, match="it may be cancelled"):
            SlurmScheduler(runner, FakeClock()).cancel(JOB, step="0")


def test_nodes_of_a_running_job_are_never_set(reply: Read) -> None:
    recorded = reply("jobs_running")
    with FakeRunner() as runner:
        _expect(runner, recorded.completed)
        with pytest.raises(JobStateError, match="RUNNING"):
            SlurmScheduler(runner, FakeClock()).require_nodes(recorded.job_id, ["c1"])


def test_nodes_of_a_waiting_job_are_folded(reply: Read) -> None:
    recorded = reply("jobs_held")
    with FakeRunner() as runner:
        _expect(runner, recorded.completed)
        runner.expect(("scontrol", "update", f"JobId={recorded.job_id}", "ReqNodeList=c[1-2]"))
        SlurmScheduler(runner, FakeClock()).require_nodes(recorded.job_id, ["c2", "c1"])


def test_job_gets_the_users_locale_and_not_the_runners() -> None:
    with FakeRunner() as runner:
        before = ("env", "-u", "LC_ALL", "-u", "SLURM_TIME_FORMAT", "LC_ALL=de_DE")
        argv = (*before, "sbatch", "--parsable", "-N1", "/dev/stdin", "a b")
        runner.expect(argv, stdout="77\n")
        scheduler = SlurmScheduler(runner, FakeClock(), job_environment={"LC_ALL": "de_DE"})
        job_id = scheduler.submit(SubmitOptions("#!/bin/sh\n", ("-N1",), ("a b",), "/work"))
    assert job_id == JobId(77)
    assert (runner.calls[0].stdin, runner.calls[0].cwd) == ("#!/bin/sh\n", "/work")


def test_reply_not_understood_carries_tool_version_and_excerpt() -> None:
    with FakeRunner() as runner:
        runner.expect(commands.build_get_jobs([JOB]), stdout="what?\n")
        runner.expect(commands.build_version(), stdout="slurm 27.05.0\n")
        with pytest.raises(SchedulerReplyError) as caught:
            SlurmScheduler(runner, FakeClock()).get_job(JOB)
    assert caught.value.details["tool"] == "squeue"
    assert caught.value.details["version"] == "27.05.0"
    assert caught.value.details["excerpt"] == "what?"


def test_reply_not_understood_is_reported_even_without_version() -> None:
    with FakeRunner() as runner:
        runner.expect(commands.build_get_jobs([JOB]), stdout="what?\n")
        runner.expect(commands.build_version(), times_out=True)
        with pytest.raises(SchedulerReplyError) as caught:
            SlurmScheduler(runner, FakeClock()).get_job(JOB)
    assert caught.value.details["version"] == ""


def test_own_jobs_are_listed(reply: Read) -> None:
    with FakeRunner() as runner:
        _expect(runner, reply("own_jobs").completed)
        jobs = SlurmScheduler(runner, FakeClock()).find_own_jobs()
    assert jobs
    assert any(job_id.array_index == 0 for job_id in jobs)


def test_version_is_asked_for_once(reply: Read, version: str) -> None:
    with FakeRunner() as runner:
        _expect(runner, reply("version").completed)
        scheduler = SlurmScheduler(runner, FakeClock())
        assert [scheduler.version(), scheduler.version()] == [version, version]


def test_version_already_known_is_not_asked_for_again_after_a_bad_reply() -> None:
    with FakeRunner() as runner:
        runner.expect(commands.build_version(), stdout="slurm 27.05.0\n")
        runner.expect(commands.build_get_jobs([JOB]), stdout="what?\n")
        scheduler = SlurmScheduler(runner, FakeClock())
        scheduler.version()
        with pytest.raises(SchedulerReplyError) as caught:
            scheduler.get_job(JOB)
    assert caught.value.details["version"] == "27.05.0"


def test_own_jobs_are_listed_by_a_squeue_without_me() -> None:
    with FakeRunner() as runner:
        refusal = "squeue: unrecognized option '--me'\n"
        runner.expect(commands.build_find_own_jobs(), exit_code=1, stderr=refusal)
        line = "7|7|7|N/A|1000|alice|RUNNING|n1|n1|main|1:00:00|N/A|None\n"
        runner.expect(commands.build_find_own_jobs(os.getuid()), stdout=line)
        assert SlurmScheduler(runner, FakeClock()).find_own_jobs() == (JobId(7),)
