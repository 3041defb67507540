"""Brings a job back through Slurm's own ``restart``: under its old number, from a published image.

Slurm refuses that until it has forgotten the ended job (``MinJobAge``, then up to a minute), and what it
accepts it has not checked: with a directory that is not there it starts the job, which fails at once. So:
verify the image, repeat the order until it is accepted, and then watch the job run for a moment.

Source: Slurm 18.08.9 and 19.05.8, run 2026-11 (docs/explanation/slurm-versions.md).
"""

from __future__ import annotations

import logging
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from posixpath import join

from syscr.dumping import Progress
from syscr.errors import (
    ImageCorruptError,
    JobNotFoundError,
    OperationUnsupportedError,
    RestartError,
    RestartTimeoutError,
    SchedulerError,
    ToolUnsupportedError,
)
from syscr.model import Image, Job, JobId, JobState
from syscr.native.naming import DATA, NAME, find_image_files, name_target
from syscr.ports import Acceptance, CheckpointController, Clock, Scheduler, Store, SubmitOptions
from syscr.request import RestartRequest
from syscr.result import RestartResult
from syscr.returning import build_alive_error, describe_waiting
from syscr.selection import Selection
from syscr.waiting import wait_until

log = logging.getLogger(__name__)

_ENDING_SECONDS = 60.0
# Slurm forgets ended jobs once a minute, those that are older than MinJobAge; some margin on top.
_PURGE_EXTRA_SECONDS = 90.0
_MIN_JOB_AGE_SECONDS = 300.0  # Slurm's default
# A job whose image cannot be read runs for less than a second before it fails.
_STEADY_SECONDS = 2.0
_REQUEUE_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class NativeRestarter:
    """Restarts jobs through Slurm; the same methods as ``restarting.Restarter``.

    Attributes:
        controller: Slurm's checkpoint commands.
        scheduler: Slurm.
        clock: Time.
    """

    controller: CheckpointController
    scheduler: Scheduler
    clock: Clock

    def restart(
        self, selection: Selection, request: RestartRequest, progress: Progress
    ) -> RestartResult:
        """Continue from a chosen image.

        Contract: with ``wait_seconds`` 0 nothing is waited for, and a job that Slurm still remembers is an
        error; else that time counts from the moment at which Slurm accepts the restart.

        Raises:
            JobStateError: The job still runs or waits.
            ToolUnsupportedError, OperationUnsupportedError: This Slurm cannot restart it.
            RestartTimeoutError: Slurm still remembers the ended job; nothing was started.
            RestartError: It was started and failed.
        """
        self._check(selection.image, request)
        started = self.clock.monotonic()
        job = self._find_job(selection.image)
        if job is not None and self._is_alive(job, selection.image):
            raise build_alive_error(job, selection.image)
        if request.dry_run:
            return self._result(selection, request, "planned", job)
        if selection.image.manifest.step != "batch":
            return self._submit_step(selection, request, progress, started)
        self._order(selection.image, request, progress)
        number = JobId(selection.image.manifest.number)
        return self._watch(number, selection, request, progress, started)

    def requeue(self, job: Job, selection: Selection, stick_to_nodes: bool, home: Store) -> int:  # noqa: ARG002 - the port's
        """End a job whose image is published, and bring it back under its number.

        Slurm's own ``requeue`` leaves it running for ever, or starts it from the beginning.

        Raises:
            RestartError, SchedulerError: It has ended, and did not come back; the image is there.
        """
        self.scheduler.cancel(job.job_id)
        request = RestartRequest(
            image_id=selection.image.image_id,
            stick_to_nodes=stick_to_nodes,
            wait_seconds=_REQUEUE_WAIT_SECONDS,
        )
        log.warning(
            "job %s has ended; it comes back as soon as Slurm has forgotten that, in %g s at most",
            job.job_id,
            self._patience(selection.image, request),
        )
        self._order(selection.image, request, lambda _: None)
        started = self.clock.monotonic()
        self._watch(job.job_id, selection, request, lambda _: None, started)
        return 0

    def _check(self, image: Image, request: RestartRequest) -> None:
        """Refuse what this Slurm cannot do, before anything is touched."""
        manifest = image.manifest
        missing = self.controller.probe().missing
        if missing:
            raise ToolUnsupportedError(
                f"cannot restart from image '{image.image_id}': Slurm itself wrote it, and {missing[0]}",
                hint="restart it on a cluster with that Slurm; the files are below "
                f"'{join(image.path, DATA)}'",
                reasons=list(missing),
            )
        if manifest.step == "batch" and (request.new_job or request.options):
            raise OperationUnsupportedError(
                f"cannot restart from image '{image.image_id}' as a new job or with other options: Slurm "
                "brings it back as it was, under its number",
                hint=f"leave them out: 'syscr restart {manifest.job_id}'",
            )
        if manifest.step != "batch" and not self.controller.can_restart_steps():
            raise OperationUnsupportedError(
                f"cannot restart step {manifest.job_id}.{manifest.step} from image '{image.image_id}': "
                f"srun of Slurm {manifest.slurm_version} has no --restart-dir",
                hint=f"the tool that wrote the files can read them: see '{join(image.path, DATA)}'",
            )
        sizes = {file.path: file.size_bytes for file in manifest.files}
        if not find_image_files(sizes, manifest.number, manifest.step, manifest.task_count):
            raise ImageCorruptError(
                f"cannot restart from image '{image.image_id}': it is not what Slurm writes for "
                f"{name_target(manifest.number, manifest.step)}",
                hint="choose another one: 'syscr image list'",
            )

    def _find_job(self, image: Image) -> Job | None:
        """Return the job as Slurm remembers it; an array task comes back as a plain job."""
        for job_id in (JobId(image.manifest.number), JobId.parse(image.manifest.job_id)):
            try:
                job = self.scheduler.get_job(job_id)
            except JobNotFoundError:
                continue
            if job.number == image.manifest.number:
                return job
        return None

    def _is_alive(self, job: Job, image: Image) -> bool:
        """Whether what the image was taken of may still run, or will again; a step may end before its job."""
        if job.state.is_final or job.state is JobState.COMPLETING:
            return False
        step = image.manifest.step
        has_ended = step != "batch" and job.state is JobState.RUNNING
        return not has_ended or step in self.scheduler.find_steps(job.job_id)

    def _order(self, image: Image, request: RestartRequest, progress: Progress) -> None:
        """Order the restart, as often as it takes until Slurm has forgotten the ended job."""
        number = image.manifest.number
        answer = Acceptance.NOT_PURGED

        def is_accepted() -> bool:
            nonlocal answer
            answer = self.controller.order_restart(
                number,
                image_dir=join(image.path, DATA),
                stick_to_nodes=request.stick_to_nodes,
            )
            if answer is Acceptance.ACCEPTED:
                return True
            if answer is Acceptance.NO_RECORD:
                raise RestartError(
                    f"cannot restart job {number} from image '{image.image_id}': Slurm has no record of its "
                    "submission in JobCheckpointDir",
                    hint="submit the job again; an administrator may have cleared that directory",
                )
            message = f"waiting until Slurm forgets the ended job {number}"
            progress({"type": "phase", "phase": "submit", "message": message})
            return False

        wait_until(
            self.clock,
            is_accepted,
            timeout_seconds=self._patience(image, request),
            on_timeout=lambda: self._still_known(image, answer),
        )

    def _patience(self, image: Image, request: RestartRequest) -> float:
        """Return how long to wait until Slurm forgets a job."""
        if request.wait_seconds == 0:
            return 0.0
        purge = self.controller.purge_seconds()
        if purge == 0 and self._find_job(image) is not None:
            return _ENDING_SECONDS
        age = _MIN_JOB_AGE_SECONDS if purge is None else purge
        return age + _PURGE_EXTRA_SECONDS + _ENDING_SECONDS

    def _still_known(self, image: Image, answer: Acceptance) -> Exception:
        number = image.manifest.number
        job = self._find_job(image)
        if answer is Acceptance.ALIVE and job is not None:
            return build_alive_error(job, image)
        purge = self.controller.purge_seconds()
        hint = "try again in a minute"
        if purge == 0:
            hint = "Slurm never forgets jobs here (MinJobAge=0): ask an administrator"
        elif job is not None and job.end_at is not None and purge is not None:
            when = job.end_at + timedelta(seconds=purge + 60)
            hint = f"it does so by {when.astimezone():%Y-%m-%dT%H:%M:%S} (MinJobAge={purge:g} s)"
            hint += "; restart it then"
        return RestartTimeoutError(
            f"cannot restart job {number} from image '{image.image_id}': Slurm still remembers the ended "
            "job and refuses its number ('Duplicate job id'); nothing was started",
            hint=hint,
        )

    def _watch(
        self,
        job_id: JobId,
        selection: Selection,
        request: RestartRequest,
        progress: Progress,
        started: float,
    ) -> RestartResult:
        """Wait until the job has been running for a moment."""
        image = selection.image
        job: Job | None = None
        since: float | None = None

        def is_steady() -> bool:
            nonlocal job, since
            try:
                job = self.scheduler.get_job(job_id)
            except JobNotFoundError as error:
                raise RestartError(
                    f"job {job_id} was started from image '{image.image_id}', and Slurm has forgotten it "
                    "already: what became of it is not known",
                    hint="look at the end of its output",
                ) from error
            if job.state is JobState.COMPLETED:
                return True  # it had little left to do
            if job.state.is_final:
                raise self._failed(job, image)
            if job.state is JobState.RUNNING:
                since = self.clock.monotonic() if since is None else since
                return self.clock.monotonic() - since >= _STEADY_SECONDS
            event = {"type": "phase", "phase": "start"}
            progress({**event, "message": f"job {job.job_id} is {job.raw_state}"})
            return False

        back = wait_until(self.clock, is_steady, timeout_seconds=request.wait_seconds)
        state = "running" if back or since is not None else "pending"
        result = self._result(selection, request, state, job)
        warnings = result.warnings
        if state == "pending" and job is not None and request.wait_seconds > 0:
            warnings = (*warnings, describe_waiting(job, request.wait_seconds))
        waited = self.clock.monotonic() - started
        return replace(result, job_id=job_id, warnings=warnings, wait_seconds=waited)

    def _failed(self, job: Job, image: Image) -> RestartError:
        output = ""
        with suppress(SchedulerError):  # the hint is shorter then
            output = self.scheduler.get_job_details(job.job_id).stdout_path
        where = f"'{output}'" if output else "its output"
        return RestartError(
            f"cannot restart job {job.job_id} from image '{image.image_id}': it was started and ended at "
            f"once ({job.raw_state})",
            hint=f"the reason is at the end of {where}; the image is untouched: try an older one with "
            "'syscr restart --image ID' when Slurm has forgotten this attempt",
        )

    def _submit_step(
        self, selection: Selection, request: RestartRequest, progress: Progress, started: float
    ) -> RestartResult:
        """Bring a step back in a job of its own, by ``srun --restart-dir`` (18.08)."""
        image = selection.image
        manifest = image.manifest
        nodes = manifest.nodes if request.stick_to_nodes else ()
        geometry = [f"--ntasks={manifest.task_count}", f"--nodes={max(1, len(manifest.nodes))}"]
        folder = join(image.path, DATA, name_target(manifest.number, manifest.step))
        words = [
            "srun",
            *geometry,
            f"--restart-dir={folder}",
            "true",
        ]  # the program is in the image
        job_id = self.scheduler.submit(
            SubmitOptions(
                script=f"#!/bin/sh\nexec {shlex.join(words)}\n",
                options=(
                    *manifest.submission.options,
                    *geometry,
                    *((f"--nodelist={','.join(nodes)}",) if nodes else ()),
                    *request.options,
                ),
                working_dir=manifest.submission.working_dir or None,
            )
        )
        result = self._watch(job_id, selection, request, progress, started)
        return replace(result, method="submit")

    def _result(
        self, selection: Selection, request: RestartRequest, state: str, job: Job | None
    ) -> RestartResult:
        image = selection.image
        is_step = image.manifest.step != "batch"
        planned = image.manifest.nodes if request.stick_to_nodes else ()
        return RestartResult(
            image=image,
            job_id=None if state == "planned" and is_step else JobId(image.manifest.number),
            method="submit" if is_step else NAME,
            job_state=state,
            nodes=planned if state == "planned" or job is None else job.nodes,
            skipped=selection.skipped,
            warnings=selection.unreadable,
        )
