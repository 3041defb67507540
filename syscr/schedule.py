"""When the next periodic checkpoint is due; pure.

A checkpoint that takes long must not leave the program less time than it takes itself, and one that
fails must not be tried without end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_LEAST_SHARE = 4.0  # the program runs at least this many times as long as its checkpoints take
_LONGEST_RETRY_SECONDS = 3600.0
_LEAST_CHOSEN_SECONDS = 60.0
_MOST_CHOSEN_SECONDS = 86400.0


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


def choose_interval(cost_seconds: float, mtbf_seconds: float) -> float:
    """Return the time between two checkpoints that loses least, from begin to begin, in seconds.

    J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", Future
    Generation Computer Systems 22 (2006) 303-312 (time to compute between two dumps), and the
    dump itself; a minute at least, a day at most.

    Args:
        cost_seconds: What a checkpoint takes.
        mtbf_seconds: Mean running time between two failures or preemptions.

    Example:
        >>> round(choose_interval(10.0, 86400.0)), choose_interval(0.1, 86400.0) > 120
        (1318, True)
    """
    if cost_seconds >= 2 * mtbf_seconds:
        best = mtbf_seconds
    else:
        ratio = cost_seconds / (2 * mtbf_seconds)
        best = (
            math.sqrt(2 * cost_seconds * mtbf_seconds) * (1 + math.sqrt(ratio) / 3 + ratio / 9)
            - cost_seconds
        )
    return min(max(best + cost_seconds, _LEAST_CHOSEN_SECONDS), _MOST_CHOSEN_SECONDS)


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
