"""Names and paths of the store."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.errors import RequestError
from syscr.ports import StoreKey
from syscr.store import layout
from syscr.store.layout import Folder, StagingName

IMAGE_ID = "20261122T061900Z-9f3c21ab"
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, MOMENTS)
def test_image_ids_of_two_moments_sort_by_age(first: datetime, second: datetime) -> None:
    ids = [layout.new_image_id(moment, "00000000") for moment in (first, second)]
    assert (ids[0] < ids[1]) == (first.replace(microsecond=0) < second.replace(microsecond=0))
    assert all(map(layout.is_image_id, ids))
    assert layout.image_time(ids[0]) == first.replace(microsecond=0)


@pytest.mark.parametrize("random_hex", ["", "9f3c21a", "9f3c21abc", "9F3C21AB", "9f3c21a\n"])
def test_new_image_id_other_digits_refused(random_hex: str) -> None:
    with pytest.raises(RequestError, match="not an image id"):
        layout.new_image_id(datetime(2026, 1, 1, tzinfo=UTC), random_hex)


def test_image_prefix_every_cut_behind_its_t_accepted() -> None:
    cuts = [IMAGE_ID[:length] for length in range(len(IMAGE_ID) + 1)]
    assert [layout.is_image_prefix(cut) for cut in cuts] == [len(cut) > 8 for cut in cuts]


@pytest.mark.parametrize("text", ["4711", "20261122", "", "T", IMAGE_ID + "0", "20261122T06\n"])
def test_image_prefix_other_text_refused(text: str) -> None:
    assert not layout.is_image_prefix(text)


def test_image_time_digits_that_are_no_time_refused() -> None:
    with pytest.raises(RequestError, match="not an image id"):
        layout.image_time("20261341T259900Z-9f3c21ab")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (StoreKey("4711"), "4711.ckpt"),
        (StoreKey("4711", "0"), "4711.0.ckpt"),
        (StoreKey("1", "interactive"), "1.interactive.ckpt"),
    ],
)
def test_folder_name_round_trip(key: StoreKey, name: str) -> None:
    assert layout.folder_name(key) == name
    assert layout.parse_folder_name(name) == key


@pytest.mark.parametrize(
    "key",
    [
        StoreKey(""),
        StoreKey("0"),
        StoreKey("../1"),
        StoreKey("4711\n"),
        StoreKey("1", ""),
        StoreKey("1", "../x"),
        StoreKey("1", "00"),
        StoreKey("1_2"),
    ],
)
def test_folder_name_what_slurm_does_not_hand_out_refused(key: StoreKey) -> None:
    with pytest.raises(RequestError):
        layout.folder_name(key)


@pytest.mark.parametrize("name", ["4711", "4711.batch.ckpt", "x.ckpt", "04.ckpt", "1.00.ckpt", ""])
def test_parse_folder_name_foreign_name_is_none(name: str) -> None:
    assert layout.parse_folder_name(name) is None


@given(st.from_regex(r"[a-z0-9.-]{1,30}", fullmatch=True), st.integers(1, 1 << 22))
def test_staging_name_round_trip(host: str, pid: int) -> None:
    name = StagingName(IMAGE_ID, host, pid)
    assert StagingName.parse(str(name)) == name


def test_staging_path_of_this_store_is_understood() -> None:
    folder = Folder("/ckpt", StoreKey("4711", "0"))
    name = StagingName(IMAGE_ID, "c1.example.org", 12)
    assert layout.parse_staging_path("/ckpt", folder.staging_path(name)) == (folder, name)


@pytest.mark.parametrize(
    "path",
    [
        "/ckpt",
        "/",
        f"/ckpt/4711.ckpt/{IMAGE_ID}",
        f"/other/4711.ckpt/staging/{IMAGE_ID}.c1.1",
        f"/ckpt/4711.ckpt/trash/{IMAGE_ID}.c1.1",
        f"/ckpt/4711.ckpt/staging/{IMAGE_ID}.c1.1/..",
        f"/ckpt/../etc/4711.ckpt/staging/{IMAGE_ID}.c1.1",
    ],
)
def test_staging_path_of_another_place_refused(path: str) -> None:
    with pytest.raises(RequestError, match="not a staging directory"):
        layout.parse_staging_path("/ckpt", path)


@pytest.mark.parametrize("path", ["", "/x", "..", "a/../b", "a//b", "./a", "a/", "a\0b", "a/."])
def test_inner_path_that_leaves_the_image_refused(path: str) -> None:
    assert not layout.is_inner_path(path)


@given(st.lists(st.sampled_from(["a", "..x", "b c", "\udcff", "..."]), min_size=1))
def test_inner_path_of_plain_names_accepted(names: list[str]) -> None:
    path = "/".join(names)
    assert layout.is_inner_path(path)
    assert os.path.normpath(path) == path


@given(st.binary(max_size=40))
def test_show_any_bytes_are_printable(data: bytes) -> None:
    shown = layout.show(os.fsdecode(data))
    assert shown.isprintable()
    assert shown.encode("utf-8") is not None


def test_folder_paths_are_those_of_the_documentation() -> None:
    folder = Folder("/ckpt", StoreKey("4711"))
    assert folder.path == "/ckpt/4711.ckpt"
    assert folder.image_dir(IMAGE_ID) == f"/ckpt/4711.ckpt/{IMAGE_ID}"
    assert folder.image_dir(IMAGE_ID, deleted=True) == f"/ckpt/4711.ckpt/trash/{IMAGE_ID}"
    assert folder.record_path("decision-1.0") == "/ckpt/4711.ckpt/records/decision-1.0.json"
    assert folder.work_path("run/1.0.0") == "/ckpt/4711.ckpt/run/1.0.0"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a\n", "x" * 200])
def test_record_path_other_than_a_plain_name_refused(name: str) -> None:
    with pytest.raises(RequestError):
        Folder("/ckpt", StoreKey("1")).record_path(name)


@pytest.mark.parametrize("name", ["run", "run/", "run/..", "cut/../x", "staging/x", IMAGE_ID, "/x"])
def test_work_path_other_than_run_and_cut_refused(name: str) -> None:
    with pytest.raises(RequestError):
        Folder("/ckpt", StoreKey("1")).work_path(name)


def test_image_dir_of_no_image_id_refused() -> None:
    with pytest.raises(RequestError):
        Folder("/ckpt", StoreKey("1")).image_dir("../../etc")
