"""Does an image on disk still agree with its manifest?"""

from __future__ import annotations

import os
from collections.abc import Sequence

from syscr.errors import ImageCorruptError, ImageNotFoundError, ManifestError, RequestError
from syscr.model import Image, ImageFile
from syscr.store.access import translate
from syscr.store.digest import Progress, digest_files
from syscr.store.layout import MANIFEST_NAME, show
from syscr.store.manifest import read_manifest
from syscr.store.tree import Tree, read_tree

LEVELS = ("sizes", "digests")


def verify_image(image: Image, *, level: str, progress: Progress | None = None) -> tuple[str, ...]:
    """Compare an image with its manifest, read afresh; see ``ports.Store.verify``.

    Args:
        image: Published or deleted image.
        level: ``sizes`` looks at names and sizes, ``digests`` reads every byte.
        progress: Called with the bytes read since the last call, from one thread at a time.

    Returns:
        What differs, one line each.

    Raises:
        ImageNotFoundError: It is not there any more.
        StoreAccessError: It cannot be read for another reason than a fault of the image.
        ToolMissingError: Its digests cannot be computed here, which says nothing of the image.
        RequestError: No such level.
    """
    if level not in LEVELS:
        raise RequestError(
            f"not a verification level: '{show(level)}'", hint="use sizes or digests"
        )
    path = os.path.join(image.path, MANIFEST_NAME)
    try:
        manifest = read_manifest(path)
    except ManifestError as error:
        return (error.message,)
    except OSError as error:
        if os.path.isdir(image.path):
            return (translate(error, "read manifest", path).message,)
        raise ImageNotFoundError(
            f"image '{image.image_id}' is gone: '{show(image.path)}'"
        ) from error
    if manifest != image.manifest:
        return (f"{MANIFEST_NAME}: differs from what was read before",)
    differences = compare_sizes(read_tree(image.path), manifest.files)
    if differences or level == "sizes":
        return differences
    return _compare_digests(image.path, manifest.files, manifest.digest_algorithm, progress)


def compare_sizes(tree: Tree, files: Sequence[ImageFile]) -> tuple[str, ...]:
    """Compare names and sizes; pure. The manifest itself is expected besides ``files``.

    Returns:
        One line for each file that differs, by path.
    """
    lines = [f"{show(path)}: not a regular file" for path in tree.others]
    expected = {file.path: file.size_bytes for file in files}
    for path, size in expected.items():
        found = tree.sizes.get(path)
        if found is None:
            lines.append(f"{show(path)}: missing")
        elif found != size:
            lines.append(f"{show(path)}: {found} bytes, manifest says {size} bytes")
    lines += [
        f"{show(path)}: not in the manifest"
        for path in tree.sizes
        if path not in expected and path != MANIFEST_NAME
    ]
    return tuple(sorted(lines))


def _compare_digests(
    root: str, files: Sequence[ImageFile], algorithm: str, progress: Progress | None
) -> tuple[str, ...]:
    try:
        digests = digest_files(
            root, [file.path for file in files], algorithm=algorithm, progress=progress
        )
    except ImageCorruptError as error:
        return (error.message,)
    return tuple(
        f"{show(file.path)}: its {algorithm} digest differs"
        for file in files
        if digests[file.path] != file.digest
    )
