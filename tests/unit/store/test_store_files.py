"""Atomic files, private folders, trees and digests: one level above the system calls."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import blake3
import pytest

from syscr.errors import (
    ImageCorruptError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    ToolMissingError,
)
from syscr.store import access, atomic, digest, tree


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_args: object, **_kwargs: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("durable", [True, False])
def test_write_atomic_replaces_whole_and_private(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "record"
    atomic.write_atomic(str(path), b"old", durable=durable)
    atomic.write_atomic(str(path), b"new" * 100_000, durable=durable)
    assert path.read_bytes() == b"new" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["record"]


@pytest.mark.parametrize("call", ["rename", "fsync", "write"])
def test_write_atomic_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        atomic.write_atomic(str(path), b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["record"]


def test_create_atomic_first_of_many_wins(tmp_path: Path) -> None:
    path = str(tmp_path / "record")
    barrier = threading.Barrier(8)
    wins: list[int] = []

    def create(number: int) -> None:
        barrier.wait()
        if atomic.create_atomic(path, b"%d" % number, durable=False):
            wins.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert Path(path).read_bytes() == b"%d" % wins[0]
    assert os.listdir(tmp_path) == ["record"]


def test_create_atomic_without_hard_links_still_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "record")
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    assert atomic.create_atomic(path, b"one")
    assert not atomic.create_atomic(path, b"two")
    assert Path(path).read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["record"]


def test_create_atomic_lost_answer_of_nfs_is_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_and_lie(source: str, target: str, **options: Any) -> None:
        link(source, target, **options)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link_and_lie)
    assert atomic.create_atomic(str(tmp_path / "record"), b"one")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_sync_dir_not_supported_is_reported_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    monkeypatch.setattr(atomic, "_reported", set())
    monkeypatch.setattr(os, "fsync", failing(number))
    with caplog.at_level(logging.WARNING):
        atomic.sync_dir(str(tmp_path))
        atomic.sync_dir(str(tmp_path))
    assert len(caplog.records) == 1


def test_sync_dir_other_failure_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        atomic.sync_dir(str(tmp_path))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StoreAccessError),
        (errno.EIO, StoreAccessError),
        (errno.EROFS, StoreAccessError),
    ],
)
def test_translated_names_path_and_cause(number: int, kind: type[StoreError]) -> None:
    with pytest.raises(kind) as caught, access.translated("write", "/x\n/y"):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"cannot write '/x\\n/y': {os.strerror(number)}"
    assert caught.value.details["errno"] == number
    assert caught.value.details["errno_name"] == errno.errorcode[number]
    assert isinstance(caught.value.__cause__, OSError)


def test_make_private_dir_parents_are_private_too(tmp_path: Path) -> None:
    access.make_private_dir(str(tmp_path / "a/b/c"), parents=True)
    access.make_private_dir(str(tmp_path / "a/b/c"))
    for name in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
    with pytest.raises(StoreAccessError, match="No such file"):
        access.make_private_dir(str(tmp_path / "x/y"))


def test_require_folder_of_another_user_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "4711.ckpt"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 4242)
    for writing in (True, False):
        with pytest.raises(StoreAccessError, match="it belongs to") as caught:
            access.require_folder(str(folder), writing=writing)
        assert "--image-dir" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_require_folder_root_reads_but_does_not_change_it(tmp_path: Path) -> None:
    folder = tmp_path / "4711.ckpt"
    folder.mkdir(mode=0o700)
    os.chown(folder, 4242, 4242)
    assert access.require_folder(str(folder), writing=False)
    with pytest.raises(StoreAccessError, match="it belongs to uid 4242"):
        access.require_folder(str(folder), writing=True)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_require_folder_writable_for_others_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "4711.ckpt"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StoreAccessError, match=f"others can write to it .mode {mode:04o}"):
        access.require_folder(str(folder), writing=False)


def test_ensure_folder_where_everybody_can_replace_it_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreAccessError, match="mode 0777, no sticky bit"):
        access.ensure_folder(str(tmp_path / "4711.ckpt"))
    tmp_path.chmod(0o1777)
    access.ensure_folder(str(tmp_path / "4711.ckpt"))


def test_require_folder_link_or_file_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "1.ckpt").symlink_to("real")
    (tmp_path / "2.ckpt").write_text("")
    with pytest.raises(StoreAccessError, match="it is a symbolic link"):
        access.require_folder(str(tmp_path / "1.ckpt"), writing=False)
    with pytest.raises(StoreAccessError, match="it is not a directory"):
        access.require_folder(str(tmp_path / "2.ckpt"), writing=False)
    assert not access.require_folder(str(tmp_path / "3.ckpt"), writing=False)


def test_read_whole_refuses_links_pipes_and_giants(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert access.read_whole(str(tmp_path / "file"), limit_bytes=4) == b"1234"
    for name, limit in (("link", 9), ("pipe", 9), ("file", 3)):
        with pytest.raises(OSError, match=r"."):
            access.read_whole(str(tmp_path / name), limit_bytes=limit)


def make_tree(root: Path) -> None:
    (root / "data/0").mkdir(parents=True)
    (root / "data/0/pages").write_bytes(b"x" * 10)
    (root / "data/empty").write_bytes(b"")


def test_read_tree_lists_without_following_links(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "data/link").symlink_to("/etc")
    os.mkfifo(tmp_path / "data/pipe")
    found = tree.read_tree(str(tmp_path))
    assert found.sizes == {"data/0/pages": 10, "data/empty": 0}
    assert found.directories == ("", "data", "data/0")
    assert found.others == ("data/link", "data/pipe")
    with pytest.raises(ImageCorruptError, match="'data/link': it is not a regular file"):
        tree.find_files(str(tmp_path), "data")
    with pytest.raises(StoreAccessError):
        tree.read_tree(str(tmp_path / "data/link"))


def test_remove_tree_leaves_what_links_point_to(tmp_path: Path) -> None:
    make_tree(tmp_path / "doomed")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("keep me")
    (tmp_path / "doomed/link").symlink_to(tmp_path / "precious")
    (tmp_path / "doomed/data").chmod(0o500)
    tree.remove_tree(str(tmp_path / "doomed"))
    tree.remove_tree(str(tmp_path / "doomed"))
    assert sorted(os.listdir(tmp_path)) == ["precious"]
    assert (tmp_path / "precious/file").read_text() == "keep me"


def test_remove_tree_cut_short_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path / "doomed")
    monkeypatch.setattr(shutil, "rmtree", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        tree.remove_tree(str(tmp_path / "doomed"))
    assert not (tmp_path / "doomed").exists()
    monkeypatch.undo()
    tree.remove_leftovers(str(tmp_path))
    tree.remove_leftovers(str(tmp_path / "missing"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, (9 << 20) + 7])
def test_digest_file_agrees_with_the_libraries(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    seen: list[int] = []
    assert digest.digest_file(str(path), "blake3", progress=seen.append) == (
        blake3.blake3(data).hexdigest()
    )
    assert sum(seen) == size
    assert digest.digest_file(str(path), "sha256") == hashlib.sha256(data).hexdigest()


def test_digest_file_link_pipe_and_unknown_algorithm_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreAccessError, match="Too many levels"):
        digest.digest_file(str(tmp_path / "link"), "blake3")
    with pytest.raises(ImageCorruptError, match="not a regular file"):
        digest.digest_file(str(tmp_path / "pipe"), "blake3")
    with pytest.raises(ImageCorruptError, match="'md5' is not known"):
        digest.digest_file(str(tmp_path / "file"), "md5")


def test_digest_without_blake3_falls_back_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"1")
    assert digest.default_algorithm() == "blake3"
    monkeypatch.setattr(digest, "blake3", None)
    assert digest.default_algorithm() == "sha256"
    assert not digest.can_digest("blake3")
    assert digest.can_digest("sha256")
    (file,) = digest.sync_and_digest(str(tmp_path), ["file"])
    assert file.digest == hashlib.sha256(b"1").hexdigest()
    with pytest.raises(ToolMissingError, match="'blake3' is not installed") as caught:
        digest.digest_file(str(tmp_path / "file"), "blake3")
    assert "install" in caught.value.hint


def test_sync_and_digest_describes_each_file(tmp_path: Path) -> None:
    make_tree(tmp_path)
    seen: list[int] = []
    files = digest.sync_and_digest(
        str(tmp_path), tree.find_files(str(tmp_path)), node="c1", rank=3, progress=seen.append
    )
    assert [(file.path, file.size_bytes, file.node, file.rank) for file in files] == [
        ("data/0/pages", 10, "c1", 3),
        ("data/empty", 0, "c1", 3),
    ]
    assert files[0].digest == blake3.blake3(b"x" * 10).hexdigest()
    assert sum(seen) == 10


def test_sync_and_digest_syncs_files_and_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    digest.sync_and_digest(str(tmp_path), ["data/0/pages", "data/empty"])
    expected = ["", "data", "data/0", "data/0/pages", "data/empty"]
    assert sorted(synced) == sorted(str(tmp_path / name) for name in expected)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreAccessError)]
)
def test_sync_and_digest_late_write_error_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    make_tree(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(kind, match="cannot sync"):
        digest.sync_and_digest(str(tmp_path), ["data/0/pages"])


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ""])
def test_sync_and_digest_path_outside_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ImageCorruptError, match="not a path inside the image"):
        digest.sync_and_digest(str(tmp_path), [path])


def test_sync_and_digest_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreAccessError, match="No such file"):
        digest.sync_and_digest(str(tmp_path), ["missing"])
