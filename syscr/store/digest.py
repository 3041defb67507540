"""Digests of stored files, and the sync that goes with them; what a node worker calls after a dump.

BLAKE3, so that hashing is not slower than the disk; SHA-256 where the package is missing. The name
of the algorithm goes into the manifest. Both release the interpreter's lock, so threads help.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from syscr.errors import ImageCorruptError, ToolMissingError
from syscr.model import ImageFile
from syscr.store import atomic
from syscr.store.access import open_file, translated
from syscr.store.layout import is_inner_path, show

try:
    from blake3 import blake3
except ImportError:  # a node without the package still writes valid images
    blake3 = None  # type: ignore[assignment, misc]

ALGORITHMS = ("blake3", "sha256")
_BUFFER_BYTES = 4 << 20
_BIG_BYTES = 8 << 20
_MAX_THREADS = 8
Progress = Callable[[int], None]
V = TypeVar("V")


class _Hasher(Protocol):
    def update(self, data: memoryview, /) -> object: ...
    def hexdigest(self) -> str: ...


def default_algorithm() -> str:
    """Return the algorithm for new images: ``blake3`` where it can be had, else ``sha256``."""
    return "blake3" if blake3 is not None else "sha256"


def can_digest(algorithm: str) -> bool:
    """Whether digests of this algorithm can be computed here."""
    return algorithm == "sha256" or (algorithm == "blake3" and blake3 is not None)


def digest_file(path: str, algorithm: str, *, progress: Progress | None = None) -> str:
    """Return the digest of a file's bytes, hexadecimal.

    Args:
        path: Regular file; a link is refused.
        algorithm: ``blake3`` or ``sha256``.
        progress: Called with the number of bytes that were read since the last call.

    Raises:
        ImageCorruptError: No regular file, or the algorithm is not known here.
        ToolMissingError: The package for the algorithm is not installed here.
        StoreAccessError: It cannot be read.
    """
    return _digest_sized(path, algorithm, progress)[0]


def digest_files(
    root: str, paths: Iterable[str], *, algorithm: str, progress: Progress | None = None
) -> dict[str, str]:
    """Return path -> digest of several files of an image, read by several threads.

    Args:
        root: Image folder.
        paths: Relative to it.
        algorithm: As for ``digest_file``.
        progress: Called with numbers of bytes, from one thread at a time.

    Raises:
        ImageCorruptError, ToolMissingError, StoreAccessError: As ``digest_file``.
    """
    report = _serialised(progress)
    with ThreadPoolExecutor(_thread_count(), "digest") as pool:
        jobs = {
            path: pool.submit(_digest_sized, _inner(root, path), algorithm, report)
            for path in paths
        }
        return {path: digest for path, (digest, _) in _results(pool, jobs).items()}


def sync_and_digest(
    root: str,
    paths: Iterable[str],
    *,
    algorithm: str | None = None,
    node: str = "",
    rank: int | None = None,
    progress: Progress | None = None,
    durable: bool = True,
) -> tuple[ImageFile, ...]:
    """Put freshly written files on disk and digest them while they are still in memory.

    Contract: afterwards files and the names of files are on disk. Syncing and digesting run at the
    same time, so that it takes as long as the slower of the two. Blocks; no time limit of its own.

    Args:
        root: Image folder (the staging directory).
        paths: Relative to it, as ``tree.find_files`` returns them.
        algorithm: None: ``default_algorithm``.
        node: Node name for the result.
        rank: Rank for the result.
        progress: Called with numbers of bytes, from one thread at a time.
        durable: False leaves out the syncs (tests).

    Returns:
        One entry per file, by path.

    Raises:
        StoreFullError: The file system ran full as late as this (quota, NFS).
        StoreAccessError: A file cannot be read or synced.
        ImageCorruptError: No regular file, or a path that leaves ``root``.
        ToolMissingError: The package for the algorithm is not installed here.
    """
    chosen = algorithm or default_algorithm()
    ordered = sorted(paths)
    report = _serialised(progress)
    with ThreadPoolExecutor(_thread_count(), "digest") as pool:
        syncs = {path: pool.submit(_sync_file, _inner(root, path)) for path in ordered if durable}
        jobs = {
            path: pool.submit(_digest_sized, _inner(root, path), chosen, report) for path in ordered
        }
        digests = _results(pool, jobs)
        _results(pool, syncs)
    if durable:
        for directory in sorted({parent for path in ordered for parent in _parents(path)}):
            with translated("sync", os.path.join(root, directory)):
                atomic.sync_dir(os.path.join(root, directory))
    return tuple(
        ImageFile(path, digests[path][1], digests[path][0], node, rank) for path in ordered
    )


def _digest_sized(path: str, algorithm: str, progress: Progress | None) -> tuple[str, int]:
    with translated("read", path):
        descriptor = open_file(path)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageCorruptError(f"cannot read '{show(path)}': it is not a regular file")
            hasher = _new_hasher(algorithm, status.st_size)
            buffer = memoryview(bytearray(min(_BUFFER_BYTES, status.st_size + 1)))
            total = 0
            while count := os.readv(descriptor, [buffer]):
                hasher.update(buffer[:count])
                total += count
                if progress is not None:
                    progress(count)
        finally:
            os.close(descriptor)
    return hasher.hexdigest(), total


def _new_hasher(algorithm: str, size_bytes: int) -> _Hasher:
    if algorithm == "blake3" and blake3 is not None:
        return blake3(max_threads=blake3.AUTO if size_bytes >= _BIG_BYTES else 1)
    if algorithm == "sha256":
        return hashlib.sha256()
    if algorithm in ALGORITHMS:
        raise ToolMissingError(
            f"cannot compute {algorithm} digests: the Python package 'blake3' is not installed here",
            hint="install it where syscr is installed, or set 'digest = \"sha256\"' under [store]",
            tool="blake3",
        )
    raise ImageCorruptError(f"cannot compute digests: '{show(algorithm)}' is not known here")


def _sync_file(path: str) -> None:
    with translated("sync", path):
        descriptor = open_file(path)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _results(pool: ThreadPoolExecutor, jobs: Mapping[str, Future[V]]) -> dict[str, V]:
    """Wait for all; after a failure the rest is not begun."""
    try:
        return {key: job.result() for key, job in jobs.items()}
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _inner(root: str, path: str) -> str:
    if not is_inner_path(path):
        raise ImageCorruptError(f"cannot read '{show(path)}': not a path inside the image")
    return os.path.join(root, path)


def _parents(path: str) -> tuple[str, ...]:
    parts = path.split("/")[:-1]
    return tuple("/".join(parts[:count]) for count in range(len(parts) + 1))


def _serialised(progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    guard = threading.Lock()

    def report(count: int) -> None:
        with guard:
            progress(count)

    return report


def _thread_count() -> int:
    return min(_MAX_THREADS, 2 * len(os.sched_getaffinity(0)))
