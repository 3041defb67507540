"""Which image a restart continues from: the newest that verifies; older ones only with a word about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from syscr.errors import ImageCorruptError, ImageNotFoundError, RequestError
from syscr.model import Image
from syscr.ports import Store, StoreKey
from syscr.result import SkippedImage

Progress = Callable[[Mapping[str, object]], None]
_IMAGE_NAME = re.compile(r"[0-9]{8}T.*")


@dataclass(frozen=True, slots=True)
class Selection:
    """A chosen image.

    Attributes:
        image: The image.
        skipped: Newer ones that did not verify.
        unreadable: Remarks about entries that are no images; what they were is not known.
    """

    image: Image
    skipped: tuple[SkippedImage, ...] = ()
    unreadable: tuple[str, ...] = ()


def find_lineage(store: Store, number: int) -> str:
    """Return the line that a job belongs to."""
    record = store.read_record(StoreKey(str(number)), CONTINUES)
    lineage = record.get("lineage") if record else None
    return str(lineage) if lineage else str(number)


def verify_visibly(
    store: Store, image: Image, *, level: str, progress: Progress | None
) -> tuple[str, ...]:
    """Verify an image and say how far that is; returns what differs."""
    done = 0
    total = image.manifest.size_bytes

    def count(read_bytes: int) -> None:
        nonlocal done
        done += read_bytes
        if progress is not None:
            event = {"type": "progress", "phase": "verify", "node": "", "message": image.image_id}
            progress({**event, "bytes_done": done, "bytes_total": total})

    return store.verify(image, level=level, progress=count if level == "digests" else None)


def select_newest(
    store: Store, key: StoreKey, *, level: str, progress: Progress | None = None
) -> Selection:
    """Choose the newest image of a line that verifies.

    Args:
        store: Where to look.
        key: Line and step.
        level: ``sizes`` or ``digests``.
        progress: Called with events while files are read; None: nobody looks.

    Raises:
        ImageNotFoundError: There is no image at all.
        ImageCorruptError: There are images, and none of them verifies.
    """
    images, unreadable = store.list_images(key=key)
    skipped: list[SkippedImage] = []
    for image in reversed(images):
        differences = verify_visibly(store, image, level=level, progress=progress)
        if not differences:
            return Selection(image, tuple(skipped), unreadable)
        skipped.append(SkippedImage(image.image_id, differences))
    name = key.lineage if key.step == "batch" else f"{key.lineage}.{key.step}"
    if skipped or unreadable:
        lines = [f"{one.image_id}: {one.reasons[0]}" for one in skipped] + list(unreadable)
        raise ImageCorruptError(
            f"no image of job {name} in '{store.checkpoint_dir}' is intact: {'; '.join(lines)}",
            hint="look at them with 'syscr image verify'; the files were left as they are",
            images=[one.image_id for one in skipped],
        )
    deleted, _ = store.list_images(key=key, deleted=True)
    raise ImageNotFoundError(
        f"there is no image of job {name} in '{store.checkpoint_dir}'"
        + (f"; {len(deleted)} deleted" if deleted else ""),
        hint=f"bring the newest one back with: syscr image undelete {deleted[-1].image_id}"
        if deleted
        else None,
    )


_HOW_TO_NAME = "name a folder such as DIR/1234.ckpt or DIR/1234.0.ckpt, or one image in it"


def check_restart_dir(path: str) -> None:
    """Refuse what can name no image, before a job is submitted that would only end with that; pure.

    Whether the image is there is not asked: another job may have to write it first.

    Raises:
        RequestError: The last part of the path is no ``.ckpt`` folder and no image.

    Example:
        >>> check_restart_dir("/d/4711.ckpt/"), check_restart_dir("4711.ckpt/20261124T061900Z-9f3c21ab")
        (None, None)
    """
    name = path.rstrip("/").rpartition("/")[2]
    if not name.endswith(".ckpt") and _IMAGE_NAME.fullmatch(name) is None:
        raise RequestError(
            f"cannot continue from '{path}': it names no image; nothing was submitted",
            hint=_HOW_TO_NAME,
        )


def select_from_dir(open_store: Callable[[str], Store], path: str, *, level: str) -> Selection:
    """Choose what ``--restart-dir`` names: an image's folder, or a ``.ckpt`` folder's newest good one.

    Raises:
        ImageNotFoundError, ImageCorruptError: There is no image, or none that verifies.
    """
    folder = path.rstrip("/")
    parent, _, name = folder.rpartition("/")
    if name.endswith(".ckpt"):
        lineage, _, step = name.removesuffix(".ckpt").partition(".")
        return select_newest(open_store(parent), StoreKey(lineage, step or "batch"), level=level)
    store = open_store(parent.rpartition("/")[0])
    try:
        image = store.get_image(name)
    except ImageNotFoundError as error:
        raise ImageNotFoundError(
            f"cannot continue from '{folder}': {error.message}",
            hint=_HOW_TO_NAME,
        ) from error
    differences = store.verify(image, level=level)
    if differences:
        raise ImageCorruptError(
            f"cannot restart from '{folder}': {'; '.join(differences[:5])}",
            hint="choose another image: 'syscr image list'",
            differences=list(differences),
        )
    return Selection(image)


def decision_name(number: int, restart_count: int) -> str:
    """Return the name of the record that says what one life of a job continues from."""
    return f"decision-{number}.{restart_count}"


CONTINUES = "continues"
"""Record below a new job's own number: which line of jobs it continues."""

CURRENT = "current"
"""Record of a line: the job that continues it now; none: the job that wrote the image."""

SUBMISSION = "submission"
"""Record below a job's number: how syscr submitted it."""


def build_decision(selection: Selection | None, checkpoint_dir: str) -> dict[str, object]:
    """Return the record of a decision; ``image_id`` null: start from the beginning."""
    return {
        "image_id": selection.image.image_id if selection else None,
        "checkpoint_dir": checkpoint_dir,
        "skipped": {one.image_id: list(one.reasons) for one in selection.skipped}
        if selection
        else {},
    }


def read_decision(record: Mapping[str, object]) -> tuple[str | None, str]:
    """Return (image id or None for a fresh start, checkpoint directory) of a decision."""
    image_id = record.get("image_id")
    return (str(image_id) if image_id else None, str(record.get("checkpoint_dir") or ""))


def home_dir(image: Image) -> str:
    """Return the checkpoint directory that the job itself uses; its records are there."""
    for task in image.manifest.tasks:
        home = task.state.get("home_dir")
        if home:
            return str(home)
    return image.checkpoint_dir
