"""Which folders of a store belong to a job, an array or a step; the store is asked, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable

from syscr.model import Image, JobId, Target
from syscr.ports import Store, StoreKey
from syscr.selection import find_lineage


def is_plain(job_id: JobId) -> bool:
    """Return whether an id is a plain number: a job, or a whole array and its last task, too; pure."""
    return job_id.array_index is None and job_id.het_offset is None


def find_parts(job_id: JobId, images: Iterable[Image]) -> tuple[str, ...]:
    """Return the tasks of an array that have images, where a plain number is that of an array; pure."""
    if not is_plain(job_id):
        return ()
    found = {image.manifest.job_id for image in images}
    parts = [name for name in found if name.startswith(f"{job_id}_")]
    return tuple(sorted(parts, key=lambda name: (len(name), name)))


def find_lineages(store: Store, job_id: JobId) -> frozenset[str]:
    """Return the lines of a job, also of what was deleted; of the number of an array those of all its tasks."""
    target = Target(job_id)
    keys = [
        key
        for deleted in (False, True)
        for key in list_keys(store, target, deleted=deleted, whole_array=True)
    ]
    return frozenset(key.lineage for key in keys)


def find_image_keys(store: Store, target: Target) -> tuple[StoreKey, ...]:
    """Return the keys that hold images of a target."""
    job_id = target.job_id
    if is_plain(job_id):
        lineage = find_lineage(store, job_id.number)
        keys = [key for key in store.find_keys(lineage) if store.list_images(key=key)[0]]
    else:
        keys = _find_named(store, job_id, deleted=False)
    return tuple(key for key in keys if target.step in {None, key.step})


def list_keys(
    store: Store, target: Target, *, deleted: bool, whole_array: bool
) -> tuple[StoreKey, ...]:
    """Return the keys that hold something of a target to list: also what cannot be read, or is deleted."""
    job_id = target.job_id
    keys: list[StoreKey] = []
    if is_plain(job_id):
        keys += store.find_keys(find_lineage(store, job_id.number))
    if whole_array or not is_plain(job_id):
        keys += _find_named(store, job_id, deleted=deleted)
    return tuple(key for key in dict.fromkeys(keys) if target.step in {None, key.step})


def _find_named(store: Store, job_id: JobId, *, deleted: bool) -> list[StoreKey]:
    """Return the keys of an array task, or of all tasks of an array, by what their images say.

    The folder of a task has the task's own plain number, which Slurm forgets.
    """
    images, _ = store.list_images(deleted=deleted)
    names = find_parts(job_id, images) if is_plain(job_id) else (str(job_id),)
    return list(
        dict.fromkeys(
            StoreKey(image.manifest.lineage, image.manifest.step)
            for image in images
            if image.manifest.job_id in names
        )
    )
