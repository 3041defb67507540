"""What the benchmark computes from its figures."""

from __future__ import annotations

import pytest
from bench_figures import Comparison, Kind, Series, find_largest_gap, find_resumed

OURS, OTHER = Series((2.0, 3.0, 8.0)), Series((1.0, 2.0, 2.0))


def test_series_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="without values"):
        Series(())


def test_series_of_several_values_has_median_and_spread() -> None:
    assert Series((3.0, 1.0, 2.0)).median == 2.0
    assert Series((3.0, 1.0, 2.0)).spread == (1.0, 3.0)


def test_ratio_is_taken_round_by_round_and_not_of_medians() -> None:
    line = Comparison("x", OURS, OTHER)
    assert line.result.values == (2.0, 1.5, 4.0)
    assert line.result.median == 2.0
    assert line.is_ratio


def test_difference_is_taken_round_by_round() -> None:
    line = Comparison("x", OURS, OTHER, Kind.DIFFERENCE)
    assert line.result.values == (1.0, 1.0, 6.0)
    assert not line.is_ratio


def test_result_without_other_is_the_time_itself() -> None:
    line = Comparison("x", OURS)
    assert line.result == OURS
    assert not line.is_ratio


def test_result_of_unequal_numbers_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = Comparison("x", OURS, Series((1.0,))).result


@pytest.mark.parametrize(("limit", "is_met"), [(None, None), (2.0, True), (1.99, False)])
def test_aim_is_met_when_the_median_is_not_above_it(
    limit: float | None, is_met: bool | None
) -> None:
    assert Comparison("x", OURS, OTHER, limit=limit).is_met is is_met


def test_gap_is_the_largest_that_ended_between_the_moments() -> None:
    lines = ["1.0 9.0", "2.0 0.2", "3.0 0.3", "4.0 0.1", "9.0 5.0"]
    assert find_largest_gap(lines, 1.5, 4.0) == 0.3


def test_gap_of_a_program_that_never_stood_still_is_zero() -> None:
    assert find_largest_gap(["1.0 9.0", "2.0"], 1.5, 4.0) == 0.0


def test_resumed_is_the_end_of_the_gap_around_the_start() -> None:
    lines = ["1.0 0.5", "7.0 6.0", "8.0 0.1", "20.0 11.0", "21"]
    assert find_resumed(lines, 5.0) == 7.0
    assert find_resumed(lines, 9.5) == 20.0
    assert find_resumed(lines, 30.0) is None
