"""A clock that only moves when a test says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


class FakeClock:
    """Clock moved by hand; ``sleep`` moves it as well and returns at once.

    Attributes:
        sleeps: What was asked of ``sleep``, in order, in seconds.
    """

    def __init__(self, now: datetime = START) -> None:
        """Start at ``now``, with a monotonic time of 1000 s."""
        self._now = now
        self._monotonic = 1000.0
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        """Return the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Move on by ``seconds`` and take a note."""
        self.sleeps.append(seconds)
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator would; monotonic time stays."""
        self._now += timedelta(seconds=seconds)
