"""The regular files of a task at the moment of its image: sizes, and copies of node-local ones.

DMTCP itself cuts files back to their size at the checkpoint, except standard output and error, which
it takes from the new life; the manager cuts those, and needs the exact size. What DMTCP has open for
itself is left out.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from syscr.backends.dmtcp.commands import OWN_DESCRIPTORS
from syscr.errors import StoreFullError
from syscr.model import FileState
from syscr.procfs.files import FileKind, OpenFile, list_open_files

COPY_FOLDER = "local"
_LOCAL_DIRS = ("/dev/shm/", "/tmp/", "/var/tmp/", "/run/")  # noqa: S108 - compared, not written
_PERMISSION_BITS = 0o7777
_CHUNK_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def list_task_files(pids: Iterable[int]) -> tuple[OpenFile, ...]:
    """Return the regular files that processes have open, without DMTCP's own, by process."""
    return tuple(
        file
        for pid in pids
        for file in list_open_files(pid)
        if file.kind is FileKind.REGULAR and file.fd not in OWN_DESCRIPTORS
    )


def is_unchanged(before: Sequence[OpenFile], after: Sequence[OpenFile]) -> bool:
    """Whether two looks saw the same files with the same sizes: so nothing was written in between."""

    def key(files: Sequence[OpenFile]) -> set[tuple[int, int, int, int, int]]:
        return {(file.pid, file.fd, file.device, file.inode, file.size_bytes) for file in files}

    return key(before) == key(after)


def select_known(files: Sequence[OpenFile], known: Sequence[OpenFile]) -> tuple[OpenFile, ...]:
    """Return those that were open before or after as well: while it works DMTCP opens more; pure."""

    def key(file: OpenFile) -> tuple[int, int, int, int]:
        return file.pid, file.fd, file.device, file.inode

    keys = {key(file) for file in known}
    return tuple(file for file in files if key(file) in keys)


def build_states(files: Iterable[OpenFile], run_dir: str) -> tuple[FileState, ...]:
    """Return one state per file, by path; pure.

    Deleted files are left out: DMTCP puts copies of them into the image. So are ``run_dir`` and /proc.
    """
    skipped = (run_dir.rstrip("/") + "/", "/proc/", "/sys/")
    states: dict[str, FileState] = {}
    for file in files:
        if file.is_deleted or file.path.startswith(skipped):
            continue
        old = states.get(file.path)
        states[file.path] = FileState(
            path=file.path,
            size_bytes=file.size_bytes,
            writable=file.writable or (old is not None and old.writable),
            append=file.append or (old is not None and old.append),
            mode=file.mode & _PERMISSION_BITS,
            modified_ns=file.modified_ns,
        )
    return tuple(states[path] for path in sorted(states))


def list_outputs(launcher_pid: int) -> frozenset[str]:
    """Return the files that a task's standard output and error are; they belong to Slurm, not to it."""
    return frozenset(
        file.path
        for file in list_open_files(launcher_pid)
        if file.fd in {1, 2} and file.kind is FileKind.REGULAR
    )


def copy_local_files(
    states: Sequence[FileState], data_dir: str, skipped: frozenset[str] = frozenset()
) -> tuple[tuple[FileState, ...], tuple[str, ...]]:
    """Copy files that only this node has into the image, each up to its recorded size.

    The program may be running again, so what it has appended since is left out; a file that it changes
    in place may come out newer than the image, as with files on shared storage.

    Args:
        states: All files of the task.
        data_dir: Folder of the task inside the image.
        skipped: Paths that are never copied: a restart must not replace what the new life writes to.

    Returns:
        The states with the names of their copies, and a remark per file that could not be copied.

    Raises:
        StoreFullError: No space left for a copy.
    """
    done: list[FileState] = []
    remarks: list[str] = []
    for number, state in enumerate(states):
        if not state.path.startswith(_LOCAL_DIRS) or state.path in skipped:
            done.append(state)
            continue
        name = f"{COPY_FOLDER}/{number:04d}"
        Path(data_dir, COPY_FOLDER).mkdir(mode=0o700, exist_ok=True)
        try:
            _copy_head(Path(state.path), Path(data_dir, name), state.size_bytes)
        except OSError as error:
            Path(data_dir, name).unlink(missing_ok=True)
            if error.errno in _FULL:
                raise StoreFullError(
                    f"cannot copy node-local file '{state.path}' into the image: {error.strerror}; "
                    "the job is still running"
                ) from error
            remarks.append(
                f"node-local file '{state.path}' is not in the image: {error.strerror}; "
                "a restart needs it in its place"
            )
            done.append(state)
            continue
        done.append(replace(state, copy=name))
    return tuple(done), tuple(remarks)


def _copy_head(source: Path, target: Path, size_bytes: int) -> None:
    """Copy the first bytes of a file; the target is made anew and private."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as original, open(descriptor, "wb") as copy:
        left = size_bytes
        while left and (chunk := original.read(min(left, _CHUNK_BYTES))):
            copy.write(chunk)
            left -= len(chunk)
