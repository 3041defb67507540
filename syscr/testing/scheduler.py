"""Slurm in memory: jobs that tests put into any state; no time passes, nothing runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    RequestError,
    SchedulerUnavailableError,
    SyscrError,
)
from syscr.model import Job, JobDetails, JobId, JobState
from syscr.ports import SubmitOptions


class FakeScheduler:
    """Implements ``ports.Scheduler``; see there for the contracts.

    Attributes:
        acts: What was changed, in order, as ("requeue", JobId, ...).
        failures: Method name -> error that it raises next time, once.
        submissions: Job id -> what was submitted.
        steps: Job id -> its steps.
        required_nodes: Job id -> nodes demanded.
        is_available: False: every call raises SchedulerUnavailableError.
    """

    def __init__(self, jobs: Iterable[Job] = (), *, version: str = "24.11.5") -> None:
        """Start with some jobs."""
        self._jobs = {job.job_id: job for job in jobs}
        self._details: dict[JobId, JobDetails] = {}
        self._scripts: dict[JobId, str] = {}
        self._version = version
        self.acts: list[tuple[object, ...]] = []
        self.failures: dict[str, SyscrError] = {}
        self.submissions: dict[JobId, SubmitOptions] = {}
        self.steps: dict[JobId, tuple[str, ...]] = {}
        self.required_nodes: dict[JobId, tuple[str, ...]] = {}
        self.is_available = True

    def add_job(
        self,
        number: int,
        *,
        state: JobState = JobState.RUNNING,
        nodes: Sequence[str] = ("c1",),
        array: tuple[int, int] | None = None,
        user: tuple[str, int] = ("alice", 1000),
        script: str | None = "#!/bin/sh\n",
        details: JobDetails | None = None,
    ) -> Job:
        """Put a job in.

        Args:
            number: Its plain number.
            state: Its state.
            nodes: Its nodes, where it has any in that state.
            array: Number of its array and index, for an array task.
            user: Owner and uid.
            script: Batch script; None: it has none.
            details: More about it; None: defaults.
        """
        job_id = JobId(number) if array is None else JobId(*array)
        self._details[job_id] = details or JobDetails(name=f"job{number}")
        if script is not None:
            self._scripts[job_id] = script
        job = Job(job_id, number, user[0], user[1], state, state.value, partition="debug")
        self._jobs[job_id] = job
        return self.set_state(job_id, state, nodes=nodes)

    def set_state(
        self, job_id: JobId, state: JobState, *, nodes: Sequence[str] | None = None
    ) -> Job:
        """Bring a job into a state; a waiting job loses its nodes."""
        job = self._jobs[job_id]
        kept = () if state.is_waiting else tuple(job.nodes if nodes is None else nodes)
        batch_host = kept[0] if kept and job_id in self._scripts else ""
        self._jobs[job_id] = replace(
            job,
            state=state,
            raw_state=state.value,
            nodes=kept,
            node_list=",".join(kept),
            batch_host=batch_host,
        )
        return self._jobs[job_id]

    def forget(self, job_id: JobId) -> None:
        """Let Slurm forget a job, as it does some time after its end."""
        del self._jobs[job_id]

    def version(self) -> str:
        """Return the version."""
        self._answer("version")
        return self._version

    def get_job(self, job_id: JobId) -> Job:
        """Return one job, by its id or by an array task's own number."""
        self._answer("get_job")
        return self._find(job_id)

    def get_jobs(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]:
        """Return those that are known."""
        self._answer("get_jobs")
        found = {}
        for job_id in job_ids:
            try:
                found[job_id] = self._find(job_id)
            except JobNotFoundError:
                continue
        return found

    def find_own_jobs(self) -> tuple[JobId, ...]:
        """Return the jobs that have not ended."""
        self._answer("find_own_jobs")
        return tuple(job.job_id for job in self._jobs.values() if not job.state.is_final)

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return more about a job."""
        self._answer("get_job_details")
        return self._details.get(self._find(job_id).job_id, JobDetails())

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return what ``steps`` says."""
        self._answer("find_steps")
        return self.steps.get(job_id, ())

    def submit(self, submission: SubmitOptions) -> JobId:
        """Add a pending job under the next number."""
        self._answer("submit")
        number = max((job.number for job in self._jobs.values()), default=0) + 1
        is_held = any(option in {"-H", "--hold"} for option in submission.options)
        job = self.add_job(number, state=JobState.PENDING, script=submission.script)
        self._jobs[job.job_id] = replace(job, reason="JobHeldUser" if is_held else "Priority")
        self.submissions[job.job_id] = submission
        self.acts.append(("submit", job.job_id))
        return job.job_id

    def requeue(self, job_id: JobId, *, hold: bool = False) -> None:
        """Let a job wait again; its restart count goes up."""
        self._answer("requeue")
        job = self._find(job_id)
        details = self._details.get(job.job_id, JobDetails())
        if job.state is JobState.PENDING:
            raise JobStateError(f"cannot requeue job {job_id}: Job is pending execution")
        if not details.can_requeue:
            raise JobStateError(
                f"cannot requeue job {job_id}: Requested operation is presently disabled",
                hint=f"allow it with 'scontrol update JobId={job_id} Requeue=1'",
            )
        self._details[job.job_id] = replace(details, restart_count=details.restart_count + 1)
        waiting = self.set_state(job.job_id, JobState.PENDING)
        reason = "JobHeldUser" if hold else "BeginTime"
        self._jobs[job.job_id] = replace(waiting, reason=reason)
        self.acts.append(("requeue", job.job_id, hold))

    def release(self, job_id: JobId) -> None:
        """Take note that a job is held no longer."""
        self._answer("release")
        job = self._find(job_id)
        self._jobs[job.job_id] = replace(job, reason="BeginTime")
        self.acts.append(("release", job.job_id))

    def start_now(self, job_id: JobId) -> None:
        """Take note that a job may start."""
        self._answer("start_now")
        self.acts.append(("start_now", self._find(job_id).job_id))

    def require_nodes(self, job_id: JobId, nodes: Sequence[str]) -> None:
        """Take note of the nodes of a waiting job."""
        self._answer("require_nodes")
        job = self._find(job_id)
        if not job.state.is_waiting:
            raise JobStateError(f"cannot set the nodes of job {job_id}: the job is {job.raw_state}")
        self.required_nodes[job.job_id] = tuple(nodes)
        self.acts.append(("require_nodes", job.job_id, tuple(nodes)))

    def signal(self, job_id: JobId, name: str) -> None:
        """Take note of a signal; what it does is up to the test."""
        self._answer("signal")
        self.acts.append(("signal", self._find(job_id).job_id, name))

    def cancel(self, job_id: JobId, *, step: str | None = None) -> None:
        """End a job or a step; what has ended or is not known is no error."""
        self._answer("cancel")
        self.acts.append(("cancel", job_id, step))
        try:
            job = self._find(job_id)
        except JobNotFoundError:
            return
        if step is not None:
            left = tuple(name for name in self.steps.get(job.job_id, ()) if name != step)
            self.steps[job.job_id] = left
        elif not job.state.is_final:
            self.set_state(job.job_id, JobState.CANCELLED)

    def get_batch_script(self, job_id: JobId) -> str:
        """Return the batch script."""
        self._answer("get_batch_script")
        script = self._scripts.get(self._find(job_id).job_id)
        if script is None:
            raise JobNotFoundError(f"cannot read the batch script of job {job_id}: it has none")
        return script

    def _answer(self, method: str) -> None:
        if not self.is_available:
            raise SchedulerUnavailableError(
                "cannot ask Slurm: Unable to contact slurm controller (connect failure)"
            )
        error = self.failures.pop(method, None)
        if error is not None:
            raise error

    def _find(self, job_id: JobId) -> Job:
        if job_id in self._jobs:
            return self._jobs[job_id]
        if job_id.array_index is None and job_id.het_offset is None:
            parts = [job for job in self._jobs.values() if job.job_id.number == job_id.number]
            if parts:
                names = ", ".join(str(job.job_id) for job in parts)
                raise RequestError(f"job {job_id} is a whole job array: {names}")
            own = [job for job in self._jobs.values() if job.number == job_id.number]
            if own:
                return own[0]
        raise JobNotFoundError(f"cannot find job {job_id}: Slurm does not know it")
