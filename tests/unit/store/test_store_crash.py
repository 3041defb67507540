"""Killed at every step: nothing half visible, old images intact, the next run works."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from store_support import KEY, write_data

from syscr.model import Image
from syscr.store.digest import sync_and_digest
from syscr.store.directory import DirectoryStore
from syscr.store.tree import find_files
from syscr.testing.clock import FakeClock
from syscr.testing.images import sample_manifest

STEPS = ("rename", "link", "unlink", "mkdir", "rmdir", "fsync", "write", "utime")


def open_store(checkpoint_dir: str) -> DirectoryStore:
    return DirectoryStore(checkpoint_dir, clock=FakeClock())


def checkpoint(store: DirectoryStore) -> Image:
    """Take an image as the manager does."""
    with store.lock(KEY, purpose="checkpoint"):
        image_id = store.new_image_id()
        staging_dir = store.open_staging(KEY, image_id, needed_bytes=0)
        store.add_probe(staging_dir, "probe")
        write_data(staging_dir)
        store.remove_probe(staging_dir, "probe")
        files = sync_and_digest(staging_dir, find_files(staging_dir, "data"), node="c1", rank=0)
        return store.publish(staging_dir, sample_manifest(image_id=image_id, files=files))


def run_killed(act: Callable[[], object], *, step: int, after: bool) -> bool:
    """Run ``act`` in a process that SIGKILL ends at its n-th change of the file system.

    Returns:
        False: it came to its end before that.
    """
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed"
        return os.WIFSIGNALED(status)
    count = 0

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            mine = count
            if mine == step and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*args, **kwargs)
            finally:
                if mine == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name)))
    try:
        act()
    except BaseException:  # noqa: BLE001 - the parent sees the exit status
        os._exit(1)
    os._exit(0)


def kill_at_each_step(
    prepare: Callable[[], Callable[[], object]], check: Callable[[], None]
) -> int:
    """Kill a fresh ``prepare()`` at every step, before and after it; returns how often."""
    kills = 0
    for after in (False, True):
        for step in range(1, 500):
            if not run_killed(prepare(), step=step, after=after):
                break
            kills += 1
            check()
        else:
            pytest.fail("it never came to its end")
    return kills


def assert_sound(store: DirectoryStore, *, deleted: bool = False) -> tuple[Image, ...]:
    images, warnings = store.list_images(key=KEY, deleted=deleted)
    assert warnings == ()
    for image in images:
        assert store.verify(image, level="digests") == ()
    return images


def test_checkpoint_killed_at_each_step_leaves_a_sound_store(weird_dir: str) -> None:
    first = checkpoint(open_store(weird_dir))

    def check() -> None:
        store = open_store(weird_dir)
        before = assert_sound(store)
        assert first.image_id in {image.image_id for image in before}
        with store.lock(KEY, purpose="look") as warnings:
            assert len(warnings) <= 1
        image = checkpoint(store)
        after = assert_sound(store)
        assert [one.image_id for one in after].count(image.image_id) == 1
        folder = os.path.dirname(image.path)
        assert os.listdir(f"{folder}/staging") == []
        assert [name for name in os.listdir(f"{folder}/locks") if name.endswith(".json")] == []
        for one in after:
            if one.image_id != first.image_id:
                store.expunge(store.trash(one))

    kills = kill_at_each_step(lambda: lambda: checkpoint(open_store(weird_dir)), check)
    assert kills > 40


def test_delete_and_undelete_killed_at_each_step_lose_nothing(weird_dir: str) -> None:
    store = open_store(weird_dir)
    image = checkpoint(store)

    def check() -> None:
        live, trashed = assert_sound(store), assert_sound(store, deleted=True)
        assert [one.image_id for one in live + trashed] == [image.image_id]
        if trashed:
            store.untrash(trashed[0])

    kills = kill_at_each_step(lambda: lambda: store.untrash(store.trash(image)), check)
    assert kills >= 8


def test_expunge_killed_at_each_step_leaves_all_or_nothing(weird_dir: str) -> None:
    store = open_store(weird_dir)

    def prepare() -> Callable[[], object]:
        image = store.trash(checkpoint(store))
        return lambda: open_store(weird_dir).expunge(image)

    def check() -> None:
        for image in assert_sound(store, deleted=True):
            store.expunge(image)
        checkpoint(store)
        assert os.listdir(os.path.join(weird_dir, "4711.ckpt/trash")) == []

    kills = kill_at_each_step(prepare, check)
    assert kills > 10


def test_records_killed_at_each_step_are_old_or_new(weird_dir: str) -> None:
    store = open_store(weird_dir)
    store.write_record(KEY, "a", {"n": 0})
    count = [0]

    def prepare() -> Callable[[], object]:
        count[0] += 1

        def act() -> None:
            store.write_record(KEY, "a", {"n": count[0]})
            store.create_record(KEY, f"b{count[0]}", {"n": 1})

        return act

    def check() -> None:
        value = store.read_record(KEY, "a")
        assert value is not None
        assert value["n"] in range(count[0] + 1)
        assert store.create_record(KEY, f"b{count[0]}", {"n": 2})["n"] in (1, 2)

    assert kill_at_each_step(prepare, check) >= 10
