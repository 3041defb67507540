"""What images there are: reads manifests and nothing else, while others publish and delete.

Listing everything reads only the head of each manifest; listing one folder, or getting one image,
reads them whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from syscr.errors import ImageNotFoundError, ManifestError, StoreAccessError, StoreNotFoundError
from syscr.model import Image, Manifest
from syscr.ports import StoreKey
from syscr.store.access import (
    GONE,
    check_folder,
    is_own_folder,
    open_directory,
    require_folder,
    translate,
    translated,
)
from syscr.store.layout import (
    MANIFEST_NAME,
    Folder,
    is_image_id,
    is_image_prefix,
    parse_folder_name,
    show,
)
from syscr.store.manifest import check_place, read_manifest, read_summary

_SHOWN_MATCHES = 10


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


def get_image(checkpoint_dir: str, text: str, *, deleted: bool) -> Image:
    """Return one image, its manifest read whole; see ``ports.Store.get_image``.

    Raises:
        StoreNotFoundError: There is no such checkpoint directory.
        ImageNotFoundError: No image fits, or several do.
        ManifestError: Its manifest is not valid.
    """
    if not is_image_prefix(text):
        raise ImageNotFoundError(
            f"not an image id: '{show(text)}'",
            hint="give an id of 'syscr image list'; it may be cut behind its 'T'",
        )
    live, trashed = _find_matches(checkpoint_dir, text)
    matches = trashed if deleted else live
    if not matches:
        raise _not_found(checkpoint_dir, text, deleted=deleted, elsewhere=bool(live or trashed))
    if len(matches) > 1:
        ids = sorted(image_id for _, image_id in matches)
        more = f" and {len(ids) - _SHOWN_MATCHES} more" if len(ids) > _SHOWN_MATCHES else ""
        raise ImageNotFoundError(
            f"image '{text}' is not unique: it may be {', '.join(ids[:_SHOWN_MATCHES])}{more}",
            hint="write more of the id",
            matches=ids,
        )
    [(folder, image_id)] = matches
    path = os.path.join(folder.image_dir(image_id, deleted=deleted), MANIFEST_NAME)
    try:
        manifest = read_manifest(path)
    except FileNotFoundError as error:
        raise _not_found(checkpoint_dir, text, deleted=deleted, elsewhere=False) from error
    except OSError as error:
        raise translate(error, "read", path) from error
    check_place(manifest, image_id=image_id, key=folder.key, path=path)
    return Image(manifest, os.path.dirname(path), checkpoint_dir, is_deleted=deleted)


def _not_found(
    checkpoint_dir: str, text: str, *, deleted: bool, elsewhere: bool
) -> ImageNotFoundError:
    kind = "deleted image" if deleted else "image"
    hint = None
    if elsewhere:
        hint = (
            "it is not deleted; see 'syscr image list'"
            if deleted
            else f"it was deleted; bring it back with 'syscr image undelete {text}'"
        )
    return ImageNotFoundError(f"no {kind} '{text}' in '{show(checkpoint_dir)}'", hint=hint)


class _Reader:
    """Collects images and warnings over several folders."""

    def __init__(self, checkpoint_dir: str, *, whole: bool, deleted: bool) -> None:
        self.images: list[Image] = []
        self.warnings: list[str] = []
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
            self.warnings.append(error.message)
        except OSError as error:
            self.warnings.append(translate(error, "read", path).message)
        else:
            image = Image(manifest, image_dir, self._checkpoint_dir, self._deleted)
            self.images.append(image)

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


def _find_matches(
    checkpoint_dir: str, prefix: str
) -> tuple[list[tuple[Folder, str]], list[tuple[Folder, str]]]:
    """Return (folder, image id) of what begins with ``prefix``: published, deleted."""
    live: list[tuple[Folder, str]] = []
    trashed: list[tuple[Folder, str]] = []
    for folder in find_folders(checkpoint_dir):
        try:
            status = os.lstat(folder.path)
            if not is_own_folder(status):
                continue
            check_folder(folder.path, status, writing=False)
        except (OSError, StoreAccessError):
            continue  # the images in it are not to be trusted, so they are not found
        live += ((folder, name) for name in _matching(folder.path, prefix))
        trashed += ((folder, name) for name in _matching(folder.trash_dir, prefix))
    return live, trashed


def _matching(directory: str, prefix: str) -> Iterator[str]:
    try:
        with translated("read", directory):
            names: Iterable[str] = os.listdir(directory)
    except StoreAccessError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return
        raise
    yield from (name for name in names if name.startswith(prefix) and is_image_id(name))


def _is_foreign(path: str) -> bool:
    try:
        return not is_own_folder(os.lstat(path))
    except OSError:
        return False


def _key_order(key: StoreKey) -> tuple[int, int, str]:
    return (int(key.lineage), int(key.step) if key.step.isdigit() else -1, key.step)


def _image_order(image: Image) -> tuple[object, ...]:
    return (image.manifest.created_at, image.manifest.image_id)
