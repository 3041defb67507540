"""How an image comes into being: staging directory, publish, and what dead writers leave.

The order of publish: check files -> manifest (temporary name, sync, rename) -> sync staging ->
rename to the image's place -> sync both parents. Killed anywhere, nothing is half visible.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from syscr.errors import (
    ImageCorruptError,
    ImageExistsError,
    RequestError,
    StoreAccessError,
    StoreError,
    StoreFullError,
)
from syscr.model import Image, Manifest
from syscr.ports import StoreKey
from syscr.store import atomic
from syscr.store.access import (
    ensure_folder,
    free_bytes,
    make_private_dir,
    require_folder,
    translate,
    translated,
)
from syscr.store.holder import host_name, is_abandoned
from syscr.store.layout import (
    DATA_NAME,
    MANIFEST_NAME,
    TEMPORARY_PREFIX,
    Folder,
    StagingName,
    check_image_id,
    check_name,
    parse_staging_path,
    show,
)
from syscr.store.manifest import format_manifest
from syscr.store.tree import read_tree, remove_leftovers, remove_tree
from syscr.store.verify import compare_sizes
from syscr.units import format_size

log = logging.getLogger(__name__)

# Of writers on other hosts only the age is known. Who holds the lease knows that no other manager
# is at work; but a node may still be writing what a killed manager asked for.
ABANDONED_SECONDS = 7 * 86400.0
ABANDONED_UNDER_LEASE_SECONDS = 3600.0
_TEMPORARY_SECONDS = 86400.0
_SHOWN_FAULTS = 20


def open_staging(
    folder: Folder, image_id: str, *, needed_bytes: int, now: datetime, has_lease: bool
) -> str:
    """Make a staging directory with an empty ``data/``; see ``ports.Store.open_staging``.

    Args:
        folder: Where.
        image_id: The image that will be written.
        needed_bytes: Space that it will take.
        now: Current time.
        has_lease: Whether the caller holds the lease of the folder.

    Raises:
        ImageExistsError: There is an image, deleted or not, or a staging directory of this id.
        StoreFullError: Less than ``needed_bytes`` free.
        StoreAccessError: The folder cannot be made, or is not to be trusted.
    """
    check_image_id(image_id)
    ensure_folder(folder.path)
    make_private_dir(folder.staging_dir)
    limit = ABANDONED_UNDER_LEASE_SECONDS if has_lease else ABANDONED_SECONDS
    remove_abandoned(folder, now=now, limit_seconds=limit)
    _require_new(folder, image_id)
    _require_space(folder.path, needed_bytes)
    path = folder.staging_path(StagingName(image_id, host_name(), os.getpid()))
    try:
        os.mkdir(path, 0o700)
        os.mkdir(os.path.join(path, DATA_NAME), 0o700)
    except FileExistsError as error:
        raise ImageExistsError(f"image '{image_id}' is being written already") from error
    except OSError as error:
        raise translate(error, "make directory", path) from error
    return path


def add_probe(checkpoint_dir: str, staging_dir: str, name: str) -> None:
    """Write an empty file into staging; see ``ports.Store.add_probe``."""
    path = _probe_path(checkpoint_dir, staging_dir, name)
    with translated("write", path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def remove_probe(checkpoint_dir: str, staging_dir: str, name: str) -> None:
    """Remove it again; missing is no error."""
    path = _probe_path(checkpoint_dir, staging_dir, name)
    with translated("remove", path), suppress(FileNotFoundError):
        os.unlink(path)


def publish(checkpoint_dir: str, staging_dir: str, manifest: Manifest, *, durable: bool) -> Image:
    """Make an image visible; see ``ports.Store.publish``."""
    folder, name = parse_staging_path(checkpoint_dir, staging_dir)
    image_id = manifest.image_id
    if name.image_id != image_id or folder.key != StoreKey(manifest.lineage, manifest.step):
        raise RequestError(
            f"cannot publish image '{show(image_id)}' of job {show(manifest.lineage)}: "
            f"'{show(staging_dir)}' is the staging directory of another image"
        )
    data = format_manifest(manifest)
    require_folder(folder.path, writing=True)
    _require_new(folder, image_id)
    directories = _check_files(staging_dir, manifest)
    target = folder.image_dir(image_id)
    try:
        _write_manifest(staging_dir, data, directories, durable=durable)
        _make_visible(staging_dir, target, durable=durable)
    except StoreError:
        with suppress(OSError):
            os.unlink(os.path.join(staging_dir, MANIFEST_NAME))
        raise
    return Image(manifest, target, checkpoint_dir)


def discard(checkpoint_dir: str, staging_dir: str) -> None:
    """Remove a staging directory; missing is no error.

    Raises:
        RequestError: It is no staging directory of this store.
        StoreAccessError: It cannot be removed, or its folder is not to be trusted.
    """
    folder, _ = parse_staging_path(checkpoint_dir, staging_dir)
    if require_folder(folder.path, writing=True):
        with translated("remove", staging_dir):
            remove_tree(staging_dir)


def remove_abandoned(
    folder: Folder, *, now: datetime, limit_seconds: float = ABANDONED_SECONDS
) -> tuple[str, ...]:
    """Remove what writers left that are gone; a failure to do so is logged and no error.

    Args:
        folder: Where.
        now: Current time.
        limit_seconds: Age from which a writer on another host counts as gone.

    Returns:
        Names of the staging directories that were removed.
    """
    removed = []
    try:
        for text in sorted(os.listdir(folder.staging_dir)):
            path = os.path.join(folder.staging_dir, text)
            if _is_abandoned(path, text, now.timestamp(), limit_seconds):
                remove_tree(path)
                removed.append(text)
        remove_leftovers(folder.staging_dir)
        remove_leftovers(folder.trash_dir)
        old = now.timestamp() - _TEMPORARY_SECONDS
        atomic.remove_temporaries(folder.records_dir, older_than=old)
    except (OSError, StoreError) as error:
        log.warning("cannot clean up '%s': %s", show(folder.staging_dir), error)
    return tuple(removed)


def _is_abandoned(path: str, text: str, now: float, limit_seconds: float) -> bool:
    name = StagingName.parse(text)
    if name is None:
        return False
    try:
        modified = os.lstat(path).st_mtime
    except FileNotFoundError:
        return False
    return is_abandoned(name, modified=modified, now=now, limit_seconds=limit_seconds)


def _probe_path(checkpoint_dir: str, staging_dir: str, name: str) -> str:
    folder, staging = parse_staging_path(checkpoint_dir, staging_dir)
    require_folder(folder.path, writing=True)
    return os.path.join(folder.staging_path(staging), check_name(name))


def _require_new(folder: Folder, image_id: str) -> None:
    for path in (folder.image_dir(image_id), folder.image_dir(image_id, deleted=True)):
        if os.path.lexists(path):
            raise ImageExistsError(
                f"image '{image_id}' exists already: '{show(path)}'", path=show(path)
            )


def _require_space(path: str, needed_bytes: int) -> None:
    free = free_bytes(path)
    if free is not None and free < needed_bytes:
        raise StoreFullError(
            f"not enough space in '{show(path)}': {format_size(needed_bytes)} needed, "
            f"{format_size(free)} free",
            path=show(path),
            needed_bytes=needed_bytes,
            free_bytes=free,
        )


def _check_files(staging_dir: str, manifest: Manifest) -> Sequence[str]:
    """Compare staging with the manifest.

    Returns:
        The directories in it, innermost first.

    Raises:
        ImageCorruptError: Files are missing, not named, no regular files, or of another size.
    """
    if not os.path.isdir(staging_dir):
        raise StoreAccessError(
            f"cannot publish image '{manifest.image_id}': its staging directory is gone",
            path=show(staging_dir),
            errno=None,
        )
    tree = read_tree(staging_dir)
    faults = [
        fault
        for fault in compare_sizes(tree, manifest.files)
        if not fault.startswith(TEMPORARY_PREFIX)
    ]
    if faults:
        shown = "\n".join(f"| {fault}" for fault in faults[:_SHOWN_FAULTS])
        raise ImageCorruptError(
            f"cannot publish image '{manifest.image_id}': {len(faults)} files differ from its "
            f"manifest\n{shown}",
            hint="nothing was published; take the checkpoint again",
            differences=faults,
        )
    return tree.directories[::-1]


def _write_manifest(
    staging_dir: str, data: bytes, directories: Sequence[str], *, durable: bool
) -> None:
    path = os.path.join(staging_dir, MANIFEST_NAME)
    with translated("write", path):
        atomic.remove_temporaries(staging_dir, older_than=float("inf"))
        if durable:
            for directory in directories:
                atomic.sync_dir(os.path.join(staging_dir, directory))
        atomic.write_atomic(path, data, durable=durable)


def _make_visible(staging_dir: str, target: str, *, durable: bool) -> None:
    try:
        os.rename(staging_dir, target)
    except OSError as error:
        if os.path.lexists(target):
            raise ImageExistsError(
                f"image '{os.path.basename(target)}' exists already: '{show(target)}'"
            ) from error
        raise translate(error, "publish", target) from error
    if not durable:
        return
    try:
        atomic.sync_dir(os.path.dirname(target))
        atomic.sync_dir(os.path.dirname(staging_dir))
    except OSError as error:
        failure = translate(error, "publish", target)
        try:
            os.rename(target, staging_dir)
        except OSError as again:
            failure.add_note(f"and it could not be taken back: {again.strerror}")
        raise failure from error
