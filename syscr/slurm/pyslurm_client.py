"""``PyslurmScheduler``: the Scheduler port with its frequent questions asked through pyslurm, in this process.

For long-lived Python programs: a question takes 1 to 2 ms instead of a process. What pyslurm cannot answer
truthfully (arrays, heterogeneous jobs, a job's details, every doubt), and every act, goes to the adapter
over the command-line tools. ``probe.py`` imports it first in a process of its own: the import may end it.

Source: pyslurm 24.11.x (2adb2da), ``pyslurm/core/job/``; run against Slurm 24.11.5, 2026-11.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from syscr.errors import JobNotFoundError, RequestError
from syscr.model import Job, JobDetails, JobId, JobState
from syscr.ports import SubmitOptions
from syscr.slurm.hostlist import parse_hostlist
from syscr.slurm.scheduler import SlurmScheduler

log = logging.getLogger(__name__)

_INVALID_JOB_ID = 2017  # slurm_errno.h: ESLURM_INVALID_JOB_ID


class Library(Protocol):
    """What is used of the module ``pyslurm``; the same names from 22.5 to 25.11."""

    Job: Any
    Jobs: Any
    JobSteps: Any
    RPCError: type[Exception]


class PyslurmScheduler:
    """Jobs of one cluster, asked through a library.

    Contract: as ``SlurmScheduler``, but a question has no time limit of ours: libslurm has its own, of
    ``MessageTimeout`` and some repeats.
    """

    def __init__(self, library: Library, cli: SlurmScheduler) -> None:
        """Keep both ways.

        Args:
            library: The module, imported.
            cli: What does everything else.
        """
        self._library = library
        self._cli = cli

    def get_job(self, job_id: JobId) -> Job:
        """Return one job; see ``ports.Scheduler.get_job``."""
        job = self._load(job_id)
        return self._cli.get_job(job_id) if job is None else job

    def get_jobs(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]:
        """Return the jobs that Slurm knows; the doubtful ones with one command for all."""
        found: dict[JobId, Job] = {}
        doubtful = []
        for job_id in job_ids:
            try:
                job = self._load(job_id)
            except JobNotFoundError:
                continue
            if job is None:
                doubtful.append(job_id)
            else:
                found[job_id] = job
        return {**found, **self._cli.get_jobs(doubtful)}

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return the numbered steps that run now."""
        if _is_plain(job_id):
            try:
                steps = self._library.JobSteps.load(job_id.number)
                numbers = sorted(step for step in steps if isinstance(step, int))
                if all(steps[number].state == JobState.RUNNING for number in numbers):
                    return tuple(map(str, numbers))
            except self._library.RPCError as error:
                log.debug("pyslurm does not tell the steps of job %s: %s", job_id, error)
        return self._cli.find_steps(job_id)

    def _load(self, job_id: JobId) -> Job | None:
        """Return a job; None: ask otherwise.

        Raises:
            JobNotFoundError: The controller answers and does not know it.
        """
        if not _is_plain(job_id):
            return None  # Slurm's library wants the task's own number
        try:
            return read_job(self._library.Job.load(job_id.number))
        except self._library.RPCError as error:
            if getattr(error, "errno", None) == _INVALID_JOB_ID:
                raise JobNotFoundError(
                    f"cannot find job {job_id}: Slurm does not know it", job_id=str(job_id)
                ) from error
            log.info("pyslurm does not tell job %s: %s", job_id, error)
            return None

    def version(self) -> str:
        """Return the version of Slurm's commands."""
        return self._cli.version()

    def find_own_jobs(self) -> tuple[JobId, ...]:
        """Return the caller's jobs that run or wait."""
        return self._cli.find_own_jobs()

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return what a new job needs."""
        return self._cli.get_job_details(job_id)

    def submit(self, submission: SubmitOptions) -> JobId:
        """Submit a batch job; pyslurm would leave out the command and the environment."""
        return self._cli.submit(submission)

    def requeue(self, job_id: JobId, *, hold: bool = False) -> None:
        """Put the job back into the queue."""
        self._cli.requeue(job_id, hold=hold)

    def release(self, job_id: JobId) -> None:
        """Release a held job."""
        self._cli.release(job_id)

    def start_now(self, job_id: JobId) -> None:
        """Drop the delay of a requeued job."""
        self._cli.start_now(job_id)

    def require_nodes(self, job_id: JobId, nodes: Sequence[str]) -> None:
        """Let a pending job run on these nodes only."""
        self._cli.require_nodes(job_id, nodes)

    def cancel(self, job_id: JobId, *, step: str | None = None) -> None:
        """Cancel a job or one step; pyslurm says nothing about an unknown one."""
        self._cli.cancel(job_id, step=step)

    def signal(self, job_id: JobId, name: str) -> None:
        """Signal the batch script of a job."""
        self._cli.signal(job_id, name)

    def get_batch_script(self, job_id: JobId) -> str:
        """Return the batch script of a job."""
        return self._cli.get_batch_script(job_id)


def read_job(record: Any) -> Job | None:
    """Read a ``pyslurm.Job``; pure.

    Returns:
        The job; None for a part of an array or of a heterogeneous job: of several records Slurm's library
        keeps the first, and pyslurm reads index 0 as no index (22.5 to 25.11).
    """
    if record.array_id or record.heterogeneous_id:
        return None
    try:
        nodes = parse_hostlist(record.allocated_nodes or "")
    except RequestError:
        return None
    uid, number = int(record.user_id), int(record.id)
    name = record.user_name
    if not name:
        return None
    limit, end = record.time_limit, record.end_time
    return Job(
        job_id=JobId(number),
        number=number,
        user_name=str(name),
        uid=uid,
        state=JobState.parse(record.state),
        raw_state=str(record.state),
        reason=str(record.state_reason or "None"),
        node_list=str(record.allocated_nodes) if nodes else "",
        nodes=nodes,
        batch_host=str(record.batch_host or "") if nodes else "",
        partition=str(record.partition or ""),
        time_limit_seconds=None if limit is None else limit * 60.0,
        end_at=datetime.fromtimestamp(end, UTC) if end else None,
    )


def _is_plain(job_id: JobId) -> bool:
    return job_id.array_index is None and job_id.het_offset is None
