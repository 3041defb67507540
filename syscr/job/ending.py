"""The end of a life: a last image, then back into the queue, then nothing of the program is left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from syscr.dumping import Dumper, Plan
from syscr.errors import JobStateError, PreflightError, StoreLockedError, SyscrError
from syscr.job.remembered import RememberedScheduler
from syscr.model import Image, JobId, Severity, StopReason
from syscr.ports import Scheduler
from syscr.request import CheckpointRequest

log = logging.getLogger(__name__)

_MOST_SECONDS = 600.0
_AGAIN_SECONDS = 0.1

EXIT_UNFINISHED = 75
"""Exit code of a job that has not come to its end; EX_TEMPFAIL of sysexits.h. Also in ``csrc/launcher``."""


class Launcher(Protocol):
    """What the end of a life needs of ``job.control.LauncherControl``."""

    def kill(self) -> None:
        """End the program."""

    def leave(self, exit_code: int) -> None:
        """End the step."""


def _is_busy(error: SyscrError) -> bool:
    """Whether another checkpoint is all that stands in the way."""
    if isinstance(error, PreflightError):
        errors = [one for one in error.findings if one.severity is Severity.ERROR]
        return bool(errors) and all(one.code == "task_busy" for one in errors)
    return isinstance(error, StoreLockedError)


def _silent(_: Mapping[str, object]) -> None:
    """Nobody looks at the progress of a last image."""


@dataclass(frozen=True, slots=True)
class Ender:
    """Ends the life of the job that it is part of.

    Attributes:
        dumper: Takes checkpoints; its scheduler is ``remembered``.
        remembered: What is known of the job.
        scheduler: Slurm.
        launcher: The launcher of the task.
    """

    dumper: Dumper
    remembered: RememberedScheduler
    scheduler: Scheduler
    launcher: Launcher

    def _requeue(self, job_id: JobId, *, hold: bool) -> None:
        """Requeue the job; that Slurm has just done so itself is as good."""
        try:
            self.scheduler.requeue(job_id, hold=hold)
        except JobStateError:
            if not self.scheduler.get_job(job_id).state.is_waiting:
                raise

    def _dump(self, request: CheckpointRequest, spare_seconds: float) -> tuple[Plan, Image]:
        """Take the image; a checkpoint that somebody else takes at this moment is waited for."""
        clock = self.dumper.clock
        deadline = clock.monotonic() + min(spare_seconds, _MOST_SECONDS)
        while True:
            try:
                plan = self.dumper.plan(request, "requeue")
                return plan, self.dumper.dump(plan, request, hold=True, progress=_silent)[0]
            except SyscrError as error:
                if not _is_busy(error) or clock.monotonic() >= deadline:
                    raise
                log.info("waiting for another checkpoint: %s", error.message)
            clock.sleep(_AGAIN_SECONDS)

    def end(
        self,
        request: CheckpointRequest,
        reason: StopReason,
        *,
        requeue: bool,
        is_requeued: bool,
        hold: bool,
        spare_seconds: float,
        write_down: Callable[[Image], None],
    ) -> None:
        """Take the last image and give the node back.

        The program stands still from its image on. It is ended only once Slurm has taken the job back
        (a requeue from within takes 4 to 8 ms); if Slurm does not, the program goes on. The next life
        chooses its image by itself: there is none newer.

        Args:
            request: The checkpoint.
            reason: Why.
            requeue: Whether the job is to live again; False: it stays ended, with its image.
            is_requeued: Slurm has taken it back already; it is not asked once more.
            hold: Let the requeued job wait for ``scontrol release``.
            spare_seconds: How long another checkpoint, which is just going on, may be waited for.
            write_down: Called with the image before the program is ended.

        Raises:
            SyscrError: The program goes on; an image may have been published.
        """
        self.remembered.is_offline = True  # an ending job is RUNNING to us, whatever Slurm calls it
        try:
            plan, image = self._dump(request, spare_seconds)
            try:
                if requeue and not is_requeued:
                    self._requeue(plan.job.job_id, hold=hold)
                write_down(image)
            except SyscrError:
                self.dumper.workers.finish(plan.job, step=plan.step, action="resume")
                raise
        finally:
            self.remembered.is_offline = False
        log.info("image %s written; the program ends: %s", image.image_id, reason)
        self.launcher.kill()
        # Not 0, of a requeued job either: a slurmctld that is killed before it has written the requeue down
        # (it does so every 5 s) takes this for the job's end, and others may wait for that. Seen with 24.11.5.
        self.launcher.leave(EXIT_UNFINISHED)
