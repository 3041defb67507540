"""A store on a real directory whose name is as unpleasant as names get."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_support import KEY, write_data

from syscr.model import Image
from syscr.ports import StoreKey
from syscr.store.digest import sync_and_digest
from syscr.store.directory import DirectoryStore
from syscr.store.tree import find_files
from syscr.testing.clock import FakeClock
from syscr.testing.images import sample_manifest

WEIRD = os.fsdecode(b"a 'b' \"c\"\n$(touch x) \xff\xfe \xc3\xa9")


@pytest.fixture
def weird_dir(tmp_path: Path) -> str:
    """A checkpoint directory that does not exist yet."""
    return os.path.join(tmp_path, WEIRD, "checkpoints")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(weird_dir: str, clock: FakeClock) -> DirectoryStore:
    return DirectoryStore(weird_dir, clock=clock, durable=False)


@pytest.fixture
def publish(store: DirectoryStore) -> Callable[..., Image]:
    """Return a function that takes a whole image."""

    def take(key: StoreKey = KEY, *, text: bytes = b"pages", **changes: Any) -> Image:
        image_id = store.new_image_id()
        staging_dir = store.open_staging(key, image_id, needed_bytes=0)
        write_data(staging_dir, text=text)
        files = sync_and_digest(
            staging_dir, find_files(staging_dir, "data"), node="c1", rank=0, durable=False
        )
        manifest = sample_manifest(
            lineage=key.lineage,
            step=key.step,
            image_id=image_id,
            created_at=store._clock.now(),
            files=files,
            **changes,
        )
        return store.publish(staging_dir, manifest)

    return take
