"""What images there are: reads manifests and nothing else, while others publish and delete.

Listing everything reads only the head of each manifest; listing one folder reads them whole, and so
does ``lookup.py``, which gets one image.
"""

from __future__ import annotations

import os
import shlex
import stat

from syscr.errors import ManifestError, StoreAccessError, StoreNotFoundError
from syscr.model import Image, Manifest, TornImage
from syscr.ports import StoreKey
from syscr.store.access import (
    GONE,
    check_folder,
    is_own_folder,
    open_directory,
    require_folder,
    translate,
)
from syscr.store.layout import (
    MANIFEST_NAME,
    Folder,
    is_image_id,
    parse_folder_name,
    show,
)
from syscr.store.manifest import check_place, read_manifest, read_summary


def find_folders(checkpoint_dir: str) -> tuple[Folder, ...]:
    """Return everybody's ``.ckpt`` folders, sorted by job and step.

    Raises:
        StoreNotFoundError: There is no such checkpoint directory.
        StoreAccessError: It cannot be read.
    """
    try:
        names = os.listdir(checkpoint_dir)
    except FileNotFoundError as error:
        shown = show(checkpoint_dir)
        raise StoreNotFoundError(
            f"cannot read checkpoint directory '{shown}': there is none", path=shown
        ) from error
    except OSError as error:
        raise translate(error, "read checkpoint directory", checkpoint_dir) from error
    keys = filter(None, map(parse_folder_name, names))
    return tuple(Folder(checkpoint_dir, key) for key in sorted(keys, key=_key_order))


def find_keys(checkpoint_dir: str, lineage: str | None) -> tuple[StoreKey, ...]:
    """Return the keys whose folders are ours; see ``ports.Store.find_keys``."""
    found = []
    for folder in find_folders(checkpoint_dir):
        if lineage is not None and folder.key.lineage != lineage:
            continue
        try:
            if is_own_folder(os.lstat(folder.path)):
                found.append(folder.key)
        except OSError as error:
            if error.errno not in GONE:
                raise translate(error, "look at", folder.path) from error
    return tuple(found)


def list_images(
    checkpoint_dir: str, *, key: StoreKey | None, deleted: bool
) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """Return images, oldest first, and warnings; see ``ports.Store.list_images``.

    Contract: with ``key`` the manifests are read whole and the folder must be trustworthy. Without
    it folders of other users are passed over in silence, and the longer parts of a manifest
    (``manifest.HEAVY``) are read when first asked for, which may raise ManifestError.
    """
    reader = _Reader(checkpoint_dir, whole=key is not None, deleted=deleted)
    if key is not None:
        folder = Folder(checkpoint_dir, key)
        if require_folder(folder.path, writing=False):
            reader.read(folder)
        elif not os.path.isdir(checkpoint_dir):
            find_folders(checkpoint_dir)  # raises what is the matter
    else:
        for folder in find_folders(checkpoint_dir):
            reader.read_if_own(folder)
    reader.images.sort(key=_image_order)
    return tuple(reader.images), tuple(reader.warnings)


def list_torn(checkpoint_dir: str, *, deleted: bool) -> tuple[TornImage, ...]:
    """Return what lies in the place of an image and is none, in folders of our own."""
    reader = _Reader(checkpoint_dir, whole=False, deleted=deleted)
    for folder in find_folders(checkpoint_dir):
        reader.read_if_own(folder)
    return tuple(sorted(reader.torn, key=lambda torn: torn.path))


def no_manifest(folder: Folder, image_id: str, image_dir: str, *, deleted: bool) -> ManifestError:
    """Return what is wrong with a folder that looks like an image and has no manifest."""
    shown = show(image_dir)
    command = f"syscr image delete {image_id}"
    if deleted:
        command = "syscr image prune --expunge"
    place = shlex.quote(show(folder.checkpoint_dir))
    return ManifestError(
        f"'{shown}' is no image: it has no manifest, as a copy that was cut off",
        hint=f"remove it with '{command} --image-dir {place}'",
        path=shown,
    )


def describe_torn(
    folder: Folder, image_id: str, image_dir: str, reason: str, *, deleted: bool
) -> TornImage | None:
    """Return the torn image that a folder is; None: it is no folder, but a link say."""
    try:
        if not stat.S_ISDIR(os.lstat(image_dir).st_mode):
            return None
    except OSError:
        return None
    key = folder.key
    return TornImage(
        image_id, key.lineage, key.step, image_dir, folder.checkpoint_dir, reason, deleted
    )


class _Reader:
    """Collects images and warnings over several folders."""

    def __init__(self, checkpoint_dir: str, *, whole: bool, deleted: bool) -> None:
        self.images: list[Image] = []
        self.warnings: list[str] = []
        self.torn: list[TornImage] = []
        self._checkpoint_dir = checkpoint_dir
        self._whole = whole
        self._deleted = deleted

    def read_if_own(self, folder: Folder) -> None:
        """Read a folder unless it is another user's; what is wrong becomes a warning."""
        try:
            self.read(folder, skip_foreign=True)
        except StoreAccessError as error:
            self.warnings.append(error.message)

    def read(self, folder: Folder, *, skip_foreign: bool = False) -> None:
        """Read a folder; a vanished one is empty.

        Raises:
            StoreAccessError: It cannot be read or is not to be trusted.
        """
        path = folder.path
        try:
            descriptor = open_directory(path)
        except OSError as error:
            if error.errno in GONE or (skip_foreign and _is_foreign(path)):
                return
            raise translate(error, "read", path) from error
        try:
            status = os.fstat(descriptor)
            if skip_foreign and not is_own_folder(status):
                return
            check_folder(path, status, writing=False)
            self._read_entries(folder, descriptor)
        finally:
            os.close(descriptor)

    def _read_entries(self, folder: Folder, descriptor: int) -> None:
        parent = folder.trash_dir if self._deleted else folder.path
        before = "trash/" if self._deleted else ""
        try:
            names = os.listdir(parent if self._deleted else descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise translate(error, "read", parent) from error
        for name in names:
            if is_image_id(name):
                image_dir = f"{parent}/{name}"
                inner = f"{before}{name}/{MANIFEST_NAME}"
                self._read_image(folder, name, image_dir, (descriptor, inner))

    def _read_image(
        self, folder: Folder, image_id: str, image_dir: str, place: tuple[int, str]
    ) -> None:
        path = f"{image_dir}/{MANIFEST_NAME}"
        try:
            manifest = self._read_manifest(path, place)
            if manifest is None:
                return
            check_place(manifest, image_id=image_id, key=folder.key, path=path)
        except ManifestError as error:
            self._add_torn(folder, image_id, image_dir, error)
        except FileNotFoundError:
            if os.path.isdir(image_dir):
                fault = no_manifest(folder, image_id, image_dir, deleted=self._deleted)
                self._add_torn(folder, image_id, image_dir, fault, advice=fault.hint)
        except OSError as error:
            self.warnings.append(translate(error, "read", path).message)
        else:
            image = Image(manifest, image_dir, self._checkpoint_dir, self._deleted)
            self.images.append(image)

    def _add_torn(
        self,
        folder: Folder,
        image_id: str,
        image_dir: str,
        error: ManifestError,
        *,
        advice: str = "",
    ) -> None:
        self.warnings.append(f"{error.message}; {advice}" if advice else error.message)
        torn = describe_torn(folder, image_id, image_dir, error.message, deleted=self._deleted)
        self.torn += [torn] if torn is not None else []

    def _read_manifest(self, path: str, place: tuple[int, str]) -> Manifest | None:
        """Return a manifest, or None where its image is gone by now."""
        try:
            if self._whole:
                return read_manifest(path)
            return read_summary(path, dir_fd=place[0], name=place[1])
        except OSError as error:
            if error.errno not in GONE:
                raise
            return _read_held(path)


def _read_held(path: str) -> Manifest | None:
    """Read a manifest with a hold on its directory, which may move meanwhile; None: it is gone."""
    try:
        descriptor = open_directory(os.path.dirname(path))
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    try:
        return read_manifest(path, dir_fd=descriptor, name=MANIFEST_NAME)
    finally:
        os.close(descriptor)


def _is_foreign(path: str) -> bool:
    try:
        return not is_own_folder(os.lstat(path))
    except OSError:
        return False


def _key_order(key: StoreKey) -> tuple[int, int, str]:
    return (int(key.lineage), int(key.step) if key.step.isdigit() else -1, key.step)


def _image_order(image: Image) -> tuple[object, ...]:
    return (image.manifest.created_at, image.manifest.image_id)
