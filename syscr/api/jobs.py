"""Jobs: checkpoint, vacate, requeue, restart, status; and doctor."""

from __future__ import annotations

import os
from collections.abc import Sequence

from syscr.api.arguments import AnyTarget, Progress, build_manager_for, find_directory, read_target
from syscr.config import load_settings
from syscr.request import CheckpointRequest, RestartRequest
from syscr.result import CheckpointResult, JobStatus, NodeHealth, RestartResult
from syscr.settings import Settings


def _checkpoint_request(
    target: AnyTarget,
    settings: Settings,
    image_dir: str | os.PathLike[str] | None,
    max_wait_seconds: float | None,
    tags: Sequence[str],
    is_dry_run: bool,
) -> CheckpointRequest:
    return CheckpointRequest(
        target=read_target(target),
        image_dir=find_directory(image_dir),
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
        progress: See ``syscr.api``.

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
    return build_manager_for(chosen).checkpoint(request, progress=progress)


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
    return build_manager_for(chosen).vacate(request, progress=progress)


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
    return build_manager_for(chosen).requeue(request, progress=progress)


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
        progress: See ``syscr.api``.

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
        target=None if target is None else read_target(target),
        image_id=image_id,
        image_dir=find_directory(image_dir),
        stick_to_nodes=stick_to_nodes,
        new_job=new_job,
        wait_seconds=chosen.restart_wait_seconds if wait_seconds is None else wait_seconds,
        dry_run=dry_run,
    )
    return build_manager_for(chosen).restart(request, progress=progress)


def status(*targets: AnyTarget, settings: Settings | None = None) -> tuple[JobStatus, ...]:
    """Say whether jobs can be checkpointed and which images they have; touches nothing.

    Args:
        *targets: Jobs or steps; none: all of the user's that Slurm knows.
        settings: Settings; None: ``load_settings()``.

    Returns:
        One per target, in the order of the arguments; ``job`` is None where Slurm does not know it.

    Raises:
        SchedulerUnavailableError: Slurm does not answer; nothing is known.
        JobNotFoundError: Slurm does not know one that was named, and it has no images; nothing is said of
            the others, ask for each by itself.
        RequestError: One is a whole job array.
    """
    chosen = load_settings() if settings is None else settings
    return build_manager_for(chosen).status(tuple(read_target(target) for target in targets))


def doctor(*nodes: str, settings: Settings | None = None) -> tuple[NodeHealth, ...]:
    """Say which backends work on nodes and why others do not; none named: this machine.

    Returns:
        One per node; ``error`` says why a node could not be asked.
    """
    chosen = load_settings() if settings is None else settings
    return build_manager_for(chosen).doctor(nodes)
