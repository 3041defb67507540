"""Requests against a whole cluster in memory: order of checks, what is done, what is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_support import HOME, JOB, KEY, OTHER, task
from scontrol_support import Site

from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    PreflightError,
    RequestError,
    StoreAccessError,
    StoreFullError,
)
from syscr.model import Finding, JobDetails, JobId, JobState, Severity
from syscr.ports import StoreKey
from syscr.request import RestartRequest
from syscr.scontrol.command import RESTART_WAIT_SECONDS
from syscr.scontrol.texts import DONE, Answer

GATED = ("able", "error", "disable", "enable", "create", "vacate")


def failed(text: str, *more: str) -> Answer:
    return Answer((), (f"scontrol_checkpoint error: {text}", *more), 1)


def said(line: str) -> Answer:
    return Answer((line,))


NO_SUCH = failed("Invalid job id specified")


@pytest.mark.parametrize("operation", [*GATED, "requeue"])
def test_unknown_job_or_number_that_fits_none(site: Site, operation: str) -> None:
    for name in ("9999", "0", "", "99999999999999"):
        assert site.scontrol(operation, name) == NO_SUCH


@pytest.mark.parametrize("operation", [*GATED, "requeue"])
def test_job_of_another_user_in_any_state(site: Site, operation: str) -> None:
    site.world.scheduler.add_job(4711, user=("bob", 1001), state=JobState.PENDING)
    assert site.scontrol(operation, "4711") == failed("Access/permission denied")
    assert site.world.log == []


@pytest.mark.parametrize("operation", [*GATED, "requeue"])
@pytest.mark.parametrize(
    ("state", "text"),
    [
        (JobState.PENDING, "Job is pending execution"),
        (JobState.COMPLETED, "Job/step already completing or completed"),
        (JobState.COMPLETING, "Job/step already completing or completed"),
    ],
)
def test_job_that_does_not_run(site: Site, operation: str, state: JobState, text: str) -> None:
    site.world.add_job(state=state)
    assert site.scontrol(operation, "4711") == failed(text)
    assert site.world.log == []


def test_suspended_job_and_suspended_step_differ(site: Site) -> None:
    site.world.add_job(state=JobState.SUSPENDED)
    text = "Job is current suspended, requested operation disabled"
    assert site.scontrol("able", "4711") == failed(text)
    assert site.scontrol("create", "4711") == failed(text)
    assert site.scontrol("able", "4711.0") == said("No")
    assert site.scontrol("create", "4711.0") == failed("Requested operation is presently disabled")


@pytest.mark.parametrize("operation", GATED)
def test_step_that_does_not_run(site: Site, operation: str) -> None:
    site.world.add_job()
    assert site.scontrol(operation, "4711.7") == NO_SUCH


@pytest.mark.parametrize("operation", [*GATED, "requeue"])
def test_job_without_us_is_not_supported_and_says_why(site: Site, operation: str) -> None:
    site.world.scheduler.add_job(4711)
    answer = site.scontrol(operation, "4711")
    assert answer.err[0] == failed("Requested operation not supported on this system").err[0]
    assert "not started through syscr" in answer.err[1]
    assert answer.err[2].startswith("hint: ")
    assert site.scontrol(operation, "4711", quiet=True) == Answer((), (), 1)


def test_complete_is_not_supported(site: Site) -> None:
    answer = site.scontrol("complete", "4711")
    assert answer.err[0] == failed("Requested operation not supported on this system").err[0]


def test_other_cluster_is_not_supported(site: Site) -> None:
    site.cluster = "far"
    site.world.add_job()
    assert "ask on cluster 'far' itself" in site.scontrol("create", "4711").err[1]
    assert site.scontrol("create", "abc") == Answer((), ("Invalid job step name",), 0)


def test_create_writes_an_image_and_says_nothing(site: Site) -> None:
    site.world.add_job()
    assert site.scontrol("create", "4711") == DONE
    assert len(site.world.images()) == 1
    assert site.world.scheduler.get_job(JOB).state is JobState.RUNNING


def test_create_with_keys(site: Site) -> None:
    site.world.add_job(details=JobDetails(working_dir="/home/alice"))
    assert site.scontrol("create", "4711", f"ImageDir={OTHER}", "MaxWait=20") == DONE
    assert len(site.world.images(OTHER)) == 1
    assert site.scontrol("create", "4711", "ImageDir=../ck") == DONE
    assert len(site.world.images("/home/ck")) == 1
    assert site.world.remembered[:1] == [OTHER]


def test_max_wait_is_the_limit_and_nothing_means_the_configured_one(site: Site) -> None:
    site.world.add_job()
    seen: list[float] = []
    original = site.world.workers.dump

    def dump(job, **values):  # type: ignore[no-untyped-def]
        seen.append(values["timeout_seconds"])
        return original(job, **values)

    site.world.workers.dump = dump  # type: ignore[method-assign]
    for key in ("MaxWait=20", "MaxWait=0", "MaxWait=x", "ImageDir="):
        assert site.scontrol("create", "4711", key) == DONE
    assert seen == [20.0, 600.0, 600.0, 600.0]


def test_disabled_is_counted_and_holds_for_every_verb(site: Site) -> None:
    site.world.add_job()
    refused = failed("Requested operation is presently disabled")
    for _ in range(2):
        assert site.scontrol("disable", "4711") == DONE
    assert site.scontrol("enable", "4711") == DONE
    assert site.scontrol("able", "4711") == said("No")
    for operation in ("create", "vacate", "requeue"):
        assert site.scontrol(operation, "4711") == refused
    assert site.scontrol("error", "4711") == said("error(0): ")
    for _ in range(2):
        assert site.scontrol("enable", "4711") == DONE
    assert site.scontrol("able", "4711") == said("Yes")
    assert site.scontrol("create", "4711") == DONE


def test_failed_dump_leaves_the_job_and_error_keeps_it_until_a_good_one(site: Site) -> None:
    site.world.add_job()
    for operation in ("create", "vacate", "requeue"):
        site.world.workers.failures["dump"] = CheckpointError("it broke", hint="mend it")
        assert site.scontrol(operation, "4711") == failed(
            "it broke; the job is still running", "hint: mend it"
        )
    assert site.world.scheduler.get_job(JOB).state is JobState.RUNNING
    assert site.world.workers.killed == set()
    assert site.scontrol("error", "4711") == said("error(4027): it broke; the job is still running")
    assert site.scontrol("create", "4711") == DONE
    assert site.scontrol("error", "4711") == said("error(0): ")


def test_time_out_has_the_old_number(site: Site) -> None:
    site.world.add_job()
    site.world.workers.failures["dump"] = CheckpointTimeoutError("31 s, limit 30 s")
    answer = site.scontrol("create", "4711", "MaxWait=30")
    assert answer.err[:2] == (
        "scontrol_checkpoint error: Communication connection failure",
        "syscr: 31 s, limit 30 s; the job is still running",
    )
    assert site.scontrol("error", "4711") == said("error(1001): Communication connection failure")


def test_failure_that_cannot_be_kept_is_answered_all_the_same(site: Site) -> None:
    site.world.add_job()
    site.world.home.failures["open_staging"] = StoreFullError("full")
    site.world.home.failures["write_record"] = StoreAccessError("read only")
    assert site.scontrol("create", "4711").err[0].endswith("full; the job is still running")


def test_busy_is_told_by_create_and_dated_by_able(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.world.add_job()
    site.world.remembered.append(OTHER)
    with site.world.open_store(HOME).lock(KEY, purpose="test"):
        assert site.scontrol("create", "4711") == failed("Operation already in progress")
        assert site.scontrol("able", "4711").out[0].startswith("Began at ")
    store = site.world.open_store(OTHER)
    monkeypatch.setattr(store, "find_holder", lambda _: "process 1, since 2026-11-24T09:30:00Z")
    site.time_format = "%Y %M"
    assert site.scontrol("able", "4711") == said("Began at 2026 30")
    site.world.home.failures["find_holder"] = StoreAccessError("gone")
    assert site.scontrol("able", "4711") == said("Began at 2026 30")


def test_traces_of_a_running_checkpoint_are_no_obstacles(site: Site) -> None:
    """The dump tool traces the processes; a second request must not take it for a debugger."""
    site.world.add_job()
    site.world.workers.findings["c1"] = (Finding("traced", Severity.ERROR, "it is traced"),)
    site.world.remembered.append(OTHER)
    for directory in (HOME, OTHER):
        with site.world.open_store(directory).lock(KEY, purpose="test"):
            assert site.scontrol("create", "4711") == failed("Operation already in progress")
    assert "it is traced" in site.scontrol("create", "4711").err[0]
    site.world.workers.failures["inspect"] = PreflightError("not now")
    assert site.scontrol("create", "4711").err[0].endswith("not now")


def test_able_says_no_where_a_checkpoint_would_be_refused(site: Site) -> None:
    site.world.add_job()
    site.world.workers.findings["c1"] = (
        Finding("slow", Severity.WARNING, "slow"),
        Finding("socket_to_outside", Severity.ERROR, "it talks to c9"),
    )
    assert site.scontrol("able", "4711") == Answer(("No",), ("syscr: it talks to c9",), 0)
    assert site.scontrol("able", "4711", quiet=True) == said("No")


def test_vacate_ends_the_job_and_restart_brings_it_back_at_once(site: Site) -> None:
    site.world.add_job()
    assert site.scontrol("vacate", "4711") == DONE
    assert site.world.scheduler.get_job(JOB).state is JobState.CANCELLED
    assert site.scontrol("able", "4711") == failed("Job/step already completing or completed")
    assert site.scontrol("restart", "4711") == DONE
    assert site.world.scheduler.get_job(JOB).state is JobState.PENDING
    assert site.scontrol("restart", "4711") == failed("Job is not finished")


def test_requeue_puts_the_whole_job_back_whatever_step_is_named(site: Site) -> None:
    site.world.add_job()
    assert site.scontrol("requeue", "4711.3") == DONE
    assert ("requeue", JOB, False) in site.world.log


def test_job_of_several_steps_means_each_of_them(site: Site) -> None:
    site.world.add_job(4711, task(step="0"), task(step="1"), script=None)
    site.world.scheduler.steps[JOB] = ("0", "1")
    assert site.scontrol("disable", "4711") == DONE
    assert site.scontrol("able", "4711.1") == said("No")
    assert site.scontrol("enable", "4711") == DONE
    assert site.scontrol("create", "4711") == DONE
    keys = site.world.home.find_keys("4711")
    assert {StoreKey("4711", "0"), StoreKey("4711", "1")} <= set(keys)
    assert len(site.world.images()) == 2
    site.world.workers.failures["dump"] = CheckpointError("one broke")
    assert site.scontrol("create", "4711") == failed("one broke; the job is still running")
    assert site.scontrol("error", "4711") == said(
        "error(4027): one broke; the job is still running"
    )


def test_request_that_no_step_answers_is_said_as_it_is(site: Site) -> None:
    site.world.add_job(4711, task(step="0"), task(step="1"), script=None)
    answer = site.scontrol("create", "4711")
    assert "several checkpointable steps" in answer.err[0]


def test_number_of_an_array_means_the_task_that_has_it(site: Site) -> None:
    site.world.add_job(4711, task(number=4711), task(number=4712))
    site.world.scheduler.forget(JOB)
    for number, index in ((4711, 1), (4712, 0)):
        site.world.scheduler.add_job(number, array=(4711, index))
    whole = RequestError("whole array", parts=["4711_[2-9]", "4711_0", "4711_1"])
    site.world.scheduler.failures["get_job"] = whole
    assert site.scontrol("create", "4711") == DONE
    assert site.world.home.list_images()[0][0].manifest.job_id == "4711_1"
    assert site.scontrol("create", "4711_0") == DONE
    assert site.world.home.list_images()[0][1].manifest.job_id == "4711_0"
    site.world.scheduler.failures["get_job"] = RequestError("whole array", parts=["4711_0"])
    assert site.scontrol("create", "4711") == failed("whole array")
    site.world.scheduler.failures["get_job"] = RequestError("whole array")
    assert site.scontrol("restart", "4711") == failed("whole array")


def test_restart_judges_state_before_owner(site: Site) -> None:
    site.world.scheduler.add_job(1, user=("bob", 1001))
    site.world.scheduler.add_job(2, user=("bob", 1001), state=JobState.COMPLETED)
    assert site.scontrol("restart", "1") == failed("Job is not finished")
    assert site.scontrol("restart", "2") == failed("Operation not permitted")


def test_restart_without_image_or_from_the_wrong_directory(site: Site) -> None:
    site.world.add_job(state=JobState.CANCELLED)
    site.world.add_image()
    assert site.scontrol("restart", "0") == failed("No such file or directory")
    for words in (("9999",), ("4711", "ImageDir=/none"), ("4711.0",)):
        answer = site.scontrol("restart", *words)
        assert answer.err[0] == failed("No such file or directory").err[0]
        assert answer.err[1].startswith("syscr: there is no image of")
        assert answer.exit_code == 1
    assert ("requeue", JOB, True) not in site.world.log


def test_restart_of_a_forgotten_job_tells_the_new_number(site: Site) -> None:
    site.world.add_image()
    site.world.scheduler.add_job(9, state=JobState.COMPLETED)
    assert site.scontrol("restart", "4711") == said("Submitted batch job 10")


def test_restart_names_images_that_were_passed_over(site: Site) -> None:
    site.world.add_job(state=JobState.CANCELLED)
    site.world.add_image(age=60)
    newest = site.world.add_image()
    site.world.home.damage[newest.image_id] = ("a file is gone",)
    answer = site.scontrol("restart", "4711")
    assert answer.exit_code == 0
    assert f"syscr: image '{newest.image_id}' was passed over: a file is gone" in answer.err
    assert site.scontrol("restart", "4711").err[0].endswith("Job is not finished")


def test_restart_takes_its_keys(site: Site) -> None:
    site.world.add_job(state=JobState.CANCELLED, details=JobDetails(working_dir="/home/alice"))
    seen: list[RestartRequest] = []
    command = site.command()

    class Manager:
        def __getattr__(self, name: str) -> object:
            return getattr(command.manager, name)

        def restart(self, request: RestartRequest) -> object:
            seen.append(request)
            raise StoreAccessError("stop")

    odd = replace(command, manager=Manager())  # type: ignore[arg-type]
    odd.run(["ch", "res", "4711", "stick", "imagedir=ck"])
    odd.run(["ch", "res", "12", "imagedir=ck"])
    assert (seen[0].stick_to_nodes, seen[0].image_dir) == (True, "/home/alice/ck")
    assert (seen[1].stick_to_nodes, seen[1].image_dir) == (False, "/here/ck")
    assert seen[0].wait_seconds == RESTART_WAIT_SECONDS


def test_controller_that_is_down_is_said_in_the_old_words(site: Site) -> None:
    site.world.scheduler.is_available = False
    for operation in ("able", "create", "restart"):
        answer = site.scontrol(operation, "4711")
        assert answer.err[0] == (
            "scontrol_checkpoint error: Unable to contact slurm controller (connect failure)"
        )


def test_quiet_hushes_failures_only(site: Site) -> None:
    assert site.scontrol("create", "9999", quiet=True) == Answer((), (), 1)
    assert site.scontrol("create", "abc", quiet=True).err == ("Invalid job step name",)
    assert site.scontrol("create", "1", "Foo=1", quiet=True).err[1].endswith("Request aborted")
    assert site.scontrol("create", quiet=True) == Answer((), (), 1)


def test_step_of_its_own_is_vacated_alone(site: Site) -> None:
    site.world.add_job(4711, task(), task(step="0"))
    site.world.scheduler.steps[JOB] = ("0",)
    assert site.scontrol("vacate", "4711.0") == DONE
    assert ("cancel", JobId(4711), "0") in site.world.log
