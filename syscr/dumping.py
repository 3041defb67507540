"""One checkpoint, from pre-flight to the published image: the sequence that all verbs share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from syscr import preflight
from syscr.assemble import Parts, build_manifest, merge_timings, rank_order
from syscr.describing import describe_job
from syscr.enabling import CONTROL, check_enabled
from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    StoreError,
    StoreLockedError,
    SyscrError,
)
from syscr.fate import Fates, name_tasks
from syscr.model import Finding, Image, Job, NodeReport, Severity, Target, TaskSpec
from syscr.ports import Clock, JobSource, Store, StoreKey, Workers
from syscr.request import CheckpointRequest
from syscr.selection import SUBMISSION
from syscr.wire import PROBE_FILE, name_ended

log = logging.getLogger(__name__)

HOLD_SECONDS = 30.0
"""How long tasks stand still at most when nobody ends the hold; workers renew it while they digest."""

MARGIN_BYTES = 64 << 20
"""Room that an image needs beside the tasks' memory."""

_IDLE_SECONDS = 60.0
_ENDING = frozenset({"vacate", "requeue"})  # the tasks are held until they are ended

Progress = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """A checkpoint that has passed pre-flight.

    Attributes:
        target: What is dumped, its step filled in.
        job: The job.
        key: Line and step in the store.
        store: Where the image goes.
        findings: Remarks of pre-flight.
        tasks: The tasks that are dumped.
        resident_bytes: Their memory: about the image's size.
        origin_dir: The job's own checkpoint directory, where its records are.
        is_sharing: Whether several tasks write the same file.
    """

    target: Target
    job: Job
    key: StoreKey
    store: Store
    findings: tuple[Finding, ...]
    tasks: tuple[TaskSpec, ...]
    resident_bytes: int
    origin_dir: str
    is_sharing: bool = False

    @property
    def step(self) -> str:
        """The step that is dumped."""
        return self.key.step


@dataclass(frozen=True, slots=True)
class Dumper:
    """Takes checkpoints.

    Attributes:
        scheduler: Slurm.
        workers: The nodes.
        open_store: Opens the store of a checkpoint directory.
        clock: Time.
        uid: The caller.
        user_name: The caller's name.
        digest_algorithm: For new images.
        remember: Takes note of a checkpoint directory, so that a restart finds it.
    """

    scheduler: JobSource
    workers: Workers
    open_store: Callable[[str], Store]
    clock: Clock
    uid: int
    user_name: str
    digest_algorithm: str
    remember: Callable[[str], None]

    def plan(self, request: CheckpointRequest, operation: str) -> Plan:
        """Find the job's tasks and judge them; touches nothing.

        The workers stay for ``dump`` unless it is a dry run; ``drop`` sends them away.

        Raises:
            PreflightError, JobNotFoundError, JobStateError, SchedulerDeniedError, RequestError.
            StoreLockedError: Another checkpoint of it is going on.
        """
        job = self.scheduler.get_job(request.target.job_id)
        preflight.check_owner(job, self.uid, self.user_name)
        preflight.check_state(job, operation)
        try:
            return self._plan(job, request, operation)
        except BaseException:
            self.workers.release(job)
            raise

    def drop(self, plan: Plan) -> None:
        """Give a plan up that is not carried out."""
        self.workers.release(plan.job)

    def _plan(self, job: Job, request: CheckpointRequest, operation: str) -> Plan:
        target = request.target
        keep = 0.0 if request.dry_run else request.max_wait_seconds + _IDLE_SECONDS
        reports = self.workers.inspect(job, step=target.step, keep_seconds=keep)
        tasks = [task for report in reports for task in report.tasks]
        running = None
        if target.step is not None and not any(task.step == target.step for task in tasks):
            running = self.scheduler.find_steps(job.job_id)
            others = self.workers.inspect(
                job, step=None, keep_seconds=0.0
            )  # which it may have meant
            tasks = [task for report in others for task in report.tasks]
        step = preflight.choose_step(target, tasks, running)
        if target.step is None and len({task.step for task in tasks}) > 1:
            # findings of this step only
            reports = self.workers.inspect(job, step=step, keep_seconds=keep)
        chosen = next(task for task in tasks if task.step == step)
        key = StoreKey(chosen.lineage, step)
        findings = (
            *self._check_enabled(chosen, key),
            *preflight.check_tasks(target, step, reports, ends=operation in _ENDING),
        )
        store = self.open_store(request.image_dir or chosen.checkpoint_dir)
        if any(finding.severity is Severity.ERROR for finding in findings):
            self._refuse_busy(Target(target.job_id, step), key, store)
        preflight.refuse_errors(target, findings)
        return Plan(
            target=Target(target.job_id, step),
            job=job,
            key=key,
            store=store,
            findings=findings,
            tasks=rank_order([task for task in tasks if task.step == step]),
            resident_bytes=sum(report.resident_bytes for report in reports),
            origin_dir=chosen.checkpoint_dir,
            is_sharing=_is_sharing(reports),
        )

    def _refuse_busy(self, target: Target, key: StoreKey, store: Store) -> None:
        """Say that a checkpoint is going on where its traces look like obstacles (a tracer, say)."""
        holder = store.find_holder(key)
        if holder:
            raise StoreLockedError(
                f"cannot checkpoint {target}: another one is going on, by {holder}; "
                "the job is still running",
                hint="wait until it has finished, then try again",
            )

    def _check_enabled(self, task: TaskSpec, key: StoreKey) -> tuple[Finding, ...]:
        """Look whether the job has checkpoints disabled; what cannot be read forbids nothing."""
        try:
            record = self.open_store(task.checkpoint_dir).read_record(key, CONTROL)
        except StoreError as error:
            log.info("cannot see whether checkpoints are disabled: %s", error)
            record = None
        return check_enabled(task, record)

    def dump(
        self, plan: Plan, request: CheckpointRequest, *, hold: bool, progress: Progress
    ) -> tuple[Image, tuple[str, ...]]:
        """Dump, describe and publish; with ``hold`` the tasks stand still until ``end``.

        Returns:
            The image and warnings.

        Raises:
            CheckpointError, StoreError: Nothing was published; the message says what the job does.
        """
        is_held = False
        try:
            found = self._dump(plan, request, hold=hold, progress=progress)
            is_held = hold
        except SyscrError as error:
            fates = Fates(self.scheduler, self.workers, self.clock)
            said = fates.say(error, plan.job, plan.target, [task.rank for task in plan.tasks])
            if said is error:
                raise
            raise said from error
        finally:
            if not is_held:
                self.drop(plan)
        return found

    def _dump(
        self, plan: Plan, request: CheckpointRequest, *, hold: bool, progress: Progress
    ) -> tuple[Image, tuple[str, ...]]:
        started = self.clock.monotonic()
        created_at = self.clock.now()
        with plan.store.lock(plan.key, purpose="checkpoint") as warnings:
            image_id = plan.store.new_image_id()
            staging = plan.store.open_staging(
                plan.key, image_id, needed_bytes=plan.resident_bytes + MARGIN_BYTES
            )
            held = False
            pool = ThreadPoolExecutor(1, "describe")
            try:
                plan.store.add_probe(staging, PROBE_FILE)
                parts = pool.submit(self._describe, plan, request, image_id, created_at)
                reports = self.workers.dump(
                    plan.job,
                    step=plan.step,
                    staging_dir=staging,
                    hold_seconds=HOLD_SECONDS if hold or plan.is_sharing else 0.0,
                    together=plan.is_sharing and not hold,
                    timeout_seconds=request.max_wait_seconds,
                    progress=progress,
                )
                held = hold
                _check_complete(plan, reports)
                check_deadline(plan, request, self.clock.monotonic() - started)
                progress({"type": "phase", "phase": "publish"})
                seconds = self.clock.monotonic() - started
                manifest = build_manifest(parts.result(), reports, merge_timings(reports, seconds))
                if not hold:
                    self.workers.release(plan.job, wait=False)
                for name in (PROBE_FILE, *(name_ended(report.node) for report in reports)):
                    plan.store.remove_probe(staging, name)
                before = self.clock.monotonic()
                image = plan.store.publish(staging, manifest)
                image = _add_publish_time(image, self.clock.monotonic() - before)
                self.remember(plan.store.checkpoint_dir)
            except BaseException:
                self._give_up(plan, staging, held=held)
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return image, tuple(warnings)

    def _describe(
        self, plan: Plan, request: CheckpointRequest, image_id: str, created_at: datetime
    ) -> Parts:
        """Ask Slurm for what the manifest needs beyond the nodes' reports, while they dump."""
        details = self.scheduler.get_job_details(plan.job.job_id)
        record = self.open_store(plan.origin_dir).read_record(
            StoreKey(str(plan.job.number)), SUBMISSION
        )
        return describe_job(
            self.scheduler,
            plan.job,
            details,
            script_of=plan.job.job_id,
            record=record,
            image_id=image_id,
            created_at=created_at,
            digest_algorithm=self.digest_algorithm,
            tags=request.tags,
        )

    def _give_up(self, plan: Plan, staging: str, *, held: bool) -> None:
        """Let the tasks go on and remove what was written; faults here must not hide the first one."""
        try:
            if held:
                self.workers.finish(plan.job, step=plan.step, action="resume")
        except SyscrError as error:
            log.warning("cannot end the hold of %s (it ends by itself): %s", plan.target, error)
        discard_staging(plan, staging)

    def end(self, plan: Plan, reason: str) -> tuple[NodeReport, ...]:
        """End the dumped tasks; their step stays until Slurm ends it."""
        log.info("end the tasks of %s: %s", plan.target, reason)
        return self.workers.finish(plan.job, step=plan.step, action="kill")


def check_deadline(plan: Plan, request: CheckpointRequest, took_seconds: float) -> None:
    """Refuse to publish an image that took longer than it may; the job runs on.

    Raises:
        CheckpointTimeoutError: It did.
    """
    if took_seconds > request.max_wait_seconds:
        raise CheckpointTimeoutError(
            f"cannot checkpoint {plan.target}: it took {took_seconds:.1f} s, limit "
            f"{request.max_wait_seconds:g} s; the job is still running and nothing was published"
        )


def discard_staging(plan: Plan, staging: str) -> None:
    """Remove what was written; a fault here must not hide the first one."""
    try:
        plan.store.discard_staging(staging)
    except SyscrError as error:
        log.warning("cannot remove staging '%s': %s", staging, error)


def _is_sharing(reports: Sequence[NodeReport]) -> bool:
    """Whether several tasks write one file; of node-local ones that is a guess, which costs some time."""
    paths = [path for report in reports for path in report.written]
    return len(set(paths)) < len(paths)


def _add_publish_time(image: Image, seconds: float) -> Image:
    """Return an image whose timings are complete; the manifest on disk was written before."""
    timings = image.manifest.timings
    timings = replace(
        timings, publish_seconds=seconds, total_seconds=timings.total_seconds + seconds
    )
    return replace(image, manifest=replace(image.manifest, timings=timings))


def _check_complete(plan: Plan, reports: Sequence[NodeReport]) -> None:
    """Refuse an image in which a task is missing: one may have ended while the others were dumped."""
    dumped = {image.rank for report in reports for image in report.images}
    missing = sorted({task.rank for task in plan.tasks} - dumped)
    if missing:
        raise CheckpointError(
            f"cannot checkpoint {plan.target}: {name_tasks(missing)} ended while the others were dumped; "
            "what still runs goes on, and nothing was published",
            hint="a step can be dumped only while all of its tasks run",
            missing=missing,
        )
