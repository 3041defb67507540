"""Who may use a folder, and what an operating system error means; the store's edge to the kernel.

Nothing here follows a symbolic link below the checkpoint directory: in a directory that several
users can write, a link or a folder made by somebody else would be a trap.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from syscr.errors import StoreAccessError, StoreError, StoreFullError
from syscr.store.layout import show

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
GONE = frozenset({errno.ENOENT, errno.ESTALE})


def translate(error: OSError, action: str, path: str) -> StoreError:
    """Return our error for one of the operating system; the caller raises it ``from error``.

    Args:
        error: What the system said.
        action: What we could not do: ``write``, ``rename``.
        path: The object.
    """
    shown = show(path)
    cause = error.strerror or str(error)
    kind = StoreFullError if error.errno in _FULL else StoreAccessError
    name = errno.errorcode.get(error.errno or 0)
    return kind(
        f"cannot {action} '{shown}': {cause}", path=shown, errno=error.errno, errno_name=name
    )


@contextmanager
def translated(action: str, path: str) -> Iterator[None]:
    """Turn every OSError of the block into a StoreError."""
    try:
        yield
    except OSError as error:
        raise translate(error, action, path) from error


def make_private_dir(path: str, *, parents: bool = False) -> None:
    """Make a directory (0700) unless it is there; ``parents`` makes missing ones, private as well.

    Raises:
        StoreFullError, StoreAccessError: It could not be made.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError as error:
        parent = os.path.dirname(path)
        if not parents or parent == path:
            raise translate(error, "make directory", path) from error
        make_private_dir(parent, parents=True)
        make_private_dir(path)
    except OSError as error:
        raise translate(error, "make directory", path) from error


def check_folder(path: str, status: os.stat_result, *, writing: bool) -> None:
    """Refuse a folder that another user made or could change.

    Args:
        path: The folder, for the message.
        status: Its status, from a descriptor or without following links.
        writing: Whether it is to be changed. Root may read everybody's folders and change only
            its own.

    Raises:
        StoreAccessError: No directory, somebody else's, or writable for group or others.
    """
    shown = show(path)
    if not stat.S_ISDIR(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a directory"
        raise StoreAccessError(
            f"cannot use '{shown}': it is {kind}", hint=f"remove '{shown}'", path=shown, errno=None
        )
    uid = os.geteuid()
    if status.st_uid != uid and (writing or uid != 0):
        raise StoreAccessError(
            f"cannot use '{shown}': it belongs to {user_name(status.st_uid)}, "
            f"not to {user_name(uid)}",
            hint="use a checkpoint directory of your own with --image-dir or --checkpoint-dir",
            path=shown,
            errno=None,
        )
    if status.st_mode & 0o022:
        raise StoreAccessError(
            f"cannot use '{shown}': others can write to it "
            f"(mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"check what is in it, then run 'chmod 700 {shown}'",
            path=shown,
            errno=None,
        )


def is_own_folder(status: os.stat_result) -> bool:
    """Whether a folder is ours to look at; with root's rights, everybody's is."""
    return status.st_uid == os.geteuid() or os.geteuid() == 0


def require_folder(path: str, *, writing: bool) -> bool:
    """Check a ``.ckpt`` folder.

    Returns:
        False if there is none.

    Raises:
        StoreAccessError: It is not to be trusted, or could not be looked at.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise translate(error, "look at", path) from error
    check_folder(path, status, writing=writing)
    return True


def ensure_folder(path: str) -> None:
    """Make a ``.ckpt`` folder, and the checkpoint directory above it, unless they are there.

    Raises:
        StoreAccessError: It cannot be made, or is not to be trusted.
    """
    make_private_dir(path, parents=True)
    require_folder(path, writing=True)
    parent = os.path.dirname(path)
    with translated("look at", parent):
        mode = os.stat(parent).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise StoreAccessError(
            f"cannot use '{show(parent)}': everybody can replace what is in it "
            f"(mode {stat.S_IMODE(mode):04o}, no sticky bit)",
            hint=f"run 'chmod +t {show(parent)}', or use another checkpoint directory",
            path=show(parent),
            errno=None,
        )


def open_directory(path: str) -> int:
    """Return a descriptor of a directory that is no link; raises OSError."""
    return os.open(path, _DIRECTORY_FLAGS)


def open_file(path: str, *, dir_fd: int | None = None) -> int:
    """Return a descriptor for reading; follows no link, waits for no pipe; raises OSError."""
    return os.open(path, _FILE_FLAGS, dir_fd=dir_fd)


def read_whole(path: str, *, limit_bytes: int, dir_fd: int | None = None) -> bytes:
    """Return the bytes of a small regular file, looked up in ``dir_fd`` if that is given.

    Raises:
        OSError: It cannot be read, is no regular file or larger than ``limit_bytes``.
    """
    descriptor = open_file(path, dir_fd=dir_fd)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > limit_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        chunks = []
        while chunk := os.read(descriptor, 1 << 20):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def free_bytes(path: str) -> int | None:
    """Return what a user can still write below ``path``; None if the system does not say."""
    with translated("look at", path):
        status = os.statvfs(path)
    return status.f_bavail * status.f_frsize if status.f_blocks else None


def user_name(uid: int) -> str:
    """Return a user for a message: ``user 'alice'``, or the number where there is no name."""
    try:
        return f"user '{pwd.getpwuid(uid).pw_name}'"
    except KeyError:
        return f"uid {uid}"
