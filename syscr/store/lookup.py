"""One image by its id, or by the beginning of it; its manifest is read whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from syscr.errors import ImageNotFoundError, ManifestError, StoreAccessError
from syscr.model import Image, TornImage
from syscr.store.access import check_folder, is_own_folder, translate, translated
from syscr.store.catalogue import describe_torn, find_folders, no_manifest
from syscr.store.layout import MANIFEST_NAME, Folder, is_image_id, is_image_prefix, show
from syscr.store.manifest import check_place, read_manifest

_SHOWN_MATCHES = 10


def get_image(checkpoint_dir: str, text: str, *, deleted: bool) -> Image:
    """Return one image; see ``ports.Store.get_image``.

    Raises:
        StoreNotFoundError: There is no such checkpoint directory.
        ImageNotFoundError: No image fits, or several do.
        ManifestError: It has no manifest, or one that is not valid.
    """
    folder, image_id = _find_one(checkpoint_dir, text, deleted=deleted)
    image_dir = folder.image_dir(image_id, deleted=deleted)
    path = os.path.join(image_dir, MANIFEST_NAME)
    try:
        manifest = read_manifest(path)
    except FileNotFoundError as error:
        if os.path.isdir(image_dir):
            raise no_manifest(folder, image_id, image_dir, deleted=deleted) from error
        raise _not_found(checkpoint_dir, text, deleted=deleted, elsewhere=False) from error
    except OSError as error:
        raise translate(error, "read", path) from error
    check_place(manifest, image_id=image_id, key=folder.key, path=path)
    return Image(manifest, image_dir, checkpoint_dir, is_deleted=deleted)


def get_torn(checkpoint_dir: str, text: str, *, deleted: bool) -> TornImage:
    """Return what lies in the place of an image and is none; see ``ports.Store.get_torn``."""
    try:
        image = get_image(checkpoint_dir, text, deleted=deleted)
    except ManifestError as error:
        folder, image_id = _find_one(checkpoint_dir, text, deleted=deleted)
        image_dir = folder.image_dir(image_id, deleted=deleted)
        torn = describe_torn(folder, image_id, image_dir, error.message, deleted=deleted)
        if torn is None:
            raise
        return torn
    raise ImageNotFoundError(f"image '{image.image_id}' is whole: '{show(image.path)}'")


def _find_one(checkpoint_dir: str, text: str, *, deleted: bool) -> tuple[Folder, str]:
    """Return folder and id of the only entry that fits; ImageNotFoundError: none or several."""
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
    return matches[0]


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
