"""Names of what belongs to the lives of a job: records, notes, folders, and one copy of a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from syscr.model import Life

RECORD = "lives"

FENCE = "fence"
"""Record of the newest life alone, for the launchers of all others: ``{"fence": "NUMBER.RESTARTS.MS"}``."""

SOCKET_NOTE = "agent"
"""File in the task's private folder: name of the agent's socket, without the leading NUL."""

AGENT_GONE = "agent.gone"
"""File in the same folder: since when the life has no agent any more, in seconds since 1970."""

NO_AGENT = "no agent: no more checkpoints by itself, 'syscr checkpoint' still works,"
"""Beginning of the note of a life whose agent does not come back."""

SIMULATE = "simulate"
"""Record by which ``syscr simulate`` says why it sends a signal."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest life, as the fence names it.

    Attributes:
        number: Plain job number.
        restart_count: How often that job had been requeued.
        started_ms: When it started, milliseconds since 1970.
    """

    number: int
    restart_count: int
    started_ms: int

    def is_later_than(self, life: Life) -> bool:
        """Whether it is a later one than ``life``; as ``is_newer`` of ``csrc/launcher/fence.c``."""
        if self.number == life.number:
            return self.restart_count > life.restart_count
        return self.started_ms > find_milliseconds(life.started_at)


def ended_folder(number: int, restart_count: int) -> str:
    """Return the name of the folder in which all tasks of a step but the first write how they ended."""
    return f"run/{number}.{restart_count}.ended"


def run_folder(number: int, restart_count: int, rank: int = 0) -> str:
    """Return the name of the private folder of a task in one life, below its line's folder."""
    return f"run/{number}.{restart_count}.{rank}"


def name_copy(number: int, restart_count: int, started_at: datetime) -> str:
    """Return how ``csrc/launcher/fence.c`` names one copy of a job; times in milliseconds since 1970.

    Example:
        >>> name_copy(12, 1, datetime.fromisoformat("2026-11-29T00:00:00Z"))
        '12.1.1795910400000'
    """
    return f"{number}.{restart_count}.{find_milliseconds(started_at)}"


def find_milliseconds(moment: datetime) -> int:
    """Return a time in milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def is_same(one: Life, other: Life) -> bool:
    """Whether two entries are of the same life."""
    return (one.number, one.restart_count) == (other.number, other.restart_count)
