"""Manifest <-> the bytes of ``manifest.json``; pure but for ``read_*``.

The file is one JSON document (docs/reference/manifest.md, manifest.schema.json) whose top-level
keys stand on lines of their own: first what a listing needs, then what is longer (``HEAVY``), last
the digest of all that precedes it. So ten thousand images can be listed by the heads of their
manifests (``SummaryManifest``), and an altered manifest is never believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from typing import Any

from syscr.errors import ManifestError
from syscr.model import ImageFile, Manifest
from syscr.ports import StoreKey
from syscr.store import codec
from syscr.store.access import open_file, read_whole
from syscr.store.layout import MANIFEST_NAME, folder_name, is_image_id, is_inner_path, show

SCHEMA_VERSION = 1
HEAVY = ("submission", "tasks", "hosts", "files", "notes")  # what a listing can do without
LIMIT_BYTES = 256 << 20
_HEAD_BYTES = 8 << 10
_HEAVY_SET = frozenset(HEAVY)
_HEAVY_MARK = b',\n "submission": '
_SEAL_MARK = b',\n "manifest_sha256": "'
_SEAL = re.compile(rb',\n "manifest_sha256": "([0-9a-f]{64})"\n}\n?')
_DIGEST = re.compile(r"[0-9a-f]{32,128}")


def format_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of ``manifest.json``.

    Raises:
        ManifestError: A value has no JSON form, or the manifest breaks a rule of the store.
    """
    where = f"of image '{show(manifest.image_id)}'"
    try:
        _check(manifest)
        document = codec.encode(manifest)
        head: dict[str, object] = {"schema_version": SCHEMA_VERSION}
        head |= {name: value for name, value in document.items() if not _is_heavy(name)}
        head |= {"file_count": len(manifest.files), "size_bytes": manifest.size_bytes}
        tail = {name: value for name, value in document.items() if _is_heavy(name)}
        lines = [f' "{name}": {_dump_lines(value)}' for name, value in (head | tail).items()]
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"cannot write manifest {where}: {error}") from error
    body = ("{\n" + ",\n".join(lines)).encode("ascii")
    return seal(body)


def seal(body: bytes) -> bytes:
    """Return a manifest from all of it that precedes its own digest."""
    return body + _SEAL_MARK + hashlib.sha256(body).hexdigest().encode("ascii") + b'"\n}\n'


def parse_manifest(data: bytes, *, path: str) -> Manifest:
    """Read the bytes of a ``manifest.json``.

    Args:
        data: The whole file.
        path: Where it lies, for messages.

    Raises:
        ManifestError: Not JSON, unknown schema version, altered, or not a manifest.
    """
    document = _load(data, path)
    _check_version(document, path)
    mark = data.rfind(_SEAL_MARK)
    match = _SEAL.fullmatch(data, mark) if mark >= 0 else None
    if match is None or hashlib.sha256(data[:mark]).hexdigest().encode("ascii") != match[1]:
        raise _fault(path, "it was altered: its own digest does not fit")
    try:
        manifest = codec.decode(Manifest, document)
        _check(manifest)
    except codec.CodecError as error:
        raise _fault(path, str(error)) from error
    return manifest


def parse_summary(data: bytes, *, path: str) -> Manifest | None:
    """Read the head of a ``manifest.json``; what follows it is read on first use.

    Args:
        data: The beginning of the file, at least to its first heavy key.
        path: Where it lies; it is opened again when more is asked for.

    Returns:
        The manifest; None if ``data`` does not reach far enough.

    Raises:
        ManifestError: As ``parse_manifest``; but alteration shows only when the rest is read.
    """
    end = data.find(_HEAVY_MARK)
    if end < 0:
        return None
    document = _load(data[:end] + b"}", path)
    _check_version(document, path)
    try:
        values = codec.decode_fields(Manifest, document, _HEAVY_SET)
        _check_names(values["image_id"], values["lineage"], values["step"])
        size = document.get("size_bytes")
        if type(size) is not int:
            raise codec.CodecError("size_bytes: not an integer")
    except codec.CodecError as error:
        raise _fault(path, str(error)) from error
    return SummaryManifest.build(values, path=path, size_bytes=size)


def read_manifest(path: str, *, dir_fd: int | None = None, name: str | None = None) -> Manifest:
    """Read a manifest whole; arguments and errors as ``read_summary``."""
    data = read_whole(name or path, limit_bytes=LIMIT_BYTES, dir_fd=dir_fd)
    return parse_manifest(data, path=path)


def read_summary(path: str, *, dir_fd: int | None = None, name: str | None = None) -> Manifest:
    """Read the head of a manifest.

    Args:
        path: The file, for messages and for reading on later.
        dir_fd: Directory to open ``name`` in; quicker than by path.
        name: The file relative to ``dir_fd``.

    Raises:
        OSError: It cannot be opened or read.
        ManifestError: It is no valid manifest.
    """
    descriptor = open_file(name or path, dir_fd=dir_fd)
    try:
        data = os.read(descriptor, _HEAD_BYTES)
        if not data and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _fault(path, "it is not a regular file")
    finally:
        os.close(descriptor)
    return parse_summary(data, path=path) or read_manifest(path)


class SummaryManifest(Manifest):
    """A manifest whose longer parts (``HEAVY``) are read when first asked for.

    It equals the same manifest read whole. Reading on raises ManifestError or StoreAccessError, for
    instance when the image was deleted meanwhile.
    """

    __slots__ = ("_path", "_size_bytes")
    _path: str
    _size_bytes: int

    @classmethod
    def build(cls, values: dict[str, Any], *, path: str, size_bytes: int) -> SummaryManifest:
        """Make one from all fields but the heavy ones."""
        manifest = cls.__new__(cls)
        put = object.__setattr__
        for name, value in values.items():
            put(manifest, name, value)
        put(manifest, "_path", path)
        put(manifest, "_size_bytes", size_bytes)
        return manifest

    def __getattr__(self, name: str) -> Any:
        """Read the rest; called by Python only for an attribute that is not there yet."""
        if name not in _HEAVY_SET:
            raise AttributeError(name)
        try:
            whole = read_manifest(self._path)
        except OSError as error:
            raise _fault(self._path, error.strerror or str(error)) from error
        for heavy in HEAVY:
            object.__setattr__(self, heavy, getattr(whole, heavy))
        return getattr(whole, name)

    @property
    def size_bytes(self) -> int:
        """Total size of the stored files, from the head."""
        return self._size_bytes

    def __eq__(self, other: object) -> bool:
        """Whether the other says the same, read whole or not."""
        if not isinstance(other, Manifest):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name) for name in self.__dataclass_fields__
        )

    __hash__ = Manifest.__hash__


def check_place(manifest: Manifest, *, image_id: str, key: StoreKey, path: str) -> None:
    """Refuse a manifest that lies where another image belongs (a folder moved by hand).

    Raises:
        ManifestError: Id, job or step differ from those of its place.
    """
    if manifest.image_id != image_id:
        raise _fault(path, f"it describes image '{manifest.image_id}'")
    if (manifest.lineage, manifest.step) != (key.lineage, key.step):
        raise _fault(
            path, f"it belongs in '{folder_name(StoreKey(manifest.lineage, manifest.step))}'"
        )


def _is_heavy(key: str) -> bool:
    return key.removesuffix("_b64") in _HEAVY_SET


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _dump_lines(value: object) -> str:
    """Return JSON text; a list of objects has one of them on each line."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        lines = ",\n".join(f"  {_dump(item)}" for item in value)
        return f"[\n{lines}\n ]"
    return _dump(value)


def _load(data: bytes, path: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"not JSON: {error}") from error
    if type(document) is not dict:
        raise _fault(path, "not a JSON object")
    return document


def _check_version(document: dict[str, Any], path: str) -> None:
    version = document.get("schema_version")
    if type(version) is int and version == SCHEMA_VERSION:
        return
    raise ManifestError(
        f"cannot read manifest '{show(path)}': schema version {_dump(version)} is not known here",
        hint=f"this syscr reads version {SCHEMA_VERSION}; use the syscr that wrote the image",
        path=show(path),
        schema_version=version,
    )


def _check(manifest: Manifest) -> None:
    """Check what types do not say; raises CodecError."""
    _check_names(manifest.image_id, manifest.lineage, manifest.step)
    seen: set[str] = set()
    for index, file in enumerate(manifest.files):
        _check_file(file, f"files[{index}]")
        if file.path in seen or file.path == MANIFEST_NAME:
            raise codec.CodecError(f"files[{index}].path: named twice")
        seen.add(file.path)
    for index, task in enumerate(manifest.tasks):
        if not is_inner_path(task.data_dir):
            raise codec.CodecError(f"tasks[{index}].data_dir: not a path inside the image")
        for state in task.open_files:
            if state.copy and not is_inner_path(state.copy):
                raise codec.CodecError(f"tasks[{index}].open_files: copy leaves the image")


def _check_names(image_id: str, lineage: str, step: str) -> None:
    if not is_image_id(image_id):
        raise codec.CodecError("image_id: not an image id")
    try:
        folder_name(StoreKey(lineage, step))
    except Exception as error:
        raise codec.CodecError(f"lineage: {error}") from error


def _check_file(file: ImageFile, where: str) -> None:
    if not is_inner_path(file.path):
        raise codec.CodecError(f"{where}.path: not a path inside the image")
    if file.size_bytes < 0:
        raise codec.CodecError(f"{where}.size_bytes: negative")
    if not _DIGEST.fullmatch(file.digest):
        raise codec.CodecError(f"{where}.digest: not a digest")


def _fault(path: str, cause: str) -> ManifestError:
    return ManifestError(
        f"cannot read manifest '{show(path)}': {cause}",
        hint="restart from another image: 'syscr image list'",
        path=show(path),
    )
