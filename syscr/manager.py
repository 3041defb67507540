"""CheckpointManager: what syscr does, one method per verb; read it like the manual.

It sequences the ports and knows no technology. How a checkpoint is taken is in ``dumping.py``, how a
job is brought back in ``restarting.py``, where images are found in ``locating.py``, what is known of a
job in ``job_status.py``, which images go in ``pruning.py``. The ports are in ``ports/``, and what is
behind them is chosen in ``wiring/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syscr.dumping import Dumper, Plan, Progress
from syscr.errors import (
    JobNotFoundError,
    OperationUnsupportedError,
    RequestError,
    RestartError,
    SchedulerUnavailableError,
    SyscrError,
)
from syscr.locating import Locator
from syscr.model import Image, JobId, Target, TornImage
from syscr.native.naming import NAME as NATIVE
from syscr.ports import Clock, Scheduler, Store, StoreKey, Workers
from syscr.request import CheckpointRequest, PruneRequest, RestartRequest
from syscr.restarting import Restarter
from syscr.result import (
    CheckpointResult,
    JobStatus,
    NodeHealth,
    PruneResult,
    RestartResult,
    SimulationResult,
)
from syscr.returning import build_requeue_error
from syscr.selection import Selection

if TYPE_CHECKING:
    from syscr.native.choice import NativeWay
    from syscr.native.dumping import NativeDumper
    from syscr.native.restarting import NativeRestarter
    from syscr.pruning import Pruner


def _silent(_: Mapping[str, object]) -> None:
    """Progress that nobody wants to see."""


@dataclass(frozen=True, slots=True)
class CheckpointManager:
    """Checkpoints, restarts and looks after the images of Slurm jobs.

    Attributes:
        scheduler: Slurm.
        workers: The nodes of running jobs.
        locator: Finds images.
        dumper: Takes checkpoints.
        restarter: Brings jobs back.
        open_store: Opens the store of a checkpoint directory.
        clock: Time.
        verify_level: What a restart compares before it trusts an image: ``sizes`` or ``digests``.
        keep_last: Newest images that stay after a checkpoint; 0: all.
        delegate: Takes a checkpoint of the job that this process is itself a part of, through the job's
            agent, and returns the image id; None: not our own job.
        probe: Looks at nodes (``doctor``); an empty sequence means this machine.
        list_own_jobs: Returns the caller's jobs.
        native: Slurm's own checkpoints, where it still has them; None: never.
    """

    scheduler: Scheduler
    workers: Workers
    locator: Locator
    dumper: Dumper
    restarter: Restarter
    open_store: Callable[[str], Store]
    clock: Clock
    verify_level: str
    keep_last: int
    delegate: Callable[[CheckpointRequest], str | None]
    probe: Callable[[Sequence[str]], tuple[NodeHealth, ...]]
    list_own_jobs: Callable[[], tuple[JobId, ...]]
    native: NativeWay | None = None

    def checkpoint(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        """Write an image of a running job or step; it keeps running.

        Contract: after success the image is complete, on disk and verified by its manifest. After any
        failure the job runs on, and no image was added, changed or removed.

        Raises:
            PreflightError: Nothing was touched; the findings say why.
            CheckpointError, CheckpointTimeoutError: The dump failed.
            StoreFullError, StoreLockedError, StoreAccessError: The store refused.
            JobNotFoundError, JobStateError, SchedulerDeniedError, SchedulerUnavailableError: Slurm.
        """
        image_id = self.delegate(request)
        if image_id is not None:
            image = self.get_image(image_id, checkpoint_dir=request.image_dir)
            return CheckpointResult(
                Target(request.target.job_id, image.manifest.step), image, "running"
            )
        dumper = self._find_dumper(request.target)
        plan = dumper.plan(request, "checkpoint")
        if request.dry_run:
            return CheckpointResult(plan.target, None, "running", plan.findings)
        image, warnings = dumper.dump(plan, request, hold=False, progress=progress or _silent)
        warnings = (*warnings, *self._retain(plan.store, plan.key))
        return CheckpointResult(plan.target, image, "running", plan.findings, warnings)

    def vacate(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        """Write an image, then end the job or step.

        Contract: the program computes nothing after the image was taken; it is ended only once the
        image is published. After a failure it runs on. Raises what ``checkpoint`` raises.
        """
        dumper = self._find_dumper(request.target)
        plan = dumper.plan(request, "vacate")
        if request.dry_run:
            return CheckpointResult(plan.target, None, "running", plan.findings)
        image, warnings = dumper.dump(plan, request, hold=True, progress=progress or _silent)
        dumper.end(plan, "vacate")
        step = plan.step if request.target.step is not None and plan.step != "batch" else None
        self.scheduler.cancel(plan.job.job_id, step=step)
        warnings = (*warnings, *self._retain(plan.store, plan.key))
        return CheckpointResult(plan.target, image, "ended", plan.findings, warnings)

    def requeue(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        """Write an image, then put the job back into the queue; it continues from the image.

        Raises:
            OperationUnsupportedError: A step was named, or Slurm may not requeue the job.
            RestartError: The image is there, but Slurm did not take the job back.
            SchedulerUnavailableError: The image is there; whether Slurm took the job back is not known.
            PreflightError and others: as ``checkpoint``.
        """
        dumper = self._find_dumper(request.target)
        plan = dumper.plan(request, "requeue")
        try:
            self._check_can_requeue(request, plan)
        except SyscrError:
            dumper.drop(plan)
            raise
        if request.dry_run:
            return CheckpointResult(plan.target, None, "running", plan.findings)
        image, warnings = dumper.dump(plan, request, hold=True, progress=progress or _silent)
        dumper.end(plan, "requeue")
        home = self.open_store(plan.origin_dir)
        try:
            self._find_restarter(image).requeue(plan.job, Selection(image), False, home)
        except RestartError:
            raise
        except SchedulerUnavailableError as error:
            if error.details.get("requeued"):
                raise
            raise SchedulerUnavailableError(
                f"image '{image.image_id}' was written and the program of job {plan.job.job_id} was "
                f"ended; whether the job was requeued is not known: {error.message}",
                hint=f"see 'squeue --me' when Slurm answers; where it is not there, bring it back with "
                f"'syscr restart {plan.job.job_id}'",
            ) from error
        except SyscrError as error:
            raise RestartError(
                f"image '{image.image_id}' was written and the program of job {plan.job.job_id} was "
                f"ended, but the job was not requeued: {error.message}",
                hint=f"bring it back with 'syscr restart {plan.job.job_id}'",
            ) from error
        warnings = (*warnings, *self._retain(plan.store, plan.key))
        return CheckpointResult(plan.target, image, "requeued", plan.findings, warnings)

    def restart(
        self, request: RestartRequest, *, progress: Progress | None = None
    ) -> RestartResult:
        """Bring a job or step back from its newest verified image, or from the one that is named.

        Contract: sizes and digests are verified before anything else happens. A newer image that does
        not verify is passed over and named. The job must not be alive. The image is never changed.

        Raises:
            StoreNotFoundError, ImageNotFoundError: Nothing to restart from.
            ImageCorruptError: No image verifies, or the one that was named does not.
            JobStateError: The job still runs or waits.
            RequestError: A whole job array is named.
            RestartError, RestartTimeoutError, ImageIncompatibleError: It could not be brought back.
        """
        selection = self.locator.select(request, level=self.verify_level, progress=progress)
        _check_is_not_an_array(request.target, selection.image)
        restarter = self._find_restarter(selection.image)
        return restarter.restart(selection, request, progress or _silent)

    def find_owner(self, target: Target | None, *, image_id: str | None = None) -> str:
        """Return whose a job or image is, so that root can act as that user; empty if nobody knows."""
        if target is not None:
            try:
                return self.scheduler.get_job(target.job_id).user_name
            except (JobNotFoundError, RequestError):  # a whole array: the verb itself says so
                images, _ = self.locator.list_images(target, None, whole_array=True)
                return images[-1].manifest.user_name if images else ""
        return self.locator.get_image(image_id or "").manifest.user_name

    def status(self, targets: Sequence[Target] = ()) -> tuple[JobStatus, ...]:
        """Say of each job whether it can be dumped and which images there are; all own jobs if none.

        Raises:
            JobNotFoundError: Of a job that was named nothing is known; ask for the others by themselves.
            RequestError: A whole job array is named.
            SchedulerUnavailableError, SchedulerDeniedError, StoreAccessError: Nothing can be said.
        """
        from syscr.job_status import StatusReader  # no other verb needs it

        reader = StatusReader(self.scheduler, self.locator, self.clock, self._find_dumper)
        if targets:
            return tuple(reader.read(target) for target in targets)
        own = [reader.find(Target(job_id)) for job_id in self.list_own_jobs()]
        return tuple(status for status in own if status is not None)

    def simulate(
        self, target: Target, cause: str, *, wait_seconds: float = 60.0
    ) -> SimulationResult:
        """Do to a job that keeps itself alive what Slurm would do, now.

        Contract: the job comes to no more harm than by the real thing, and is requeued likewise.

        Args:
            target: The job.
            cause: ``preempt`` or ``timeout``: SIGTERM, and the job takes it for that; ``node-failure``:
                SIGKILL without a warning, and a requeue.
            wait_seconds: How long to wait for the end of the life.

        Raises:
            OperationUnsupportedError: It does not keep itself alive.
            RestartTimeoutError: It has not ended in time.
            ManifestError: The record of its lives cannot be read; nothing was done.
            JobNotFoundError, JobStateError, SchedulerDeniedError, SchedulerUnavailableError: Slurm.
        """
        from syscr.simulating import Simulator  # for trying things out only

        simulator = Simulator(
            self.scheduler, self.locator, self.clock, self.dumper.uid, self.dumper.user_name
        )
        return simulator.simulate(target, cause, wait_seconds=wait_seconds)

    def list_images(
        self,
        *,
        checkpoint_dir: str | None = None,
        target: Target | None = None,
        deleted: bool = False,
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        """Return images, oldest first, and remarks about entries that could not be read.

        The plain number of an array means all of its tasks.
        """
        return self.locator.list_images(target, checkpoint_dir, deleted=deleted, whole_array=True)

    def get_image(
        self, image_id: str, *, checkpoint_dir: str | None = None, deleted: bool = False
    ) -> Image:
        """Return one image by id or unambiguous prefix; raises ImageNotFoundError, ManifestError."""
        return self.locator.get_image(image_id, checkpoint_dir, deleted=deleted)

    def verify_image(self, image: Image, *, level: str = "digests") -> tuple[str, ...]:
        """Compare an image with its manifest; returns what differs, nothing if all is right."""
        return self.open_store(image.checkpoint_dir).verify(image, level=level)

    def delete_image(self, image: Image) -> Image:
        """Move an image to the trash; ``undelete_image`` brings it back."""
        return self.open_store(image.checkpoint_dir).trash(image)

    def delete_torn(self, image_id: str, *, checkpoint_dir: str | None = None) -> TornImage:
        """Move what lies in the place of an image and is none to the trash; ``undelete_torn`` brings it back.

        Raises:
            ImageNotFoundError: There is nothing of this id, or it is an image.
        """
        torn = self.locator.get_torn(image_id, checkpoint_dir)
        return self.open_store(torn.checkpoint_dir).trash(torn)

    def undelete_torn(self, image_id: str, *, checkpoint_dir: str | None = None) -> TornImage:
        """Bring back what ``delete_torn`` has moved away; raises ImageNotFoundError, ImageExistsError."""
        torn = self.locator.get_torn(image_id, checkpoint_dir, deleted=True)
        return self.open_store(torn.checkpoint_dir).untrash(torn)

    def undelete_image(self, image_id: str, *, checkpoint_dir: str | None = None) -> Image:
        """Bring a deleted image back; raises ImageNotFoundError, ImageExistsError, ManifestError."""
        image = self.locator.get_image(image_id, checkpoint_dir, deleted=True)
        return self.open_store(image.checkpoint_dir).untrash(image)

    def prune(self, request: PruneRequest) -> PruneResult:
        """Delete images by rule; the newest verified one of an unfinished job always stays."""
        return self._build_pruner().prune(request)

    def doctor(self, nodes: Sequence[str] = ()) -> tuple[NodeHealth, ...]:
        """Say which backends work on nodes, and why not; on this machine if none is named."""
        return self.probe(nodes)

    def _find_dumper(self, target: Target) -> Dumper | NativeDumper:
        """Return what dumps a job: Slurm itself where it can and the job was not started by syscr."""
        if self.native is not None and self.native.takes(target):
            return self.native.build_dumper()
        return self.dumper

    def _find_restarter(self, image: Image) -> Restarter | NativeRestarter:
        """Return what brings an image back: Slurm itself if it wrote it."""
        if self.native is not None and self.native.made(image):
            return self.native.build_restarter()
        return self.restarter

    def _check_can_requeue(self, request: CheckpointRequest, plan: Plan) -> None:
        if request.target.step not in {None, "batch"} or plan.step != "batch":
            has_script = request.target.step is None and self._has_batch_script(plan.job.job_id)
            raise build_requeue_error(request.target, plan.target, has_script=has_script)
        if self.native is not None and plan.tasks[0].backend == NATIVE:
            return  # Slurm's requeue is not used
        if not self.scheduler.get_job_details(plan.job.job_id).can_requeue:
            raise OperationUnsupportedError(
                f"cannot requeue job {plan.job.job_id}: it was submitted with --no-requeue; "
                "it is still running",
                hint=f"allow it with 'scontrol update JobId={plan.job.job_id} Requeue=1', or use 'syscr vacate'",
            )

    def _has_batch_script(self, job_id: JobId) -> bool:
        try:
            return bool(self.scheduler.get_batch_script(job_id))
        except JobNotFoundError:
            return False  # a job of salloc or srun

    def _retain(self, store: Store, key: StoreKey) -> tuple[str, ...]:
        """Apply ``keep_last`` after a checkpoint; returns remarks."""
        if self.keep_last < 1:
            return ()
        return self._build_pruner().retain(store, key, self.keep_last)

    def _build_pruner(self) -> Pruner:
        from syscr.pruning import Pruner  # few calls delete anything

        return Pruner(self.scheduler, self.open_store, self.clock)


def _check_is_not_an_array(target: Target | None, image: Image) -> None:
    """Refuse a whole job array: its number is that of its last task, too, which nobody has named."""
    name, _, index = image.manifest.job_id.partition("_")
    if target is not None and index and str(target.job_id) == name:
        raise RequestError(
            f"job {name} is a whole job array; nothing was done",
            hint=f"name one part of it, as in {image.manifest.job_id}: 'syscr image list' has those with images",
        )
