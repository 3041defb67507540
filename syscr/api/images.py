"""Images: list, show, verify, delete, undelete, prune."""

from __future__ import annotations

import os
from collections.abc import Sequence

from syscr.api.arguments import AnyTarget, build_manager_for, find_directory, read_target
from syscr.config import load_settings
from syscr.model import Image
from syscr.request import PruneRequest
from syscr.result import PruneResult
from syscr.settings import Settings


def images(
    target: AnyTarget | None = None,
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    deleted: bool = False,
    settings: Settings | None = None,
) -> tuple[Image, ...]:
    """Return images, oldest first, possibly none; entries that cannot be read are left out.

    Args:
        target: Only this job's or step's, of the number of a job array those of all its tasks; None: all.
        checkpoint_dir: Where to look; None: the configured directory.
        deleted: Look into the trash instead.
        settings: Settings; None: ``load_settings()``.

    Raises:
        StoreAccessError: The directory cannot be read.
    """
    chosen = load_settings() if settings is None else settings
    found, _ = build_manager_for(chosen).list_images(
        checkpoint_dir=find_directory(checkpoint_dir),
        target=None if target is None else read_target(target),
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
    return build_manager_for(chosen).get_image(
        image_id, checkpoint_dir=find_directory(checkpoint_dir), deleted=deleted
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
    return build_manager_for(chosen).verify_image(image, level=level)


def delete_image(image: Image, *, settings: Settings | None = None) -> Image:
    """Take an image out of sight; ``undelete_image`` brings it back until the trash is emptied.

    Returns:
        The image where it lies now.

    Raises:
        StoreLockedError: It is in use.
        StoreAccessError: It cannot be moved.
    """
    chosen = load_settings() if settings is None else settings
    return build_manager_for(chosen).delete_image(image)


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
    return build_manager_for(chosen).undelete_image(
        image_id, checkpoint_dir=find_directory(checkpoint_dir)
    )


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
        job: Only the line of this job, of the number of a job array those of all its tasks; None: all.
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
        checkpoint_dir=find_directory(checkpoint_dir) or chosen.checkpoint_dir,
        job_id=None if job is None else read_target(job).job_id,
        keep_last=keep_last,
        keep_within_seconds=keep_within_seconds,
        keep_tags=tuple(keep_tags),
        allow_empty=allow_empty,
        expunge=expunge,
        dry_run=dry_run,
    )
    return build_manager_for(chosen).prune(request)
