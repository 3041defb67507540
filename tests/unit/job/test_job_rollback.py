"""Files go back to what they were when the image was taken; what is cut off is kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.errors import RestartError
from syscr.job.rollback import (
    Rollback,
    apply_rollback,
    file_size,
    find_changed,
    plan_rollback,
)
from syscr.model import FileState, TaskImage

NAMES = ("/a", "/b", "/out", "/err")
FILES = st.lists(
    st.builds(
        FileState,
        path=st.sampled_from(NAMES),
        size_bytes=st.integers(0, 5),
        writable=st.booleans(),
        append=st.booleans(),
        copy=st.sampled_from(["", "", "local.0"]),
    ),
    unique_by=lambda file: file.path,
    max_size=4,
)
SIZES = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5))


def image(*files: FileState, stdio: tuple[str, str, str] = ("", "", "")) -> TaskImage:
    return TaskImage(0, "c1", "data/0", open_files=files, stdio=stdio)


@given(FILES, SIZES, st.booleans())
def test_plan_brings_every_file_back_or_says_why_not(
    files: list[FileState], sizes: dict[str, int], is_same_output: bool
) -> None:
    outputs = frozenset(["/out"] if is_same_output else [])
    plan = plan_rollback(image(*files, stdio=("/in", "/out", "/out")), outputs, sizes.get)
    after = {**sizes, **dict(plan.cuts)}
    copied = {path for path, _, _ in plan.copies}
    for file in files:
        if file.path in copied:
            assert file.copy
        elif file.path == "/out" and not is_same_output:
            assert file.path not in dict(plan.cuts)
        elif after.get(file.path) != file.size_bytes:
            assert any(f"'{file.path}'" in problem for problem in plan.problems)
    for path, size in plan.cuts:
        assert sizes[path] > size  # nothing ever grows
    writable = {file.path for file in files if file.writable}
    assert {path for path, _ in plan.cuts} <= writable
    assert len(plan.problems) + len(plan.cuts) + len(plan.copies) <= len(files)


@pytest.mark.parametrize(
    ("size", "writable", "problem"),
    [
        (None, True, "open for writing, is gone"),
        (None, False, "open for reading, is gone"),
        (3, True, "has 3 B (3 bytes), but had 5 bytes"),
        (3, False, "open for reading, has 3 B"),
        (9, False, "has grown from 5 to 9 bytes"),
    ],
)
def test_file_that_cannot_go_back_is_a_problem(
    size: int | None, writable: bool, problem: str
) -> None:
    plan = plan_rollback(image(FileState("/a", 5, writable)), frozenset(), lambda _: size)
    assert problem in plan.problems[0]
    assert plan.cuts == ()


def test_output_of_the_old_job_is_left_alone_unless_the_new_one_writes_to_it() -> None:
    task = image(FileState("/out", 5, True), stdio=("/dev/null", "/out", "pipe:[7]"))
    assert plan_rollback(task, frozenset(["/new"]), lambda _: 9) == Rollback()
    assert plan_rollback(task, frozenset(["/out"]), lambda _: 9).cuts == (("/out", 5),)


@pytest.mark.parametrize(
    ("file", "now", "written", "is_changed"),
    [
        (FileState("/a", 5, False, modified_ns=1 << 60), (1 << 60) + 1, (), True),
        (FileState("/a", 5, False, modified_ns=1 << 60), 1, (), True),
        (FileState("/a", 5, False, modified_ns=1 << 60), 1 << 60, (), False),
        (FileState("/a", 5, False, modified_ns=1 << 60), 0, (), False),
        (FileState("/a", 5, False), 7, (), False),
        (FileState("/a", 5, True, modified_ns=1 << 60), 7, (), False),
        (FileState("/a", 5, False, modified_ns=1 << 60), 7, ("/a",), False),
        (FileState("/a", 5, False, copy="local.0", modified_ns=1 << 60), 7, (), False),
    ],
)
def test_input_of_the_same_size_counts_as_changed_by_its_time(
    file: FileState, now: int, written: tuple[str, ...], is_changed: bool
) -> None:
    changed = find_changed(image(file), frozenset(written), lambda _: now)
    assert bool(changed) is is_changed
    if is_changed:
        assert "'/a', which it had open for reading, has another content or time" in changed[0]


def test_size_is_known_of_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("12345")
    (tmp_path / "link").symlink_to("file")
    assert file_size(str(tmp_path / "file")) == file_size(str(tmp_path / "link")) == 5
    assert file_size(str(tmp_path)) is None
    assert file_size(str(tmp_path / "missing")) is None
    assert file_size("/dev/null") is None


def test_end_that_is_cut_off_is_kept_privately(tmp_path: Path) -> None:
    files = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "result.dat")
        files[-1].write_text(f"kept{folder} repeated")
        files[-1].chmod(0o644)
    keep = tmp_path / "line" / "cut" / "12.1.0"
    keep.parent.parent.mkdir()
    plan = Rollback(cuts=((str(files[0]), 4), (str(files[1]), 7)))
    remarks = apply_rollback(plan, "/none", str(keep))
    assert [file.read_text() for file in files] == ["kept", "kepttwo"]
    assert [path.read_text() for path in sorted(keep.iterdir())] == ["one repeated", " repeated"]
    assert [path.name for path in sorted(keep.iterdir())] == ["000.result.dat", "001.result.dat"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keep.iterdir()} == {0o600}
    assert stat.S_IMODE(keep.stat().st_mode) == 0o700
    assert (
        remarks[0]
        == f"'{files[0]}' was cut back to 4 bytes; the rest is in '{keep}/000.result.dat'"
    )
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o644


def test_second_try_keeps_the_first_ones_ends(tmp_path: Path) -> None:
    file, keep = tmp_path / "f", tmp_path / "cut" / "life"
    for text in ("abc", "abd"):
        file.write_text(text)
        apply_rollback(Rollback(cuts=((str(file), 2),)), "/none", str(keep))
    assert [path.read_text() for path in sorted(keep.iterdir())] == ["c", "d"]


def test_file_with_other_names_is_cut_in_place(tmp_path: Path) -> None:
    """Another hard link, or a link that leads to it, stays what it was: the same file."""
    file, other, link = tmp_path / "f", tmp_path / "other", tmp_path / "link"
    file.write_text("12345")
    os.link(file, other)
    link.symlink_to(file)
    apply_rollback(Rollback(cuts=((str(link), 2),)), "/none", str(tmp_path / "cut" / "life"))
    assert other.read_text() == "12"
    assert link.is_symlink()
    assert os.path.samefile(file, other)


@pytest.mark.parametrize("name", [b"\xff\n 'x'", "ä".encode() * 120])
def test_names_of_any_kind_can_be_kept(tmp_path: Path, name: bytes) -> None:
    file = os.path.join(tmp_path, os.fsdecode(name))
    Path(file).write_text("12345")
    keep = tmp_path / "cut" / "life"
    apply_rollback(Rollback(cuts=((file, 2),)), "/none", str(keep))
    assert Path(file).read_text() == "12"
    assert [path.read_text() for path in keep.iterdir()] == ["345"]


def test_nothing_is_cut_where_the_end_cannot_be_kept(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("12345")
    (tmp_path / "cut").write_text("a file is in the way")
    with pytest.raises(RestartError, match=f"cannot cut '{file}' back to 2 bytes") as caught:
        apply_rollback(Rollback(cuts=((str(file), 2),)), "/none", str(tmp_path / "cut" / "life"))
    assert "make room" in caught.value.hint
    assert file.read_text() == "12345"


def test_holes_are_not_filled(tmp_path: Path) -> None:
    hole = 64 << 20
    file, local = tmp_path / "f", tmp_path / "data" / "local.0"
    local.parent.mkdir()
    for path in (file, local):
        with path.open("wb") as stream:
            stream.write(b"head")
            stream.seek(hole)
            stream.write(b"tail")
            stream.truncate(2 * hole)
    keep = tmp_path / "cut" / "life"
    plan = Rollback(((str(file), 2),), ((str(tmp_path / "shm"), "local.0", 0o600),))
    apply_rollback(plan, str(local.parent), str(keep))
    (end,) = keep.iterdir()
    for path, start in ((end, 2), (tmp_path / "shm", 0)):
        assert path.stat().st_size == 2 * hole - start
        assert path.stat().st_blocks * 512 < 1 << 20
        with path.open("rb") as stream:
            assert stream.read(4) == b"head\0\0"[start : start + 4]
            stream.seek(hole - start)
            assert stream.read(5) == b"tail\0"
    assert file.read_text() == "he"


def test_local_file_comes_back_with_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "local.0").write_text("shared memory")
    target = tmp_path / "new" / "folder" / "shm"
    apply_rollback(Rollback(copies=((str(target), "local.0", 0o640),)), str(tmp_path), "/none")
    assert target.read_text() == "shared memory"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


def test_own_file_in_the_way_is_replaced_not_written_over(tmp_path: Path) -> None:
    """Another process that has the old one open must not see ours."""
    (tmp_path / "local.0").write_text("image")
    target = tmp_path / "shm"
    target.write_text("old")
    with target.open() as still_open:
        apply_rollback(Rollback(copies=((str(target), "local.0", 0o600),)), str(tmp_path), "/none")
        assert still_open.read() == "old"
    assert target.read_text() == "image"


def test_links_are_never_followed(tmp_path: Path) -> None:
    (tmp_path / "local.0").write_text("image")
    victim, target = tmp_path / "victim", tmp_path / "shm"
    victim.write_text("precious")
    target.symlink_to(victim)
    with pytest.raises(RestartError, match="something else of that name is in the way"):
        apply_rollback(Rollback(copies=((str(target), "local.0", 0o600),)), str(tmp_path), "/none")
    assert victim.read_text() == "precious"
    assert target.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_another_users_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "local.0").write_text("image")
    target = tmp_path / "shm"
    target.write_text("theirs")
    os.chown(target, 65534, 65534)
    with pytest.raises(RestartError, match="is in the way"):
        apply_rollback(Rollback(copies=((str(target), "local.0", 0o600),)), str(tmp_path), "/none")
    assert target.read_text() == "theirs"


def test_copy_that_is_missing_is_an_error(tmp_path: Path) -> None:
    plan = Rollback(copies=((str(tmp_path / "shm"), "local.0", 0o600),))
    with pytest.raises(RestartError, match="cannot bring back node-local file"):
        apply_rollback(plan, str(tmp_path), "/none")


def test_nothing_to_do_makes_nothing(tmp_path: Path) -> None:
    assert apply_rollback(Rollback(), "/none", str(tmp_path / "cut" / "life")) == ()
    assert list(tmp_path.iterdir()) == []
