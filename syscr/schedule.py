"""When the next periodic checkpoint is due; pure.

A checkpoint that takes long must not leave the program less time than it takes itself, and one that
fails must not be tried without end.
"""

from __future__ import annotations

from dataclasses import dataclass

_LEAST_SHARE = 4.0  # the program runs at least this many times as long as its checkpoints take
_LONGEST_RETRY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Past:
    """What has happened so far.

    Attributes:
        started_at: When the last attempt began, monotonic seconds; of the agent itself before the first.
        took_seconds: How long it took.
        failures: Attempts that failed since the last success.
    """

    started_at: float
    took_seconds: float = 0.0
    failures: int = 0


def find_due(past: Past, interval_seconds: float) -> float:
    """Return when the next checkpoint is due, monotonic seconds.

    From begin to begin it is ``interval_seconds``, but the time between two checkpoints is at least
    four times what the last one took. After failures the interval doubles, up to an hour (or the
    interval itself where that is longer).

    Example:
        >>> find_due(Past(1000.0, took_seconds=2.0), 60.0), find_due(Past(1000.0, 40.0), 60.0)
        (1060.0, 1200.0)
    """
    longest = max(interval_seconds, _LONGEST_RETRY_SECONDS)
    interval = min(interval_seconds * 2.0 ** min(past.failures, 32), longest)
    spared = past.took_seconds * (1.0 + _LEAST_SHARE)
    return past.started_at + max(interval, spared)
