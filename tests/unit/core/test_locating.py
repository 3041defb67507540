"""Where images are found, which one is chosen, what is remembered, and how one waits."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
from pathlib import Path

import pytest
from core_support import HOME, KEY, OTHER, TARGET, World

from syscr.errors import (
    ImageCorruptError,
    ImageNotFoundError,
    ManifestError,
    RequestError,
    RestartTimeoutError,
    StoreAccessError,
    StoreNotFoundError,
)
from syscr.known import KnownDirs
from syscr.locating import name_dirs
from syscr.model import Target
from syscr.ports import StoreKey
from syscr.selection import (
    Selection,
    build_decision,
    decision_name,
    find_lineage,
    home_dir,
    read_decision,
    select_from_dir,
    select_newest,
)
from syscr.testing.clock import FakeClock
from syscr.waiting import wait_until


def test_images_are_looked_for_in_all_known_directories(world: World) -> None:
    image = world.add_image(directory=OTHER)
    locator = world.manager.locator
    place = locator.find_place(TARGET, None)
    assert (place.store.checkpoint_dir, place.key) == (OTHER, KEY)
    assert locator.get_image(image.image_id) == image
    assert locator.get_image(image.image_id[:20]) == image
    with pytest.raises(StoreNotFoundError, match=f"in '{HOME}'$"):
        locator.find_place(TARGET, HOME)


def test_directory_that_is_not_there_is_passed_over_among_many(world: World) -> None:
    image = world.add_image(directory=OTHER)
    locator = world.manager.locator

    def vanish(method: str) -> None:
        world.home.failures[method] = StoreNotFoundError("no such directory")

    vanish("find_keys")
    assert locator.find_place(TARGET, None).store.checkpoint_dir == OTHER
    vanish("get_image")
    assert locator.get_image(image.image_id) == image
    vanish("list_images")
    assert locator.list_images(None, None) == ((image,), ())
    vanish("list_images")
    with pytest.raises(StoreNotFoundError):
        locator.list_images(None, HOME)
    vanish("get_image")
    with pytest.raises(ImageNotFoundError, match=f"no image '20261122T' in '{HOME}'"):
        locator.get_image("20261122T", HOME)


def test_torn_copy_hides_no_image_in_another_directory(world: World) -> None:
    copy = world.add_image()
    image = world.open_store(OTHER).add_image(copy.manifest)
    world.home.tear(copy)
    locator = world.manager.locator
    assert locator.get_image(image.image_id) == image
    with pytest.raises(ManifestError, match="no manifest"):
        locator.get_image(image.image_id, HOME)
    assert locator.get_torn(image.image_id).path == copy.path
    world.open_store(OTHER).trash(image)
    with pytest.raises(ManifestError, match="no manifest"):
        locator.get_image(image.image_id)


def test_prefix_that_fits_several_is_an_error_not_a_reason_to_look_on(world: World) -> None:
    first, _ = world.add_image(), world.add_image()
    prefix = first.image_id.partition("T")[0] + "T"
    with pytest.raises(ImageNotFoundError) as caught:
        world.manager.locator.get_image(prefix)
    assert len(caught.value.details["matches"]) == 2  # type: ignore[arg-type]


def test_images_of_several_steps_have_to_be_told_apart(world: World) -> None:
    for step in ("0", "1"):
        world.add_image(step=step)
    locator = world.manager.locator
    with pytest.raises(RequestError, match=r"4711\.0, 4711\.1"):
        locator.find_place(TARGET, None)
    assert locator.find_place(Target.parse("4711.1"), None).key == StoreKey("4711", "1")
    world.add_image()
    assert locator.find_place(TARGET, None).key == KEY
    with pytest.raises(StoreNotFoundError, match=r"no image of step 4711\.7"):
        locator.find_place(Target.parse("4711.7"), None)


def test_array_task_is_found_by_its_images(world: World) -> None:
    """Its folder has the task's own plain number, which Slurm forgets."""
    image = world.add_image("4720", job_id="4711_3", number=4720)
    world.add_image("4721", job_id="4711_4", number=4721)
    locator = world.manager.locator
    assert locator.find_place(Target.parse("4711_3"), None).key == StoreKey("4720")
    assert locator.list_images(Target.parse("4711_3"), None)[0] == (image,)


def test_plain_number_of_an_array_lists_the_images_of_all_its_tasks(world: World) -> None:
    """Slurm gives the last task the number of the array."""
    images = [
        world.add_image(str(number), job_id=f"4711_{index}", number=number, step=step)
        for index, (number, step) in enumerate([(4720, "batch"), (4721, "0"), (4711, "batch")])
    ]
    continued = world.add_image("4720", job_id="9000", number=9000)
    world.add_image("4711", step="3", job_id="47110_0")  # a folder may hold anything
    manager = world.manager
    assert manager.list_images(target=TARGET)[0][:4] == (*images, continued)
    assert manager.list_images(target=Target.parse("4711.0"))[0] == (images[1],)
    manager.delete_image(images[1])
    assert images[1] not in manager.list_images(target=TARGET)[0]
    (deleted,), _ = manager.list_images(target=TARGET, deleted=True)
    assert deleted.image_id == images[1].image_id


def test_line_of_a_job_is_not_the_array_that_has_its_number(world: World) -> None:
    """An agent that keeps a few images looks at its own line alone."""
    world.add_image("4720", job_id="4711_3", number=4720)
    last = world.add_image("4711", job_id="4711_9")
    assert world.manager.locator.list_images(TARGET, None)[0] == (last,)


def test_continuing_job_leads_to_its_line(world: World) -> None:
    image = world.add_image()
    world.home.write_record(StoreKey("9000"), "continues", {"lineage": "4711"})
    assert find_lineage(world.home, 9000) == "4711"
    assert find_lineage(world.home, 9001) == "9001"
    assert world.manager.locator.list_images(Target.parse("9000"), None)[0] == (image,)


def test_images_are_listed_oldest_first_over_all_directories(world: World) -> None:
    images = [world.add_image(directory=path) for path in (HOME, OTHER, HOME)]
    world.open_store(OTHER).unreadable = ("cannot read x",)
    found, warnings = world.manager.locator.list_images(None, None)
    assert found == tuple(images)
    assert warnings == ("cannot read x",)


def test_unreadable_directory_is_an_error_where_it_was_named(world: World) -> None:
    world.home.failures["find_keys"] = StoreAccessError("not allowed")
    with pytest.raises(StoreAccessError):
        world.manager.locator.list_images(TARGET, HOME)


def test_directory_that_cannot_be_read_hides_no_other(world: World) -> None:
    image = world.add_image(directory=OTHER)
    locator = world.manager.locator
    for method in ("find_keys", "get_image"):
        error = StoreAccessError("not allowed")
        world.home.failures[method] = error
        if method == "find_keys":
            assert locator.find_place(TARGET, None).store.checkpoint_dir == OTHER
            world.home.failures[method] = error
            with pytest.raises(StoreAccessError):
                locator.find_place(TARGET, HOME)
        else:
            assert locator.get_image(image.image_id) == image
            world.home.failures[method] = error
            with pytest.raises(StoreAccessError):
                locator.get_image(image.image_id, HOME)


def test_named_folder_is_an_image_or_a_line_of_them(world: World) -> None:
    old, new = world.add_image(), world.add_image()
    step = world.add_image(step="3")
    for path, image in (
        (old.path, old),
        (f"{old.path}/", old),
        (f"{HOME}/4711.ckpt", new),
        (f"{HOME}/4711.3.ckpt/", step),
    ):
        assert select_from_dir(world.open_store, path, level="sizes").image == image


def test_named_image_that_does_not_verify_is_refused(world: World) -> None:
    image = world.add_image()
    world.home.damage[image.image_id] = tuple("abcdefgh")
    with pytest.raises(ImageCorruptError, match=r"a; b; c; d; e$") as caught:
        select_from_dir(world.open_store, image.path, level="sizes")
    assert caught.value.details["differences"] == list("abcdefgh")


def test_named_folder_that_is_not_there_is_named(world: World) -> None:
    gone = f"{HOME}/4711.ckpt/20261122T061900Z-00000000"
    with pytest.raises(ImageNotFoundError, match=rf"^cannot continue from '{gone}': ") as caught:
        select_from_dir(world.open_store, gone, level="sizes")
    assert isinstance(caught.value.__cause__, ImageNotFoundError)


def test_nothing_to_select_is_an_error(world: World) -> None:
    with pytest.raises(ImageNotFoundError, match=rf"no image of job 4711\.2 in '{HOME}'"):
        select_newest(world.home, StoreKey("4711", "2"), level="sizes")


def test_images_that_were_only_deleted_are_offered(world: World) -> None:
    images = [world.add_image() for _ in range(2)]
    for image in images:
        world.home.trash(image)
    with pytest.raises(ImageNotFoundError, match=r"no image of job 4711 .*; 2 deleted$") as caught:
        select_newest(world.home, KEY, level="sizes")
    assert caught.value.hint.endswith(f"syscr image undelete {images[-1].image_id}")


def test_unreadable_images_are_not_no_images(world: World) -> None:
    world.home.unreadable = ("cannot read manifest of x",)
    with pytest.raises(ImageCorruptError, match="is intact: cannot read manifest of x"):
        select_newest(world.home, KEY, level="sizes")


def test_decision_survives_writing_and_reading(world: World) -> None:
    image = world.add_image()
    record = json.loads(json.dumps(build_decision(Selection(image), OTHER)))
    assert read_decision(record) == (image.image_id, OTHER)
    assert read_decision(build_decision(None, HOME)) == (None, HOME)
    assert read_decision({}) == (None, "")
    assert decision_name(12, 3) == "decision-12.3"


def test_home_is_the_jobs_own_directory_where_it_is_recorded(world: World) -> None:
    assert home_dir(world.add_image(directory=OTHER)) == OTHER


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/syscr/checkpoint-dirs"),
        ({"XDG_STATE_HOME": "s", "HOME": "/h"}, "/h/.local/state/syscr/checkpoint-dirs"),
        ({"HOME": "/h"}, "/h/.local/state/syscr/checkpoint-dirs"),
        ({"HOME": "h"}, ""),
        ({}, ""),
    ],
)
def test_list_of_directories_lies_in_the_users_state(environ: dict[str, str], path: str) -> None:
    assert KnownDirs.of_user(environ).path == path


def test_directories_are_remembered_newest_first_and_not_without_end(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "dirs"
    known = KnownDirs(str(folder), itertools.count(10**18).__next__)
    for name in ("/a", "/b", "/b", "/a\udcff"):
        known.remember(name)
    assert known.ordered("/here") == ("/here", "/a\udcff", "/b", "/a")
    assert known.ordered("/b") == ("/b", "/a\udcff", "/a")
    known.remember("/a")
    assert known.ordered("/here") == ("/here", "/a", "/a\udcff", "/b")
    for number in range(100):
        known.remember(f"/{number}")
    assert known.ordered("/99") == tuple(f"/{number}" for number in range(99, 35, -1))
    assert len(list(folder.iterdir())) == 64


def test_directory_that_is_in_front_is_not_written_again(tmp_path: Path) -> None:
    known = KnownDirs(str(tmp_path / "dirs"))
    known.remember("/a")
    (entry,) = (tmp_path / "dirs").iterdir()
    before = entry.stat().st_ino
    known.remember("/a")
    assert entry.stat().st_ino == before


def test_what_many_commands_remember_at_once_is_all_known(tmp_path: Path) -> None:
    known = KnownDirs(str(tmp_path / "dirs"))
    barrier = threading.Barrier(16)

    def command(number: int) -> None:
        barrier.wait()
        known.remember(f"/{number}")

    threads = [threading.Thread(target=command, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(known.ordered("/0")) == {f"/{number}" for number in range(16)}


@pytest.mark.parametrize("content", [b"", b"relative", b"/a\0b", b"\xff"])
def test_spoilt_entry_is_no_matter(tmp_path: Path, content: bytes) -> None:
    known = KnownDirs(str(tmp_path))
    known.remember("/good")
    (tmp_path / ("0" * 32)).write_bytes(content)
    (tmp_path / ("1" * 32)).mkdir()
    (tmp_path / ("2" * 32)).symlink_to("nowhere")
    (tmp_path / ".1234").write_text("/left by a killed one")
    assert known.ordered("/x") == ("/x", "/good")
    known.remember("/new")
    assert set(known.ordered("/x")) == {"/x", "/new", "/good"}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('[1, "relative", "/old", "/new"]', ("/x", "/new", "/old")),
        ("", ("/x", "/new")),
        ("{}", ("/x", "/new")),
        ("\udcff", ("/x", "/new")),
        ("[" * 9999, ("/x", "/new")),
    ],
)
def test_list_of_earlier_releases_is_still_read(
    tmp_path: Path, content: str, found: tuple[str, ...]
) -> None:
    known = KnownDirs(str(tmp_path / "dirs"))
    known.remember("/new")
    (tmp_path / "dirs.json").write_bytes(os.fsencode(content))
    assert known.ordered("/x") == found


def test_list_that_cannot_be_written_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    KnownDirs(str(tmp_path / "file" / "dirs")).remember("/x")
    KnownDirs("").remember("/x")
    assert KnownDirs("").ordered("/x") == ("/x",)
    known = KnownDirs(str(tmp_path / "dirs"))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(os, "utime", fail)
    known.remember("/x")
    assert list((tmp_path / "dirs").iterdir()) == []


def test_waiting_asks_at_least_once_and_ever_more_seldom() -> None:
    clock = FakeClock()
    answers = iter([False] * 20 + [True])
    assert wait_until(clock, lambda: next(answers), timeout_seconds=100)
    assert clock.sleeps[0] == 0.05
    assert clock.sleeps == sorted(clock.sleeps)
    assert max(clock.sleeps) == 2.0


def test_waiting_ends_at_the_deadline() -> None:
    clock = FakeClock()
    assert not wait_until(clock, lambda: False, timeout_seconds=7)
    assert sum(clock.sleeps) == pytest.approx(7)
    assert not wait_until(clock, lambda: False, timeout_seconds=0)
    assert wait_until(clock, lambda: True, timeout_seconds=0)
    with pytest.raises(RestartTimeoutError, match="too late"):
        wait_until(
            clock,
            lambda: False,
            timeout_seconds=1,
            on_timeout=lambda: RestartTimeoutError("too late"),
        )


def test_many_directories_are_named_by_the_first_three() -> None:
    assert name_dirs(["/a", "/b", "/c"]) == "'/a', '/b', '/c'"
    assert name_dirs(["/a", "/b", "/c", "/d"]) == "'/a', '/b', '/c' and 1 other"


@pytest.mark.parametrize("job_id", ["4711", "4711_3"])
def test_deleted_images_are_listed_where_no_other_is_left(world: World, job_id: str) -> None:
    image = world.add_image(job_id=job_id)
    world.manager.delete_image(image)
    target = Target.parse(job_id)
    assert world.manager.list_images(target=target)[0] == ()
    (found,), _ = world.manager.list_images(target=target, deleted=True)
    assert found.image_id == image.image_id


def test_image_that_cannot_be_read_is_named_where_no_other_is_left(world: World) -> None:
    world.manager.delete_image(world.add_image())  # its folder is there
    world.home.unreadable = ("cannot read manifest",)
    assert world.manager.list_images(target=TARGET) == ((), ("cannot read manifest",))
