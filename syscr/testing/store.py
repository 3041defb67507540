"""``FakeStore``: the Store port in memory, under the same contract as the real one.

Without ``checks_files`` it believes what a manifest says about files, so that a test need not write
any. Failures are arranged with ``failures`` (the next call of a method raises) and ``damage`` (what
``verify`` says of an image).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from syscr.errors import (
    ImageCorruptError,
    ImageExistsError,
    ImageNotFoundError,
    ManifestError,
    RequestError,
    StoreFullError,
    StoreLockedError,
    SyscrError,
)
from syscr.model import Image, Manifest, TornImage
from syscr.ports import AnyImage, Clock, StoreKey
from syscr.store.layout import (
    Folder,
    StagingName,
    check_image_id,
    check_name,
    is_image_prefix,
    new_image_id,
    parse_staging_path,
    show,
)
from syscr.store.manifest import format_manifest, parse_manifest
from syscr.store.tree import Tree
from syscr.store.verify import LEVELS, compare_sizes
from syscr.testing.clock import FakeClock

FREE_BYTES = 1 << 40


@dataclass
class _Folder:
    """Content of one ``.ckpt`` folder."""

    live: dict[str, Image] = field(default_factory=dict)
    trash: dict[str, Image] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    torn: dict[tuple[str, bool], TornImage] = field(default_factory=dict)
    holder: str = ""


class FakeStore:
    """Images in memory.

    Attributes:
        checkpoint_dir: Name of the directory; nothing is there.
        checks_files: Whether files must have been written with ``write_file``.
        free_bytes: Space that ``open_staging`` finds.
        failures: Method name -> error that its next call raises.
        damage: Image id -> what ``verify`` says of it.
        unreadable: Warnings that ``list_images`` returns.
        calls: Methods that changed something, in order.
    """

    def __init__(
        self,
        checkpoint_dir: str = "/fake/checkpoints",
        *,
        clock: Clock | None = None,
        checks_files: bool = False,
    ) -> None:
        """Make an empty store."""
        self.checkpoint_dir = checkpoint_dir
        self.checks_files = checks_files
        self.free_bytes = FREE_BYTES
        self.failures: dict[str, SyscrError] = {}
        self.damage: dict[str, tuple[str, ...]] = {}
        self.unreadable: tuple[str, ...] = ()
        self.calls: list[str] = []
        self.files: dict[str, dict[str, bytes]] = {}
        self._clock: Clock = clock or FakeClock()
        self._folders: dict[StoreKey, _Folder] = {}
        self._made_ids = 0

    def write_file(self, directory: str, path: str, data: bytes) -> None:
        """Write (or alter) a file of a staging directory or of an image, as a tool would."""
        self.files.setdefault(directory, {})[path] = data

    def add_image(self, manifest: Manifest) -> Image:
        """Put an image in place without publishing; returns it."""
        folder = Folder(self.checkpoint_dir, StoreKey(manifest.lineage, manifest.step))
        image = Image(manifest, folder.image_dir(manifest.image_id), self.checkpoint_dir)
        self._at(folder.key).live[manifest.image_id] = image
        return image

    def tear(self, image: Image) -> None:
        """Let an image, published or deleted, lose its manifest."""
        key = _key_of(image)
        content = self._require(image, deleted=image.is_deleted)
        del (content.trash if image.is_deleted else content.live)[image.image_id]
        content.torn[image.image_id, image.is_deleted] = TornImage(
            image.image_id,
            key.lineage,
            key.step,
            image.path,
            self.checkpoint_dir,
            f"'{image.path}' is no image: it has no manifest",
            image.is_deleted,
        )

    def hold_by_other(self, key: StoreKey, holder: str) -> None:
        """Let another process hold the lease of a key; an empty text gives it back."""
        self._at(key).holder = holder

    def write_note(self, key: StoreKey, name: str, text: str) -> None:
        """Write a small file as a launcher would."""
        Folder(self.checkpoint_dir, key).work_path(name)
        self._at(key).notes[name] = text

    def new_image_id(self) -> str:
        """Return an id that counts up."""
        self._made_ids += 1
        return new_image_id(self._clock.now(), f"{self._made_ids:08x}")

    def open_staging(self, key: StoreKey, image_id: str, *, needed_bytes: int) -> str:
        """Make a staging directory."""
        self._note("open_staging")
        check_image_id(image_id)
        folder = self._at(key)
        path = Folder(self.checkpoint_dir, key).staging_path(StagingName(image_id, "fake", 1))
        if image_id in folder.live or image_id in folder.trash or path in self.files:
            raise ImageExistsError(f"image '{image_id}' exists already")
        if needed_bytes > self.free_bytes:
            raise StoreFullError(
                f"not enough space in '{self.checkpoint_dir}'",
                needed_bytes=needed_bytes,
                free_bytes=self.free_bytes,
            )
        self.files[path] = {}
        return path

    def add_probe(self, staging_dir: str, name: str) -> None:
        """Write an empty file into staging."""
        parse_staging_path(self.checkpoint_dir, staging_dir)
        self.write_file(staging_dir, check_name(name), b"")

    def remove_probe(self, staging_dir: str, name: str) -> None:
        """Remove it again."""
        parse_staging_path(self.checkpoint_dir, staging_dir)
        self.files.get(staging_dir, {}).pop(check_name(name), None)

    def publish(self, staging_dir: str, manifest: Manifest) -> Image:
        """Make the image visible."""
        self._note("publish")
        folder, name = parse_staging_path(self.checkpoint_dir, staging_dir)
        if (name.image_id, folder.key) != (
            manifest.image_id,
            StoreKey(manifest.lineage, manifest.step),
        ):
            raise RequestError(f"'{staging_dir}' is the staging directory of another image")
        parse_manifest(format_manifest(manifest), path=staging_dir)
        content = self._at(folder.key)
        if manifest.image_id in content.live or manifest.image_id in content.trash:
            raise ImageExistsError(f"image '{manifest.image_id}' exists already")
        differences = self._differences(staging_dir, manifest)
        if differences:
            raise ImageCorruptError(
                f"cannot publish image '{manifest.image_id}'", differences=list(differences)
            )
        image = self.add_image(manifest)
        self.files[image.path] = self.files.pop(staging_dir)
        return image

    def discard_staging(self, staging_dir: str) -> None:
        """Remove a staging directory."""
        self._note("discard_staging")
        parse_staging_path(self.checkpoint_dir, staging_dir)
        self.files.pop(staging_dir, None)

    def list_images(
        self, *, key: StoreKey | None = None, deleted: bool = False
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        """Return the images, oldest first."""
        self._fail("list_images")
        images = [
            image
            for found, content in self._folders.items()
            if key in (None, found)
            for image in (content.trash if deleted else content.live).values()
        ]
        images.sort(key=lambda image: (image.manifest.created_at, image.image_id))
        torn = self._list_torn(key, deleted=deleted)
        return tuple(images), (*self.unreadable, *(one.reason for one in torn))

    def find_keys(self, lineage: str | None = None) -> tuple[StoreKey, ...]:
        """Return the keys that something was done with."""
        self._fail("find_keys")
        keys = [key for key in self._folders if lineage in (None, key.lineage)]
        return tuple(sorted(keys, key=_key_order))

    def get_image(self, image_id: str, *, deleted: bool = False) -> Image:
        """Return an image by id or prefix."""
        self._fail("get_image")
        found = self._find(image_id, deleted=deleted)
        if isinstance(found, TornImage):
            raise ManifestError(found.reason)
        return found

    def list_torn(self, *, deleted: bool = False) -> tuple[TornImage, ...]:
        """Return what ``tear`` has made."""
        return self._list_torn(None, deleted=deleted)

    def get_torn(self, image_id: str, *, deleted: bool = False) -> TornImage:
        """Return one of these."""
        found = self._find(image_id, deleted=deleted)
        if isinstance(found, Image):
            raise ImageNotFoundError(f"image '{found.image_id}' is whole")
        return found

    def verify(
        self, image: Image, *, level: str, progress: Callable[[int], None] | None = None
    ) -> tuple[str, ...]:
        """Return what ``damage`` says, or compare the files that were written."""
        if progress is not None:
            progress(image.manifest.size_bytes)
        self._fail("verify")
        if level not in LEVELS:
            raise RequestError(f"not a verification level: '{level}'")
        self._require(image, deleted=image.is_deleted)
        if image.image_id in self.damage:
            return self.damage[image.image_id]
        differences = self._differences(image.path, image.manifest)
        if differences or level == "sizes" or not self.checks_files:
            return differences
        return tuple(
            f"{file.path}: its digest differs"
            for file in image.manifest.files
            if hashlib.sha256(self.files[image.path][file.path]).hexdigest() != file.digest
        )

    def trash(self, image: AnyImage) -> AnyImage:
        """Take an image out of sight."""
        self._note("trash")
        return self._move(image, deleted=True)

    def untrash(self, image: AnyImage) -> AnyImage:
        """Bring a deleted image back."""
        self._note("untrash")
        return self._move(image, deleted=False)

    def expunge(self, image: Image | TornImage) -> None:
        """Remove a deleted image for good."""
        self._note("expunge")
        if not image.is_deleted:
            raise RequestError(f"cannot expunge image '{image.image_id}': it is not deleted")
        content = self._require(image, deleted=True)
        if isinstance(image, TornImage):
            del content.torn[image.image_id, True]
        else:
            del content.trash[image.image_id]
        self.files.pop(image.path, None)

    @contextmanager
    def lock(self, key: StoreKey, *, purpose: str) -> Iterator[tuple[str, ...]]:
        """Hold the lease of a key."""
        self._note("lock")
        folder = self._at(key)
        if folder.holder:
            raise StoreLockedError(f"cannot lock job {key.lineage}: held by {folder.holder}")
        folder.holder = f"this test ({purpose})"
        try:
            yield ()
        finally:
            folder.holder = ""

    def drop_leases(self, key: StoreKey, host: str, *, purpose: str) -> tuple[str, ...]:
        """Remove a holder ``... on HOST (PURPOSE)``."""
        folder = self._at(key)
        if not folder.holder.endswith(f"on {host} ({purpose})"):
            return ()
        dropped, folder.holder = (folder.holder,), ""
        return dropped

    def find_holder(self, key: StoreKey) -> str:
        """Return who holds the lease of a key; empty: nobody."""
        return self._at(key).holder

    def read_record(self, key: StoreKey, name: str) -> Mapping[str, object] | None:
        """Return a record, or None."""
        self._fail("read_record")
        Folder(self.checkpoint_dir, key).record_path(name)
        text = self._folders.get(key, _Folder()).records.get(name)
        try:
            return None if text is None else dict(json.loads(text))
        except ValueError as error:
            raise ManifestError(
                f"cannot read record '{self.record_path(key, name)}': {error}"
            ) from error

    def spoil_record(self, key: StoreKey, name: str, text: str = "{") -> None:
        """Let a record be something that cannot be read."""
        self._at(key).records[name] = text

    def keep_record(self, key: StoreKey, name: str) -> str:
        """Copy a record to a name of its own."""
        records = self._at(key).records
        if name not in records:
            return ""
        copy = f"{name}.unreadable-{len(records)}"
        records[copy] = records[name]
        return f"{self.record_path(key, name)}{copy.removeprefix(name)}"

    def write_record(self, key: StoreKey, name: str, value: Mapping[str, object]) -> None:
        """Write a record."""
        self._note("write_record")
        Folder(self.checkpoint_dir, key).record_path(name)
        self._at(key).records[name] = json.dumps(dict(value))

    def create_record(
        self, key: StoreKey, name: str, value: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Write a record unless there is one; return what is there."""
        self._note("create_record")
        Folder(self.checkpoint_dir, key).record_path(name)
        text = self._at(key).records.setdefault(name, json.dumps(dict(value)))
        return dict(json.loads(text))

    def record_path(self, key: StoreKey, name: str) -> str:
        """Return the path of a record; there is no file."""
        return Folder(self.checkpoint_dir, key).record_path(name)

    def make_folder(self, key: StoreKey, name: str) -> str:
        """Return the path of a folder; nothing is made."""
        path = Folder(self.checkpoint_dir, key).work_path(name)
        self._at(key)
        return path

    def folder_path(self, key: StoreKey, name: str) -> str:
        """Return the path of a folder."""
        return Folder(self.checkpoint_dir, key).work_path(name)

    def read_note(self, key: StoreKey, name: str) -> str | None:
        """Return what ``write_note`` wrote, or None."""
        Folder(self.checkpoint_dir, key).work_path(name)
        return self._folders.get(key, _Folder()).notes.get(name)

    def list_notes(self, key: StoreKey, name: str) -> frozenset[str]:
        """Return the names of the notes in a folder."""
        Folder(self.checkpoint_dir, key).work_path(name)
        start = f"{name}/"
        notes = self._folders.get(key, _Folder()).notes
        return frozenset(note[len(start) :] for note in notes if note.startswith(start))

    def _at(self, key: StoreKey) -> _Folder:
        _ = Folder(self.checkpoint_dir, key).path  # refuses what is no job and step
        return self._folders.setdefault(key, _Folder())

    def _fail(self, method: str) -> None:
        error = self.failures.pop(method, None)
        if error is not None:
            raise error

    def _note(self, method: str) -> None:
        self._fail(method)
        self.calls.append(method)

    def _differences(self, directory: str, manifest: Manifest) -> tuple[str, ...]:
        if not self.checks_files:
            return ()
        sizes = {path: len(data) for path, data in self.files.get(directory, {}).items()}
        return compare_sizes(Tree(sizes, (), ()), manifest.files)

    def _list_torn(self, key: StoreKey | None, *, deleted: bool) -> tuple[TornImage, ...]:
        return tuple(
            torn
            for found in sorted(self._folders, key=_key_order)
            if key in (None, found)
            for (_, is_deleted), torn in sorted(self._folders[found].torn.items())
            if is_deleted == deleted
        )

    def _find(self, image_id: str, *, deleted: bool) -> Image | TornImage:
        entries: list[Image | TornImage] = [*self.list_images(deleted=deleted)[0]]
        entries += self._list_torn(None, deleted=deleted)
        matches = [entry for entry in entries if entry.image_id.startswith(image_id)]
        if not is_image_prefix(image_id) or len(matches) != 1:
            ids = [entry.image_id for entry in matches]
            raise ImageNotFoundError(
                f"no image '{show(image_id)}', or not unique: {ids}", matches=ids
            )
        return matches[0]

    def _require(self, image: Image | TornImage, *, deleted: bool) -> _Folder:
        content = self._at(_key_of(image))
        if isinstance(image, TornImage):
            is_there = (image.image_id, deleted) in content.torn
        else:
            is_there = image.image_id in (content.trash if deleted else content.live)
        if not is_there:
            raise ImageNotFoundError(f"image '{image.image_id}' is gone")
        return content

    def _move(self, image: AnyImage, *, deleted: bool) -> AnyImage:
        content: _Folder = self._require(image, deleted=not deleted)
        taken = content.trash if deleted else content.live
        if image.image_id in taken or (image.image_id, deleted) in content.torn:
            raise ImageExistsError(f"cannot move image '{image.image_id}': its place is taken")
        path = Folder(self.checkpoint_dir, _key_of(image)).image_dir(
            image.image_id, deleted=deleted
        )
        moved = replace(image, path=path, is_deleted=deleted)
        if isinstance(moved, TornImage):
            del content.torn[image.image_id, not deleted]
            content.torn[image.image_id, deleted] = moved
        else:
            (content.trash if deleted else content.live)[image.image_id] = moved
            del (content.live if deleted else content.trash)[image.image_id]
        self.files[path] = self.files.pop(image.path, {})
        return moved


def _key_of(image: Image | TornImage) -> StoreKey:
    if isinstance(image, TornImage):
        return StoreKey(image.lineage, image.step)
    return StoreKey(image.manifest.lineage, image.manifest.step)


def _key_order(key: StoreKey) -> tuple[int, int, str]:
    return (int(key.lineage), int(key.step) if key.step.isdigit() else -1, key.step)
