"""What is known of one job: Slurm's view, its images and lives, and whether it can be dumped now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syscr.errors import JobNotFoundError, PreflightError, SyscrError
from syscr.lives import sum_time
from syscr.locating import Locator
from syscr.model import Job, JobState, Target
from syscr.ports import Clock, Scheduler
from syscr.request import CheckpointRequest
from syscr.result import JobStatus

if TYPE_CHECKING:
    from syscr.dumping import Dumper
    from syscr.native.dumping import NativeDumper


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Collects what is known of jobs; touches nothing.

    Attributes:
        scheduler: Slurm.
        locator: Finds images and lives.
        clock: Time.
        find_dumper: Returns what would dump a job.
    """

    scheduler: Scheduler
    locator: Locator
    clock: Clock
    find_dumper: Callable[[Target], Dumper | NativeDumper]

    def read(self, target: Target) -> JobStatus:
        """Return what is known of a job or step; raises JobNotFoundError where that is nothing."""
        job: Job | None
        try:
            job = self.scheduler.get_job(target.job_id)
        except JobNotFoundError:
            job = None
        images, warnings = self.locator.list_images(target, None)
        lives = self.locator.list_lives(target, job.number if job else target.job_id.number)
        kept, lost = sum_time(lives, self.clock.now())
        status = JobStatus(
            target,
            job,
            images=images,
            warnings=warnings,
            lives=lives,
            kept_seconds=kept,
            lost_seconds=lost,
        )
        if job is None and not images:
            raise JobNotFoundError(f"job {target.job_id} is not known to Slurm and has no images")
        if job is None or job.state is not JobState.RUNNING:
            return status
        return self._add_preflight(status)

    def _add_preflight(self, status: JobStatus) -> JobStatus:
        """Add whether the job, which runs, can be dumped; that it cannot is no error here."""
        try:
            dumper = self.find_dumper(status.target)
            plan = dumper.plan(CheckpointRequest(status.target, dry_run=True), "checkpoint")
        except PreflightError as error:
            warnings = (*status.warnings, error.message)
            return replace(status, findings=error.findings, warnings=warnings)
        except SyscrError as error:
            return replace(status, warnings=(*status.warnings, error.message))
        busy = plan.store.find_holder(plan.key)
        return replace(status, tasks=plan.tasks, findings=plan.findings, busy=busy)
