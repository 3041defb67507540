"""When the next periodic checkpoint is due."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from syscr.schedule import Past, choose_interval, find_due

SECONDS = st.floats(0, 1e6)


def test_next_checkpoint_without_cost_comes_at_the_interval() -> None:
    assert find_due(Past(100.0), 60.0) == 160.0


def test_costly_checkpoint_leaves_the_program_four_times_its_cost() -> None:
    assert find_due(Past(100.0, took_seconds=30.0), 60.0) == 100.0 + 30.0 + 4 * 30.0


@given(st.floats(0.001, 5.0), st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20))
def test_shortest_interval_leaves_the_program_four_fifths_of_its_time(
    interval: float, costs: list[float]
) -> None:
    now = 0.0
    past = Past(now)
    for cost in costs:
        now = find_due(past, interval)
        past = Past(now, took_seconds=cost)
        now += cost
    assert sum(costs) <= find_due(past, interval) * 0.2 + 1e-6


def test_failures_double_the_interval_up_to_an_hour() -> None:
    dues = [find_due(Past(0.0, failures=count), 600.0) for count in range(5)]
    assert dues == [600.0, 1200.0, 2400.0, 3600.0, 3600.0]


def test_failures_of_a_long_interval_never_shorten_it() -> None:
    assert find_due(Past(0.0, failures=9), 7200.0) == 7200.0


@given(SECONDS, SECONDS, st.floats(0.001, 1e6), st.integers(0, 10_000))
def test_due_is_never_before_the_interval(
    started: float, took: float, interval: float, failures: int
) -> None:
    due = find_due(Past(started, took, failures), interval)
    assert due >= started + interval
    assert due >= started + took


@given(st.floats(0.001, 1e5), st.floats(60, 1e8))
def test_chosen_interval_loses_little_more_than_the_best_one(cost: float, mtbf: float) -> None:
    """Checked against the expected run time of Daly's model, in which dumps and lost work are counted."""

    def expected(interval: float) -> float:
        """Return the run time per time of work."""
        return mtbf * math.expm1(min(interval / mtbf, 700.0)) / max(interval - cost, 1e-9)

    chosen = choose_interval(cost, mtbf)
    assert 60 <= chosen <= 86400
    if cost < mtbf / 20 and 61 < chosen < 86000:
        grid = (chosen * 1.05**step for step in range(-60, 61))
        best = min(expected(one) for one in grid if one > cost * 1.01)
        assert expected(chosen) <= 1.02 * best


def test_more_failures_and_cheaper_checkpoints_mean_more_of_them() -> None:
    assert choose_interval(10.0, 1e4) < choose_interval(10.0, 1e6)
    assert choose_interval(1.0, 1e6) < choose_interval(100.0, 1e6)
