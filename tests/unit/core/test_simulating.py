"""simulate: the job is stopped as Slurm would, and only if it can go on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_support import JOB, KEY, TARGET, World

from syscr.errors import (
    JobStateError,
    ManifestError,
    OperationUnsupportedError,
    RestartTimeoutError,
    SchedulerDeniedError,
)
from syscr.lives import LifeBook
from syscr.model import JobDetails, JobState, Life, StopReason, Target


@pytest.fixture
def alive() -> World:
    """A job that keeps itself alive."""
    world = World()
    world.add_job()
    LifeBook(world.home, KEY).begin(Life(4711, 0, "c1", world.clock.now()))
    world.home.write_note(KEY, "run/4711.0.0/agent", "0a1b2")
    return world


def read_announced(world: World) -> StopReason | None:
    book = LifeBook(world.home, KEY)
    return book.read_announced(book.read()[-1], world.clock.now())


def answer(world: World, **changes: object) -> None:
    """Let the agent do something as soon as the caller waits."""
    book = LifeBook(world.home, KEY)
    sleep = world.clock.sleep

    def act(seconds: float) -> None:
        sleep(seconds)
        if "ended_at" in changes:
            world.scheduler.set_state(JOB, JobState.PENDING)
        book.update(replace(book.read()[-1], **changes))  # type: ignore[arg-type]

    world.clock.sleep = act  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("preempt", StopReason.PREEMPTION), ("timeout", StopReason.TIME_LIMIT)],
)
def test_agent_takes_the_signal_for_what_is_simulated(
    alive: World, cause: str, reason: StopReason
) -> None:
    answer(alive, ended_at=alive.clock.now(), reason=reason, image_id="a")
    result = alive.manager.simulate(TARGET, cause)
    assert (result.cause, result.life.reason, result.life.image_id) == (cause, reason, "a")
    assert ("signal", JOB, "TERM") in alive.log
    assert read_announced(alive) is reason


def test_job_whose_agent_does_not_listen_yet_is_waited_for(alive: World) -> None:
    book = LifeBook(alive.home, KEY)
    book.close(replace(book.read()[-1], ended_at=alive.clock.now()))  # the next life has not begun
    with pytest.raises(RestartTimeoutError, match="nothing was done"):
        alive.manager.simulate(TARGET, "timeout", wait_seconds=5.0)
    assert not any(isinstance(act, tuple) and act[0] == "signal" for act in alive.log)


def test_agent_of_an_earlier_life_is_nobody_to_signal(alive: World) -> None:
    """Nobody saw the end of that life: it is still open in the book."""
    alive.add_job(details=JobDetails(name="job", restart_count=1))
    with pytest.raises(RestartTimeoutError, match="nothing was done"):
        alive.manager.simulate(TARGET, "timeout", wait_seconds=5.0)
    assert not any(isinstance(act, tuple) and act[0] == "signal" for act in alive.log)


@pytest.mark.parametrize(
    ("cause", "is_late"),
    [("preempt", False), ("timeout", False), ("node-failure", False), ("preempt", True)],
)
def test_job_whose_lives_cannot_be_read_is_left_alone(
    alive: World, cause: str, is_late: bool
) -> None:
    def spoil(seconds: float = 0.0) -> None:
        alive.home.spoil_record(KEY, "lives")

    if is_late:  # while it waits for the agent
        alive.home.write_note(KEY, "run/4711.0.0/agent", "")
        alive.clock.sleep = spoil  # type: ignore[method-assign]
    else:
        spoil()
    with pytest.raises(ManifestError) as caught:
        alive.manager.simulate(TARGET, cause)
    message = caught.value.message
    assert message.startswith("cannot simulate anything with job 4711: cannot read record '")
    assert message.endswith("; nothing was done to the job")
    assert not any(isinstance(act, tuple) and act[0] == "signal" for act in alive.log)


def test_record_that_is_spoilt_while_the_life_ends_keeps_nobody(alive: World) -> None:
    states = iter([JobState.RUNNING, JobState.PENDING])

    def spoil(seconds: float) -> None:
        alive.home.spoil_record(KEY, "lives")
        alive.scheduler.set_state(JOB, next(states))

    alive.clock.sleep = spoil  # type: ignore[method-assign]
    result = alive.manager.simulate(TARGET, "timeout")
    assert (result.job_state, result.life.restart_count) == ("PENDING", 0)


def test_loss_of_the_node_comes_without_a_warning(alive: World) -> None:
    result = alive.manager.simulate(TARGET, "node-failure")
    assert result.job_state == "PENDING"
    acts = [act for act in alive.log if isinstance(act, tuple) and act[0] in {"signal", "requeue"}]
    assert [act[0] for act in acts] == ["signal", "requeue"]
    assert acts[0][2] == "KILL"
    assert read_announced(alive) is None


@pytest.mark.parametrize(
    ("cause", "how", "can_requeue", "state"),
    [
        ("preempt", "told", True, "PENDING"),
        ("preempt", "told", False, "FAILED"),
        ("preempt", "own", True, "FAILED"),
        ("timeout", "told", True, "FAILED"),
    ],
)
def test_job_that_dies_of_the_signal_is_requeued_as_slurm_would(
    alive: World, cause: str, how: str, can_requeue: bool, state: str
) -> None:
    alive.add_job(details=JobDetails(name="job", can_requeue=can_requeue))
    sleep = alive.clock.sleep

    def die(seconds: float) -> None:
        sleep(seconds)
        alive.scheduler.set_state(JOB, JobState.FAILED)
        alive.home.write_note(KEY, "run/4711.0.0/end", f"15 {how} 0")

    alive.clock.sleep = die  # type: ignore[method-assign]
    assert alive.manager.simulate(TARGET, cause).job_state == state


def test_program_that_dies_after_the_remark_of_its_agent_is_requeued_too(alive: World) -> None:
    book = LifeBook(alive.home, KEY)
    sleep = alive.clock.sleep
    remarks: list[str] = []

    def die_slowly(seconds: float) -> None:
        sleep(seconds)
        if remarks:
            alive.scheduler.set_state(JOB, JobState.FAILED)
            alive.home.write_note(KEY, "run/4711.0.0/end", "15 told 0")
        remarks.append("preemption: no time for an image (3.3 s left)")
        noted_at = alive.clock.now()
        book.update(replace(book.read()[-1], note=remarks[0], noted_at=noted_at))

    alive.clock.sleep = die_slowly  # type: ignore[method-assign]
    result = alive.manager.simulate(TARGET, "preempt")
    assert (result.job_state, result.life.note) == ("PENDING", remarks[0])


def test_program_that_outlives_its_preemption_is_left_alone(alive: World) -> None:
    answer(alive, note="preemption: no last image: disk full", noted_at=alive.clock.now())
    assert alive.manager.simulate(TARGET, "preempt").job_state == "RUNNING"
    assert not any(isinstance(act, tuple) and act[0] == "requeue" for act in alive.log)


def test_remark_of_the_agent_ends_the_waiting(alive: World) -> None:
    for _ in range(2):  # the same again is a new one
        alive.clock.advance(10)
        answer(alive, note="no last image: disk full", noted_at=alive.clock.now())
        assert alive.manager.simulate(TARGET, "timeout").life.note == "no last image: disk full"


def test_job_that_does_not_end_is_reported_with_where_to_look(alive: World) -> None:
    with pytest.raises(RestartTimeoutError, match="RUNNING") as caught:
        alive.manager.simulate(TARGET, "timeout", wait_seconds=5.0)
    assert "agent.log" in caught.value.hint


def test_job_that_runs_again_already_has_ended_its_life(alive: World) -> None:
    book = LifeBook(alive.home, KEY)
    sleep = alive.clock.sleep

    def live_on(seconds: float) -> None:
        sleep(seconds)
        book.close(replace(book.read()[0], ended_at=alive.clock.now(), image_id="a"))
        book.begin(Life(4711, 1, "c2", alive.clock.now()))

    alive.clock.sleep = live_on  # type: ignore[method-assign]
    result = alive.manager.simulate(TARGET, "timeout")
    assert (result.life.restart_count, result.life.image_id, result.job_state) == (
        0,
        "a",
        "RUNNING",
    )


def test_job_that_cannot_go_on_is_left_alone() -> None:
    world = World()
    world.add_job()
    with pytest.raises(OperationUnsupportedError, match="--checkpoint"):
        world.manager.simulate(TARGET, "timeout")
    assert not any(isinstance(act, tuple) and act[0] == "signal" for act in world.log)


@pytest.mark.parametrize("cause", ["preempt", "node-failure"])
def test_steps_waiting_jobs_and_jobs_of_others_are_left_alone(alive: World, cause: str) -> None:
    with pytest.raises(OperationUnsupportedError):
        alive.manager.simulate(Target(JOB, "0"), cause)
    alive.uid = 1001
    with pytest.raises(SchedulerDeniedError):
        alive.manager.simulate(TARGET, cause)
    alive.uid = 1000
    alive.scheduler.set_state(JOB, JobState.PENDING)
    with pytest.raises(JobStateError):
        alive.manager.simulate(TARGET, cause)
    assert not any(isinstance(act, tuple) and act[0] == "signal" for act in alive.log)
