"""Walk and remove directory trees without ever following a link."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from dataclasses import dataclass

from syscr.errors import ImageCorruptError
from syscr.store.access import open_directory, translated
from syscr.store.layout import show

# Not an image id, so never listed; what a killed removal leaves is removed by the next one.
_DOOMED_PREFIX = "removed-"


@dataclass(frozen=True, slots=True)
class Tree:
    """What lies below a directory.

    Attributes:
        sizes: Regular file (relative path) -> size in bytes, sorted by path.
        directories: Directories (relative), parents first; the top is "".
        others: Links, pipes, sockets and devices, sorted.
    """

    sizes: dict[str, int]
    directories: tuple[str, ...]
    others: tuple[str, ...]


def read_tree(root: str, below: str = "") -> Tree:
    """List everything in ``root`` (in its part ``below``); paths are relative to ``root``.

    Raises:
        StoreAccessError: A directory cannot be read, or is a link.
    """
    sizes: dict[str, int] = {}
    directories: list[str] = []
    others: list[str] = []
    pending = [below]
    while pending:
        directory = pending.pop()
        directories.append(directory)
        path = os.path.join(root, directory) if directory else root
        with translated("read", path):
            descriptor = open_directory(path)
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        name = os.path.join(directory, entry.name)
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):
                            pending.append(name)
                        elif stat.S_ISREG(status.st_mode):
                            sizes[name] = status.st_size
                        else:
                            others.append(name)
            finally:
                os.close(descriptor)
    return Tree(dict(sorted(sizes.items())), tuple(directories), tuple(sorted(others)))


def find_files(root: str, below: str = "") -> tuple[str, ...]:
    """Return the regular files of a part of an image, sorted, relative to ``root``.

    Raises:
        ImageCorruptError: There is something else than files and directories.
        StoreAccessError: A directory cannot be read.
    """
    tree = read_tree(root, below)
    if tree.others:
        shown = show(tree.others[0])
        raise ImageCorruptError(
            f"cannot store '{shown}': it is not a regular file",
            others=[show(n) for n in tree.others],
        )
    return tuple(tree.sizes)


def remove_tree(path: str) -> None:
    """Remove a directory for good; missing is no error.

    Contract: it is renamed first, so a removal that is cut short leaves nothing that looks whole.

    Raises:
        OSError: It could not be removed completely.
    """
    parent = os.path.dirname(path)
    doomed = os.path.join(parent, f"{_DOOMED_PREFIX}{os.urandom(8).hex()}")
    try:
        os.rename(path, doomed)
    except FileNotFoundError:
        return
    _remove(doomed)


def remove_leftovers(parent: str) -> None:
    """Finish removals in ``parent`` that were cut short; raises OSError."""
    try:
        names = os.listdir(parent)
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(_DOOMED_PREFIX):
            _remove(os.path.join(parent, name))


def _remove(path: str) -> None:
    """Remove a tree; a tool may have left directories that their owner may not write."""
    for attempt in range(3):
        try:
            shutil.rmtree(path)  # never follows links: it works with descriptors
        except FileNotFoundError:
            return
        except PermissionError:
            if attempt:
                raise
            _open_up(path)
        except OSError as error:
            # Something that still writes there; or another process removes the same tree.
            if error.errno != errno.ENOTEMPTY or attempt == 2:
                raise
        else:
            return


def _open_up(path: str) -> None:
    """Give ourselves access to all directories of a tree."""
    names = [path]
    for name in names:
        os.chmod(name, 0o700)
        with os.scandir(name) as entries:
            names += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
