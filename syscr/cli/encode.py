"""Values -> JSON, by one rule for all of them; pure.

Dataclasses become objects with the names of their fields, ids become strings, times RFC 3339, an empty
text (unknown) becomes null. A key that ends in ``path`` or ``_dir`` has a companion ``<key>_b64``: null,
or the exact bytes where the name is not Unicode. ``shapes.py`` describes the result.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum

from syscr.model import Image, JobId, Manifest, StepId, Target, Timings
from syscr.result import CheckpointResult
from syscr.units import format_time


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """An image as it stands in every answer; ``image show`` has the whole manifest beside it.

    Attributes:
        image_id: Identifier; sorts by age.
        created_at: When the checkpoint began.
        job_id: Job that was dumped.
        step: Step that was dumped; ``batch`` is the batch script.
        lineage: First job of the line of restarts.
        job_name: Its name (user text).
        user_name: Owner.
        backend: Backend.
        tool_version: Version of its tool.
        nodes: Nodes of the job.
        task_count: Tasks.
        size_bytes: Size of all files together.
        file_count: Number of files.
        tags: Tags.
        parent_image_id: Image that this life was restored from.
        timings: Durations of the checkpoint.
        path: Folder of the image.
        checkpoint_dir: Checkpoint directory.
        is_deleted: In the trash.
    """

    image_id: str
    created_at: datetime
    job_id: str
    step: str
    lineage: str
    job_name: str
    user_name: str
    backend: str
    tool_version: str
    nodes: tuple[str, ...]
    task_count: int
    size_bytes: int
    file_count: int
    tags: tuple[str, ...]
    parent_image_id: str
    timings: Timings
    path: str
    checkpoint_dir: str
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class CheckpointReply:
    """What became of one target of checkpoint, vacate or requeue.

    Attributes:
        target: Target as it was named.
        ok: Whether it succeeded.
        result: The result; null after an error.
        error: The error; null after success.
    """

    target: str
    ok: bool
    result: CheckpointResult | None
    error: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class TargetFailure:
    """A target of which nothing can be said, and why.

    Attributes:
        target: Target as it was named.
        error: The error.
    """

    target: str
    error: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ImageReply:
    """What became of one image of ``image verify``, ``delete`` or ``undelete``.

    Attributes:
        image_id: Id as it was named, in full where the image was found.
        ok: Whether it succeeded.
        image: The image; null where it was not found, or is none.
        problems: What differs from the manifest (verify), or why it is no image, one line each.
        error: The error; null after success.
    """

    image_id: str
    ok: bool
    image: Image | None
    problems: tuple[str, ...]
    error: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class ImageDetails:
    """Answer of ``image show``.

    Attributes:
        image: Summary.
        manifest: The whole manifest.
    """

    image: Image
    manifest: Manifest


def summarize(image: Image) -> ImageSummary:
    """Return the summary of an image; pure."""
    manifest = image.manifest
    return ImageSummary(
        image_id=manifest.image_id,
        created_at=manifest.created_at,
        job_id=manifest.job_id,
        step=manifest.step,
        lineage=manifest.lineage,
        job_name=manifest.job_name,
        user_name=manifest.user_name,
        backend=manifest.backend,
        tool_version=manifest.tool_version,
        nodes=manifest.nodes,
        task_count=manifest.task_count,
        size_bytes=manifest.size_bytes,
        file_count=len(manifest.files),
        tags=manifest.tags,
        parent_image_id=manifest.parent_image_id,
        timings=manifest.timings,
        path=image.path,
        checkpoint_dir=image.checkpoint_dir,
        is_deleted=image.is_deleted,
    )


def to_json(value: object) -> object:
    """Return ``value`` as lists, dictionaries, text, numbers, truth values and None; pure."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return approximate(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, JobId | StepId | Target):
        return str(value)
    if isinstance(value, Image):
        return _object(summarize(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {approximate(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    return str(value)


_plans: dict[type, tuple[tuple[str, str], ...]] = {}


def _plan(cls: type) -> tuple[tuple[str, str], ...]:
    """Return (field, key of its bytes or empty text); asked ten thousand times by ``image list``."""
    if cls not in _plans:
        _plans[cls] = tuple(
            (item.name, f"{item.name}_b64" if is_path_key(item.name) else "")
            for item in fields(cls)
        )
    return _plans[cls]


def _object(value: object) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, bytes_name in _plan(type(value)):
        content = getattr(value, name)
        if type(content) is str:
            result[name] = approximate(content) if content else None
        else:
            result[name] = to_json(content)
        if bytes_name:
            result[bytes_name] = exact_bytes(content)
    if result.get("uid") == -1:
        result["uid"] = None
    return result


def is_path_key(key: str) -> bool:
    """Return whether a key holds a path and so has a ``_b64`` companion; pure."""
    return key == "path" or key.endswith(("_path", "_dir"))


def approximate(text: str) -> str:
    r"""Return text without surrogates: bytes that are not Unicode are shown as ``\xff``; pure."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def exact_bytes(text: object) -> str | None:
    """Return the bytes of a path in base64 if it is not Unicode, else None; pure."""
    if not isinstance(text, str) or text.isascii() or approximate(text) == text:
        return None
    return base64.b64encode(os.fsencode(text)).decode("ascii")
