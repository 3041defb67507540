"""One checkpoint by Slurm itself, from the plan to the published image.

Slurm's ``vacate`` and ``requeue`` are never used: the one ends the job although its dump has failed, the
other never comes back. Here a job is ended when its image is published, and no sooner; Slurm cannot hold
it, so what it computes in between it computes again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from syscr.assemble import Parts, build_manifest
from syscr.describing import describe_job
from syscr.dumping import MARGIN_BYTES, Plan, Progress, check_deadline, discard_staging
from syscr.errors import (
    SchedulerError,
    StoreError,
)
from syscr.model import Image, ImageFile, JobDetails, JobId, NodeReport, TaskImage, Timings
from syscr.native.naming import DATA, name_target
from syscr.native.ordering import DumpOrder
from syscr.native.planning import NativePlanner
from syscr.ports import Clock, Scheduler
from syscr.request import CheckpointRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NativeDumper:
    """Takes checkpoints through Slurm; the same methods as ``dumping.Dumper``.

    Attributes:
        planner: Judges the job.
        order: Has Slurm write.
        scheduler: Slurm.
        clock: Time.
        digest: Puts files below a directory on disk and digests them.
        digest_algorithm: Its algorithm.
        remember: Takes note of a checkpoint directory, so that a restart finds it.
    """

    planner: NativePlanner
    order: DumpOrder
    scheduler: Scheduler
    clock: Clock
    digest: Callable[[str, Sequence[str]], tuple[ImageFile, ...]]
    digest_algorithm: str
    remember: Callable[[str], None]

    def plan(self, request: CheckpointRequest, operation: str) -> Plan:
        """Judge the job; see ``NativePlanner.plan``."""
        return self.planner.plan(request, operation)

    def dump(
        self,
        plan: Plan,
        request: CheckpointRequest,
        *,
        hold: bool,  # noqa: ARG002 - the same arguments as Dumper's
        progress: Progress,
    ) -> tuple[Image, tuple[str, ...]]:
        """Dump, describe and publish; the job runs on, also with ``hold``: Slurm cannot hold it.

        Raises:
            CheckpointError, StoreError: Nothing was published; the message says what the job does.
        """
        try:
            return self._dump(plan, request, progress)
        except (StoreError, SchedulerError) as error:
            if "still running" in error.message:
                raise
            # a refusal of Slurm's names the job already, as Slurm does
            prefix = f"cannot checkpoint {name_target(plan.job.number, plan.step)}: "
            why = error.message.removeprefix(prefix)
            raise type(error)(
                f"cannot checkpoint {plan.target}: {why}; {self.order.say_fate(plan)}",
                hint=error.hint,
                **error.details,
            ) from error

    def drop(self, plan: Plan) -> None:
        """Give a plan up that is not carried out: nobody waits for it."""

    def end(self, plan: Plan, reason: str) -> None:
        """Nothing is held, so there is nothing to end: who calls this cancels the job."""
        log.info("the image of %s is published (%s)", plan.target, reason)

    def _dump(
        self, plan: Plan, request: CheckpointRequest, progress: Progress
    ) -> tuple[Image, tuple[str, ...]]:
        started = self.clock.monotonic()
        created_at = self.clock.now()
        with plan.store.lock(plan.key, purpose="checkpoint") as warnings:
            image_id = plan.store.new_image_id()
            staging = plan.store.open_staging(plan.key, image_id, needed_bytes=MARGIN_BYTES)
            try:
                paths = self.order.write(
                    plan, staging, max_wait_seconds=request.max_wait_seconds, progress=progress
                )
                dumped = self.clock.monotonic()
                progress({"type": "phase", "phase": "digest"})
                files = self.digest(staging, paths)
                digested = self.clock.monotonic()
                check_deadline(plan, request, digested - started)
                progress({"type": "phase", "phase": "publish"})
                parts = self._describe(plan, request, image_id, created_at)
                timings = Timings(
                    dump_seconds=dumped - started,
                    digest_seconds=digested - dumped,
                    total_seconds=self.clock.monotonic() - started,
                )
                report = self._report(plan, files, parts.details)
                image = plan.store.publish(staging, build_manifest(parts, (report,), timings))
                self.remember(plan.store.checkpoint_dir)
            except BaseException:
                discard_staging(plan, staging)
                raise
        return image, tuple(warnings)

    def _describe(
        self, plan: Plan, request: CheckpointRequest, image_id: str, created_at: datetime
    ) -> Parts:
        """Ask Slurm for what the manifest needs; what an old Slurm does not tell is left out."""
        try:
            details = self.scheduler.get_job_details(plan.job.job_id)
        except SchedulerError as error:
            log.info("the manifest of %s has no details: %s", plan.target, error)
            details = JobDetails(node_count=max(1, len(plan.job.nodes)))
        return describe_job(
            self.scheduler,
            plan.job,
            details,
            script_of=JobId(plan.job.number),
            record=None,
            image_id=image_id,
            created_at=created_at,
            digest_algorithm=self.digest_algorithm,
            tags=request.tags,
        )

    def _report(self, plan: Plan, files: Sequence[ImageFile], details: JobDetails) -> NodeReport:
        """Return what a node would have reported, had it been asked; Slurm names nothing but files."""
        task = plan.tasks[0]
        folder = f"{DATA}/{name_target(plan.job.number, plan.step)}"
        images = tuple(
            TaskImage(
                rank=rank,
                node=task.node if plan.step == "batch" else "",
                data_dir=folder,
                working_dir=details.working_dir or "/",
                state={"home_dir": plan.store.checkpoint_dir},
            )
            for rank in range(len(files))
        )
        return NodeReport(
            node=task.node,
            tasks=(replace(task, task_count=len(files)),),
            images=images,
            files=tuple(files),
            tool_version=self.order.controller.probe().tool_version,
        )
