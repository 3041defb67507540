"""How the table of useful time is reckoned."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime
from typing import Any

import times_support
from times_support import Spent, render_spent

from syscr.units import format_time, parse_time

START = parse_time("2026-11-29T10:00:00Z").timestamp()


def at(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(START + seconds, UTC))


def life(restarts: int, began: float, ended: float | None, **more: Any) -> dict[str, Any]:
    values = {"reason": "time limit", "image_at": None, **more}
    ended_at = at(ended) if ended is not None else None
    return {
        "restart_count": restarts,
        "started_at": at(began),
        "ended_at": ended_at,
        **values,
    }


def image(created: float, took: float) -> dict[str, Any]:
    return {"created_at": at(created), "timings": {"dump_seconds": took}}


def test_time_until_the_last_image_is_useful_but_for_the_dumps_before_it() -> None:
    status = {
        "lives": [
            life(0, 0.0, 61.0, image_at=at(60.0)),
            life(1, 100.0, 120.0, reason="own end"),
        ],
        "images": [image(30.0, 2.0), image(60.0, 0.5)],
    }
    found = Spent.of("test_x", status, {1: START + 101.0}, 83.0)
    assert found == Spent("test_x", 2, 83.0, useful=58.0 + 19.0, limit=83.0 - 3.5)


def test_life_without_an_image_is_of_no_use() -> None:
    status = {"lives": [life(0, 0.0, 10.0, reason="user")], "images": []}
    assert Spent.of("x", status, {}, 11.0) == Spent("x", 1, 11.0, 0.0, 11.0)


def test_life_whose_end_nobody_saw_has_its_image() -> None:
    status = {
        "lives": [life(0, 0.0, 5.0, reason="lost", image_at=at(5.0))],
        "images": [image(5.0, 1.0)],
    }
    assert Spent.of("x", status, {}, 9.0) == Spent("x", 1, 9.0, 5.0, 8.0)


def test_table_is_as_in_its_example() -> None:
    assert doctest.testmod(times_support).failed == 0
    assert render_spent([]) == ""
    assert "-" in render_spent([Spent("x", 1, 0.0, 0.0, 0.0)])
