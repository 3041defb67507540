"""Which job is meant, and whether something may be asked of it: the checks of the old controller."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import Protocol

from syscr.errors import JobNotFoundError, RequestError
from syscr.model import Job, JobDetails, JobId, JobState
from syscr.scontrol import texts
from syscr.scontrol.grammar import Request
from syscr.scontrol.texts import Code, Failure, fail


class Jobs(Protocol):
    """What is needed of ``ports.Scheduler``."""

    def get_job(self, job_id: JobId) -> Job:
        """Return one job."""
        ...

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return more about a job."""
        ...

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return the steps that run now."""
        ...


class Refused(Exception):
    """Ends a request with a failure; ``command.py`` alone catches it."""

    def __init__(self, failure: Failure) -> None:
        """Keep the failure."""
        super().__init__(failure.text)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Judge:
    """Finds jobs for a caller.

    Attributes:
        jobs: Slurm.
        uid: The caller.
        working_dir: Where relative names of directories count from if Slurm has forgotten the job.
    """

    jobs: Jobs
    uid: int
    working_dir: str

    def find_running(self, request: Request) -> Job:
        """Return the job if it runs and is ours; the checks and their order are the old controller's.

        Source: Slurm 19.05.8, ``job_mgr.c`` ``job_checkpoint`` and ``step_mgr.c`` ``job_step_checkpoint``.
        """
        if request.target is None:
            raise Refused(fail(Code.NO_SUCH_JOB))
        job = self.find(request.target.job_id)
        if job.uid != self.uid:
            raise Refused(fail(Code.DENIED))
        failure = texts.judge_state(job.state)
        if failure is not None:
            suspended = request.has_step and failure.code is Code.SUSPENDED
            raise Refused(fail(Code.DISABLED) if suspended else failure)
        if request.has_step and request.target.step not in self.jobs.find_steps(job.job_id):
            raise Refused(fail(Code.NO_SUCH_JOB))
        return job

    def find_ended(self, request: Request) -> Job | None:
        """Return the job if it may be restarted; None: Slurm has forgotten it."""
        if request.target is None:
            raise Refused(fail(Code.NOT_FOUND))
        try:
            job = self.find(request.target.job_id)
        except JobNotFoundError:
            return None
        if not (job.state.is_final or job.state is JobState.COMPLETING):
            raise Refused(fail(Code.NOT_FINISHED))
        if job.uid != self.uid:
            raise Refused(fail(Code.NOT_PERMITTED))
        return job

    def find(self, job_id: JobId) -> Job:
        """Return a job; a plain number that is also an array's means the task that has it for its own."""
        try:
            return self.jobs.get_job(job_id)
        except RequestError as error:
            parts = error.details.get("parts")
            for part in parts if isinstance(parts, list) else ():
                if "[" not in str(part):
                    job = self.jobs.get_job(JobId.parse(str(part)))
                    if job.number == job_id.number:
                        return job
            raise

    def complete(self, image_dir: str | None, job_id: JobId | None) -> str | None:
        """Return ``ImageDir`` in full; a relative one counts from the job's working directory."""
        if image_dir is None or os.path.isabs(image_dir):
            return image_dir
        base = ""
        if job_id is not None:
            base = self.jobs.get_job_details(job_id).working_dir
        return os.path.normpath(os.path.join(base or self.working_dir, image_dir))
