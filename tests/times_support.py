"""How the time that Slurm gave to jobs that keep themselves alive was used; pure.

A test hands in what the records say (``Spent.of``); the run prints one table of all at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from syscr.cli.output import align


@dataclass(frozen=True, slots=True)
class Spent:
    """How the time of one job was spent, in seconds.

    Attributes:
        title: Name of the test.
        lives: How many there were.
        given: What Slurm gave, as its accounting has it: whole seconds for each life.
        useful: How long the program ran towards its end: without start, restore, dump, and what no image
            has kept.
        limit: What was given, less dumps and restores as measured: more nobody can make of it.
    """

    title: str
    lives: int
    given: float
    useful: float
    limit: float

    @classmethod
    def of(
        cls,
        title: str,
        status: Mapping[str, Any],
        restored_at: Mapping[int, float],
        given: float,
    ) -> Spent:
        """Add up the lives of a job that has ended.

        Args:
            title: Name of the test.
            status: What ``syscr status`` says of the job.
            restored_at: Number of the restart -> when the program went on, seconds since 1970.
            given: What Slurm gave, in seconds.
        """
        useful = tools = 0.0
        for life in status["lives"]:
            began, ended = _time(life["started_at"]), _time(life["ended_at"] or life["image_at"])
            goes_on = max(began, restored_at.get(life["restart_count"], began))
            is_own = life["reason"] == "own end"
            kept = ended if is_own else max(goes_on, _time(life["image_at"]) or goes_on)
            dumps = {
                _time(image["created_at"]): float(image["timings"]["dump_seconds"])
                for image in status["images"]
                if began <= _time(image["created_at"]) <= ended
            }
            useful += kept - goes_on - sum(took for at, took in dumps.items() if at < kept)
            tools += goes_on - began + sum(dumps.values())
        return cls(title, len(status["lives"]), given, useful, given - tools)


SPENT = pytest.StashKey[list[Spent]]()
"""Of each test with such a job."""


def render_spent(spent: Sequence[Spent]) -> str:
    """Return the table; empty without any.

    Example:
        >>> print(render_spent([Spent("test_x", 2, 100.0, 90.0, 95.0)]))
        useful part of the time that Slurm gave; limit: less what dumps and restores took
          TEST  LIVES  GIVEN  USEFUL  SHARE  LIMIT
          x     2      100 s  90.0 s  90 %   95 %
    """
    rows = [
        (
            one.title.removeprefix("test_"),
            str(one.lives),
            f"{one.given:.0f} s",
            f"{one.useful:.1f} s",
            _share(one.useful, one.given),
            _share(one.limit, one.given),
        )
        for one in sorted(spent, key=lambda one: one.title)
    ]
    if not rows:
        return ""
    head = ("TEST", "LIVES", "GIVEN", "USEFUL", "SHARE", "LIMIT")
    text = "useful part of the time that Slurm gave; limit: less what dumps and restores took"
    return f"{text}\n{align([head, *rows], indent='  ')}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}".replace("%", " %") if whole else "-"


def _time(text: str | None) -> float:
    """Return seconds since 1970; 0 for none."""
    return datetime.fromisoformat(text).astimezone(UTC).timestamp() if text else 0.0
