"""How lives ended: the notes of the launchers, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from syscr.lives.names import AGENT_GONE, NO_AGENT, ended_folder, run_folder
from syscr.model import Life, StopReason
from syscr.ports import Store, StoreKey
from syscr.units import format_time

_REASONS = {
    "own": StopReason.OWN_END,
    "told": StopReason.USER,
    "image": StopReason.VACATE,
    "fenced": StopReason.FENCED,
}


@dataclass(frozen=True, slots=True)
class End:
    """What the launcher wrote down when its task ended.

    Attributes:
        exit_code: Of the program; minus the signal where that ended it.
        how: ``own``: by itself; ``told``: after a signal that asks for it; ``image``: it was ended
            after its image; ``fenced``: there was a newer life.
        at: When.
    """

    exit_code: int
    how: str
    at: datetime


def read_end(store: Store, key: StoreKey, life: Life) -> End | None:
    """Return how the first task of a life ended; None: the launcher could not say, or it lives."""
    note = _read_note(store, key, life, "end")
    return parse_end(note) if note else None


def find_open(store: Store, key: StoreKey, life: Life) -> tuple[int, ...]:
    """Return the ranks of a life whose end no launcher has written down, ascending."""
    found = [] if read_end(store, key, life) is not None else [0]
    if life.task_count > 1:
        names = store.list_notes(key, ended_folder(life.number, life.restart_count))
        found += [rank for rank in range(1, life.task_count) if str(rank) not in names]
    return tuple(found)


def _read_note(store: Store, key: StoreKey, life: Life, name: str) -> str:
    """Return the text of a file in the private folder of a life's first task; empty: there is none."""
    return store.read_note(key, f"{run_folder(life.number, life.restart_count)}/{name}") or ""


def parse_end(note: str) -> End | None:
    """Read the launcher's note, ``WAIT_STATUS HOW SECONDS``; None: it is none.

    Example:
        >>> parse_end("768 own 0")
        End(exit_code=3, how='own', at=datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))
        >>> parse_end("9 told 0").exit_code, parse_end("nonsense")
        (-9, None)
    """
    words = note.split()
    at = _parse_seconds(words[2]) if len(words) == 3 else None
    if at is None or not words[0].isdecimal():
        return None
    status = int(words[0])
    code = -(status & 0x7F) if status & 0x7F else status >> 8
    return End(code, words[1], at)


def _parse_seconds(text: str) -> datetime | None:
    """Read seconds since 1970; None: they are none."""
    try:
        return datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else None
    except (ValueError, OverflowError, OSError):  # beyond the calendar
        return None


def close_life(life: Life, ended: End | None) -> Life:
    """Return a life with its end; one that nobody saw ends with its last image."""
    if ended is None:
        reason, at, code = StopReason.LOST, life.image_at or life.started_at, None
    else:
        reason, at, code = _REASONS.get(ended.how, StopReason.LOST), ended.at, ended.exit_code
    return replace(
        life,
        reason=life.reason or reason,
        ended_at=max(at, life.started_at),
        exit_code=code if reason in {StopReason.OWN_END, StopReason.USER} else None,
        next_at=None,
    )


def add_end(store: Store, key: StoreKey, life: Life) -> Life:
    """Add to a life that seems to run what only the launcher knows: its end, or that of its agent."""
    ended = read_end(store, key, life)
    if ended is not None:
        return close_life(life, ended)
    gone_at = _parse_seconds(_read_note(store, key, life, AGENT_GONE).strip())
    if gone_at is None:
        return life
    note = f"{NO_AGENT} since {format_time(gone_at)}"
    return replace(life, next_at=None, note=note, noted_at=gone_at)
