"""What became of a job whose checkpoint failed: each answer, and how it gets into the message."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from core_support import JOB, TARGET, World, task

from syscr.errors import (
    CheckpointError,
    CoordinatorError,
    JobStateError,
    SchedulerUnavailableError,
    StoreFullError,
    SyscrError,
)
from syscr.fate import RUNS, Fates, set_fate
from syscr.model import JobDetails, JobState, Target, TaskImage, TaskSpec
from syscr.request import CheckpointRequest

RANKS = (0, 1)
REQUEST = CheckpointRequest(TARGET)


def fail_dump(world: World, error: SyscrError, then: Callable[[], None]) -> str:
    """Let a dump fail, and something happen to the job meanwhile; returns what is said."""

    def fail(spec: TaskSpec, _: str) -> TaskImage:
        then()
        del spec
        raise error

    world.workers.on_dump = fail
    with pytest.raises(type(error)) as caught:
        world.manager.checkpoint(REQUEST)
    assert caught.value.details == error.details
    assert caught.value.hint == error.hint
    return caught.value.message


def end_job(world: World, state: JobState = JobState.FAILED) -> None:
    world.workers.tasks.clear()
    world.scheduler.set_state(JOB, state)


@pytest.mark.parametrize(
    "error",
    [
        CheckpointError("node 'c1' did not answer (Killed)", hint="h", nodes=["c1"]),
        CheckpointError("CRIU was ended by signal 9 (Killed); the job is still running", signal=9),
        CheckpointError("it did not end in time; the program runs on"),
        CoordinatorError("no answer"),
        StoreFullError("full; the job is still running"),
    ],
)
def test_program_that_died_in_the_dump_is_said_to_have_ended_and_with_what(
    world: World, error: SyscrError
) -> None:
    world.add_job(details=JobDetails(exit_code="0:9"))
    said = fail_dump(world, error, lambda: end_job(world))
    assert said.endswith("; the job has ended (FAILED, exit code 0:9)")
    assert "run" not in said


def test_job_that_still_runs_is_said_to(world: World) -> None:
    world.add_job()
    said = fail_dump(world, CheckpointError("node 'c1' did not answer"), lambda: None)
    assert said == "node 'c1' did not answer; the job is still running"


def test_end_that_slurm_has_not_heard_of_yet_is_waited_for(world: World) -> None:
    """The node knows it first."""
    job = world.add_job()
    world.workers.tasks.clear()
    seen = iter((job, job))
    real = world.scheduler.get_job

    def ends_at_the_third_look(job_id: object) -> object:
        found = next(seen, None)
        if found is None:
            world.scheduler.set_state(JOB, JobState.COMPLETED)
        return real(JOB)

    world.scheduler.get_job = ends_at_the_third_look  # type: ignore[method-assign,assignment]
    fates = Fates(world.scheduler, world.workers, world.clock)
    assert fates.find(job, "batch", (0,)) == "the job has ended (COMPLETED)"
    assert len(world.clock.sleeps) == 2


def test_job_that_is_just_ending_is_named_by_its_end(world: World) -> None:
    job = world.add_job(state=JobState.COMPLETING)
    real = world.clock.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        world.scheduler.set_state(JOB, JobState.TIMEOUT)

    world.clock.sleep = sleep  # type: ignore[method-assign]
    fates = Fates(world.scheduler, world.workers, world.clock)
    assert fates.find(job, "batch", (0,)) == "the job has ended (TIMEOUT)"


def test_task_that_is_gone_while_the_job_runs_is_named(world: World) -> None:
    job = world.add_job(4711, task(step="0", rank=0))
    fates = Fates(world.scheduler, world.workers, world.clock)
    assert fates.find(job, "0", RANKS) == "task 1 of step 4711.0 ended"
    world.workers.tasks.clear()
    assert fates.find(job, "0", RANKS) == "tasks 0, 1 of step 4711.0 ended"
    assert world.clock.sleeps == []


def test_nothing_is_claimed_where_nobody_answers(world: World) -> None:
    job = world.add_job()
    fates = Fates(world.scheduler, world.workers, world.clock)
    world.workers.failures["inspect"] = CheckpointError("node 'c1' did not answer")
    assert fates.find(job, "batch", (0,)).endswith("what became of its tasks is not known")
    world.workers.failures["inspect"] = CheckpointError("node 'c1' did not answer")
    world.scheduler.is_available = False
    assert fates.find(job, "batch", (0,)) == "what became of the job is not known"


def test_job_that_slurm_has_forgotten_has_ended(world: World) -> None:
    job = world.add_job()
    world.workers.tasks.clear()
    world.scheduler.forget(JOB)
    fates = Fates(world.scheduler, world.workers, world.clock)
    assert fates.find(job, "batch", (0,)) == "the job has ended"


@pytest.mark.parametrize(
    "error",
    [
        JobStateError("the job has ended meanwhile"),
        CheckpointError("task 1 ended while the others were dumped", missing=[1]),
    ],
)
def test_who_says_it_already_is_left_as_it_is(world: World, error: SyscrError) -> None:
    world.add_job()
    assert fail_dump(world, error, lambda: end_job(world)) == error.message


def test_notes_are_kept(world: World) -> None:
    job = world.add_job()
    error = CheckpointError("no answer")
    error.add_note("node 'c2': full")
    said = Fates(world.scheduler, world.workers, world.clock).say(
        error, job, Target(JOB, "batch"), (0,)
    )
    assert (said.message, said.__notes__) == (
        "no answer; the job is still running",
        error.__notes__,
    )


@pytest.mark.parametrize(
    ("message", "state", "fate", "said"),
    [
        ("a; the task stands still", "frozen", RUNS, "a; the task stands still"),
        ("a; DMTCP is at it", "dumping", "X", "a; DMTCP is at it; by now X"),
        ("a; the task runs on", "running", "X", "a; X"),
        ("it ended", "ended", "X", "it ended; X"),
        ("a; the program has ended\n| b", None, RUNS, "a; the job is still running\n| b"),
    ],
)
def test_what_a_node_claims_holds_until_it_is_seen_to_be_otherwise(
    message: str, state: str | None, fate: str, said: str
) -> None:
    details = {} if state is None else {"task_state": state}
    assert set_fate(CheckpointError(message, **details), fate) == said


def test_silent_controller_at_the_end_of_a_dump_is_no_fate(world: World) -> None:
    world.add_job()
    error = SchedulerUnavailableError("no answer")
    said = fail_dump(world, error, lambda: None)
    assert said == "cannot checkpoint 4711.batch: no answer; the job is still running"
