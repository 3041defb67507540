"""Files that are there completely or not at all, also after a crash.

Write under a temporary name, sync, rename, sync the directory. Errors are those of the operating
system; callers translate them (``access.translated``).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os

from syscr.store.layout import TEMPORARY_PREFIX, show

log = logging.getLogger(__name__)

# What fsync says of a directory on file systems that have nothing to sync there.
# Source: fsync(2), Linux man-pages 6.9: "EINVAL fd is bound to a special file ... which does not
# support synchronization"; FUSE servers without fsyncdir and SMB answer ENOTSUP. Checked 2026-11.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})
# File systems without hard links (FUSE, SMB, FAT). Source: link(2), EPERM; checked 2026-11.
_CANNOT_LINK = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_reported: set[str] = set()


def sync_dir(path: str) -> None:
    """Put the names in a directory on disk.

    Contract: a file system that cannot do this is reported once as a warning, and is no error.

    Raises:
        OSError: Any other failure.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
        if "sync" not in _reported:
            _reported.add("sync")
            log.warning("directories cannot be synced here: '%s': %s", show(path), error.strerror)
    finally:
        os.close(descriptor)


def write_atomic(path: str, data: bytes, *, durable: bool = True) -> None:
    """Write a file (0600) so that readers see the old one or the new one, whole.

    Args:
        path: The file; its directory exists.
        data: All of its bytes.
        durable: Sync file and directory, so that it also survives a loss of power.

    Raises:
        OSError: Nothing changed at ``path``, or only the last sync failed.
    """
    directory = os.path.dirname(path)
    temporary = _write_temporary(directory, data, durable=durable)
    try:
        os.rename(temporary, path)
    except OSError:
        _remove_quietly(temporary)
        raise
    if durable:
        sync_dir(directory)


def create_atomic(path: str, data: bytes, *, durable: bool = True) -> bool:
    """Write a file (0600) unless it exists; of several writers exactly one succeeds.

    Returns:
        Whether it was written; False: there is one already.

    Raises:
        OSError: It could not be written.
    """
    directory = os.path.dirname(path)
    temporary = _write_temporary(directory, data, durable=durable)
    try:
        created = _link(temporary, path, data, durable=durable)
    finally:
        _remove_quietly(temporary)
    if created and durable:
        sync_dir(directory)
    return created


def remove_temporaries(directory: str, *, older_than: float) -> None:
    """Remove what killed writers left, by modification time (seconds since the epoch)."""
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if not entry.name.startswith(TEMPORARY_PREFIX):
                continue
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < older_than:
                    os.unlink(entry.path)


def _write_temporary(directory: str, data: bytes, *, durable: bool) -> str:
    path = os.path.join(directory, f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
    except OSError:
        os.close(descriptor)
        _remove_quietly(path)
        raise
    os.close(descriptor)
    return path


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _link(temporary: str, path: str, data: bytes, *, durable: bool) -> bool:
    """Give a complete file its name; True if that name is now ours."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        # NFS may do the link, lose the answer and then say EEXIST; the inode tells.
        return os.path.samestat(os.lstat(temporary), os.lstat(path))
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return _create_in_place(path, data, durable=durable)
    return True


def _create_in_place(path: str, data: bytes, *, durable: bool) -> bool:
    """Create without hard links; a reader may see the file before its bytes are there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        _write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
    except OSError:
        _remove_quietly(path)
        raise
    finally:
        os.close(descriptor)
    return True


def _remove_quietly(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
