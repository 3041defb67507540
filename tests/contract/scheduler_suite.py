"""What every Scheduler must do, whatever is behind it; ``ports.Scheduler`` has the contract in words."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    RequestError,
    SchedulerUnavailableError,
)
from syscr.model import JobId, JobState
from syscr.ports import Scheduler

UNKNOWN = JobId(999999)


@dataclass(frozen=True)
class World:
    """A scheduler and jobs of alice in known states."""

    scheduler: Scheduler
    unreachable: Scheduler
    running: JobId
    held: JobId
    fixed: JobId
    ended: JobId
    task: JobId


class SchedulerSuite:
    """Inherit from it next to a fixture ``world``."""

    def test_running_job_has_owner_nodes_and_batch_host(self, world: World) -> None:
        job = world.scheduler.get_job(world.running)
        assert (job.job_id, job.number) == (world.running, world.running.number)
        assert (job.user_name, job.uid, job.state) == ("alice", 1000, JobState.RUNNING)
        assert len(job.nodes) == 2
        assert job.batch_host == job.nodes[0]

    def test_waiting_job_has_no_nodes(self, world: World) -> None:
        job = world.scheduler.get_job(world.held)
        assert job.state.is_waiting
        assert (job.nodes, job.node_list, job.batch_host) == ((), "", "")

    def test_ended_job_is_final(self, world: World) -> None:
        assert world.scheduler.get_job(world.ended).state.is_final

    def test_unknown_job_is_not_found_by_every_question(self, world: World) -> None:
        for ask in (
            world.scheduler.get_job,
            world.scheduler.get_job_details,
            world.scheduler.get_batch_script,
            world.scheduler.requeue,
            world.scheduler.release,
            world.scheduler.start_now,
        ):
            with pytest.raises(JobNotFoundError):
                ask(UNKNOWN)

    def test_unreachable_controller_is_not_unknown_job(self, world: World) -> None:
        for ask in (world.unreachable.get_job, world.unreachable.requeue):
            with pytest.raises(SchedulerUnavailableError):
                ask(world.running)

    def test_array_task_has_a_number_of_its_own(self, world: World) -> None:
        job = world.scheduler.get_job(world.task)
        assert job.job_id == world.task
        assert job.number != world.task.number

    def test_whole_array_is_refused(self, world: World) -> None:
        with pytest.raises(RequestError, match=str(world.task)):
            world.scheduler.get_job(JobId(world.task.number))

    def test_many_jobs_leave_out_the_unknown_one(self, world: World) -> None:
        jobs = world.scheduler.get_jobs([world.running, UNKNOWN, world.task])
        assert set(jobs) == {world.running, world.task}

    def test_no_jobs_are_none(self, world: World) -> None:
        assert world.scheduler.get_jobs([]) == {}

    def test_job_without_steps_has_none(self, world: World) -> None:
        assert world.scheduler.find_steps(world.running) == ()

    def test_details_are_there(self, world: World) -> None:
        details = world.scheduler.get_job_details(world.running)
        assert details.name
        assert (details.restart_count, details.can_requeue) == (0, True)

    def test_batch_script_is_text(self, world: World) -> None:
        assert world.scheduler.get_batch_script(world.running).startswith("#!/bin/sh\n")

    def test_requeue_of_waiting_job_is_refused(self, world: World) -> None:
        with pytest.raises(JobStateError):
            world.scheduler.requeue(world.held)

    def test_requeue_of_job_that_forbids_it_says_how_to_allow_it(self, world: World) -> None:
        with pytest.raises(JobStateError) as caught:
            world.scheduler.requeue(world.fixed)
        assert "Requeue=1" in caught.value.hint

    def test_nodes_of_running_job_cannot_be_set(self, world: World) -> None:
        with pytest.raises(JobStateError):
            world.scheduler.require_nodes(world.running, ["c1"])
        assert len(world.scheduler.get_job(world.running).nodes) == 2

    def test_cancel_of_what_is_over_is_no_error(self, world: World) -> None:
        world.scheduler.cancel(world.ended)
        world.scheduler.cancel(UNKNOWN)
        world.scheduler.cancel(world.running, step="77")
