"""What is known of one job: Slurm's view, its images and lives, and whether it can be dumped now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syscr.errors import JobNotFoundError, PreflightError, RequestError, SyscrError
from syscr.lines import find_parts
from syscr.lives import add_image, close_life, sum_time
from syscr.locating import Locator
from syscr.model import Image, Job, JobState, Life, Target
from syscr.ports import Clock, Scheduler
from syscr.request import CheckpointRequest
from syscr.result import JobStatus

if TYPE_CHECKING:
    from syscr.dumping import Dumper
    from syscr.native.dumping import NativeDumper


_SHOWN_TASKS = 5


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

    def find(self, target: Target) -> JobStatus | None:
        """Return what is known of a job that was there a moment ago; None: it is not any more."""
        try:
            return self.read(target)
        except JobNotFoundError:
            return None

    def read(self, target: Target) -> JobStatus:
        """Return what is known of a job or step.

        Raises:
            JobNotFoundError: Nothing.
            RequestError: It is a whole job array.
        """
        job: Job | None
        try:
            job = self.scheduler.get_job(target.job_id)
        except JobNotFoundError:
            job = None
        images, warnings = self.locator.list_images(target, None, whole_array=job is None)
        _check_is_not_an_array(target, job, images)
        number = job.number if job else target.job_id.number
        lives, faults = self.locator.list_lives(target, number)
        warnings += tuple(f"{fault.message}; its lives are not shown" for fault in faults)
        own = [image for image in images if image.manifest.step == (target.step or "batch")]
        if lives and own:
            lives = (*lives[:-1], add_image(lives[-1], own[-1]))
        if lives and _has_ended(target, job, lives[-1]):
            lives = (*lives[:-1], close_life(lives[-1], None))
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
            return replace(status, findings=error.findings)
        except SyscrError as error:
            return replace(status, warnings=(*status.warnings, error.message))
        busy = plan.store.find_holder(plan.key)
        return replace(status, tasks=plan.tasks, findings=plan.findings, busy=busy)


def _check_is_not_an_array(target: Target, job: Job | None, images: Sequence[Image]) -> None:
    """Refuse an array that Slurm has forgotten as it is refused while Slurm knows it."""
    parts = find_parts(target.job_id, images) if job is None else ()
    if parts:
        raise RequestError(
            f"job {target.job_id} is a whole job array: {', '.join(parts[:_SHOWN_TASKS])}"
            + (", ..." if len(parts) > _SHOWN_TASKS else ""),
            hint=f"name one part of it, as in {parts[-1]}; the images of all: "
            f"'syscr image list {target.job_id}'",
            job_id=str(target.job_id),
            parts=list(parts),
        )


def _has_ended(target: Target, job: Job | None, life: Life) -> bool:
    """Whether a life is over of which nobody could write that down: its job does not run."""
    number = target.job_id.number if job is None else job.number
    is_over = job is None or job.state.is_final or job.state.is_waiting
    return life.ended_at is None and life.number == number and is_over
