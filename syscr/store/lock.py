"""The exclusive lease of a ``.ckpt`` folder, safe on network file systems and after crashes.

Each contender writes a file of its own name and then looks: whoever sees another live lock takes
its own back. Of two that come at the same time at least one sees the other, so never both win. A
stale lock is removed under its unique name, so no new lock can be hit by mistake. Ages are
differences of two times that the file server set, so the clocks of hosts need not agree.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from syscr.errors import StoreLockedError
from syscr.ports import Clock
from syscr.store import atomic, codec
from syscr.store.access import make_private_dir, read_whole, translated
from syscr.store.holder import Holder, current_holder, is_alive, is_same_process
from syscr.store.layout import is_lock_name, show
from syscr.units import format_duration

log = logging.getLogger(__name__)

STALE_SECONDS = 120.0
REFRESH_SECONDS = STALE_SECONDS / 2
_ATTEMPTS = 8
_LIMIT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class _Found:
    """A lock of somebody else.

    Attributes:
        path: Its file.
        holder: Its holder; None: not readable.
        age_seconds: Time since its last refresh.
        why_stale: Why it does not count any more; empty: it counts.
    """

    path: str
    holder: Holder | None
    age_seconds: float
    why_stale: str = ""

    def __str__(self) -> str:
        return "an unknown process" if self.holder is None else str(self.holder)


class Lease:
    """A lock that is held.

    Attributes:
        path: Its file.
        is_lost: Somebody else found it stale and took it away.
    """

    def __init__(self, path: str) -> None:
        """Take charge of a lock file that was written; ``start`` keeps it fresh."""
        self.path = path
        self.is_lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_fresh, name="syscr-lease", daemon=True)

    def start(self) -> None:
        """Refresh in the background until ``close``."""
        self._thread.start()

    def refresh(self) -> None:
        """Say that we are still here; notices when the lock was taken away."""
        try:
            os.utime(self.path, follow_symlinks=False)
        except FileNotFoundError:
            self.is_lost = True
            log.warning("lock '%s' was taken over by another process", show(self.path))
        except OSError as error:
            log.warning("cannot refresh lock '%s': %s", show(self.path), error.strerror)

    def close(self) -> None:
        """Give the lock back."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        with translated("remove", self.path), suppress(FileNotFoundError):
            os.unlink(self.path)

    def _keep_fresh(self) -> None:
        while not self._ended.wait(REFRESH_SECONDS) and not self.is_lost:
            self.refresh()


class Locks:
    """Takes leases and remembers what it saw of those of others."""

    def __init__(self, clock: Clock) -> None:
        """Keep the clock; nothing is touched."""
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    @contextmanager
    def hold(self, locks_dir: str, *, what: str, purpose: str) -> Iterator[tuple[str, ...]]:
        """Hold the exclusive lease while the block runs.

        Args:
            locks_dir: Directory of the locks; made if it is missing, its parent exists.
            what: What it guards, for messages (``job 4711``).
            purpose: What it is for, for others.

        Yields:
            Warnings: which stale locks were taken over.

        Raises:
            StoreLockedError: Another process holds it.
            StoreAccessError: The directory cannot be written.
        """
        lease, warnings = self.acquire(locks_dir, what=what, purpose=purpose)
        lease.start()
        try:
            yield warnings
        finally:
            lease.close()

    def acquire(self, locks_dir: str, *, what: str, purpose: str) -> tuple[Lease, tuple[str, ...]]:
        """Take the lease; see ``hold``. The caller starts and closes it."""
        make_private_dir(locks_dir)
        here = current_holder(self._clock.now(), purpose)
        data = json.dumps({"schema_version": 1, **codec.encode(here)}).encode("ascii")
        warnings: list[str] = []
        for attempt in range(_ATTEMPTS):
            path = os.path.join(locks_dir, f"{os.urandom(8).hex()}.json")
            with translated("write", path):
                atomic.write_atomic(path, data, durable=False)
            try:
                rivals = self._find_rivals(locks_dir, path, here, warnings, what)
            except BaseException:
                _unlink(path)
                raise
            if not rivals:
                return Lease(path), tuple(warnings)
            _unlink(path)
            if attempt == _ATTEMPTS - 1:
                raise _locked(what, rivals[0])
            # Perhaps it came at the same moment and steps back as we do.
            self._clock.sleep(0.01 + int.from_bytes(os.urandom(2)) % 1000 / 20000)
        raise AssertionError("unreachable")

    def find_holder(self, locks_dir: str) -> Holder | None:
        """Return a live holder without taking anything; None: none, or one that is unreadable."""
        here = current_holder(self._clock.now(), "")
        with translated("read", locks_dir):
            for found in self._look(locks_dir, "", here):
                if not found.why_stale:
                    return found.holder
        return None

    def drop_of_host(self, locks_dir: str, host: str, purpose: str) -> tuple[str, ...]:
        """Remove the locks that processes on a host hold for a purpose; returns whose they were.

        For who knows that they are over, though this host cannot see them: a lock is stale only after
        ``STALE_SECONDS``.
        """
        here = current_holder(self._clock.now(), "")
        dropped = []
        with translated("read", locks_dir):
            for found in self._look(locks_dir, "", here):
                holder = found.holder
                if holder is None or holder.purpose != purpose:
                    continue
                if _short(holder.host) == _short(host) and _unlink(found.path):
                    dropped.append(str(found))
        return tuple(dropped)

    def _find_rivals(
        self, locks_dir: str, own_path: str, here: Holder, warnings: list[str], what: str
    ) -> list[_Found]:
        """Remove what is stale and return the rest."""
        rivals = []
        with translated("read", locks_dir):
            now = os.stat(own_path).st_mtime
            for found in self._look(locks_dir, own_path, here):
                if not found.why_stale:
                    rivals.append(found)
                elif _unlink(found.path):
                    warnings.append(f"took over the lock of {what} from {found}: {found.why_stale}")
            atomic.remove_temporaries(locks_dir, older_than=now - STALE_SECONDS)
        return rivals

    def _look(self, locks_dir: str, own_path: str, here: Holder) -> Iterator[_Found]:
        try:
            names = sorted(filter(is_lock_name, os.listdir(locks_dir)))
        except FileNotFoundError:
            return
        now = os.stat(own_path).st_mtime if own_path else self._clock.now().timestamp()
        for name in names:
            path = os.path.join(locks_dir, name)
            if path == own_path:
                continue
            try:
                status = os.lstat(path)
                holder = _read_holder(path)
            except FileNotFoundError:
                self._seen.pop(path, None)
                continue
            age = max(0.0, now - status.st_mtime, self._unchanged(path, status.st_mtime_ns))
            yield _judge(path, holder, age, here)

    def _unchanged(self, path: str, mtime_ns: int) -> float:
        """Return for how long we have seen a lock unchanged, by our own monotonic clock."""
        now = self._clock.monotonic()
        seen_ns, since = self._seen.get(path, (mtime_ns, now))
        if seen_ns != mtime_ns:
            since = now
        self._seen[path] = (mtime_ns, since)
        return now - since


def _short(host: str) -> str:
    return host.partition(".")[0]


def _judge(path: str, holder: Holder | None, age: float, here: Holder) -> _Found:
    if holder is not None and is_same_process(holder, here):
        return _Found(path, holder, age)  # never stale for oneself
    if holder is not None and is_alive(holder, here) is False:
        return _Found(path, holder, age, why_stale="that process has ended")
    if age > STALE_SECONDS:
        limit = format_duration(STALE_SECONDS)
        return _Found(path, holder, age, f"not refreshed for {format_duration(age)}, limit {limit}")
    return _Found(path, holder, age)


def _read_holder(path: str) -> Holder | None:
    """Return the holder in a lock file, or None if it makes no sense; raises OSError."""
    try:
        return codec.decode(Holder, json.loads(read_whole(path, limit_bytes=_LIMIT_BYTES)))
    except (ValueError, RecursionError):
        return None


def _unlink(path: str) -> bool:
    """Remove a lock file; whether it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _locked(what: str, rival: _Found) -> StoreLockedError:
    return StoreLockedError(
        f"cannot lock {what}: held by {rival}",
        hint="wait until it has finished, then try again",
        holder=None if rival.holder is None else codec.encode(rival.holder),
        age_seconds=round(rival.age_seconds, 3),
    )
