"""Measured figures and what is computed from them; pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a comparison is expressed in."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True)
class Series:
    """The same measurement, several times.

    Attributes:
        values: One per round, in order.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse an empty one."""
        if not self.values:
            raise ValueError("a series without values")

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class Comparison:
    """One line of the table.

    Attributes:
        subject: What was measured.
        ours: syscr, in seconds.
        other: What it is compared with, in seconds, taken in the same rounds; None: nothing.
        kind: How they are compared.
        limit: The aim: the result's median is not above it; None: there is no aim.
        beside: Name of the other.
    """

    subject: str
    ours: Series
    other: Series | None = None
    kind: Kind = Kind.RATIO
    limit: float | None = None
    beside: str = ""

    @property
    def result(self) -> Series:
        """Return what is held against the aim, round by round: two figures of one round have met the same noise."""
        if self.other is None:
            return self.ours
        pairs = zip(self.ours.values, self.other.values, strict=True)
        if self.kind is Kind.RATIO:
            return Series(tuple(ours / other for ours, other in pairs))
        return Series(tuple(ours - other for ours, other in pairs))

    @property
    def is_ratio(self) -> bool:
        """Whether the result has no unit."""
        return self.other is not None and self.kind is Kind.RATIO

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        return None if self.limit is None else self.result.median <= self.limit


def find_largest_gap(lines: Sequence[str], started: float, ended: float) -> float:
    """Return the longest time that a program stood still and that ended between two moments; 0 if none did.

    Args:
        lines: ``END SECONDS`` of ``programs/steady.py``; an incomplete last line is passed over.
        started: First moment.
        ended: Last moment.
    """
    largest = 0.0
    for line in lines:
        words = line.split()
        if len(words) == 2 and started <= float(words[0]) <= ended:
            largest = max(largest, float(words[1]))
    return largest


def find_resumed(lines: Sequence[str], started: float) -> float | None:
    """Return when a program first went on that had stood still since before ``started``; None: not yet."""
    for line in lines:
        words = line.split()
        if len(words) == 2 and float(words[0]) > started > float(words[0]) - float(words[1]):
            return float(words[0])
    return None
