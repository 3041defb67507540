"""A scheduler that goes on answering with what it last knew: an agent must not depend on slurmctld."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from syscr.errors import SchedulerUnavailableError
from syscr.model import Job, JobDetails, JobId
from syscr.ports import JobSource

_T = TypeVar("_T")


@dataclass(slots=True)
class RememberedScheduler:
    """The questions that a checkpoint of one's own job has; answers of a running job.

    Attributes:
        scheduler: Slurm.
        is_offline: Do not ask at all: the job is ending, and what Slurm says of it now is of no use.
    """

    scheduler: JobSource
    is_offline: bool = False
    _known: dict[Hashable, object] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def version(self) -> str:
        """Return the version of Slurm."""
        return self._ask("version", self.scheduler.version)

    def get_job(self, job_id: JobId) -> Job:
        """Return the job; see ``ports.Scheduler.get_job``."""
        return self._ask(("job", job_id), lambda: self.scheduler.get_job(job_id))

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return its details; see ``ports.Scheduler.get_job_details``."""
        return self._ask(("details", job_id), lambda: self.scheduler.get_job_details(job_id))

    def get_batch_script(self, job_id: JobId) -> str:
        """Return its script; see ``ports.Scheduler.get_batch_script``."""
        return self._ask(("script", job_id), lambda: self.scheduler.get_batch_script(job_id))

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return the numbered steps that run now."""
        return self._ask(("steps", job_id), lambda: self.scheduler.find_steps(job_id))

    def _ask(self, name: Hashable, ask: Callable[[], _T]) -> _T:
        with self._guard:
            known = self._known.get(name)
        if self.is_offline and known is not None:
            return cast("_T", known)
        try:
            answer = ask()
        except SchedulerUnavailableError:
            if known is None:
                raise
            return cast("_T", known)
        with self._guard:
            self._known[name] = answer
        return answer
