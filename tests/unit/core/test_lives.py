"""The record of a job's lives: order, fence, what cannot be read, and the time that was kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.lives import FENCE, RECORD, LifeBook, parse_end, sum_time
from syscr.model import Life, StopReason
from syscr.ports import StoreKey
from syscr.testing.store import FakeStore
from syscr.units import format_time

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
KEY = StoreKey("12")
FIRST = Life(12, 0, "c1", START)
SECOND = Life(12, 1, "c2", START + timedelta(minutes=5))


@pytest.fixture
def book() -> LifeBook:
    return LifeBook(FakeStore(), KEY)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_newest_life_is_the_current_one(book: LifeBook) -> None:
    assert book.read() == ()
    assert book.is_current(FIRST)  # a record that is gone speaks against nobody
    book.begin(FIRST)
    assert book.is_current(FIRST)
    book.begin(SECOND)
    assert book.read() == (FIRST, SECOND)
    assert book.is_current(SECOND)
    assert not book.is_current(FIRST)


@pytest.mark.parametrize(
    ("other", "current"),
    [
        (replace(SECOND, restart_count=2), False),
        (FIRST, True),
        (replace(SECOND, number=13, restart_count=0, started_at=START + timedelta(hours=1)), False),
        (replace(SECOND, number=11, restart_count=9, started_at=START), True),
    ],
)
def test_life_that_the_record_lacks_is_current_unless_a_later_one_is_there(
    book: LifeBook, other: Life, current: bool
) -> None:
    book.begin(other)
    assert book.is_current(SECOND) is current


def test_old_life_writes_nothing_any_more(book: LifeBook) -> None:
    book.begin(FIRST)
    book.begin(SECOND)
    book.update(replace(FIRST, image_id="late"))
    assert book.read() == (FIRST, SECOND)
    book.update(replace(SECOND, image_id="mine"))
    assert book.read() == (FIRST, replace(SECOND, image_id="mine"))


def test_end_that_only_the_launcher_knows_is_told(book: LifeBook) -> None:
    assert book.add_end(book.read()) == ()
    book.begin(FIRST)
    assert book.add_end(book.read()) == (FIRST,)
    assert isinstance(book.store, FakeStore)
    book.store.write_note(KEY, "run/12.0.0/end", f"768 own {int(START.timestamp()) + 60}")
    (life,) = book.add_end(book.read())
    assert (life.reason, life.exit_code, life.ended_at) == (StopReason.OWN_END, 3, after(60))
    assert book.read() == (FIRST,)  # it is only told
    book.begin(SECOND)
    assert book.add_end(book.read()) == (FIRST, SECOND)


def test_newest_life_alone_has_a_record_that_the_launchers_read(book: LifeBook) -> None:
    book.begin(FIRST)
    book.begin(SECOND)
    record = book.store.read_record(KEY, FENCE)
    assert record == {"fence": f"12.1.{int(SECOND.started_at.timestamp() * 1000)}"}
    assert book.fence_path().endswith("/12.ckpt/records/fence.json")
    book.update(replace(SECOND, image_id="mine"))
    book.close(replace(FIRST, image_id="late"))
    assert book.store.read_record(KEY, FENCE) == record
    book.begin_anew(FIRST)
    assert book.store.read_record(KEY, FENCE) != record


def test_life_without_an_agent_says_so(book: LifeBook) -> None:
    book.begin(replace(FIRST, next_at=after(90)))
    assert isinstance(book.store, FakeStore)
    book.store.write_note(KEY, "run/12.0.0/agent.gone", f"{int(START.timestamp()) + 60}\n")
    (life,) = book.add_end(book.read())
    assert (life.next_at, life.note.endswith(f" since {format_time(after(60))}")) == (None, True)
    assert life.note.startswith("no agent: no more checkpoints by itself")
    book.store.write_note(KEY, "run/12.0.0/agent.gone", "9" * 30)  # nonsense
    assert book.add_end(book.read()) == book.read()


def test_life_that_begins_twice_is_one(book: LifeBook) -> None:
    book.begin(FIRST)
    again = replace(FIRST, node="c3")
    book.begin(again)
    assert book.read() == (again,)


def test_everything_about_a_life_comes_back(book: LifeBook) -> None:
    full = Life(
        12,
        3,
        "c1",
        START,
        "a",
        after(60),
        StopReason.OWN_END,
        "b",
        after(30),
        after(90),
        -9,
        "note",
    )
    book.begin(full)
    assert book.read() == (full,)


@pytest.mark.parametrize(
    "entry", [None, [], "x", {}, {"number": 12}, {"started_at": "soon"}, {"reason": "boredom"}]
)
def test_entry_that_cannot_be_read_hides_no_other(book: LifeBook, entry: object) -> None:
    book.begin(FIRST)
    record = dict(book.store.read_record(KEY, RECORD) or {})
    lives = record["lives"]
    assert isinstance(lives, list)
    broken = {**lives[0], **entry} if isinstance(entry, dict) and entry else entry
    if isinstance(broken, dict) and entry == {"number": 12}:
        broken.pop("node")
    book.store.write_record(KEY, RECORD, {"lives": [broken, *lives]})
    assert book.read() == (FIRST,)


@pytest.mark.parametrize(
    "change",
    [
        {"number": "12"},
        {"restart_count": None},
        {"node": 5},
        {"started_at": None},
        {"exit_code": "3"},
        {"task_count": 1.5},
    ],
)
def test_entry_of_other_values_is_none(book: LifeBook, change: dict[str, object]) -> None:
    book.begin(FIRST)
    record = dict(book.store.read_record(KEY, RECORD) or {})
    lives = record["lives"]
    assert isinstance(lives, list)
    book.store.write_record(KEY, RECORD, {"lives": [{**lives[0], **change}]})
    assert book.read() == ()


def spoil(book: LifeBook, name: str = RECORD) -> None:
    assert isinstance(book.store, FakeStore)
    book.store.spoil_record(KEY, name)


def test_record_that_begins_anew_is_kept(book: LifeBook) -> None:
    book.begin(FIRST)
    spoil(book)
    assert book.begin_anew(SECOND).endswith("lives.json.unreadable-2")
    assert book.read() == (SECOND,)
    assert book.has_begun_anew(12, 1)
    assert not book.has_begun_anew(12, 0)
    book.begin(SECOND)  # it has waited, and begins in earnest
    assert not book.has_begun_anew(12, 1)


def test_life_that_runs_mends_the_record_unless_there_is_a_newer_one(book: LifeBook) -> None:
    book.begin(SECOND)
    fence = book.store.read_record(KEY, FENCE)
    spoil(book)
    assert book.mend(FIRST) is None
    other = replace(FIRST, number=11, started_at=after(600))
    for life in (SECOND, other):  # of another job of the line the later one is the newer one
        spoil(book)
        assert book.mend(life)
        assert book.read() == (life,)
        assert book.store.read_record(KEY, FENCE) == fence
    spoil(book)
    assert book.mend(replace(other, started_at=START)) is None
    spoil(book, FENCE)
    assert book.read_fence() is None
    assert book.mend(FIRST)  # nothing speaks against it


@pytest.mark.parametrize("value", [{}, {"lives": 3}, {"lives": {}}])
def test_record_of_another_kind_has_no_lives(book: LifeBook, value: dict[str, object]) -> None:
    book.store.write_record(KEY, RECORD, value)
    assert book.read() == ()


def test_note_of_an_end_beyond_the_calendar_is_none() -> None:
    assert parse_end(f"0 own {10**20}") is None


@given(st.text(max_size=40))
def test_note_of_an_end_is_read_or_refused(text: str) -> None:
    found = parse_end(text)
    assert found is None or -128 < found.exit_code < 1 << 24


def test_time_of_each_kind_of_end() -> None:
    dumped = replace(
        FIRST, ended_at=after(100), reason=StopReason.TIME_LIMIT, image_at=after(90), image_id="a"
    )
    assert sum_time([dumped], after(1000)) == (90.0, 10.0)
    own = replace(FIRST, ended_at=after(100), reason=StopReason.OWN_END, image_at=after(10))
    assert sum_time([own], after(1000)) == (100.0, 0.0)
    without = replace(FIRST, ended_at=after(100), reason=StopReason.USER)
    assert sum_time([without], after(1000)) == (0.0, 100.0)
    assert sum_time([FIRST], after(50)) == (50.0, 0.0)
    assert sum_time([dumped, own, without], after(1000)) == (190.0, 110.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.none() | st.floats(-100, 2e6), st.sampled_from(StopReason)),
        max_size=5,
    )
)
def test_kept_and_lost_are_never_negative(
    cases: list[tuple[float, float | None, StopReason]],
) -> None:
    lives = [
        replace(
            FIRST,
            ended_at=after(ran),
            image_at=None if image is None else after(image),
            reason=reason,
        )
        for ran, image, reason in cases
    ]
    kept, lost = sum_time(lives, START)
    assert kept >= 0
    assert lost >= 0
    total = sum(ran for ran, _, _ in cases)
    assert kept + lost == pytest.approx(total, abs=0.01)
