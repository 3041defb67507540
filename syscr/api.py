"""The Python functions: thin over ``wiring/manager.py``, one for each thing the command line can do.

Each takes ``settings=`` (from ``load_settings``); without it files and environment are read at each
call, as the command line does. All raise ``SyscrError`` with ``code``, ``exit_code``, ``transient`` and
``hint`` (docs/reference/errors.md); a checkpoint that fails leaves the job running.

``progress=`` is called, in the caller's thread, with mappings: ``type`` (``phase``, ``progress`` or
``node``), ``phase`` (preflight freeze dump thaw digest publish / locate verify submit start), ``node``,
``bytes_done``, ``bytes_total`` and ``message``; each may be absent.

A target is a ``Target``, a job number, or what one writes on the command line: ``4711``, ``"4711_3"``,
``"4711.0"``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from syscr.config import load_settings
from syscr.model import Image, JobId, Target
from syscr.request import CheckpointRequest, PruneRequest, RestartRequest
from syscr.result import (
    CheckpointResult,
    JobStatus,
    NodeHealth,
    PruneResult,
    RestartResult,
)
from syscr.settings import Settings

if TYPE_CHECKING:
    from syscr.manager import CheckpointManager

AnyTarget = Target | JobId | int | str
Progress = Callable[[Mapping[str, object]], None]


def _manager(settings: Settings) -> CheckpointManager:
    from syscr.wiring.manager import build_manager  # the only importer of adapters

    return build_manager(settings)


def _target(target: AnyTarget) -> Target:
    if isinstance(target, Target):
        return target
    return Target(target) if isinstance(target, JobId) else Target.parse(str(target))


def _directory(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.path.abspath(os.fspath(path))


def _checkpoint_request(
    target: AnyTarget,
    settings: Settings,
    image_dir: str | os.PathLike[str] | None,
    max_wait_seconds: float | None,
    tags: Sequence[str],
    is_dry_run: bool,
) -> CheckpointRequest:
    return CheckpointRequest(
        target=_target(target),
        image_dir=_directory(image_dir),
        max_wait_seconds=settings.max_wait_seconds
        if max_wait_seconds is None
        else max_wait_seconds,
        tags=tuple(tags),
        dry_run=is_dry_run,
    )


def checkpoint(
    target: AnyTarget,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    max_wait_seconds: float | None = None,
    tags: Sequence[str] = (),
    dry_run: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> CheckpointResult:
    """Write an image of a running job or step; it keeps running.

    Contract: after success the image is complete, synced and digested. After failure the job runs as
    before and no image has appeared. Blocks until done, at most about ``max_wait_seconds``. Works from
    any machine that has Slurm's commands, as the job's owner.

    Args:
        target: Job or step; a job means its batch script.
        image_dir: Checkpoint directory for this image; None: the job's own.
        max_wait_seconds: Limit for dump, digest and publishing; None: as configured (600).
        tags: Words for the manifest; ``keep`` protects from pruning.
        dry_run: Only pre-flight; ``image`` is None then.
        settings: Settings; None: ``load_settings()``.
        progress: See the module.

    Returns:
        ``image`` with its manifest (sizes in bytes; ``timings.frozen_us`` in microseconds as the tool
        measured it, the other timings in seconds), ``job_state`` ``running``, ``findings``, ``warnings``.

    Raises:
        PreflightError: Refused before the job was touched.
        JobNotFoundError: Slurm knows no such job.
        JobStateError: The job does not run.
        CheckpointError: It failed; the job runs.
        CheckpointTimeoutError: ``max_wait_seconds`` passed; the job runs.
        StoreFullError: No space for the image.
        StoreLockedError: Another checkpoint of the job is going on.
    """
    chosen = load_settings() if settings is None else settings
    request = _checkpoint_request(target, chosen, image_dir, max_wait_seconds, tags, dry_run)
    return _manager(chosen).checkpoint(request, progress=progress)


def vacate(
    target: AnyTarget,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    max_wait_seconds: float | None = None,
    tags: Sequence[str] = (),
    dry_run: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> CheckpointResult:
    """Write an image of a running job or step, then end it.

    Contract: the tasks stand still from the dump on and are ended only when the image is published.
    Arguments, result and errors are those of ``checkpoint``; ``job_state`` is ``ended``.
    """
    chosen = load_settings() if settings is None else settings
    request = _checkpoint_request(target, chosen, image_dir, max_wait_seconds, tags, dry_run)
    return _manager(chosen).vacate(request, progress=progress)


def requeue(
    target: AnyTarget,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    max_wait_seconds: float | None = None,
    tags: Sequence[str] = (),
    dry_run: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> CheckpointResult:
    """Write an image of a running job, then put the job back into the queue, from where it continues.

    Contract: as ``vacate``, but the job keeps its id; ``job_state`` is ``requeued`` or ``pending``.
    Arguments, result and errors are those of ``checkpoint``.
    """
    chosen = load_settings() if settings is None else settings
    request = _checkpoint_request(target, chosen, image_dir, max_wait_seconds, tags, dry_run)
    return _manager(chosen).requeue(request, progress=progress)


def restart(
    target: AnyTarget | None = None,
    *,
    image_id: str | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    stick_to_nodes: bool = False,
    new_job: bool = False,
    wait_seconds: float | None = None,
    dry_run: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> RestartResult:
    """Bring a job or step back from an image.

    Contract: never two live copies of one job: one that still runs is refused. The image is verified
    before it is trusted; without ``image_id`` the newest good one is taken and newer ones that are not
    are listed in ``skipped``.

    Args:
        target: Job or step; may be left out where ``image_id`` says it.
        image_id: Image id, or a prefix that reaches its ``T``; None: the newest good image.
        image_dir: Checkpoint directory to look in; None: the job's own.
        stick_to_nodes: Only the nodes it ran on.
        new_job: Submit a new job even if the old one could be requeued.
        wait_seconds: Wait that long until it runs again; 0: not at all; None: as configured (300).
        dry_run: Only say what would be done (``job_state`` ``planned``).
        settings: Settings; None: ``load_settings()``.
        progress: See the module.

    Returns:
        ``job_id`` of the job that continues, ``method`` (``requeue`` or ``native``: the same id, ``submit``: a new
        job), ``job_state``, ``nodes``, ``skipped``; ``wait_seconds`` as measured here.

    Raises:
        JobStateError: The job still runs.
        StoreNotFoundError: There is nothing of this job.
        ImageNotFoundError: There is no such image.
        ImageCorruptError: No image of the job passes verification.
        ImageIncompatibleError: The image does not fit the nodes.
        RestartError: It could not be brought back.
        RestartTimeoutError: It did not run within ``wait_seconds``; it may still start.
    """
    chosen = load_settings() if settings is None else settings
    request = RestartRequest(
        target=None if target is None else _target(target),
        image_id=image_id,
        image_dir=_directory(image_dir),
        stick_to_nodes=stick_to_nodes,
        new_job=new_job,
        wait_seconds=chosen.restart_wait_seconds if wait_seconds is None else wait_seconds,
        dry_run=dry_run,
    )
    return _manager(chosen).restart(request, progress=progress)


def status(*targets: AnyTarget, settings: Settings | None = None) -> tuple[JobStatus, ...]:
    """Say whether jobs can be checkpointed and which images they have; touches nothing.

    Args:
        *targets: Jobs or steps; none: all of the user's that Slurm knows.
        settings: Settings; None: ``load_settings()``.

    Returns:
        One per target, in the order of the arguments; ``job`` is None where Slurm does not know it.

    Raises:
        SchedulerUnavailableError: Slurm does not answer; nothing is known.
    """
    chosen = load_settings() if settings is None else settings
    return _manager(chosen).status(tuple(_target(target) for target in targets))


def images(
    target: AnyTarget | None = None,
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    deleted: bool = False,
    settings: Settings | None = None,
) -> tuple[Image, ...]:
    """Return images, oldest first, possibly none; entries that cannot be read are left out.

    Args:
        target: Only this job's or step's; None: all.
        checkpoint_dir: Where to look; None: the configured directory.
        deleted: Look into the trash instead.
        settings: Settings; None: ``load_settings()``.

    Raises:
        StoreAccessError: The directory cannot be read.
    """
    chosen = load_settings() if settings is None else settings
    found, _ = _manager(chosen).list_images(
        checkpoint_dir=_directory(checkpoint_dir),
        target=None if target is None else _target(target),
        deleted=deleted,
    )
    return found


def get_image(
    image_id: str,
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    deleted: bool = False,
    settings: Settings | None = None,
) -> Image:
    """Return one image by its id, or by a prefix that reaches its ``T`` and fits only one.

    Raises:
        ImageNotFoundError: None or several fit.
        StoreAccessError: The directory cannot be read.
    """
    chosen = load_settings() if settings is None else settings
    return _manager(chosen).get_image(
        image_id, checkpoint_dir=_directory(checkpoint_dir), deleted=deleted
    )


def verify_image(
    image: Image, *, level: str = "digests", settings: Settings | None = None
) -> tuple[str, ...]:
    """Compare an image with its manifest; changes nothing.

    Args:
        image: The image.
        level: ``sizes`` (fast) or ``digests`` (reads all files).
        settings: Settings; None: ``load_settings()``.

    Returns:
        What differs, one line each; empty: all right.

    Raises:
        StoreAccessError: A file cannot be read.
    """
    chosen = load_settings() if settings is None else settings
    return _manager(chosen).verify_image(image, level=level)


def delete_image(image: Image, *, settings: Settings | None = None) -> Image:
    """Take an image out of sight; ``undelete_image`` brings it back until the trash is emptied.

    Returns:
        The image where it lies now.

    Raises:
        StoreLockedError: It is in use.
        StoreAccessError: It cannot be moved.
    """
    chosen = load_settings() if settings is None else settings
    return _manager(chosen).delete_image(image)


def undelete_image(
    image_id: str,
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
) -> Image:
    """Bring a deleted image back.

    Returns:
        The image where it lies now.

    Raises:
        ImageNotFoundError: The trash holds no such image.
        ImageExistsError: Its place is taken.
    """
    chosen = load_settings() if settings is None else settings
    return _manager(chosen).undelete_image(image_id, checkpoint_dir=_directory(checkpoint_dir))


def prune(
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    job: AnyTarget | None = None,
    keep_last: int | None = None,
    keep_within_seconds: float | None = None,
    keep_tags: Sequence[str] = (),
    allow_empty: bool = False,
    expunge: bool = False,
    dry_run: bool = False,
    settings: Settings | None = None,
) -> PruneResult:
    """Delete images by rule, recoverable; an image stays if one of the rules keeps it.

    Args:
        checkpoint_dir: Where; None: the configured directory.
        job: Only the line of this job; None: all.
        keep_last: Keep this many newest images of each job and step.
        keep_within_seconds: Keep younger ones.
        keep_tags: Keep those with one of these tags.
        allow_empty: Allow a rule that keeps nothing.
        expunge: Also remove for good what is in the trash.
        dry_run: Only decide.
        settings: Settings; None: ``load_settings()``.

    Returns:
        One decision with its reason per image, oldest first, and the ids removed for good.

    Raises:
        RequestError: No rule says what to keep.
        StoreLockedError: A checkpoint is going on.
    """
    chosen = load_settings() if settings is None else settings
    request = PruneRequest(
        checkpoint_dir=_directory(checkpoint_dir) or chosen.checkpoint_dir,
        lineage=None if job is None else str(_target(job).job_id.number),
        keep_last=keep_last,
        keep_within_seconds=keep_within_seconds,
        keep_tags=tuple(keep_tags),
        allow_empty=allow_empty,
        expunge=expunge,
        dry_run=dry_run,
    )
    return _manager(chosen).prune(request)


def doctor(*nodes: str, settings: Settings | None = None) -> tuple[NodeHealth, ...]:
    """Say which backends work on nodes and why others do not; none named: this machine.

    Returns:
        One per node; ``error`` says why a node could not be asked.
    """
    chosen = load_settings() if settings is None else settings
    return _manager(chosen).doctor(nodes)
