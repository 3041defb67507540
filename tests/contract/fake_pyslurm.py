"""A module like pyslurm 24.11.x over a scheduler in memory, with the quirks that were measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from syscr.errors import JobNotFoundError, RequestError, SchedulerUnavailableError
from syscr.model import Job, JobId
from syscr.testing.scheduler import FakeScheduler


class RPCError(Exception):
    """As in ``pyslurm/core/error.pyx``."""

    def __init__(self, errno: int, msg: str) -> None:
        super().__init__(msg)
        self.errno = errno
        self.msg = msg


def _record(job: Job) -> SimpleNamespace:
    is_part = job.job_id.array_index is not None
    limit = job.time_limit_seconds
    return SimpleNamespace(
        id=job.number,
        array_id=job.job_id.number if is_part else None,
        array_task_id=job.job_id.array_index or None,  # 0 is taken as unset
        heterogeneous_id=0,
        user_id=job.uid,
        user_name=job.user_name,
        state=job.raw_state,
        state_reason=job.reason,
        allocated_nodes=job.node_list or None,
        batch_host=job.batch_host or None,
        partition=job.partition or None,
        time_limit=None if limit is None else int(limit // 60),
        end_time=int(job.end_at.timestamp()) if job.end_at else None,
    )


def build_library(scheduler: FakeScheduler) -> Any:
    """Return the module."""

    def load(number: int) -> SimpleNamespace:
        try:
            return _record(scheduler.get_job(JobId(number)))
        except JobNotFoundError as error:
            raise RPCError(2017, "Invalid job id specified") from error
        except RequestError:  # a whole array: the first record
            return _record(scheduler.get_job(JobId(number, 0)))
        except SchedulerUnavailableError as error:
            raise RPCError(1800, "Unable to contact slurm controller (connect failure)") from error

    def load_steps(number: int) -> dict[int | str, SimpleNamespace]:
        steps: dict[int | str, SimpleNamespace] = {
            int(step): SimpleNamespace(state="RUNNING")
            for step in scheduler.find_steps(JobId(number))
        }
        return {"batch": SimpleNamespace(state="RUNNING"), **steps}

    return SimpleNamespace(
        Job=SimpleNamespace(load=load),
        JobSteps=SimpleNamespace(load=load_steps),
        RPCError=RPCError,
    )
