"""The real clock; the fake one is in ``testing/clock.py``. Nothing else in syscr asks the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Time of this machine."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, standing still while the machine sleeps."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block for ``seconds``; not at all for 0 or less."""
        if seconds > 0:
            time.sleep(seconds)
