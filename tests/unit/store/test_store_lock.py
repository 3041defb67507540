"""The lease: one holder, stale ones taken over with a word about it, never our own."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syscr.errors import StoreLockedError
from syscr.store import codec, holder, lock
from syscr.store.holder import Holder, current_holder
from syscr.store.layout import StagingName
from syscr.store.lock import STALE_SECONDS, Locks
from syscr.testing.clock import FakeClock

WHAT = {"what": "job 4711", "purpose": "checkpoint"}


@pytest.fixture
def locks_dir(tmp_path: Path) -> str:
    return str(tmp_path / "locks")


@pytest.fixture
def locks() -> Locks:
    return Locks(FakeClock())


@pytest.fixture
def dead_pid() -> int:
    """The pid of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.fixture
def live_pid() -> Iterator[int]:
    """The pid of another process that lives."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def write_lock(locks_dir: str, *, age: float = 0.0, **changes: Any) -> str:
    """Write the lock of another process; returns its path."""
    os.makedirs(locks_dir, exist_ok=True)
    here = codec.encode(current_holder(FakeClock().now(), "checkpoint"))
    path = os.path.join(locks_dir, "00000000000000aa.json")
    Path(path).write_text(json.dumps(here | {"user": "alice"} | changes))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def ticks(pid: int) -> int:
    started = holder.read_start_ticks(pid)
    assert started is not None
    return started


def test_lock_names_its_holder_and_is_gone_afterwards(locks: Locks, locks_dir: str) -> None:
    with locks.hold(locks_dir, **WHAT) as warnings:
        assert warnings == ()
        (name,) = os.listdir(locks_dir)
        path = Path(locks_dir, name)
        content = json.loads(path.read_text())
        assert path.stat().st_mode & 0o777 == 0o600
    assert content["host"] == os.uname().nodename
    assert content["pid"] == os.getpid()
    assert content["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert content["start_ticks"] == ticks(os.getpid())
    assert content["exclusive"] is True
    assert content["purpose"] == "checkpoint"
    assert content["time"] == "2026-11-24T09:30:00Z"
    assert os.listdir(locks_dir) == []


def test_lock_is_given_back_after_an_error(locks: Locks, locks_dir: str) -> None:
    with pytest.raises(KeyError), locks.hold(locks_dir, **WHAT):
        raise KeyError
    assert os.listdir(locks_dir) == []


def test_lock_is_never_stale_for_the_process_itself(locks: Locks, locks_dir: str) -> None:
    with locks.hold(locks_dir, **WHAT):
        (name,) = os.listdir(locks_dir)
        os.utime(os.path.join(locks_dir, name), (0, 0))
        with pytest.raises(StoreLockedError, match="cannot lock job 4711: held by process"):
            locks.acquire(locks_dir, **WHAT)
        assert os.listdir(locks_dir) == [name]


def test_lock_held_by_a_live_process_is_refused_with_its_name(
    locks: Locks, locks_dir: str, live_pid: int
) -> None:
    write_lock(locks_dir, pid=live_pid, start_ticks=ticks(live_pid))
    with pytest.raises(StoreLockedError) as caught:
        locks.acquire(locks_dir, **WHAT)
    assert f"process {live_pid} of 'alice' on '{os.uname().nodename}' (checkpoint)" in str(
        caught.value
    )
    assert caught.value.transient
    assert caught.value.to_dict()["details"]["holder"]["pid"] == live_pid  # type: ignore[index]
    assert os.listdir(locks_dir) == ["00000000000000aa.json"]


def test_lock_of_a_dead_process_here_is_taken_over(
    locks: Locks, locks_dir: str, dead_pid: int
) -> None:
    path = write_lock(locks_dir, pid=dead_pid)
    with locks.hold(locks_dir, **WHAT) as warnings:
        assert not os.path.exists(path)
    assert len(warnings) == 1
    assert "took over the lock of job 4711 from process" in warnings[0]
    assert warnings[0].endswith("that process has ended")


def test_lock_whose_pid_came_round_again_is_taken_over(
    locks: Locks, locks_dir: str, live_pid: int
) -> None:
    write_lock(locks_dir, pid=live_pid, start_ticks=ticks(live_pid) - 1)
    with locks.hold(locks_dir, **WHAT) as warnings:
        assert len(warnings) == 1


@pytest.mark.parametrize(
    "change",
    [{"host": "elsewhere"}, {"boot_id": "another"}, {"pid_namespace": "pid:[1]"}, {"boot_id": ""}],
)
def test_lock_of_another_place_is_judged_by_its_age_only(
    locks: Locks, locks_dir: str, dead_pid: int, change: dict[str, str]
) -> None:
    write_lock(locks_dir, pid=dead_pid, age=STALE_SECONDS - 5, **change)
    with pytest.raises(StoreLockedError):
        locks.acquire(locks_dir, **WHAT)
    write_lock(locks_dir, pid=dead_pid, age=STALE_SECONDS + 5, **change)
    with locks.hold(locks_dir, **WHAT) as warnings:
        assert "not refreshed for 2 min 5 s, limit 2 min" in warnings[0]


@pytest.mark.parametrize(
    ("change", "drops"),
    [({}, True), ({"host": "c1"}, True), ({"host": "c11"}, False), ({"purpose": "prune"}, False)],
)
def test_locks_of_a_host_that_is_over_are_dropped_at_once(
    locks: Locks, locks_dir: str, change: dict[str, str], drops: bool
) -> None:
    values: dict[str, Any] = {"host": "c1.site"} | change
    path = write_lock(locks_dir, **values)
    dropped = locks.drop_of_host(locks_dir, "c1", "checkpoint")
    assert (len(dropped) == 1, not os.path.exists(path)) == (drops, drops)
    assert locks.drop_of_host(f"{locks_dir}.none", "c1", "checkpoint") == ()


def test_lock_from_a_clock_ahead_is_stale_by_our_own_watch(locks_dir: str) -> None:
    clock = FakeClock()
    locks = Locks(clock)
    write_lock(locks_dir, host="elsewhere", age=-3600)
    with pytest.raises(StoreLockedError):
        locks.acquire(locks_dir, **WHAT)
    clock.advance(STALE_SECONDS - 5)
    write_lock(locks_dir, host="elsewhere", age=-3660)  # refreshed: the watch begins anew
    with pytest.raises(StoreLockedError):
        locks.acquire(locks_dir, **WHAT)
    clock.advance(STALE_SECONDS + 5)
    with locks.hold(locks_dir, **WHAT) as warnings:
        assert len(warnings) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "[" * 50_000])
def test_lock_without_sense_counts_until_it_is_old(locks: Locks, locks_dir: str, text: str) -> None:
    path = write_lock(locks_dir)
    Path(path).write_text(text)
    with pytest.raises(StoreLockedError, match="an unknown process"):
        locks.acquire(locks_dir, **WHAT)
    os.utime(path, (0, 0))
    with locks.hold(locks_dir, **WHAT) as warnings:
        assert len(warnings) == 1


def test_lock_two_that_come_together_never_both_win(locks_dir: str, dead_pid: int) -> None:
    """Eight threads, each again and again, with a stale lock to take over at the start."""
    write_lock(locks_dir, pid=dead_pid)
    inside: list[int] = []
    worst: list[int] = []
    won: list[tuple[str, ...]] = []
    barrier = threading.Barrier(8)

    class RealSleep(FakeClock):
        def sleep(self, seconds: float) -> None:
            time.sleep(seconds / 10)

    def contend(number: int) -> None:
        locks = Locks(RealSleep())
        barrier.wait()
        for _ in range(10):
            try:
                with locks.hold(locks_dir, **WHAT) as warnings:
                    inside.append(number)
                    worst.append(len(inside))
                    inside.remove(number)
                    won.append(warnings)
            except StoreLockedError:
                pass

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won
    assert max(worst) == 1
    assert os.listdir(locks_dir) == []


def test_lock_that_was_taken_away_is_noticed_and_not_removed_twice(
    locks: Locks, locks_dir: str, caplog: pytest.LogCaptureFixture
) -> None:
    lease, _ = locks.acquire(locks_dir, **WHAT)
    os.unlink(lease.path)
    lease.refresh()
    assert lease.is_lost
    assert "taken over by another process" in caplog.text
    lease.close()


def test_lock_refresh_makes_it_young_again(locks: Locks, locks_dir: str) -> None:
    lease, _ = locks.acquire(locks_dir, **WHAT)
    os.utime(lease.path, (0, 0))
    lease.refresh()
    assert time.time() - os.stat(lease.path).st_mtime < 60
    lease.close()


def test_lock_background_thread_refreshes_and_ends(
    locks: Locks, locks_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "REFRESH_SECONDS", 0.001)
    refreshed = threading.Event()
    monkeypatch.setattr(lock.Lease, "refresh", lambda _lease: refreshed.set())
    with locks.hold(locks_dir, **WHAT):
        assert refreshed.wait(10)
    assert not any(thread.name == "syscr-lease" for thread in threading.enumerate())


def test_find_holder_only_looks(locks: Locks, locks_dir: str, dead_pid: int) -> None:
    assert locks.find_holder(locks_dir) is None
    write_lock(locks_dir, pid=dead_pid)
    assert locks.find_holder(locks_dir) is None
    assert os.listdir(locks_dir)
    write_lock(locks_dir, host="elsewhere")
    found = locks.find_holder(locks_dir)
    assert isinstance(found, Holder)
    assert found.host == "elsewhere"


def test_abandoned_staging_is_judged_by_process_and_age(dead_pid: int) -> None:
    image_id = "20261124T093000Z-00000000"
    here = os.uname().nodename
    now = time.time()
    limit: dict[str, float] = {"modified": now, "now": now, "limit_seconds": 3600}
    assert not holder.is_abandoned(StagingName(image_id, here, os.getpid()), **limit)
    assert holder.is_abandoned(StagingName(image_id, here, dead_pid), **limit)
    assert not holder.is_abandoned(StagingName(image_id, "elsewhere", dead_pid), **limit)
    later = {**limit, "now": now + 3601}
    assert holder.is_abandoned(StagingName(image_id, "elsewhere", dead_pid), **later)
    before = {"modified": now - 86400, "now": now, "limit_seconds": 1e9}
    assert holder.is_abandoned(StagingName(image_id, here, os.getpid()), **before), "pid reused"
