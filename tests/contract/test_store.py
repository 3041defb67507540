"""The Store port: one suite for every implementation; add yours to ``make_harness``."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syscr.errors import (
    ImageCorruptError,
    ImageExistsError,
    ImageNotFoundError,
    ManifestError,
    RequestError,
    StoreFullError,
    StoreLockedError,
    SyscrError,
)
from syscr.model import Image, ImageFile
from syscr.ports import Store, StoreKey
from syscr.store.directory import DirectoryStore
from syscr.testing.clock import START, FakeClock
from syscr.testing.images import sample_manifest
from syscr.testing.store import FakeStore

KEY = StoreKey("4711")
STEP = StoreKey("4711", "0")
WEIRD = os.fsdecode(b'it\'s "a"\n dir \xff')
FILES = {"data/0/pages-1.img": b"pages" * 100, "data/0/\udcff\n": b"odd", "data/0/empty": b""}


@dataclass
class Harness:
    """A store, a second one on the same images, a way to write files as a tool does, and to lose a manifest."""

    store: Store
    again: Callable[[], Store]
    write: Callable[[str, str, bytes], None]
    clock: FakeClock
    tear: Callable[[Image], None]

    def stage(
        self, key: StoreKey = KEY, *, files: dict[str, bytes] | None = None, **changes: Any
    ) -> tuple[str, Any]:
        """Return a staging directory with files, and the manifest that fits."""
        contents = FILES if files is None else files
        image_id = self.store.new_image_id()
        staging_dir = self.store.open_staging(key, image_id, needed_bytes=1000)
        for path, data in contents.items():
            self.write(staging_dir, path, data)
        manifest = sample_manifest(
            lineage=key.lineage,
            step=key.step,
            image_id=image_id,
            created_at=self.clock.now(),
            digest_algorithm="sha256",
            files=tuple(
                ImageFile(path, len(data), hashlib.sha256(data).hexdigest())
                for path, data in contents.items()
            ),
            **changes,
        )
        return staging_dir, manifest

    def take(self, key: StoreKey = KEY, **changes: Any) -> Image:
        """Publish an image and let a minute pass."""
        image = self.store.publish(*self.stage(key, **changes))
        self.clock.advance(60)
        return image


def write_file(directory: str, path: str, data: bytes) -> None:
    target = Path(directory, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


@pytest.fixture(params=["DirectoryStore", "FakeStore"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    clock = FakeClock()
    if request.param == "FakeStore":
        fake = FakeStore(clock=clock, checks_files=True)
        return Harness(fake, lambda: fake, fake.write_file, clock, fake.tear)
    path = os.path.join(tmp_path, WEIRD)
    return Harness(
        DirectoryStore(path, clock=clock, durable=False),
        lambda: DirectoryStore(path, clock=clock, durable=False),
        write_file,
        clock,
        lambda image: Path(image.path, "manifest.json").unlink(),
    )


def test_new_image_id_is_unique_and_has_the_time(harness: Harness) -> None:
    ids = {harness.store.new_image_id() for _ in range(50)}
    assert len(ids) == 50
    assert all(one.startswith(f"{START:%Y%m%dT%H%M%SZ}-") for one in ids)


def test_publish_makes_the_image_visible_everywhere(harness: Harness) -> None:
    staging_dir, manifest = harness.stage(job_name="é \udcff\n'")
    assert os.path.isabs(staging_dir)
    assert harness.store.find_keys() == (KEY,)
    assert harness.store.list_images() == ((), ())
    image = harness.store.publish(staging_dir, manifest)
    assert image.manifest == manifest
    assert image.image_id == manifest.image_id
    assert image.checkpoint_dir == harness.store.checkpoint_dir
    assert not image.is_deleted
    for store in (harness.store, harness.again()):
        assert store.list_images() == ((image,), ())
        assert store.list_images(key=KEY) == ((image,), ())
        assert store.get_image(image.image_id) == image
        assert store.verify(image, level="sizes") == ()
        assert store.verify(image, level="digests") == ()


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"data/0/a": b"other size"},
        {"data/0/a": b"12345", "data/0/more": b""},
    ],
)
def test_publish_files_that_differ_shows_nothing(
    harness: Harness, written: dict[str, bytes]
) -> None:
    harness.take()
    staging_dir, manifest = harness.stage(files={})
    for path, data in written.items():
        harness.write(staging_dir, path, data)
    wrong = sample_manifest(
        image_id=manifest.image_id, files=(ImageFile("data/0/a", 5, "ab" * 32),)
    )
    with pytest.raises(ImageCorruptError) as caught:
        harness.store.publish(staging_dir, wrong)
    assert caught.value.details["differences"]
    assert len(harness.store.list_images()[0]) == 1


def test_publish_with_a_probe_left_is_refused_and_works_without(harness: Harness) -> None:
    staging_dir, manifest = harness.stage()
    harness.store.add_probe(staging_dir, "shared-probe")
    with pytest.raises(ImageCorruptError):
        harness.store.publish(staging_dir, manifest)
    harness.store.remove_probe(staging_dir, "shared-probe")
    harness.store.remove_probe(staging_dir, "shared-probe")
    assert harness.store.publish(staging_dir, manifest).manifest == manifest


def test_publish_into_anothers_place_is_refused(harness: Harness) -> None:
    staging_dir, _ = harness.stage()
    _, other = harness.stage()
    with pytest.raises(RequestError):
        harness.store.publish(staging_dir, other)


def test_open_staging_of_a_taken_id_is_refused(harness: Harness) -> None:
    image = harness.take()
    with pytest.raises(ImageExistsError):
        harness.store.open_staging(KEY, image.image_id, needed_bytes=0)
    harness.store.trash(image)
    with pytest.raises(ImageExistsError):
        harness.store.open_staging(KEY, image.image_id, needed_bytes=0)
    fresh = harness.store.new_image_id()
    harness.store.open_staging(KEY, fresh, needed_bytes=0)
    with pytest.raises(ImageExistsError):
        harness.store.open_staging(KEY, fresh, needed_bytes=0)


def test_open_staging_without_space_is_refused(harness: Harness) -> None:
    with pytest.raises(StoreFullError) as caught:
        harness.store.open_staging(KEY, harness.store.new_image_id(), needed_bytes=1 << 60)
    assert caught.value.details["needed_bytes"] == 1 << 60


@pytest.mark.parametrize("key", [StoreKey("../x"), StoreKey("1", "x"), StoreKey("")])
def test_key_that_slurm_does_not_hand_out_is_refused(harness: Harness, key: StoreKey) -> None:
    with pytest.raises(RequestError):
        harness.store.open_staging(key, harness.store.new_image_id(), needed_bytes=0)
    with pytest.raises(RequestError):
        harness.store.write_record(key, "a", {})


def test_discard_staging_twice_is_no_error(harness: Harness) -> None:
    staging_dir, manifest = harness.stage()
    harness.store.discard_staging(staging_dir)
    harness.store.discard_staging(staging_dir)
    with pytest.raises(SyscrError):
        harness.store.publish(staging_dir, manifest)
    with pytest.raises(RequestError):
        harness.store.discard_staging(harness.store.checkpoint_dir)


def test_list_images_oldest_first_and_by_key(harness: Harness) -> None:
    first = harness.take(STEP)
    second = harness.take(KEY)
    third = harness.take(STEP)
    assert harness.store.list_images()[0] == (first, second, third)
    assert harness.store.list_images(key=STEP)[0] == (first, third)
    assert harness.store.list_images(key=StoreKey("1"))[0] == ()
    assert harness.store.list_images(deleted=True)[0] == ()


def test_find_keys_are_sorted_by_number(harness: Harness) -> None:
    keys = [StoreKey("100"), StoreKey("9", "10"), StoreKey("9", "2"), StoreKey("9")]
    for key in keys:
        harness.take(key)
    assert harness.store.find_keys() == tuple(reversed(keys))
    assert harness.store.find_keys("100") == (StoreKey("100"),)
    assert harness.store.find_keys("7") == ()


def test_get_image_by_prefix(harness: Harness) -> None:
    first = harness.take()
    harness.clock.advance(timedelta(days=1).total_seconds())
    second = harness.take()
    assert harness.store.get_image(first.image_id[:9]) == first
    assert harness.store.get_image(second.image_id[:-1]) == second
    assert harness.store.get_image(first.image_id[:-8]) == first


def test_get_image_prefix_that_fits_several_lists_them(harness: Harness) -> None:
    images = [harness.take(), harness.take()]
    with pytest.raises(ImageNotFoundError) as caught:
        harness.store.get_image(images[0].image_id[:9])
    assert caught.value.details["matches"] == [image.image_id for image in images]
    assert images[1].image_id in caught.value.message


@pytest.mark.parametrize("text", ["", "4711", "20261124", "20261124T9", "../..", "2026*", "\udcff"])
def test_get_image_unknown_is_refused(harness: Harness, text: str) -> None:
    harness.take()
    with pytest.raises(ImageNotFoundError):
        harness.store.get_image(text)


@pytest.mark.parametrize(
    ("data", "levels"),
    [(b"short", ("sizes", "digests")), (b"PAGES" * 100, ("digests",))],
)
def test_verify_altered_file_is_found(
    harness: Harness, data: bytes, levels: tuple[str, ...]
) -> None:
    image = harness.take()
    harness.write(image.path, "data/0/pages-1.img", data)
    for level in ("sizes", "digests"):
        lines = harness.store.verify(image, level=level)
        assert bool(lines) == (level in levels)
        assert all("data/0/pages-1.img" in line for line in lines)


def test_verify_file_too_many_is_found(harness: Harness) -> None:
    image = harness.take()
    harness.write(image.path, "data/0/more", b"")
    assert len(harness.store.verify(image, level="sizes")) == 1


def test_verify_other_level_is_refused(harness: Harness) -> None:
    image = harness.take()
    with pytest.raises(RequestError):
        harness.store.verify(image, level="everything")


def test_trash_and_untrash_move_an_image_out_of_sight_and_back(harness: Harness) -> None:
    image, other = harness.take(), harness.take()
    deleted = harness.store.trash(image)
    assert deleted.is_deleted
    assert deleted.manifest == image.manifest
    assert harness.store.list_images()[0] == (other,)
    assert harness.store.list_images(deleted=True)[0] == (deleted,)
    assert harness.store.get_image(image.image_id, deleted=True) == deleted
    assert harness.store.verify(deleted, level="digests") == ()
    with pytest.raises(ImageNotFoundError):
        harness.store.get_image(image.image_id)
    with pytest.raises(ImageNotFoundError):
        harness.store.verify(image, level="sizes")
    assert harness.store.untrash(deleted) == image
    assert harness.store.list_images()[0] == (image, other)
    assert harness.store.verify(image, level="digests") == ()


def test_trash_and_untrash_what_is_not_there_is_refused(harness: Harness) -> None:
    image = harness.take()
    deleted = harness.store.trash(image)
    with pytest.raises((ImageNotFoundError, ImageExistsError)):
        harness.store.trash(image)
    harness.store.untrash(deleted)
    with pytest.raises((ImageNotFoundError, ImageExistsError)):
        harness.store.untrash(deleted)


def test_expunge_removes_for_good(harness: Harness) -> None:
    image = harness.take()
    with pytest.raises(RequestError):
        harness.store.expunge(image)
    deleted = harness.store.trash(image)
    harness.store.expunge(deleted)
    assert harness.store.list_images(deleted=True)[0] == ()
    with pytest.raises(ImageNotFoundError):
        harness.store.expunge(deleted)
    with pytest.raises(ImageNotFoundError):
        harness.store.untrash(deleted)


def test_folder_without_manifest_is_no_image_and_can_be_deleted(harness: Harness) -> None:
    torn, good = harness.take(STEP), harness.take()
    harness.tear(torn)
    images, warnings = harness.store.list_images()
    assert images == (good,)
    assert len(warnings) == 1
    assert f"{torn.image_id}' is no image: it has no manifest" in warnings[0]
    with pytest.raises(ManifestError, match="it has no manifest"):
        harness.store.get_image(torn.image_id)
    (found,) = harness.store.list_torn()
    assert harness.store.get_torn(torn.image_id[:-1]) == found
    assert (found.image_id, found.path, found.is_deleted) == (torn.image_id, torn.path, False)
    assert (found.lineage, found.step) == (STEP.lineage, STEP.step)
    with pytest.raises(ImageNotFoundError, match="is whole"):
        harness.store.get_torn(good.image_id)

    deleted = harness.store.trash(found)
    assert deleted.is_deleted
    assert (harness.store.list_torn(), harness.store.list_images()) == ((), ((good,), ()))
    assert len(harness.store.list_images(deleted=True)[1]) == 1
    assert harness.store.get_torn(torn.image_id, deleted=True).path == deleted.path
    harness.store.untrash(deleted)
    assert harness.store.list_torn() == (found,)
    harness.store.expunge(harness.store.trash(found))
    assert harness.store.list_torn(deleted=True) == ()
    with pytest.raises(ImageNotFoundError):
        harness.store.get_torn(torn.image_id, deleted=True)


def test_lock_second_is_refused_until_the_first_ends(harness: Harness) -> None:
    other = harness.again()
    with harness.store.lock(KEY, purpose="checkpoint") as warnings:
        assert warnings == ()
        with pytest.raises(StoreLockedError, match="cannot lock job 4711") as caught:
            other.lock(KEY, purpose="prune").__enter__()
        assert caught.value.transient
        assert "checkpoint" in caught.value.message
        with other.lock(STEP, purpose="another folder"):
            pass
    with other.lock(KEY, purpose="prune"):
        pass


def test_lock_is_given_back_after_an_error(harness: Harness) -> None:
    with pytest.raises(KeyError), harness.store.lock(KEY, purpose="checkpoint"):
        raise KeyError
    with harness.again().lock(KEY, purpose="checkpoint"):
        pass


def test_expunge_works_while_the_lock_is_held_here(harness: Harness) -> None:
    deleted = harness.store.trash(harness.take())
    with harness.store.lock(KEY, purpose="prune"):
        harness.store.expunge(deleted)
    assert harness.store.list_images(deleted=True)[0] == ()


def test_records_are_replaced_or_created_once(harness: Harness) -> None:
    value = {"options": ["--time=1", "é \udcff"], "n": 1, "none": None}
    assert harness.store.read_record(KEY, "submission") is None
    harness.store.write_record(KEY, "submission", {"old": True})
    harness.store.write_record(KEY, "submission", value)
    assert harness.again().read_record(KEY, "submission") == value
    assert harness.store.create_record(KEY, "decision-4711.1", {"a": 1}) == {"a": 1}
    assert harness.again().create_record(KEY, "decision-4711.1", {"a": 2}) == {"a": 1}
    assert harness.store.read_record(KEY, "decision-4711.1") == {"a": 1}
    assert harness.store.read_record(STEP, "submission") is None
    assert harness.store.list_images()[0] == ()


def test_record_is_kept_under_another_name(harness: Harness) -> None:
    assert harness.store.keep_record(KEY, "lives") == ""
    harness.store.write_record(KEY, "lives", {"a": 1})
    names = {harness.store.keep_record(KEY, "lives") for _ in range(2)}
    assert len(names) == 2
    assert all("lives.json.unreadable-" in name for name in names)
    assert harness.store.read_record(KEY, "lives") == {"a": 1}  # it is there still


def test_create_record_of_several_writers_one_wins(harness: Harness) -> None:
    answers: list[object] = []
    barrier = threading.Barrier(6)

    def create(number: int) -> None:
        barrier.wait()
        answers.append(harness.again().create_record(KEY, "decision-1.1", {"n": number})["n"])

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "x\n"])
def test_record_of_a_bad_name_is_refused(harness: Harness, name: str) -> None:
    acts: list[Callable[[], object]] = [
        lambda: harness.store.read_record(KEY, name),
        lambda: harness.store.write_record(KEY, name, {}),
        lambda: harness.store.create_record(KEY, name, {}),
    ]
    for act in acts:
        with pytest.raises(RequestError):
            act()


def test_make_folder_is_below_the_line_and_never_an_image(harness: Harness) -> None:
    path = harness.store.make_folder(KEY, "run/4711.0.0")
    assert harness.store.make_folder(KEY, "run/4711.0.0") == path
    assert path.startswith(harness.store.checkpoint_dir)
    assert harness.store.list_images() == ((), ())
    assert harness.store.read_note(KEY, "run/4711.0.0/ready") is None
    for name in ("staging/x", "run/../x", "x", "20261124T093000Z-00000000"):
        with pytest.raises(RequestError):
            harness.store.make_folder(KEY, name)
        with pytest.raises(RequestError):
            harness.store.read_note(KEY, name)
        with pytest.raises(RequestError):
            harness.store.list_notes(KEY, name)


def test_notes_of_a_folder_are_listed(harness: Harness) -> None:
    assert harness.store.list_notes(KEY, "run/4711.0.ended") == frozenset()
    harness.store.make_folder(KEY, "run/4711.0.ended")
    assert harness.store.list_notes(KEY, "run/4711.0.ended") == frozenset()
    if isinstance(harness.store, FakeStore):
        harness.store.write_note(KEY, "run/4711.0.ended/1", "0 own 0")
    else:
        write_file(harness.store.folder_path(KEY, "run/4711.0.ended"), "1", b"0 own 0")
    assert harness.store.list_notes(KEY, "run/4711.0.ended") == {"1"}
