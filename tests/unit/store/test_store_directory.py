"""DirectoryStore on a real directory: what the contract suite cannot say of every store."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import pytest
from store_support import KEY, write_data

from syscr.errors import (
    ImageCorruptError,
    ImageNotFoundError,
    ManifestError,
    RequestError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreNotFoundError,
)
from syscr.model import Image, ImageFile
from syscr.ports import Store, StoreKey
from syscr.store import staging, tree
from syscr.store.directory import DirectoryStore
from syscr.store.layout import show
from syscr.store.manifest import SummaryManifest
from syscr.testing.clock import FakeClock
from syscr.testing.images import sample_manifest, write_images

Publish = Callable[..., Image]
OTHER_ID = "20261122T061900Z-9f3c21ab"


def fail_with(number: int) -> Callable[..., NoReturn]:
    def fail(*_args: object, **_kwargs: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


def staged(store: DirectoryStore, image_id: str = OTHER_ID) -> tuple[str, Any]:
    """Return a staging directory with one file, and its manifest."""
    staging_dir = store.open_staging(KEY, image_id, needed_bytes=0)
    Path(staging_dir, "data/x").write_bytes(b"12345")
    files = (ImageFile("data/x", 5, "ab" * 32),)
    return staging_dir, sample_manifest(image_id=image_id, files=files)


def test_store_has_the_shape_of_the_port(store: DirectoryStore) -> None:
    port: Store = store
    assert os.path.isabs(port.checkpoint_dir)


def test_open_staging_makes_everything_private(store: DirectoryStore, weird_dir: str) -> None:
    staging_dir = store.open_staging(KEY, OTHER_ID, needed_bytes=0)
    path = staging_dir + "/data"
    while path != os.path.dirname(os.path.dirname(weird_dir)):
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o700
        path = os.path.dirname(path)
    assert os.path.basename(staging_dir) == f"{OTHER_ID}.{os.uname().nodename}.{os.getpid()}"
    assert os.listdir(staging_dir) == ["data"]


def test_open_staging_removes_what_dead_writers_left(store: DirectoryStore) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    mine = store.open_staging(KEY, OTHER_ID, needed_bytes=0)
    parent = os.path.dirname(mine)
    dead = os.path.join(parent, f"{OTHER_ID}.{os.uname().nodename}.{pid}")
    elsewhere = os.path.join(parent, f"{OTHER_ID}.elsewhere.{pid}")
    foreign = os.path.join(parent, "somebody's notes")
    for path in (dead, elsewhere, foreign):
        os.makedirs(os.path.join(path, "data/0"))
    second = store.open_staging(KEY, "20261122T062000Z-00000000", needed_bytes=0)
    assert not os.path.exists(dead)
    assert all(map(os.path.exists, (mine, elsewhere, foreign, second)))


@pytest.mark.parametrize(
    ("hours", "held", "stays"), [(2, False, True), (2, True, False), (200, False, False)]
)
def test_open_staging_other_hosts_staging_is_judged_by_age(
    store: DirectoryStore, hours: float, held: bool, stays: bool
) -> None:
    mine = store.open_staging(KEY, OTHER_ID, needed_bytes=0)
    elsewhere = os.path.join(os.path.dirname(mine), f"{OTHER_ID}.elsewhere.1")
    os.makedirs(elsewhere)
    then = store._clock.now().timestamp() - 3600 * hours
    os.utime(elsewhere, (then, then))
    with store.lock(KEY, purpose="checkpoint") if held else nullcontext():
        store.open_staging(KEY, "20261122T062000Z-00000000", needed_bytes=0)
    assert os.path.exists(elsewhere) == stays
    assert os.path.exists(mine), "this process is alive"


def test_open_staging_clean_up_failure_is_no_failure(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(staging, "is_abandoned", lambda *_args, **_kwargs: True)
    store.open_staging(KEY, OTHER_ID, needed_bytes=0)
    monkeypatch.setattr(staging, "remove_tree", fail_with(errno.EIO))
    store.open_staging(KEY, "20261122T062000Z-00000000", needed_bytes=0)
    assert "cannot clean up" in caplog.text


def test_open_staging_without_space_says_how_much(store: DirectoryStore) -> None:
    with pytest.raises(StoreFullError, match=r"1024.0 TiB needed, .* free") as caught:
        store.open_staging(KEY, OTHER_ID, needed_bytes=1 << 50)
    assert caught.value.details["needed_bytes"] == 1 << 50
    assert isinstance(caught.value.details["free_bytes"], int)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StoreAccessError),
        (errno.EROFS, StoreAccessError),
    ],
)
def test_open_staging_refused_by_the_system_names_path_and_cause(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    monkeypatch.setattr(os, "mkdir", fail_with(number))
    with pytest.raises(kind, match=os.strerror(number)) as caught:
        store.open_staging(KEY, OTHER_ID, needed_bytes=0)
    assert caught.value.details["errno"] == number
    assert "4711.ckpt" in str(caught.value.details["path"])


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreAccessError)]
)
def test_publish_refused_by_the_system_shows_nothing_and_can_be_repeated(
    weird_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    kind: type[StoreError],
) -> None:
    store = DirectoryStore(weird_dir, clock=FakeClock())
    staging_dir, manifest = staged(store)
    monkeypatch.setattr(os, call, fail_with(number))
    with pytest.raises(kind):
        store.publish(staging_dir, manifest)
    monkeypatch.undo()
    assert store.list_images() == ((), ())
    assert sorted(os.listdir(staging_dir)) == ["data"]
    image = store.publish(staging_dir, manifest)
    assert store.list_images() == ((image,), ())


def test_publish_last_sync_failing_takes_the_image_back(
    weird_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(weird_dir, clock=FakeClock())
    staging_dir, manifest = staged(store)
    real = os.fsync

    def fail_on_folder(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".ckpt"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_on_folder)
    with pytest.raises(StoreAccessError, match="cannot publish"):
        store.publish(staging_dir, manifest)
    assert store.list_images() == ((), ())
    assert os.listdir(staging_dir) == ["data"]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda path: os.unlink(f"{path}/data/x"), "data/x: missing"),
        (lambda path: Path(path, "data/x").write_bytes(b"1"), "data/x: 1 bytes, manifest says 5"),
        (lambda path: Path(path, "data/y").write_bytes(b""), "data/y: not in the manifest"),
        (lambda path: Path(path, "z").write_bytes(b""), "z: not in the manifest"),
        (lambda path: os.symlink("/etc/passwd", f"{path}/data/l"), "data/l: not a regular file"),
        (lambda path: os.symlink("/etc", f"{path}/data/d"), "data/d: not a regular file"),
        (lambda path: os.mkfifo(f"{path}/data/p"), "data/p: not a regular file"),
    ],
)
def test_publish_files_that_differ_are_listed(
    store: DirectoryStore, spoil: Callable[[str], None], line: str
) -> None:
    staging_dir, manifest = staged(store)
    spoil(staging_dir)
    before = sorted(os.listdir(staging_dir))
    with pytest.raises(ImageCorruptError) as caught:
        store.publish(staging_dir, manifest)
    assert any(line in text for text in caught.value.details["differences"])  # type: ignore[attr-defined]
    assert f"\n| {line}" in caught.value.message
    assert store.list_images() == ((), ())
    assert sorted(os.listdir(staging_dir)) == before


def test_publish_syncs_manifest_before_it_is_visible(
    weird_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(weird_dir, clock=FakeClock())
    staging_dir, manifest = staged(store)
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        steps.append("sync " + ("temporary" if name.startswith(".tmp-") else name))
        fsync(descriptor)

    def note_rename(source: str, target: str) -> None:
        steps.append(f"rename {os.path.basename(target)}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    store.publish(staging_dir, manifest)
    name = os.path.basename(staging_dir)
    assert steps == [
        "sync data",
        f"sync {name}",
        "sync temporary",
        "rename manifest.json",
        f"sync {name}",
        f"rename {OTHER_ID}",
        "sync 4711.ckpt",
        "sync staging",
    ]


def test_publish_of_another_image_or_place_is_refused(store: DirectoryStore) -> None:
    staging_dir, manifest = staged(store)
    for wrong in (
        sample_manifest(image_id="20261122T061900Z-00000000", files=manifest.files),
        sample_manifest(image_id=OTHER_ID, step="0", files=manifest.files),
    ):
        with pytest.raises(RequestError, match="staging directory of another image"):
            store.publish(staging_dir, wrong)
    with pytest.raises(RequestError, match="not a staging directory"):
        store.publish("/tmp", manifest)
    with pytest.raises(RequestError, match="not a staging directory"):
        store.discard_staging(store.checkpoint_dir)


def test_publish_without_staging_says_so(store: DirectoryStore) -> None:
    staging_dir, manifest = staged(store)
    store.discard_staging(staging_dir)
    with pytest.raises(StoreAccessError, match="its staging directory is gone"):
        store.publish(staging_dir, manifest)


def test_published_manifest_is_private(publish: Publish) -> None:
    image = publish()
    assert stat.S_IMODE(os.stat(image.path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(image.path + "/manifest.json").st_mode) == 0o600


def test_list_without_checkpoint_directory_names_it(store: DirectoryStore) -> None:
    for ask in (
        store.list_images,
        store.find_keys,
        lambda: store.list_images(key=KEY),
        lambda: store.get_image(OTHER_ID),
    ):
        with pytest.raises(StoreNotFoundError, match="there is none"):
            ask()
    assert store.read_record(KEY, "submission") is None
    assert store.read_note(KEY, "run/1/ready") is None
    assert store.find_holder(KEY) == ""


def test_list_checkpoint_directory_that_is_a_file_is_an_access_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = DirectoryStore(str(tmp_path / "file"), clock=FakeClock())
    with pytest.raises(StoreAccessError, match="Not a directory"):
        store.list_images()
    with pytest.raises(StoreAccessError, match="Not a directory"):
        store.list_images(key=KEY)


def test_list_all_reads_heads_and_list_of_a_key_reads_whole(
    store: DirectoryStore, publish: Publish
) -> None:
    image = publish()
    (found,), _ = store.list_images()
    (whole,), _ = store.list_images(key=KEY)
    assert isinstance(found.manifest, SummaryManifest)
    assert not isinstance(whole.manifest, SummaryManifest)
    assert found == whole == image


def test_list_unreadable_entries_become_warnings(store: DirectoryStore, publish: Publish) -> None:
    good = publish()
    folder = os.path.dirname(good.path)
    broken = {f"20261122T06190{number}Z-00000000": number for number in range(6)}
    for name, number in broken.items():
        path = Path(folder, name)
        if number == 0:
            path.write_text("a file")
        elif number == 1:
            path.symlink_to(good.path)
        else:
            path.mkdir()
            manifest = path / "manifest.json"
            if number == 3:
                manifest.write_text("{")
            elif number == 4:
                manifest.symlink_to(good.path + "/manifest.json")
            elif number == 5:
                os.mkfifo(manifest)
    for key in (None, KEY):
        images, warnings = store.list_images(key=key)
        assert images == (good,)
        assert len(warnings) == len(broken)
        for name in broken:
            assert sum(name in warning for warning in warnings) == 1
    for name in broken:
        with pytest.raises(StoreError):
            store.get_image(name)


def test_warning_about_a_folder_without_manifest_says_how_it_goes(
    store: DirectoryStore, publish: Publish
) -> None:
    image = publish()
    os.unlink(f"{image.path}/manifest.json")
    place = f"--image-dir {shlex.quote(show(store.checkpoint_dir))}'"
    _, (warning,) = store.list_images(key=KEY)
    assert warning.startswith(f"'{show(image.path)}' is no image: it has no manifest")
    assert f"; remove it with 'syscr image delete {image.image_id} {place}" in warning
    store.trash(store.get_torn(image.image_id))
    _, (warning,) = store.list_images(key=KEY, deleted=True)
    assert f"; remove it with 'syscr image prune --expunge {place}" in warning


def test_torn_is_a_folder_whose_manifest_is_missing_or_none_but_no_link(
    store: DirectoryStore, publish: Publish
) -> None:
    """A link would be followed, or could not be removed; it stays a warning."""
    good, altered, foreign = publish(), publish(), publish()
    os.truncate(f"{altered.path}/manifest.json", 50)
    shutil.copy(f"{good.path}/manifest.json", f"{foreign.path}/manifest.json")
    link = f"{os.path.dirname(good.path)}/{OTHER_ID}"
    os.symlink(good.path, link)
    assert {one.image_id for one in store.list_torn()} == {altered.image_id, foreign.image_id}
    assert "not JSON" in store.get_torn(altered.image_id).reason
    with pytest.raises(ManifestError):
        store.get_torn(OTHER_ID)
    for one in store.list_torn():
        store.expunge(store.trash(one))
    assert sorted(os.listdir(os.path.dirname(good.path))) == sorted(
        [good.image_id, OTHER_ID, "locks", "staging", "trash"]
    )


def test_list_folder_moved_by_hand_is_not_believed(store: DirectoryStore, publish: Publish) -> None:
    publish()
    os.rename(f"{store.checkpoint_dir}/4711.ckpt", f"{store.checkpoint_dir}/4712.ckpt")
    images, warnings = store.list_images(key=StoreKey("4712"))
    assert images == ()
    assert "it belongs in '4711.ckpt'" in warnings[0]


def test_list_other_users_folders_are_passed_over_in_silence(
    store: DirectoryStore, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = publish()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4242)
    assert store.list_images() == ((), ())
    assert store.find_keys() == ()
    with pytest.raises(ImageNotFoundError):
        store.get_image(image.image_id)
    changes: list[Callable[[], object]] = [
        lambda: store.list_images(key=KEY),
        lambda: store.open_staging(KEY, OTHER_ID, needed_bytes=0),
        lambda: store.trash(image),
        lambda: store.write_record(KEY, "x", {}),
        lambda: store.read_record(KEY, "x"),
        lambda: store.make_folder(KEY, "run/1"),
        lambda: store.lock(KEY, purpose="x").__enter__(),
    ]
    for change in changes:
        with pytest.raises(StoreAccessError, match="it belongs to"):
            change()


def test_list_own_folder_that_others_can_write_is_a_warning(
    store: DirectoryStore, publish: Publish
) -> None:
    image = publish()
    os.chmod(os.path.dirname(image.path), 0o777)
    images, warnings = store.list_images()
    assert images == ()
    assert "others can write to it" in warnings[0]
    with pytest.raises(ImageNotFoundError):
        store.get_image(image.image_id)


def test_folder_that_is_a_link_is_refused(store: DirectoryStore, publish: Publish) -> None:
    publish()
    os.symlink("4711.ckpt", f"{store.checkpoint_dir}/99.ckpt")
    with pytest.raises(StoreAccessError, match="it is a symbolic link"):
        store.open_staging(StoreKey("99"), OTHER_ID, needed_bytes=0)
    _, warnings = store.list_images()
    assert len(warnings) == 1


def test_list_while_another_deletes_and_brings_back(
    store: DirectoryStore, publish: Publish
) -> None:
    """Readers need no lock: an image is there or not, and never half there."""
    still, moving = publish(), publish()
    stop = threading.Event()
    faults: list[BaseException] = []

    def move() -> None:
        image = moving
        while not stop.is_set():
            try:
                image = store.untrash(store.trash(image))
            except BaseException as error:  # noqa: BLE001 - shown by the test
                faults.append(error)
                return

    thread = threading.Thread(target=move)
    thread.start()
    try:
        for _ in range(300):
            images, warnings = store.list_images(key=KEY)
            assert warnings == ()
            assert still in images
            assert len(images) in (1, 2)
    finally:
        stop.set()
        thread.join()
    assert faults == []


def test_verify_finds_each_kind_of_damage(store: DirectoryStore, publish: Publish) -> None:
    def lines(spoil: Callable[[str], object], level: str) -> tuple[str, ...]:
        image = publish()
        spoil(image.path)
        return store.verify(image, level=level)

    def flip(path: str) -> None:
        with open(path + "/data/0/pages-1.img", "r+b") as file:
            file.write(b"P")

    assert lines(flip, "sizes") == ()
    assert lines(flip, "digests") == ("data/0/pages-1.img: its blake3 digest differs",)
    assert lines(lambda path: os.truncate(path + "/data/0/core-2.img", 1), "sizes") == (
        "data/0/core-2.img: 1 bytes, manifest says 4 bytes",
    )
    assert lines(lambda path: os.unlink(path + "/data/0/empty"), "digests") == (
        "data/0/empty: missing",
    )
    assert "not JSON" in lines(lambda path: os.truncate(path + "/manifest.json", 50), "sizes")[0]
    assert "manifest" in lines(lambda path: os.unlink(path + "/manifest.json"), "sizes")[0]


def test_verify_replaced_manifest_is_noticed(store: DirectoryStore, publish: Publish) -> None:
    first, second = publish(), publish()
    shutil.copy(second.path + "/manifest.json", first.path + "/manifest.json")
    assert store.verify(first, level="sizes") == (
        "manifest.json: differs from what was read before",
    )


def test_verify_link_in_place_of_a_file_is_not_followed(
    store: DirectoryStore, publish: Publish
) -> None:
    image = publish()
    path = image.path + "/data/0/core-2.img"
    os.rename(path, store.checkpoint_dir + "/core")
    os.symlink(store.checkpoint_dir + "/core", path)
    assert "data/0/core-2.img: not a regular file" in store.verify(image, level="digests")


def test_verify_reports_progress(store: DirectoryStore, publish: Publish) -> None:
    image = publish()
    seen: list[int] = []
    assert store.verify(image, level="digests", progress=seen.append) == ()
    assert sum(seen) == image.manifest.size_bytes


def test_verify_digest_algorithm_of_the_future_is_named(
    store: DirectoryStore, publish: Publish
) -> None:
    image = publish(digest_algorithm="sha999")
    assert store.verify(image, level="sizes") == ()
    assert "'sha999' is not known here" in store.verify(image, level="digests")[0]


def test_expunge_never_follows_links(store: DirectoryStore, publish: Publish) -> None:
    precious = Path(store.checkpoint_dir).parent / "precious"
    image = store.trash(publish())
    precious.mkdir()
    (precious / "file").write_text("keep me")
    os.symlink(precious, image.path + "/data/link")
    store.expunge(image)
    assert (precious / "file").read_text() == "keep me"
    assert os.listdir(os.path.dirname(image.path)) == []


def test_expunge_takes_the_lease_unless_held(store: DirectoryStore, publish: Publish) -> None:
    first, second = store.trash(publish()), store.trash(publish())
    other = DirectoryStore(store.checkpoint_dir, clock=FakeClock())
    with store.lock(KEY, purpose="prune"):
        with pytest.raises(StoreError, match="held by process"):
            other.expunge(first)
        assert "(prune)" in store.find_holder(KEY)
        store.expunge(first)
    other.expunge(second)
    assert store.list_images(deleted=True) == ((), ())


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff", "[" * 50_000])
def test_read_record_that_is_no_object_is_named(store: DirectoryStore, text: str) -> None:
    store.write_record(KEY, "submission", {"a": 1})
    path = Path(store.checkpoint_dir, "4711.ckpt/records/submission.json")
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ManifestError, match="cannot read record"):
        store.read_record(KEY, "submission")


def test_write_record_without_json_form_is_refused(store: DirectoryStore) -> None:
    for value in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises(ManifestError, match="cannot write record"):
            store.write_record(KEY, "x", value)
    assert store.read_record(KEY, "x") is None


def test_record_is_one_private_file(store: DirectoryStore) -> None:
    store.write_record(KEY, "submission", {"b": "\udcff", "a": 1})
    path = Path(store.checkpoint_dir, "4711.ckpt/records/submission.json")
    assert json.loads(path.read_text()) == {"a": 1, "b": "\udcff"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_make_folder_and_note_of_a_task(store: DirectoryStore) -> None:
    path = store.make_folder(KEY, "run/4711.0.0")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert store.make_folder(KEY, "run/4711.0.0") == path
    Path(path, "ready").write_bytes(b"yes \xff")
    assert store.read_note(KEY, "run/4711.0.0/ready") == "yes \udcff"
    assert store.list_images() == ((), ())


def test_get_image_in_the_trash_says_how_to_get_it_back(
    store: DirectoryStore, publish: Publish
) -> None:
    image = store.trash(publish())
    with pytest.raises(ImageNotFoundError) as caught:
        store.get_image(image.image_id)
    assert f"syscr image undelete {image.image_id}" in caught.value.hint
    live = publish()
    with pytest.raises(ImageNotFoundError) as caught:
        store.get_image(live.image_id, deleted=True)
    assert "not deleted" in caught.value.hint


def test_list_of_generated_images_is_complete(tmp_path: Path) -> None:
    write_images(str(tmp_path), 40, per_job=7)
    store = DirectoryStore(str(tmp_path), clock=FakeClock())
    images, warnings = store.list_images()
    assert len(images) == 40
    assert warnings == ()
    assert [key.lineage for key in store.find_keys()] == [str(1000 + n) for n in range(6)]


@pytest.fixture
def shared_dir() -> Iterator[str]:
    """A checkpoint directory that everybody may write to, as on a cluster's scratch."""
    path = tempfile.mkdtemp(dir="/tmp")
    os.chmod(path, 0o1777)
    yield path
    shutil.rmtree(path)


def as_user(uid: int, act: Callable[[], object]) -> str:
    """Run ``act`` as another user; returns the name of the error it raised, or an empty text."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            act()
        except BaseException as error:  # noqa: BLE001 - reported to the parent
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two users")
def test_two_users_in_one_directory_keep_out_of_each_others_way(shared_dir: str) -> None:
    """Bob (4243) tries what he can against Alice (4242)."""
    store = DirectoryStore(shared_dir, clock=FakeClock())
    alice, bob = 4242, 4243

    def take_image() -> None:
        staging_dir = store.open_staging(KEY, OTHER_ID, needed_bytes=0)
        write_data(staging_dir)
        files = tuple(
            ImageFile(path, size, "ab" * 32)
            for path, size in tree.read_tree(staging_dir).sizes.items()
        )
        store.publish(staging_dir, sample_manifest(image_id=OTHER_ID, files=files))

    assert as_user(alice, take_image) == ""

    def steal() -> None:
        os.listdir(f"{shared_dir}/4711.ckpt")

    assert as_user(bob, steal).startswith("PermissionError")
    assert as_user(bob, lambda: store.get_image(OTHER_ID)).startswith("ImageNotFoundError")
    assert as_user(bob, lambda: store.list_images(key=KEY)).startswith("StoreAccessError")
    assert as_user(bob, lambda: store.list_images()) == ""

    def set_trap() -> None:
        os.mkdir(f"{shared_dir}/4712.ckpt", 0o777)
        os.chmod(f"{shared_dir}/4712.ckpt", 0o777)
        os.symlink(f"{shared_dir}/4712.ckpt", f"{shared_dir}/4713.ckpt")

    assert as_user(bob, set_trap) == ""
    for number in ("4712", "4713"):
        text = as_user(
            alice,
            lambda: store.open_staging(StoreKey(number), OTHER_ID, needed_bytes=0),  # noqa: B023
        )
        assert text.startswith("StoreAccessError")
    assert as_user(alice, lambda: store.list_images()) == ""
    assert len(store.list_images()[0]) == 1, "root may look"
    with pytest.raises(StoreAccessError, match="it belongs to"):
        store.trash(store.list_images()[0][0])
