"""The table that the benchmark prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_figures import Comparison, Kind, Series
from bench_table import (
    format_conditions,
    format_seconds,
    format_series,
    format_table,
    replace_block,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 ms"),
        (0.00084, "0.84 ms"),
        (0.009994, "9.99 ms"),
        (0.009996, "10.0 ms"),
        (0.0999, "99.9 ms"),
        (0.09996, "100 ms"),
        (0.2134, "213 ms"),
        (0.99949, "999 ms"),
        (0.9996, "1.00 s"),
        (1.4159, "1.42 s"),
        (123.4, "123 s"),
        (-0.0042, "-4.20 ms"),
    ],
)
def test_seconds_have_three_figures(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_series_of_one_value_has_no_spread() -> None:
    assert format_series(Series((0.5,))) == "500 ms"
    assert format_series(Series((0.5, 1.5, 0.25)), is_ratio=True) == "0.50 x (0.25-1.50)"


def test_table_has_results_with_aims_before_the_times() -> None:
    frozen = Comparison(
        "frozen", Series((0.22, 0.21, 0.23)), Series((0.2, 0.2, 0.2)), limit=1.05, beside="criu"
    )
    launch = Comparison(
        "launch", Series((0.07,)), Series((0.03,)), Kind.DIFFERENCE, limit=0.05, beside="srun"
    )
    listing = Comparison("list", Series((0.4, 0.41)))
    expected = """\
|        | result                   | aim       |        | syscr                    | beside                           | n |
|--------|--------------------------|-----------|--------|--------------------------|----------------------------------|---|
| frozen | 1.10 x (1.05-1.15)       | ≤ 1.05 x  | missed | 220 ms (210 ms - 230 ms) | criu: 200 ms (200 ms - 200 ms)   | 3 |
| launch | +40.0 ms                 | ≤ 50.0 ms | met    | 70.0 ms                  | srun: 30.0 ms                    | 1 |
| list   | 405 ms (400 ms - 410 ms) |           |        | 405 ms (400 ms - 410 ms) |                                  | 2 |
"""
    lines = [line.split("|") for line in expected.splitlines()]
    found = [line.split("|") for line in format_table([frozen, launch, listing]).splitlines()]
    assert [[cell.strip(" -") for cell in row] for row in found] == [
        [cell.strip(" -") for cell in row] for row in lines
    ]
    assert len({len(row) for row in format_table([frozen, launch, listing]).splitlines()}) == 1


def test_difference_below_zero_has_one_sign() -> None:
    line = Comparison("x", Series((0.03,)), Series((0.05,)), Kind.DIFFERENCE)
    assert "| -20.0 ms |" in format_table([line])


def test_conditions_are_a_list() -> None:
    assert (
        format_conditions({"machine": "2 x CPU", "rounds": "5"})
        == "* machine: 2 x CPU\n* rounds: 5"
    )


def test_block_of_a_page_is_replaced_and_nothing_else() -> None:
    page = "# Figures\n<!-- bench -->\nold\n\nolder\n<!-- bench:end -->\nrest\n"
    assert replace_block(page, r"| new \1 |") == (
        "# Figures\n<!-- bench -->\n| new \\1 |\n<!-- bench:end -->\nrest\n"
    )


def test_page_without_block_is_refused() -> None:
    with pytest.raises(ValueError, match="no block"):
        replace_block("# Figures\n", "x")


def test_page_of_the_documentation_has_a_block() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "performance.md"
    assert "<!-- bench -->\nX\n<!-- bench:end -->" in replace_block(page.read_text(), "X")
