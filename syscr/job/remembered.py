"""A scheduler that goes on answering with what it last knew: an agent must not depend on slurmctld.

Nor may it wait for it: commands of Slurm take half a minute to find out that there is no controller, and a
checkpoint asks four questions. So what is known is asked for with a short limit, and after an answer that
did not come it is not asked for a while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from syscr.errors import SchedulerUnavailableError
from syscr.model import Job, JobDetails, JobId, JobState
from syscr.ports import JobSource

_T = TypeVar("_T")

HASTE_SECONDS = 5.0
"""Limit of a question whose answer is known from before."""

_PAUSE_SECONDS = 60.0


@dataclass(slots=True)
class RememberedScheduler:
    """The questions that a checkpoint of one's own job has; answers of a running job.

    Attributes:
        scheduler: Slurm.
        hasty: The same with a short limit, for what is known; None: ``scheduler``.
        is_offline: Do not ask at all: the job is ending, and what Slurm says of it now is of no use.
        monotonic: Time.
    """

    scheduler: JobSource
    hasty: JobSource | None = None
    is_offline: bool = False
    monotonic: Callable[[], float] = time.monotonic
    _silent_until: float = 0.0
    _known: dict[Hashable, object] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def version(self) -> str:
        """Return the version of Slurm."""
        return self._ask("version", lambda slurm: slurm.version())

    def get_job(self, job_id: JobId) -> Job:
        """Return the job; see ``ports.Scheduler.get_job``."""
        job = self._ask(("job", job_id), lambda slurm: slurm.get_job(job_id))
        if self.is_offline and job.state is JobState.COMPLETING:  # it was asked for so late
            return replace(job, state=JobState.RUNNING, raw_state=str(JobState.RUNNING))
        return job

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return its details; see ``ports.Scheduler.get_job_details``."""
        return self._ask(("details", job_id), lambda slurm: slurm.get_job_details(job_id))

    def get_batch_script(self, job_id: JobId) -> str:
        """Return its script; see ``ports.Scheduler.get_batch_script``."""
        return self._ask(("script", job_id), lambda slurm: slurm.get_batch_script(job_id))

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return the numbered steps that run now."""
        return self._ask(("steps", job_id), lambda slurm: slurm.find_steps(job_id))

    def _ask(self, name: Hashable, ask: Callable[[JobSource], _T]) -> _T:
        with self._guard:
            known = self._known.get(name)
            is_silent = self.monotonic() < self._silent_until
        if known is not None and (self.is_offline or is_silent):
            return cast("_T", known)
        try:
            answer = ask(self.scheduler if known is None else self.hasty or self.scheduler)
        except SchedulerUnavailableError:
            if known is None:
                raise
            with self._guard:
                self._silent_until = self.monotonic() + _PAUSE_SECONDS
            return cast("_T", known)
        with self._guard:
            self._known[name] = answer
            self._silent_until = 0.0
        return answer
