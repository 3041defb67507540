"""checkpoint, vacate and requeue: what happens in which order, and what is left after a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from core_support import HOME, JOB, KEY, OTHER, TARGET, World, task

from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    JobNotFoundError,
    JobStateError,
    OperationUnsupportedError,
    PreflightError,
    RequestError,
    RestartError,
    SchedulerDeniedError,
    SchedulerUnavailableError,
    StoreAccessError,
    StoreFullError,
    StoreLockedError,
    SyscrError,
)
from syscr.model import (
    Finding,
    Image,
    ImageFile,
    JobDetails,
    JobState,
    Manifest,
    Severity,
    Target,
    TaskImage,
    TaskSpec,
)
from syscr.ports import StoreKey
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult

REQUEST = CheckpointRequest(TARGET)
Act = Callable[[World, CheckpointRequest], CheckpointResult]


def checkpoint(world: World, request: CheckpointRequest = REQUEST) -> CheckpointResult:
    return world.manager.checkpoint(request, progress=world.on_progress)


def vacate(world: World, request: CheckpointRequest = REQUEST) -> CheckpointResult:
    return world.manager.vacate(request, progress=world.on_progress)


def requeue(world: World, request: CheckpointRequest = REQUEST) -> CheckpointResult:
    return world.manager.requeue(request, progress=world.on_progress)


ALL = pytest.mark.parametrize("act", [checkpoint, vacate, requeue])
HOLDING = pytest.mark.parametrize("act", [vacate, requeue])


def test_checkpoint_publishes_and_leaves_the_job_running(world: World) -> None:
    job = world.add_job()
    result = checkpoint(world, replace(REQUEST, tags=("keep",)))
    assert world.names() == ["inspect", "lock", "open_staging", "dump", "publish"]
    assert result.image is not None
    manifest = result.image.manifest
    assert world.images() == [result.image.image_id]
    assert (result.job_state, str(result.target)) == ("running", "4711.batch")
    assert (manifest.lineage, manifest.step, manifest.number) == ("4711", "batch", 4711)
    assert (manifest.tags, manifest.backend, manifest.slurm_version) == (
        ("keep",),
        "criu",
        "24.11.5",
    )
    assert manifest.submission.script == "#!/bin/sh\n"
    assert world.remembered == [HOME]
    assert world.scheduler.get_job(job.job_id).state is JobState.RUNNING
    assert not world.workers.held
    assert world.home.find_holder(KEY) == ""


def test_checkpoint_without_progress_says_nothing(world: World) -> None:
    world.add_job()
    assert world.manager.checkpoint(REQUEST).image is not None


def test_image_of_a_job_without_script_has_none(world: World) -> None:
    world.add_job(4711, task(step="0"), script=None)
    result = checkpoint(world)
    assert result.image is not None
    assert result.image.manifest.submission.script == ""
    assert result.image.manifest.submission.command == "srun"


def test_image_dir_overrides_the_jobs_own_directory(world: World) -> None:
    world.add_job()
    checkpoint(world, CheckpointRequest(TARGET, image_dir=OTHER))
    assert (len(world.images(OTHER)), world.images(HOME)) == (1, [])
    assert world.remembered == [OTHER]


def test_submission_record_of_the_job_goes_into_the_image(world: World) -> None:
    world.add_job()
    record = {"command": "sbatch", "options": ["--time=5"], "program": ["job.sh", "a"]}
    world.home.write_record(KEY, "submission", record)
    image = checkpoint(world, CheckpointRequest(TARGET, image_dir=OTHER)).image
    assert image is not None
    assert image.manifest.submission.options == ("--time=5",)


def test_only_the_meant_steps_findings_count(world: World) -> None:
    world.add_job(4711, task(), task(step="0"))
    checkpoint(world)
    assert [entry for entry in world.log if entry[0] == "inspect"] == [  # type: ignore[index]
        ("inspect", 4711, None),
        ("inspect", 4711, "batch"),
    ]


def test_vacate_ends_the_job_only_after_the_image_is_there(world: World) -> None:
    world.add_job()
    result = vacate(world)
    assert world.names() == [
        *["inspect", "lock", "open_staging", "dump", "publish"],
        *["finish kill", "cancel"],
    ]
    assert world.log[-1] == ("cancel", JOB, None)
    assert result.job_state == "ended"
    assert world.scheduler.get_job(JOB).state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("named", "step", "cancelled"),
    [("4711.0", "0", "0"), ("4711", "0", None), ("4711.batch", "batch", None)],
)
def test_vacate_cancels_the_step_only_where_it_was_named(
    world: World, named: str, step: str, cancelled: str | None
) -> None:
    world.add_job(4711, task(step=step))
    vacate(world, CheckpointRequest(Target.parse(named)))
    assert world.log[-1] == ("cancel", JOB, cancelled)


def test_requeue_writes_the_decision_of_the_next_life_first_and_never_holds(world: World) -> None:
    """Who is killed in between leaves a job that continues by itself."""
    world.add_job(details=JobDetails(restart_count=2))
    result = requeue(world)
    assert world.names()[4:] == [
        *["publish", "finish kill", "write_record", "requeue", "require_nodes", "start_now"],
    ]
    assert ("requeue", JOB, False) in world.log
    assert result.image is not None
    assert result.job_state == "requeued"
    assert world.home.read_record(KEY, "decision-4711.3") == {
        "image_id": result.image.image_id,
        "checkpoint_dir": HOME,
        "skipped": {},
    }
    assert world.scheduler.required_nodes[JOB] == ()


def test_requeue_into_another_directory_tells_the_jobs_own_one(world: World) -> None:
    world.add_job()
    requeue(world, CheckpointRequest(TARGET, image_dir=OTHER))
    decision = world.home.read_record(KEY, "decision-4711.1")
    assert decision is not None
    assert decision["checkpoint_dir"] == OTHER


def test_requeue_gives_up_where_the_job_never_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_job()
    monkeypatch.setattr(type(world.scheduler), "requeue", lambda *_, hold: None)
    with pytest.raises(RestartError, match="was requeued, but: it is not PENDING after 120 s"):
        requeue(world)
    assert sum(world.clock.sleeps) == pytest.approx(120)


@pytest.mark.parametrize(
    ("named", "script", "message", "hint"),
    [
        (
            "4711.0",
            "#!/bin/sh\n",
            "cannot requeue step 4711.0: Slurm requeues whole jobs only",
            "use 'syscr vacate 4711.0', then 'syscr restart 4711.0'",
        ),
        (
            "4711",
            None,
            "cannot requeue job 4711: it has no batch script, and Slurm requeues batch jobs only",
            "use 'syscr vacate 4711.0', then 'syscr restart 4711.0'",
        ),
        (
            "4711",
            "#!/bin/sh\n",
            "cannot requeue job 4711: its batch script was not started through syscr, only step 4711.0 was",
            "use 'syscr checkpoint 4711.0' and 'scancel 4711', then 'syscr restart 4711.0': ",
        ),
    ],
)
def test_requeue_where_only_a_step_can_be_dumped_is_refused(
    world: World, named: str, script: str | None, message: str, hint: str
) -> None:
    world.add_job(4711, task(step="0"), script=script)
    with pytest.raises(OperationUnsupportedError) as caught:
        requeue(world, CheckpointRequest(Target.parse(named)))
    assert caught.value.message == f"{message}; the job is still running"
    assert caught.value.hint.startswith(hint)
    assert world.names() == ["inspect"]


def test_requeue_of_a_job_with_no_requeue_is_refused(world: World) -> None:
    world.add_job(details=JobDetails(can_requeue=False))
    with pytest.raises(OperationUnsupportedError, match="--no-requeue") as caught:
        requeue(world)
    assert "Requeue=1" in caught.value.hint
    assert world.names() == ["inspect"]


@ALL
def test_dry_run_touches_nothing(world: World, act: Act) -> None:
    world.add_job()
    world.workers.findings["c1"] = (Finding("clock", Severity.WARNING, "looks at the clock"),)
    result = act(world, CheckpointRequest(TARGET, dry_run=True))
    assert result.image is None
    assert result.job_state == "running"
    assert [finding.code for finding in result.findings] == ["clock"]
    assert world.names() == ["inspect"]
    assert world.remembered == []


@ALL
@pytest.mark.parametrize(
    ("state", "hint"),
    [
        (JobState.PENDING, "squeue"),
        (JobState.SUSPENDED, "scontrol resume"),
        (JobState.COMPLETING, "syscr restart"),
        (JobState.COMPLETED, "syscr restart"),
        (JobState.UNKNOWN, "squeue"),
    ],
)
def test_job_that_does_not_run_is_refused(
    world: World, act: Act, state: JobState, hint: str
) -> None:
    world.add_job(state=state)
    with pytest.raises(JobStateError, match=str(state)) as caught:
        act(world, REQUEST)
    assert hint in caught.value.hint
    assert world.log == []


@ALL
def test_errors_of_preflight_refuse_before_anything_is_touched(world: World, act: Act) -> None:
    world.add_job()
    world.workers.findings["c1"] = (Finding("io_uring", Severity.ERROR, "uses io_uring"),)
    with pytest.raises(PreflightError, match="uses io_uring; the job is still running"):
        act(world, REQUEST)
    assert world.names() == ["inspect"]


@ALL
def test_another_users_job_is_refused(world: World, act: Act) -> None:
    world.add_job()
    world.uid = 0
    with pytest.raises(SchedulerDeniedError, match="belongs to 'alice'") as caught:
        act(world, REQUEST)
    assert "runuser -u alice" in caught.value.hint
    assert world.log == []


@ALL
def test_unknown_job_is_an_error(world: World, act: Act) -> None:
    with pytest.raises(JobNotFoundError):
        act(world, REQUEST)


@ALL
def test_locked_line_is_refused_before_the_dump(world: World, act: Act) -> None:
    world.add_job()
    world.home.hold_by_other(KEY, "pid 7 on c9")
    with pytest.raises(StoreLockedError, match="pid 7"):
        act(world, REQUEST)
    assert "dump" not in world.names()


@ALL
def test_full_store_is_refused_before_the_dump(world: World, act: Act) -> None:
    world.add_job()
    world.home.free_bytes = 1 << 20
    with pytest.raises(StoreFullError):
        act(world, REQUEST)
    assert "dump" not in world.names()
    assert world.home.find_holder(KEY) == ""


@ALL
def test_failed_dump_leaves_nothing(world: World, act: Act) -> None:
    world.add_job()
    world.workers.failures["dump"] = CheckpointError("node 'c1': criu failed")
    with pytest.raises(CheckpointError, match="criu failed"):
        act(world, REQUEST)
    assert world.names()[-3:] == ["dump", "discard_staging", "inspect"]
    assert (world.images(), world.staged(), world.workers.held) == ([], [], set())
    assert world.workers.kept == set()
    assert world.scheduler.get_job(JOB).state is JobState.RUNNING
    assert world.home.find_holder(KEY) == ""


@HOLDING
@pytest.mark.parametrize(
    ("where", "method"),
    [
        ("scheduler", "get_job_details"),
        ("scheduler", "get_batch_script"),
        ("scheduler", "version"),
        ("store", "read_record"),
        ("store", "publish"),
    ],
)
def test_failure_between_dump_and_publication_lets_the_job_go_on(
    world: World, act: Act, where: str, method: str
) -> None:
    world.add_job()
    error = (
        SchedulerUnavailableError("no answer") if where == "scheduler" else StoreAccessError("no")
    )

    add_probe = world.home.add_probe

    def fail(staging_dir: str, name: str) -> None:
        failures = world.scheduler.failures if where == "scheduler" else world.home.failures
        failures[method] = error
        add_probe(staging_dir, name)

    world.home.add_probe = fail  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        act(world, REQUEST)
    assert world.names()[-3:] == ["finish resume", "discard_staging", "inspect"]
    assert (world.images(), world.staged(), world.workers.held) == ([], [], set())
    assert world.scheduler.get_job(JOB).state is JobState.RUNNING
    assert (world.remembered, world.workers.kept) == ([], set())


def test_failed_publication_without_hold_needs_no_resume(world: World) -> None:
    world.add_job()
    world.home.failures["publish"] = StoreAccessError("disk")
    with pytest.raises(StoreAccessError):
        checkpoint(world)
    assert "finish resume" not in world.names()
    assert world.staged() == []


def test_faults_while_giving_up_do_not_hide_the_first_one(world: World) -> None:
    world.add_job()
    world.home.failures |= {
        "publish": StoreAccessError("first"),
        "discard_staging": StoreAccessError("3"),
    }
    world.workers.failures["finish resume"] = CheckpointError("second")
    with pytest.raises(StoreAccessError, match="first"):
        vacate(world)


def test_interrupt_in_the_middle_cleans_up_too(world: World) -> None:
    world.add_job()

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    world.on_progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        checkpoint(world)
    assert (world.images(), world.staged()) == ([], [])
    assert world.home.find_holder(KEY) == ""


def test_interrupt_while_tasks_are_held_lets_them_go_on(world: World) -> None:
    world.add_job()

    def interrupt(message: object) -> None:
        if message == {"type": "phase", "phase": "publish"}:
            raise KeyboardInterrupt

    world.on_progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        vacate(world)
    assert not world.workers.held
    assert "finish kill" not in world.names()


def test_checkpoint_past_its_limit_is_not_published(world: World) -> None:
    world.add_job()
    world.on_progress = lambda _: world.clock.advance(11)
    with pytest.raises(CheckpointTimeoutError, match=r"took 11\.0 s, limit 10 s; the job is still"):
        vacate(world, CheckpointRequest(TARGET, max_wait_seconds=10))
    assert world.images() == []
    assert world.names()[-3:] == ["finish resume", "discard_staging", "inspect"]


def test_files_that_are_missing_are_not_published(world: World) -> None:
    world.add_job()
    world.home.checks_files = True
    world.workers.reports["c1"] = replace(
        next(iter(world.workers.inspect(world.scheduler.get_job(JOB), step=None))),
        images=(TaskImage(0, "c1", "data/0"),),
        files=(ImageFile("data/0/core.img", 4, "0" * 64, "c1", 0),),
    )
    with pytest.raises(SyscrError, match="cannot publish"):
        vacate(world)
    assert (world.images(), world.workers.held) == ([], set())


@pytest.mark.parametrize("failure", ["finish kill", "cancel"])
def test_vacate_that_cannot_end_the_job_keeps_the_image(world: World, failure: str) -> None:
    world.add_job()
    failures = world.scheduler.failures if failure == "cancel" else world.workers.failures
    failures[failure] = CheckpointError("no answer")
    with pytest.raises(CheckpointError):
        vacate(world)
    assert len(world.images()) == 1


def test_keep_last_is_applied_after_a_checkpoint(world: World) -> None:
    world.add_job()
    world.keep_last = 2
    taken = []
    for _ in range(3):
        world.clock.advance(60)
        image = checkpoint(world).image
        assert image is not None
        taken.append(image.image_id)
    assert world.images() == taken[1:]
    assert [image.image_id for image in world.home.list_images(deleted=True)[0]] == taken[:1]


def test_failed_pruning_is_a_remark_and_the_checkpoint_stands(world: World) -> None:
    world.add_job()
    world.keep_last = 1
    checkpoint(world)
    world.clock.advance(60)
    world.home.failures["trash"] = StoreAccessError("read-only")
    result = checkpoint(world)
    assert result.warnings == ("old images were not pruned: read-only",)
    assert len(world.images()) == 2


def test_job_with_several_steps_and_no_batch_task_must_be_named(world: World) -> None:
    world.add_job(4711, task(step="0"), task(step="1"))
    with pytest.raises(RequestError, match=r"4711\.0, 4711\.1"):
        checkpoint(world)


def test_step_has_its_own_folder(world: World) -> None:
    world.add_job(4711, task(step="3"))
    checkpoint(world, CheckpointRequest(Target.parse("4711.3")))
    assert world.home.list_images(key=StoreKey("4711", "3"))[0]


@pytest.mark.parametrize(
    ("error", "cls", "text"),
    [
        (SchedulerUnavailableError("gone"), SchedulerUnavailableError, "is not known: gone"),
        (JobStateError("no"), RestartError, "was not requeued: no"),
    ],
)
def test_job_that_cannot_be_requeued_after_its_end_is_named_with_its_image(
    world: World, error: SyscrError, cls: type[SyscrError], text: str
) -> None:
    world.add_job()
    world.scheduler.failures["requeue"] = error
    with pytest.raises(cls, match=text) as caught:
        requeue(world)
    assert world.images()[0] in caught.value.message
    assert "syscr restart 4711" in caught.value.hint


@pytest.mark.parametrize("method", ["get_job_details", "require_nodes", "start_now"])
def test_job_that_does_not_start_after_a_requeue_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    world.add_job()
    real = world.scheduler.requeue

    def requeue_and_break(*args: object, hold: bool) -> None:
        real(JOB, hold=hold)
        world.scheduler.failures[method] = SchedulerDeniedError("not allowed")

    monkeypatch.setattr(world.scheduler, "requeue", requeue_and_break)
    with pytest.raises(RestartError, match="was requeued, but: not allowed") as caught:
        requeue(world)
    assert "it continues from its image" in caught.value.hint


@pytest.mark.parametrize(("act", "count"), [(checkpoint, 1), (vacate, 0)])
def test_output_through_srun_matters_only_where_something_is_printed_after_the_image(
    world: World, act: Act, count: int
) -> None:
    world.add_job(4711, task(step="0"), task(1, step="0", node="c2"), nodes=("c1", "c2"))
    found = Finding("output_through_srun", Severity.WARNING, "it goes through srun")
    world.workers.findings = {"c1": (found,), "c2": (found,)}
    result = act(world, CheckpointRequest(Target.parse("4711.0")))
    assert [one.code for one in result.findings] == ["output_through_srun"] * count
    (status,) = world.manager.status([Target.parse("4711.0")]) if count else [result]
    assert len(status.findings) == count


def test_silence_of_the_controller_after_the_requeue_is_said_as_such(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_job()
    real = world.scheduler.requeue

    def requeue_and_break(*args: object, hold: bool) -> None:
        real(JOB, hold=hold)
        world.scheduler.is_available = False

    monkeypatch.setattr(world.scheduler, "requeue", requeue_and_break)
    with pytest.raises(SchedulerUnavailableError, match="job 4711 was requeued, but: ") as caught:
        requeue(world)
    assert "it continues from its image" in caught.value.hint


def test_job_that_asks_for_its_own_checkpoint_is_served_by_its_agent(world: World) -> None:
    """A program inside of the tree cannot dump it."""
    image = world.add_image()
    manager = replace(world.manager, delegate=lambda _: image.image_id)
    result = manager.checkpoint(REQUEST)
    assert (result.image, str(result.target), result.job_state) == (image, "4711.batch", "running")
    assert world.log == []


def test_image_without_one_of_the_tasks_is_not_published(world: World) -> None:
    """A rank that ends while the others are dumped is no part of the image."""
    world.add_job(4711, task(0, task_count=2), task(1, task_count=2))

    def dump_and_lose(spec: TaskSpec, staging_dir: str) -> TaskImage:
        world.workers.tasks = [one for one in world.workers.tasks if one.rank == 0]
        return TaskImage(0, spec.node, "data/0")

    world.workers.on_dump = dump_and_lose
    with pytest.raises(CheckpointError, match="task 1 ended while the others were dumped"):
        vacate(world)
    assert (world.images(), world.workers.held) == ([], set())


def test_fate_of_the_job_is_said_once(world: World) -> None:
    world.add_job()
    for message in ("disk is full", "disk is full; the job is still running"):
        world.home.failures["publish"] = StoreAccessError(message)
        with pytest.raises(StoreAccessError) as caught:
            checkpoint(world)
        assert caught.value.message.count("the job is still running") == 1


def test_record_that_cannot_be_read_forbids_no_checkpoint(world: World) -> None:
    world.add_job()
    world.home.failures["read_record"] = StoreAccessError("not allowed")
    assert checkpoint(world).image is not None


def test_time_of_publication_is_in_the_result(world: World) -> None:
    world.add_job()
    publish = world.home.publish

    def slow(staging_dir: str, manifest: Manifest) -> Image:
        world.clock.advance(2.5)
        return publish(staging_dir, manifest)

    world.home.publish = slow  # type: ignore[method-assign]
    result = checkpoint(world)
    assert result.image is not None
    timings = result.image.manifest.timings
    assert timings.publish_seconds == pytest.approx(2.5)
    assert timings.total_seconds >= 2.5


@pytest.mark.parametrize(
    ("written", "is_together"), [(("/log", "/log"), True), (("/log.0", "/log.1"), False)]
)
def test_tasks_that_write_one_file_stand_still_together(
    world: World, written: tuple[str, ...], is_together: bool
) -> None:
    world.add_job()
    world.workers.written["c1"] = written
    checkpoint(world)
    assert bool(world.workers.together) is is_together
    assert world.workers.held == set()
    world.workers.together.clear()
    vacate(world)  # stands still to the end anyway
    assert world.workers.together == set()


def test_step_that_does_not_run_is_refused_with_those_that_can_be_taken(world: World) -> None:
    world.add_job(4711, task())
    with pytest.raises(
        PreflightError, match=r"no step 4711\.7 now; these can be checkpointed: 4711\.batch"
    ):
        world.manager.checkpoint(CheckpointRequest(Target.parse("4711.7")))
