"""Bringing files back to what they were when an image was taken.

Files that the job had open for writing are cut to their recorded size, so that output has no repeat;
what is cut off is kept in the job's folder, and put back where a newer image needs it again (``ends.py``).
Node-local files (/dev/shm, /tmp) come back from the image. ``plan_rollback`` is pure; ``apply_rollback`` acts.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from syscr.errors import RestartError
from syscr.job.ends import KeptEnd, Piece, append_pieces, plan_pieces, record_end
from syscr.model import TaskImage
from syscr.units import format_size, format_time

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Rollback:
    """What has to be done before a task may be restored.

    Attributes:
        cuts: (path, size in bytes) of files that have grown, or lost an end that comes back.
        copies: (path, name of the copy, permission bits) of node-local files.
        problems: What makes the restore impossible, one line each.
        ends: (path, pieces) of files that get an end back after the cuts.
    """

    cuts: tuple[tuple[str, int], ...] = ()
    copies: tuple[tuple[str, str, int], ...] = ()
    problems: tuple[str, ...] = ()
    ends: tuple[tuple[str, tuple[Piece, ...]], ...] = ()


def plan_rollback(
    image: TaskImage,
    current_outputs: frozenset[str],
    size_of: Callable[[str], int | None],
    kept: Sequence[KeptEnd] = (),
) -> Rollback:
    """Compare recorded files with those of today.

    Args:
        image: The task inside the image.
        current_outputs: Paths that descriptors 1 and 2 of the new task point to.
        size_of: Size of a file in bytes, None where there is none.
        kept: Ends that were cut off since the image was taken, oldest first.

    Standard output and error of the old job are replaced by the new job's; they are cut only where
    they are the same file.
    """
    replaced = {path for path in image.stdio[1:] if path.startswith("/")} - current_outputs
    cuts: list[tuple[str, int]] = []
    ends: list[tuple[str, tuple[Piece, ...]]] = []
    copies: list[tuple[str, str, int]] = []
    problems: list[str] = []
    for file in image.open_files:
        if file.copy:
            copies.append((file.path, file.copy, file.mode))
            continue
        if file.path in replaced:
            continue
        size = size_of(file.path)
        own, pieces = plan_pieces(file.path, file.size_bytes, kept)
        if file.writable and pieces and size is not None and size >= own:
            ends.append((file.path, pieces))
            if size > own:
                cuts.append((file.path, own))
            continue
        kind = "writing" if file.writable else "reading"
        if size is None:
            problems.append(f"'{file.path}', which it had open for {kind}, is gone")
        elif size < file.size_bytes:
            problems.append(
                f"'{file.path}', which it had open for {kind}, has {format_size(size)} "
                f"({size} bytes), but had {file.size_bytes} bytes when the image was taken"
            )
        elif size > file.size_bytes and file.writable:
            cuts.append((file.path, file.size_bytes))
        elif size > file.size_bytes:
            problems.append(
                f"'{file.path}', which it had open for reading, has grown from {file.size_bytes} to "
                f"{size} bytes since the image was taken"
            )
    return Rollback(tuple(cuts), tuple(copies), tuple(problems), tuple(ends))


def find_changed(
    image: TaskImage, written: frozenset[str], modified_of: Callable[[str], int]
) -> tuple[str, ...]:
    """Find files that were only read and have been changed since, whatever their size; pure.

    Args:
        image: The task inside the image.
        written: Paths that any task of the image had open for writing: the job itself changes those.
        modified_of: Time of the last change of a file, nanoseconds since 1970; 0: not known.

    Returns:
        One line each.
    """
    found = []
    for file in image.open_files:
        now = modified_of(file.path)
        is_known = 0 not in {file.modified_ns, now}
        is_input = not file.writable and not file.copy and file.path not in written
        if is_input and is_known and now != file.modified_ns:
            times = (format_time(_to_time(time_ns)) for time_ns in (file.modified_ns, now))
            found.append(
                f"'{file.path}', which it had open for reading, has another content or time: its last "
                "change was at {} when the image was taken, and is at {} today".format(*times)
            )
    return tuple(found)


def _to_time(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)


def modified_ns(path: str) -> int:
    """Return when a file was last changed, nanoseconds since 1970; 0 where that is not known."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def file_size(path: str) -> int | None:
    """Return the size of a regular file in bytes; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def apply_rollback(plan: Rollback, data_dir: str, keep_dir: str) -> tuple[str, ...]:
    """Cut and copy; returns one remark per file.

    Args:
        plan: What to do; must have no problems.
        data_dir: Folder of the task inside the image.
        keep_dir: Where the cut-off ends are kept; made when needed.

    Raises:
        RestartError: A file cannot be brought back; nothing of the image is touched, and every end
            that was cut off is in ``keep_dir``.
    """
    remarks = []
    for path, size in plan.cuts:
        try:
            kept = _cut(path, size, keep_dir)
        except OSError as error:
            raise RestartError(
                f"cannot cut '{path}' back to {size} bytes: {error.strerror}",
                hint="make room or give yourself permission, then restart again",
            ) from error
        remarks.append(f"'{path}' was cut back to {size} bytes; the rest is in '{kept}'")
    for path, pieces in plan.ends:
        try:
            append_pieces(path, pieces)
        except OSError as error:
            raise RestartError(
                f"cannot put back the end of '{path}': {error.strerror}",
                hint="make room or give yourself permission, then restart again",
            ) from error
        remarks.append(f"'{path}' got back the end that an earlier restart had cut off")
    for path, name, mode in plan.copies:
        try:
            _put_back(Path(data_dir, name), Path(path), mode)
        except OSError as error:
            raise RestartError(
                f"cannot bring back node-local file '{path}': {error.strerror}"
            ) from error
    return tuple(remarks)


def _cut(path: str, size: int, keep_dir: str) -> str:
    """Keep the end of a file, then cut it off; synced in this order."""
    Path(keep_dir).parent.mkdir(mode=0o700, exist_ok=True)
    Path(keep_dir).mkdir(mode=0o700, exist_ok=True)
    number = len(os.listdir(keep_dir))
    target = Path(keep_dir, f"{number:03d}.{os.fsdecode(os.fsencode(Path(path).name)[-100:])}")
    with open(path, "r+b", buffering=0) as source, open(target, "xb", buffering=0) as end:
        os.fchmod(end.fileno(), 0o600)
        _copy_data(source.fileno(), end.fileno(), size)
        os.fsync(end.fileno())
        record_end(keep_dir, path, size, str(target))
        source.truncate(size)
    return str(target)


def _copy_data(source: int, target: int, start: int) -> None:
    """Copy a file from ``start`` to its end; holes stay holes."""
    end = os.fstat(source).st_size
    position = start
    while position < end:
        try:
            position = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # nothing but a hole is left
        hole = os.lseek(source, position, os.SEEK_HOLE)
        while position < hole and (
            chunk := os.pread(source, min(_CHUNK_BYTES, hole - position), position)
        ):
            position += os.pwrite(target, chunk, position - start)
    os.ftruncate(target, max(0, end - start))


def _put_back(source: Path, target: Path, mode: int) -> None:
    """Copy a node-local file to its place; never through a link, never over another user's file.

    It appears at once: another task of the step may bring back the same file at the same time.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        status = target.lstat()
    except FileNotFoundError:
        pass
    else:
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
            raise PermissionError(1, "something else of that name is in the way")
    aside = target.with_name(f".syscr-{os.urandom(8).hex()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb", buffering=0), source.open("rb") as original:
            _copy_data(original.fileno(), descriptor, 0)
            os.fchmod(descriptor, mode)
        aside.rename(target)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
