"""Slurm: what is asked, and what can be done with jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from syscr.model import Job, JobDetails, JobId


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """A batch job to submit.

    Attributes:
        script: Text of the batch script.
        options: Options for sbatch, in order; later ones win.
        arguments: Arguments of the script.
        working_dir: Directory to submit from; None: the caller's.
    """

    script: str
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    working_dir: str | None = None


class JobSource(Protocol):
    """What a checkpoint asks Slurm.

    All methods raise SchedulerUnavailableError (no answer), SchedulerDeniedError (Slurm refuses) and
    SchedulerReplyError (not understood); what else they raise stands with them.
    """

    def version(self) -> str:
        """Return the version as Slurm prints it, ``24.11.5``."""
        ...

    def get_job(self, job_id: JobId) -> Job:
        """Return one job.

        Raises:
            JobNotFoundError: The controller answers and does not know it (never or no longer).
        """
        ...

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return what a new job needs to resemble this one; raises JobNotFoundError."""
        ...

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return the steps that run now (``0``, ``1``; without batch and extern), in order."""
        ...

    def get_batch_script(self, job_id: JobId) -> str:
        """Return the batch script of a job; raises JobNotFoundError where there is none."""
        ...


class Scheduler(JobSource, Protocol):
    """Slurm: jobs and what can be done with them. None of its methods retries an act."""

    def signal(self, job_id: JobId, name: str) -> None:
        """Send a signal to the batch script of a job, ``TERM`` say; raises JobNotFoundError."""
        ...

    def get_jobs(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]:
        """Return those of the jobs that the controller knows; an absent key is a job it does not know."""
        ...

    def submit(self, submission: SubmitOptions) -> JobId:
        """Submit a batch job; has effect at most once."""
        ...

    def requeue(self, job_id: JobId, *, hold: bool = False) -> None:
        """Put the job back into the queue under its id; raises JobNotFoundError, JobStateError."""
        ...

    def release(self, job_id: JobId) -> None:
        """Release a held job."""
        ...

    def start_now(self, job_id: JobId) -> None:
        """Drop the delay that Slurm puts on a requeued job.

        Contract: has an effect only while the job is PENDING; call it again until the job runs.
        Source: facts: BeginTime is now + credential lifetime + 1 s (24.11, ``job_mgr.c``).
        """
        ...

    def require_nodes(self, job_id: JobId, nodes: Sequence[str]) -> None:
        """Let a pending job run on these nodes only; an empty sequence takes the demand back."""
        ...

    def cancel(self, job_id: JobId, *, step: str | None = None) -> None:
        """Cancel a job or one step; a job that has ended already is no error."""
        ...
