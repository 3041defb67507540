"""restart: which image, under which job id, in which order; and never two live copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from core_support import HOME, JOB, KEY, OTHER, TARGET, World

from syscr.errors import (
    ImageCorruptError,
    ImageNotFoundError,
    JobNotFoundError,
    JobStateError,
    RequestError,
    RestartError,
    SchedulerDeniedError,
    SchedulerReplyError,
    SchedulerUnavailableError,
    StoreAccessError,
    StoreNotFoundError,
    SyscrError,
)
from syscr.manager import CheckpointManager
from syscr.model import Image, JobDetails, JobId, JobState, Submission, Target, TaskImage
from syscr.ports import StoreKey
from syscr.request import RestartRequest
from syscr.result import RestartResult
from syscr.selection import select_newest
from syscr.testing.scheduler import FakeScheduler

NEW = JobId(4712)
AT_ONCE = RestartRequest(TARGET, wait_seconds=0)


def restart(world: World, request: RestartRequest = AT_ONCE) -> RestartResult:
    return world.manager.restart(request, progress=world.on_progress)


def end(world: World, state: JobState = JobState.CANCELLED, **details: int) -> None:
    """Put the job in as it is after its end."""
    world.add_job(state=state, details=JobDetails(**details))  # type: ignore[arg-type]


def images_of(world: World, count: int) -> list[Image]:
    return [world.add_image() for _ in range(count)]


def test_ended_job_is_requeued_after_the_decision(world: World) -> None:
    end(world, restart_count=1)
    (image,) = images_of(world, 1)
    result = restart(world)
    assert world.names() == ["write_record", "requeue", "require_nodes", "start_now"]
    assert world.log[1] == ("requeue", JOB, False)
    assert (result.method, result.job_id, result.job_state) == ("requeue", JOB, "pending")
    assert result.image == image
    decision = world.home.read_record(KEY, "decision-4711.2")
    assert decision == {"image_id": image.image_id, "checkpoint_dir": HOME, "skipped": {}}
    assert result.warnings == ()  # nobody waited


def test_newest_image_that_verifies_is_taken_and_the_others_are_named(world: World) -> None:
    end(world)
    good, bad, worse = images_of(world, 3)
    world.home.damage = {bad.image_id: ("data/0/a: too short", "more"), worse.image_id: ("gone",)}
    result = restart(world)
    assert result.image == good
    assert [(one.image_id, one.reasons) for one in result.skipped] == [
        (worse.image_id, ("gone",)),
        (bad.image_id, ("data/0/a: too short", "more")),
    ]
    decision = world.home.read_record(KEY, "decision-4711.1")
    assert decision is not None
    assert decision["skipped"] == {
        worse.image_id: ["gone"],
        bad.image_id: ["data/0/a: too short", "more"],
    }


def test_nothing_intact_is_an_error_and_touches_nothing(world: World) -> None:
    end(world)
    one, two = images_of(world, 2)
    world.home.damage = {one.image_id: ("short",), two.image_id: ("gone",)}
    with pytest.raises(ImageCorruptError, match=r"no image of job 4711.*is intact") as caught:
        restart(world)
    assert caught.value.details["images"] == [two.image_id, one.image_id]
    assert world.log == []


@pytest.mark.parametrize("level", ["sizes", "digests"])
def test_images_are_verified_as_configured(world: World, level: str) -> None:
    end(world)
    images_of(world, 1)
    world.level = level
    world.home.checks_files = True
    assert restart(world).image


def test_no_image_at_all_is_an_error(world: World) -> None:
    end(world)
    with pytest.raises(StoreNotFoundError, match=rf"no image of job 4711 in '{HOME}', '{OTHER}'"):
        restart(world)


def test_named_image_is_taken_even_if_it_is_older(world: World) -> None:
    end(world)
    old, _ = images_of(world, 2)
    assert restart(world, RestartRequest(image_id=old.image_id, wait_seconds=0)).image == old


def test_named_image_that_does_not_verify_is_refused(world: World) -> None:
    end(world)
    _, new = images_of(world, 2)
    world.home.damage[new.image_id] = ("data/0/a: its digest differs",)
    with pytest.raises(ImageCorruptError, match="its digest differs") as caught:
        restart(world, RestartRequest(image_id=new.image_id, wait_seconds=0))
    assert "syscr image list 4711" in caught.value.hint
    assert world.log == []


def test_unknown_image_is_an_error(world: World) -> None:
    with pytest.raises(ImageNotFoundError):
        restart(world, RestartRequest(image_id="20261122T061900Z-9f3c21ab"))


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        (JobState.RUNNING, "syscr vacate 4711"),
        (JobState.SUSPENDED, "scancel 4711"),
        (JobState.UNKNOWN, "scancel 4711"),
        (JobState.PENDING, "continues by itself"),
        (JobState.REQUEUE_HOLD, "continues by itself"),
    ],
)
@pytest.mark.parametrize("new_job", [False, True])
def test_job_that_is_alive_is_refused(
    world: World, state: JobState, hint: str, new_job: bool
) -> None:
    end(world, state)
    images_of(world, 1)
    with pytest.raises(JobStateError, match="two live copies") as caught:
        restart(world, RestartRequest(TARGET, new_job=new_job))
    assert hint in caught.value.hint
    assert world.names() == []


def test_job_that_is_just_ending_is_waited_for(world: World) -> None:
    end(world, JobState.COMPLETING)
    images_of(world, 1)
    seen = []

    def end_at_the_third(message: Mapping[str, object]) -> None:
        seen.append(message["phase"])
        if seen.count("locate") == 3:
            world.scheduler.set_state(JOB, JobState.CANCELLED)

    world.on_progress = end_at_the_third
    assert restart(world).method == "requeue"
    assert seen.count("locate") >= 3


def test_job_that_slurm_forgets_while_it_ends_gets_a_new_one(world: World) -> None:
    end(world, JobState.COMPLETING)
    images_of(world, 1)
    world.on_progress = lambda _: world.scheduler.forget(JOB) if JOB in _known(world) else None
    result = restart(world)
    assert (result.method, result.job_id) == ("submit", JobId(1))


def _known(world: World) -> Mapping[JobId, object]:
    return world.scheduler.get_jobs([JOB])


def test_job_that_never_stops_ending_is_refused(world: World) -> None:
    end(world, JobState.COMPLETING)
    images_of(world, 1)
    with pytest.raises(JobStateError, match="COMPLETING") as caught:
        restart(world)
    assert "try again" in caught.value.hint
    assert sum(world.clock.sleeps) == pytest.approx(60)
    assert "requeue" not in world.names()


@pytest.mark.parametrize(
    "error", [JobStateError("cannot requeue"), SchedulerDeniedError("no"), JobNotFoundError("gone")]
)
def test_job_that_slurm_does_not_take_back_is_submitted_anew(
    world: World, error: SyscrError
) -> None:
    end(world)
    images_of(world, 1)
    world.scheduler.failures["requeue"] = error
    result = restart(world)
    assert (result.method, result.job_id) == ("submit", NEW)
    assert result.warnings == (f"{error.message}; a new job was submitted instead",)


@pytest.mark.parametrize(
    ("version", "step", "method"),
    [
        ("20.11.4", "0", "submit"),
        ("21.08.8-2", "0", "submit"),
        ("unknown", "0", "submit"),
        ("22.05.8", "0", "requeue"),
        ("26.05.5", "0", "requeue"),
        ("20.11.4", "batch", "requeue"),
    ],
)
def test_step_that_would_get_another_number_needs_a_new_job(
    world: World, version: str, step: str, method: str
) -> None:
    """Slurm 20.11 goes on counting the steps of a requeued job."""
    world.scheduler = FakeScheduler(version=version)
    end(world)
    world.add_image(step=step)
    result = restart(world, RestartRequest(Target(JOB, step), wait_seconds=0))
    assert result.method == method
    told = [f"Slurm {version} goes on counting" in warning for warning in result.warnings]
    assert any(told) == (method == "submit")


def test_no_answer_to_a_requeue_never_leads_to_a_second_job(world: World) -> None:
    end(world)
    images_of(world, 1)
    world.scheduler.failures["requeue"] = SchedulerUnavailableError("timed out")
    with pytest.raises(SchedulerUnavailableError):
        restart(world)
    assert world.names() == ["write_record"]  # nobody reads it unless the job is requeued after all


@pytest.mark.parametrize("error", [JobStateError("held"), SchedulerDeniedError("nodes")])
def test_failure_after_the_requeue_never_leads_to_a_second_job(
    world: World, error: SyscrError
) -> None:
    end(world)
    images_of(world, 1)
    world.scheduler.failures["require_nodes"] = error
    with pytest.raises(RestartError, match="was requeued, but"):
        restart(world)
    assert "submit" not in world.names()


@pytest.mark.parametrize("error", [JobStateError("held"), SchedulerDeniedError("nodes")])
def test_job_tied_to_nodes_stays_held_where_they_cannot_be_demanded(
    world: World, error: SyscrError
) -> None:
    end(world)
    images_of(world, 1)
    world.scheduler.failures["require_nodes"] = error
    with pytest.raises(RestartError, match="requeued and is held") as caught:
        restart(world, RestartRequest(TARGET, stick_to_nodes=True, wait_seconds=0))
    assert "submit" not in world.names()
    assert "scontrol release 4711" in caught.value.hint
    assert world.scheduler.get_job(JOB).reason == "JobHeldUser"


def test_somebody_elses_requeue_in_between_gets_the_same_decision(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(world)
    (image,) = images_of(world, 1)
    counts = iter((0, 2, 2, 2))
    monkeypatch.setattr(
        world.scheduler, "get_job_details", lambda _: JobDetails(restart_count=next(counts))
    )
    restart(world)
    for life in ("decision-4711.1", "decision-4711.2"):
        decision = world.home.read_record(KEY, life)
        assert decision is not None
        assert decision["image_id"] == image.image_id


def test_forgotten_job_becomes_a_new_one_held_until_the_records_are_there(world: World) -> None:
    image = world.add_image(
        submission=Submission(
            "sbatch", ("--time=5",), ("a b",), "#!/bin/sh\nwork\n", "/out", "/err", "/home/alice"
        ),
        tasks=(TaskImage(0, "c1", "data/0", stdio=("/dev/null", "/now/out", "/now/err")),),
    )
    result = restart(world, RestartRequest(TARGET, wait_seconds=0, options=("--mem=1G",)))
    (new,) = world.scheduler.submissions
    assert world.names() == ["submit", *["write_record"] * 4, "release"]
    submission = world.scheduler.submissions[new]
    assert submission.script == "#!/bin/sh\nwork\n"
    assert submission.arguments == ("a b",)
    assert submission.working_dir == "/home/alice"
    assert submission.options == (
        *["--time=5", "--output=/now/out", "--open-mode=append", "--error=/now/err"],
        *["--chdir=/home/alice", "--mem=1G", "--hold"],
    )
    own = StoreKey(str(new.number))
    assert world.home.read_record(own, "continues") == {"lineage": "4711", "from": "4711"}
    assert world.home.read_record(own, "submission") == {
        "command": "sbatch",
        "options": ["--time=5"],
        "program": ["a b"],
    }
    decision = world.home.read_record(KEY, f"decision-{new.number}.0")
    assert decision is not None
    assert decision["image_id"] == image.image_id
    assert world.home.read_record(KEY, "current") == {"number": new.number}
    assert (result.method, result.job_id) == ("submit", new)


def test_output_of_a_step_is_the_jobs_own(world: World) -> None:
    world.add_image(
        step="0",
        submission=Submission("sbatch", script="#!/bin/sh\n", stdout_path="/job.out"),
        tasks=(TaskImage(0, "c1", "data/0", stdio=("", "/step.out", "/step.out")),),
    )
    restart(world)
    (submission,) = world.scheduler.submissions.values()
    assert "--output=/job.out" in submission.options
    assert not any(option.startswith("--error") for option in submission.options)


def test_task_without_output_files_falls_back_to_the_submission(world: World) -> None:
    world.add_image(
        submission=Submission("sbatch", script="#!/bin/sh\n"),
        tasks=(TaskImage(0, "c1", "data/0", stdio=("pipe:[1]", "pipe:[2]", "pipe:[3]")),),
    )
    restart(world)
    (submission,) = world.scheduler.submissions.values()
    assert submission.options == ("--hold",)


def test_error_file_of_a_batch_task_counts_only_if_it_is_a_file(world: World) -> None:
    world.add_image(
        submission=Submission("sbatch", script="#!/bin/sh\n"),
        tasks=(TaskImage(0, "c1", "data/0", stdio=("", "/out", "pipe:[3]")),),
    )
    restart(world)
    (submission,) = world.scheduler.submissions.values()
    assert submission.options == ("--output=/out", "--open-mode=append", "--hold")


def test_step_without_batch_script_gets_one(world: World) -> None:
    image = world.add_image(step="0", submission=Submission("srun", program=("-n2", "solve")))
    end(world)
    result = restart(world)
    (submission,) = world.scheduler.submissions.values()
    assert result.method == "submit"  # Slurm requeues batch jobs only
    assert submission.script == f"step of {image.image_id}"
    assert submission.arguments == ()


def test_stick_to_nodes_is_a_demand_in_both_ways(world: World) -> None:
    end(world)
    world.add_image(nodes=("c1", "c2"))
    restart(world, RestartRequest(TARGET, stick_to_nodes=True, wait_seconds=0))
    assert world.scheduler.required_nodes[JOB] == ("c1", "c2")
    world.scheduler.forget(JOB)
    restart(world, RestartRequest(TARGET, stick_to_nodes=True, wait_seconds=0))
    (submission,) = world.scheduler.submissions.values()
    assert {"--nodelist=c1,c2", "--nodes=2"} <= set(submission.options)


def test_new_job_is_submitted_where_it_is_asked_for(world: World) -> None:
    end(world)
    images_of(world, 1)
    result = restart(world, RestartRequest(TARGET, new_job=True, wait_seconds=0))
    assert (result.method, result.job_id) == ("submit", NEW)
    assert world.scheduler.get_job(JOB).state is JobState.CANCELLED


def test_job_that_continues_another_one_is_the_one_that_counts(world: World) -> None:
    """Restart of the old id must see the new job, whose id nobody has to know."""
    end(world)
    images_of(world, 1)
    restart(world, RestartRequest(TARGET, new_job=True, wait_seconds=0))
    for named in (TARGET, Target(NEW)):
        with pytest.raises(JobStateError, match="job 4712, which continues job 4711, is PENDING"):
            restart(world, RestartRequest(named))
    world.scheduler.set_state(NEW, JobState.FAILED)
    assert restart(world, RestartRequest(TARGET, wait_seconds=0)).job_id == NEW


@pytest.mark.parametrize("failing", ["get_job", "release"])
def test_failure_after_submission_cancels_the_new_job(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    images_of(world, 1)
    real = world.scheduler.submit

    def submit_and_break(submission: object) -> JobId:
        job_id: JobId = real(submission)  # type: ignore[arg-type]
        world.scheduler.failures[failing] = SchedulerReplyError("what?")
        return job_id

    monkeypatch.setattr(world.scheduler, "submit", submit_and_break)
    with pytest.raises(SchedulerReplyError):
        restart(world)
    (new,) = world.scheduler.submissions
    assert world.log[-1] == ("cancel", new, None)
    assert world.scheduler.get_job(new).state is JobState.CANCELLED


def test_failed_record_cancels_the_new_job(world: World) -> None:
    images_of(world, 1)
    world.home.failures["write_record"] = StoreAccessError("full")
    with pytest.raises(StoreAccessError):
        restart(world)
    assert world.names()[-1] == "cancel"


def test_failed_cancel_does_not_hide_the_first_error(world: World) -> None:
    images_of(world, 1)
    world.home.failures["write_record"] = StoreAccessError("full")
    world.scheduler.failures["cancel"] = SchedulerUnavailableError("no answer")
    with pytest.raises(StoreAccessError, match="full") as caught:
        restart(world)
    assert caught.value.__notes__ == ["job 1 is left in the queue, held: no answer"]


def test_failed_submission_leaves_nothing(world: World) -> None:
    images_of(world, 1)
    world.scheduler.failures["submit"] = SchedulerDeniedError("limit")
    with pytest.raises(SchedulerDeniedError):
        restart(world)
    assert world.log == []


def goes_on(world: World, *notes: str, at: int = 2) -> None:
    """Let the requeued job run after some polls, and its ranks write their notes."""
    polls = 0

    def poll(message: Mapping[str, object]) -> None:
        nonlocal polls
        polls += message["phase"] == "start"
        if polls == at:
            world.scheduler.set_state(JOB, JobState.RUNNING, nodes=("c2",))
            for rank, note in enumerate(notes):
                world.home.write_note(KEY, f"run/4711.1.{rank}/ready", note)

    world.on_progress = poll


def test_restart_waits_until_every_rank_says_that_it_runs(world: World) -> None:
    end(world)
    world.add_image(task_count=2)
    goes_on(world, "started\n", "started\n")
    result = restart(world, RestartRequest(TARGET, wait_seconds=30))
    assert (result.job_state, result.nodes, result.warnings) == ("running", ("c2",), ())
    assert result.wait_seconds > 0


def test_restart_without_progress_waits_as_well(world: World) -> None:
    end(world)
    world.add_image()
    world.home.write_note(KEY, "run/4711.1.0/ready", "started\n")
    manager: CheckpointManager = world.manager
    assert manager.restart(RestartRequest(TARGET)).job_state == "running"


def test_rank_that_is_missing_keeps_it_pending(world: World) -> None:
    end(world)
    world.add_image(task_count=2)
    goes_on(world, "started\n")
    result = restart(world, RestartRequest(TARGET, wait_seconds=30))
    assert result.job_state == "pending"
    assert "still RUNNING" in result.warnings[0]


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("failed: '/data/x' is gone\n", "'/data/x' is gone"),
        ("failed\n", "task 0 could not be restored"),
        ("failed:\n", "task 0 could not be restored"),
    ],
)
def test_note_of_a_failed_rank_becomes_the_message(world: World, note: str, reason: str) -> None:
    end(world)
    world.add_image()
    goes_on(world, note)
    with pytest.raises(RestartError) as caught:
        restart(world, RestartRequest(TARGET, wait_seconds=30))
    assert caught.value.message.endswith(f": {reason}")
    assert "image is untouched" in caught.value.hint


def test_job_that_ends_before_it_is_restored_is_an_error(world: World) -> None:
    end(world)
    world.add_image()

    def fail(_: Mapping[str, object]) -> None:
        world.scheduler.set_state(JOB, JobState.NODE_FAIL)

    world.on_progress = fail
    with pytest.raises(RestartError, match=r"it ended \(NODE_FAIL\) before it was restored"):
        restart(world, RestartRequest(TARGET, wait_seconds=30))


def test_job_that_still_waits_is_a_remark(world: World) -> None:
    end(world)
    world.add_image()
    result = restart(world, RestartRequest(TARGET, wait_seconds=30))
    assert result.job_state == "pending"
    assert result.warnings == (
        "job 4711 is still PENDING (BeginTime) after 30 s; it continues from the image as soon as "
        "it starts",
    )
    assert (
        world.names().count("start_now") == 3
    )  # at once, after 5 s and after 15 s: not at each poll


def test_dry_run_touches_nothing(world: World) -> None:
    end(world)
    world.add_image(nodes=("c1", "c2"))
    for new_job, method, job_id in ((False, "requeue", JOB), (True, "submit", None)):
        result = restart(
            world, RestartRequest(TARGET, dry_run=True, stick_to_nodes=True, new_job=new_job)
        )
        assert (result.method, result.job_id, result.job_state) == (method, job_id, "planned")
        assert result.nodes == ("c1", "c2")
    assert restart(world, RestartRequest(TARGET, dry_run=True)).nodes == ()
    assert world.log == []
    assert world.clock.sleeps == []


def test_records_of_an_image_elsewhere_go_to_the_jobs_own_directory(world: World) -> None:
    end(world)
    image = world.add_image(
        directory=OTHER,
        tasks=(TaskImage(0, "c1", "data/0", state={"home_dir": HOME}),),
    )
    result = restart(world, RestartRequest(TARGET, image_dir=OTHER, wait_seconds=0))
    assert result.image == image
    decision = world.home.read_record(KEY, "decision-4711.1")
    assert decision is not None
    assert decision["checkpoint_dir"] == OTHER


def test_held_job_is_refused_with_the_way_to_release_it(world: World) -> None:
    end(world)
    images_of(world, 1)
    world.scheduler.requeue(JOB, hold=True)
    with pytest.raises(JobStateError) as caught:
        restart(world)
    assert "scontrol release 4711" in caught.value.hint


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
@pytest.mark.parametrize(
    ("ago", "known", "waits"),
    [(None, True, [2]), (1.0, True, [2]), (60.0, True, []), (60.0, False, [2])],
)
def test_next_life_does_not_begin_in_the_second_in_which_the_last_ended(
    world: World, ago: float | None, known: bool, waits: list[float], skew: float
) -> None:
    """Whatever our own clock says: both times are slurmctld's."""
    requeued_at = world.clock.now() + timedelta(seconds=skew)
    world.add_job(
        state=JobState.CANCELLED,
        details=JobDetails(submitted_at=requeued_at if known else None),
    )
    images_of(world, 1)
    ended_at = None if ago is None else requeued_at - timedelta(seconds=ago)
    job = replace(world.scheduler.get_job(JOB), end_at=ended_at)
    home = world.open_store(HOME)
    selection = select_newest(home, KEY, level="sizes")
    world.manager.restarter.requeue(job, selection, False, home)
    assert world.clock.sleeps == waits
    assert world.names()[-1] == "start_now"


def test_silence_of_the_controller_after_the_requeue_is_no_verdict_on_the_job(world: World) -> None:
    end(world)
    images_of(world, 1)
    world.scheduler.failures["require_nodes"] = SchedulerUnavailableError("no answer")
    with pytest.raises(SchedulerUnavailableError, match="was requeued, but: no answer") as caught:
        restart(world)
    assert "continues from its image" in caught.value.hint
    assert "submit" not in world.names()


def test_silence_of_the_controller_for_a_while_does_not_end_the_wait(world: World) -> None:
    end(world)
    world.add_image()
    goes_on(world, "started\n", at=3)
    wake = world.on_progress
    seen = []

    def poll(message: Mapping[str, object]) -> None:
        wake(message)
        seen.append(message["phase"])
        if seen.count("start") == 1:
            world.scheduler.failures["get_job"] = SchedulerUnavailableError("no answer")

    world.on_progress = poll
    assert restart(world, RestartRequest(TARGET, wait_seconds=30)).job_state == "running"


@pytest.mark.parametrize(
    ("new_job", "how"), [(False, "4711 was requeued"), (True, "4712 was submitted")]
)
def test_silence_of_the_controller_to_the_end_says_what_is_known(
    world: World, new_job: bool, how: str
) -> None:
    end(world)
    world.add_image()

    def fall_silent(message: Mapping[str, object]) -> None:
        if message["phase"] == "start":
            world.scheduler.is_available = False

    world.on_progress = fall_silent
    with pytest.raises(
        SchedulerUnavailableError, match=rf"job {how}, but whether it runs again"
    ) as caught:
        restart(world, RestartRequest(TARGET, new_job=new_job, wait_seconds=30))
    assert "continues from the image" in caught.value.hint


def test_job_of_the_plugin_is_submitted_anew_as_a_wrapper_without_its_options(world: World) -> None:
    own = ("--checkpoint-dir=/c", "--checkpoint=30")
    world.add_image(submission=Submission("sbatch", ("--mem=1G", *own), ("a b",), "#!/bin/sh\n"))
    job_id = restart(world).job_id
    assert job_id is not None
    (submission,) = world.scheduler.submissions.values()
    assert submission.script == "wrapper"
    assert submission.arguments == ()  # they are in the wrapper
    assert "--mem=1G" in submission.options
    assert not set(own) & set(submission.options)
    record = world.home.read_record(
        StoreKey(str(world.scheduler.get_job(job_id).number)), "submission"
    )
    assert record == {"command": "sbatch", "options": ["--mem=1G"], "program": []}


def test_whole_job_array_is_not_taken_for_its_last_task(world: World) -> None:
    """Slurm gives the last task the number of the array."""
    world.add_image(job_id="4711_3")
    with pytest.raises(RequestError, match="4711 is a whole job array; nothing was done") as caught:
        world.manager.restart(RestartRequest(TARGET))
    assert "4711_3" in caught.value.hint
    assert (
        world.manager.restart(RestartRequest(Target.parse("4711_3"), dry_run=True)).job_id is None
    )
