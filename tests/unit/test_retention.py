"""Retention: rules, protections, reasons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.model import Image
from syscr.request import PruneRequest
from syscr.retention import decide
from syscr.testing.images import sample_manifest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = 3600.0


def make(hours: float, *, lineage: str = "4711", **changes: Any) -> Image:
    """Return an image that many hours old."""
    created_at = NOW - timedelta(hours=hours)
    manifest = sample_manifest(lineage=lineage, created_at=created_at, files=(), **changes)
    return Image(manifest, f"/x/{manifest.image_id}", "/x")


def ask(**rules: Any) -> PruneRequest:
    return PruneRequest("/x", **rules)


def reasons(images: list[Image], request: PruneRequest, **facts: Any) -> dict[str, str]:
    """Return id -> reason of those that stay."""
    decisions = decide(images, request, now=NOW, **facts)
    return {one.image.image_id: one.reason for one in decisions if one.keep}


def test_decide_keep_last_counts_from_the_newest() -> None:
    old, middle, new = make(3), make(2), make(1)
    kept = reasons([middle, new, old], ask(keep_last=2))
    assert kept == {
        new.image_id: "one of the newest 2",
        middle.image_id: "one of the newest 2",
    }
    assert reasons([old, new], ask(keep_last=1)) == {new.image_id: "newest"}


def test_decide_keep_last_counts_each_job_and_step_by_itself() -> None:
    images = [make(1), make(2, step="0"), make(3, lineage="99"), make(4, lineage="99", step="0")]
    assert len(reasons(images, ask(keep_last=1))) == 4


def test_decide_returns_one_decision_each_oldest_first() -> None:
    images = [make(hours) for hours in (2, 5, 1, 3)]
    decisions = decide(images, ask(keep_last=1), now=NOW)
    ages = [one.image.manifest.created_at for one in decisions]
    assert ages == sorted(ages)
    assert len(decisions) == 4
    assert [one.reason for one in decisions if not one.keep] == ["no rule keeps it"] * 3


def test_decide_keep_within_is_inclusive_and_forgives_clocks() -> None:
    exact, older, future = make(1), make(1.001), make(-1)
    kept = reasons([exact, older, future], ask(keep_within_seconds=HOUR))
    assert kept == {
        exact.image_id: "younger than 1 h",
        future.image_id: "younger than 1 h",
    }


def test_decide_keep_tags_and_the_tag_keep() -> None:
    images = [make(1), make(2, tags=("paper",)), make(3, tags=("keep",)), make(4, tags=("other",))]
    kept = reasons(images, ask(keep_tags=("paper", "figure")))
    assert kept == {images[1].image_id: "tag 'paper'", images[2].image_id: "tag 'keep'"}


def test_decide_rules_add_up() -> None:
    images = [make(1), make(30), make(50, tags=("x",)), make(70)]
    kept = reasons(images, ask(keep_last=2, keep_within_seconds=2 * HOUR, keep_tags=("x",)))
    assert list(kept) == [image.image_id for image in reversed(images[:3])]


def test_decide_unfinished_job_keeps_its_newest_whatever_the_rule() -> None:
    old, new, done = make(2), make(1), make(1, lineage="99")
    kept = reasons([old, new, done], ask(allow_empty=True), unfinished={"4711"})
    assert kept == {
        new.image_id: "newest verified image of job 4711, which has not ended",
    }


def test_decide_damaged_image_never_takes_the_place_of_a_good_one() -> None:
    oldest, good, damaged = make(3), make(2), make(1)
    images = [oldest, good, damaged]
    kept = reasons(images, ask(keep_last=1), is_intact=lambda image: image is not damaged)
    assert kept == {good.image_id: "newest"}
    kept = reasons(
        images,
        ask(keep_last=0, allow_empty=True),
        unfinished={"4711"},
        is_intact=lambda image: image is not damaged,
    )
    assert list(kept) == [good.image_id]


def test_decide_asks_for_damage_only_where_it_matters() -> None:
    images = [make(hours) for hours in range(1, 9)]
    asked: list[Image] = []

    def is_intact(image: Image) -> bool:
        asked.append(image)
        return image is not images[0]

    reasons(images, ask(keep_last=2), is_intact=is_intact, unfinished={"4711"})
    assert asked == images[:3]
    asked.clear()
    reasons(images, ask(keep_within_seconds=HOUR), is_intact=is_intact)
    assert asked == []


def test_decide_image_in_use_stays() -> None:
    used = make(5)
    assert (
        reasons([used, make(1)], ask(keep_last=1), in_use={used.image_id})[used.image_id]
        == "in use"
    )


def test_decide_what_a_life_was_restored_from_may_go() -> None:
    parent = make(3)
    child = make(1, parent_image_id=parent.image_id)
    assert reasons([parent, child], ask(keep_last=1)) == {child.image_id: "newest"}


def test_decide_other_jobs_are_not_decided_on() -> None:
    own, other = make(3), make(2, lineage="98")
    decisions = decide([own, other], ask(allow_empty=True), now=NOW, lineages={"4711"})
    assert [(one.image, one.keep) for one in decisions] == [(own, False)]


def test_decide_without_a_rule_keeps_everything_unless_allowed() -> None:
    images = [make(1), make(2)]
    assert set(reasons(images, ask(expunge=True)).values()) == {"no rule was given"}
    assert reasons(images, ask(allow_empty=True)) == {}
    assert decide([], ask(keep_last=1), now=NOW) == ()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(["1", "2"]),
            st.sampled_from(["batch", "0"]),
            st.booleans(),
        ),
        max_size=20,
        unique_by=lambda row: row[:3],
    ),
    st.none() | st.integers(0, 4),
    st.none() | st.floats(0, 40 * HOUR),
    st.sets(st.sampled_from(["1", "2"])),
)
def test_decide_invariants(
    rows: list[tuple[int, str, str, bool]],
    keep_last: int | None,
    keep_within: float | None,
    unfinished: set[str],
) -> None:
    images: list[Image] = []
    intact: dict[str, bool] = {}
    for hours, lineage, step, good in rows:
        image = make(hours, lineage=lineage, step=step)
        intact[image.image_id] = good
        images.append(image)
    request = ask(keep_last=keep_last, keep_within_seconds=keep_within, allow_empty=True)
    decisions = decide(
        images,
        request,
        now=NOW,
        unfinished=unfinished,
        is_intact=lambda image: intact[image.image_id],
    )
    assert sorted(one.image.image_id for one in decisions) == sorted(intact)
    assert all(one.reason for one in decisions)
    kept = {one.image.image_id for one in decisions if one.keep}
    by_group: dict[tuple[str, str], list[Image]] = {}
    for image in sorted(images, key=lambda image: image.manifest.created_at, reverse=True):
        key = (image.manifest.lineage, image.manifest.step)
        by_group.setdefault(key, []).append(image)
    for (lineage, _), group in by_group.items():
        good_ids = [image.image_id for image in group if intact[image.image_id]]
        if lineage in unfinished:
            assert set(good_ids[:1]) <= kept
        assert set(good_ids[: keep_last or 0]) <= kept


@pytest.mark.parametrize("keep_last", [1, 2, 3])
def test_decide_twice_gives_the_same(keep_last: int) -> None:
    images = [make(hours) for hours in range(6)]
    first = decide(images, ask(keep_last=keep_last), now=NOW)
    left = [one.image for one in first if one.keep]
    assert all(one.keep for one in decide(left, ask(keep_last=keep_last), now=NOW))
