"""Polling with a deadline and a growing interval, on a Clock that tests move by hand."""

from __future__ import annotations

from collections.abc import Callable

from syscr.ports import Clock

_FIRST_SECONDS = 0.05
_GROWTH = 1.3
_LONGEST_SECONDS = 2.0


def wait_until(
    clock: Clock,
    condition: Callable[[], bool],
    *,
    timeout_seconds: float,
    on_timeout: Callable[[], Exception] | None = None,
) -> bool:
    """Ask ``condition`` until it is true or the time is over; at least once.

    Returns:
        Whether it became true.

    Raises:
        Exception: What ``on_timeout`` returns, when the time is over.
    """
    deadline = clock.monotonic() + timeout_seconds
    interval = _FIRST_SECONDS
    while not condition():
        left = deadline - clock.monotonic()
        if left <= 0:
            if on_timeout is not None:
                raise on_timeout()
            return False
        clock.sleep(min(interval, left))
        interval = min(interval * _GROWTH, _LONGEST_SECONDS)
    return True
