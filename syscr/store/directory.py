"""``DirectoryStore``: the Store port on a directory of a shared file system.

It only puts the parts together: ``staging`` writes, ``catalogue`` and ``lookup`` read, ``verify`` compares,
``lock`` guards; deleting and records are here. Contracts stand in ``ports.Store``.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from syscr.errors import ImageExistsError, ImageNotFoundError, ManifestError, RequestError
from syscr.model import Image, Manifest, TornImage
from syscr.ports import AnyImage, Clock, StoreKey
from syscr.store import atomic, catalogue, lookup, staging
from syscr.store.access import (
    ensure_folder,
    make_private_dir,
    read_whole,
    require_folder,
    translate,
    translated,
)
from syscr.store.digest import Progress
from syscr.store.layout import Folder, new_image_id, show
from syscr.store.lock import Locks
from syscr.store.tree import remove_leftovers, remove_tree
from syscr.store.verify import verify_image

_RECORD_LIMIT_BYTES = 16 << 20
_NOTE_LIMIT_BYTES = 1 << 20


class DirectoryStore:
    """Images below one checkpoint directory.

    Attributes:
        checkpoint_dir: Its absolute path; it need not exist yet.
    """

    def __init__(self, checkpoint_dir: str, *, clock: Clock, durable: bool = True) -> None:
        """Keep the place; nothing is touched.

        Args:
            checkpoint_dir: Directory on shared storage.
            clock: For the age of leases and of what dead writers left.
            durable: False leaves out all syncs: for tests, never for images that matter.
        """
        self.checkpoint_dir = os.path.abspath(checkpoint_dir)
        self._clock = clock
        self._durable = durable
        self._locks = Locks(clock)
        self._held: dict[StoreKey, int] = {}

    def new_image_id(self) -> str:
        """Return a new id."""
        return new_image_id(self._clock.now(), secrets.token_hex(4))

    def open_staging(self, key: StoreKey, image_id: str, *, needed_bytes: int) -> str:
        """Make a staging directory, and a missing checkpoint directory (private) above it."""
        return staging.open_staging(
            self._folder(key),
            image_id,
            needed_bytes=needed_bytes,
            now=self._clock.now(),
            has_lease=key in self._held,
        )

    def add_probe(self, staging_dir: str, name: str) -> None:
        """Write an empty file into staging."""
        staging.add_probe(self.checkpoint_dir, staging_dir, name)

    def remove_probe(self, staging_dir: str, name: str) -> None:
        """Remove it again; missing is no error."""
        staging.remove_probe(self.checkpoint_dir, staging_dir, name)

    def publish(self, staging_dir: str, manifest: Manifest) -> Image:
        """Make an image visible."""
        return staging.publish(self.checkpoint_dir, staging_dir, manifest, durable=self._durable)

    def discard_staging(self, staging_dir: str) -> None:
        """Remove a staging directory; RequestError if it is none of this store."""
        staging.discard(self.checkpoint_dir, staging_dir)

    def list_images(
        self, *, key: StoreKey | None = None, deleted: bool = False
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        """Return the images; StoreNotFoundError where there is no checkpoint directory.

        Contract: with ``key`` manifests are read whole. Without it submission, tasks, hosts, files
        and notes are read when first asked for, which may raise ManifestError; so 10,000 images
        take less than half a second.
        """
        return catalogue.list_images(self.checkpoint_dir, key=key, deleted=deleted)

    def find_keys(self, lineage: str | None = None) -> tuple[StoreKey, ...]:
        """Return the keys of our own folders; StoreNotFoundError without checkpoint directory."""
        return catalogue.find_keys(self.checkpoint_dir, lineage)

    def get_image(self, image_id: str, *, deleted: bool = False) -> Image:
        """Return one image."""
        return lookup.get_image(self.checkpoint_dir, image_id, deleted=deleted)

    def list_torn(self, *, deleted: bool = False) -> tuple[TornImage, ...]:
        """Return what is no image though it lies in the place of one."""
        return catalogue.list_torn(self.checkpoint_dir, deleted=deleted)

    def get_torn(self, image_id: str, *, deleted: bool = False) -> TornImage:
        """Return one of these."""
        return lookup.get_torn(self.checkpoint_dir, image_id, deleted=deleted)

    def verify(
        self, image: Image, *, level: str, progress: Progress | None = None
    ) -> tuple[str, ...]:
        """Compare an image with its manifest; ``progress`` gets the bytes read since the last."""
        return verify_image(image, level=level, progress=progress)

    def trash(self, image: AnyImage) -> AnyImage:
        """Take an image out of sight; ImageNotFoundError if it is gone."""
        return self._move(image, deleted=True)

    def untrash(self, image: AnyImage) -> AnyImage:
        """Bring a deleted image back; ImageNotFoundError if it was expunged."""
        return self._move(image, deleted=False)

    def expunge(self, image: Image | TornImage) -> None:
        """Remove a deleted image for good; takes the lease of its key unless we hold it already.

        Raises:
            RequestError: The image is not deleted.
            ImageNotFoundError: It is gone already.
        """
        if not image.is_deleted:
            raise RequestError(
                f"cannot expunge image '{image.image_id}': it is not deleted",
                hint=f"run 'syscr image delete {image.image_id}' first",
            )
        key = _key_of(image)
        folder = self._require_folder(image)
        path = folder.image_dir(image.image_id, deleted=True)
        held = key in self._held
        with nullcontext() if held else self.lock(key, purpose=f"expunge {image.image_id}"):
            if not os.path.lexists(path):
                raise _gone(image)
            with translated("remove", path):
                remove_tree(path)
                remove_leftovers(folder.trash_dir)

    @contextmanager
    def lock(self, key: StoreKey, *, purpose: str) -> Iterator[tuple[str, ...]]:
        """Hold the exclusive lease of a key."""
        folder = self._folder(key)
        ensure_folder(folder.path)
        with self._locks.hold(folder.locks_dir, what=_what(key), purpose=purpose) as warnings:
            self._held[key] = self._held.get(key, 0) + 1
            try:
                yield warnings
            finally:
                self._held.pop(key, None)

    def find_holder(self, key: StoreKey) -> str:
        """Return who holds the lease of a key, as text for people; empty: nobody."""
        folder = self._folder(key)
        if not require_folder(folder.path, writing=False):
            return ""
        holder = self._locks.find_holder(folder.locks_dir)
        return "" if holder is None else str(holder)

    def drop_leases(self, key: StoreKey, host: str, *, purpose: str) -> tuple[str, ...]:
        """Remove what processes on a host hold of a key for a purpose; returns whose it was."""
        folder = self._folder(key)
        if not require_folder(folder.path, writing=False):
            return ()
        return self._locks.drop_of_host(folder.locks_dir, host, purpose)

    def read_record(self, key: StoreKey, name: str) -> Mapping[str, object] | None:
        """Return a record; ManifestError if it is no JSON object."""
        folder = self._folder(key)
        path = folder.record_path(name)
        if not require_folder(folder.path, writing=False):
            return None
        try:
            value = json.loads(read_whole(path, limit_bytes=_RECORD_LIMIT_BYTES))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate(error, "read", path) from error
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"cannot read record '{show(path)}': {error}") from error
        if not isinstance(value, dict):
            raise ManifestError(f"cannot read record '{show(path)}': not a JSON object")
        return value

    def write_record(self, key: StoreKey, name: str, value: Mapping[str, object]) -> None:
        """Write a record, replacing an older one."""
        path = self._record_place(key, name)
        with translated("write", path):
            atomic.write_atomic(path, _dump(value, path), durable=self._durable)

    def create_record(
        self, key: StoreKey, name: str, value: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Write a record unless there is one; return what is there."""
        path = self._record_place(key, name)
        with translated("write", path):
            atomic.create_atomic(path, _dump(value, path), durable=self._durable)
        found = self.read_record(key, name)
        return value if found is None else found

    def keep_record(self, key: StoreKey, name: str) -> str:
        """Copy a record to a name of its own; it stays until it is removed by hand."""
        path = self._record_place(key, name)
        copy = f"{path}.unreadable-{secrets.token_hex(4)}"
        try:
            data = read_whole(path, limit_bytes=_RECORD_LIMIT_BYTES)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise translate(error, "read", path) from error
        with translated("write", copy):
            atomic.write_atomic(copy, data, durable=self._durable)
        return show(copy)

    def record_path(self, key: StoreKey, name: str) -> str:
        """Return where ``write_record`` writes a record."""
        return self._folder(key).record_path(name)

    def make_folder(self, key: StoreKey, name: str) -> str:
        """Make a private folder ``run/...`` or ``cut/...`` of a line; RequestError for another."""
        folder = self._folder(key)
        path = folder.work_path(name)
        ensure_folder(folder.path)
        make_private_dir(path, parents=True)
        return path

    def folder_path(self, key: StoreKey, name: str) -> str:
        """Return where ``make_folder`` makes its folder."""
        return self._folder(key).work_path(name)

    def read_note(self, key: StoreKey, name: str) -> str | None:
        """Return the text of a small file below such a folder, or None."""
        folder = self._folder(key)
        path = folder.work_path(name)
        if not require_folder(folder.path, writing=False):
            return None
        try:
            data = read_whole(path, limit_bytes=_NOTE_LIMIT_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate(error, "read", path) from error
        return data.decode("utf-8", "surrogateescape")

    def list_notes(self, key: StoreKey, name: str) -> frozenset[str]:
        """Return the names in such a folder; none where it is missing."""
        folder = self._folder(key)
        path = folder.work_path(name)
        if not require_folder(folder.path, writing=False):
            return frozenset()
        try:
            return frozenset(os.listdir(path))
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise translate(error, "read", path) from error

    def _folder(self, key: StoreKey) -> Folder:
        return Folder(self.checkpoint_dir, key)

    def _record_place(self, key: StoreKey, name: str) -> str:
        folder = self._folder(key)
        path = folder.record_path(name)
        ensure_folder(folder.path)
        make_private_dir(folder.records_dir)
        return path

    def _require_folder(self, image: Image | TornImage) -> Folder:
        folder = self._folder(_key_of(image))
        if not require_folder(folder.path, writing=True):
            raise _gone(image)
        return folder

    def _move(self, image: AnyImage, *, deleted: bool) -> AnyImage:
        """Rename an image into or out of the trash."""
        folder = self._require_folder(image)
        source = folder.image_dir(image.image_id, deleted=not deleted)
        target = folder.image_dir(image.image_id, deleted=deleted)
        make_private_dir(folder.trash_dir)
        if os.path.lexists(target):
            raise ImageExistsError(
                f"cannot move image '{image.image_id}': '{show(target)}' exists", path=show(target)
            )
        try:
            os.rename(source, target)
            if self._durable:
                atomic.sync_dir(os.path.dirname(target))
                atomic.sync_dir(os.path.dirname(source))
        except FileNotFoundError as error:
            raise _gone(image) from error
        except OSError as error:
            raise translate(error, "move", source) from error
        return replace(image, path=target, checkpoint_dir=self.checkpoint_dir, is_deleted=deleted)


def _key_of(image: Image | TornImage) -> StoreKey:
    if isinstance(image, TornImage):
        return StoreKey(image.lineage, image.step)
    return StoreKey(image.manifest.lineage, image.manifest.step)


def _what(key: StoreKey) -> str:
    return f"job {key.lineage}" if key.step == "batch" else f"step {key.lineage}.{key.step}"


def _gone(image: Image | TornImage) -> ImageNotFoundError:
    return ImageNotFoundError(f"image '{image.image_id}' is gone: '{show(image.path)}'")


def _dump(value: Mapping[str, object], path: str) -> bytes:
    try:
        return json.dumps(dict(value), sort_keys=True, allow_nan=False).encode("ascii") + b"\n"
    except (TypeError, ValueError) as error:
        raise ManifestError(f"cannot write record '{show(path)}': {error}") from error
