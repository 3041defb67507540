"""The lives of a job, in one small record of its line: who lives, since when, and how the others ended.

The last entry is also the fence: an older copy that a cut-off node still runs sees that it is not the
last one any more, and stops itself (``csrc/launcher/fence.c``, which reads a record of the last life alone).
Only the live copy of a job's first rank writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syscr.errors import ManifestError, SyscrError
from syscr.lives.codec import decode_life, encode_life
from syscr.lives.ends import add_end
from syscr.lives.names import FENCE, RECORD, SIMULATE, Newest, is_same, name_copy
from syscr.model import Life, StopReason
from syscr.ports import Store, StoreKey
from syscr.units import format_time, parse_time

_ANEW = "begun_anew"
"""Key of the record: the life that has begun it anew, until that one has really begun."""


@dataclass(frozen=True, slots=True)
class LifeBook:
    """Reads and writes the lives of one line.

    Attributes:
        store: Store of the job's checkpoint directory.
        key: Line and step.
    """

    store: Store
    key: StoreKey

    def read(self) -> tuple[Life, ...]:
        """Return all lives, oldest first; those that cannot be read are left out."""
        record = self.store.read_record(self.key, RECORD) or {}
        entries = record.get("lives")
        found = [decode_life(entry) for entry in entries] if isinstance(entries, list) else []
        return tuple(life for life in found if life is not None)

    def find(self, number: int, restart_count: int) -> Life | None:
        """Return one life; None: the record does not have it."""
        for life in self.read():
            if (life.number, life.restart_count) == (number, restart_count):
                return life
        return None

    def add_end(self, lives: tuple[Life, ...]) -> tuple[Life, ...]:
        """Add to the last of all lives what only the launcher knows: its end, or that of its agent."""
        if not lives or lives[-1].ended_at is not None:
            return lives
        return (*lives[:-1], add_end(self.store, self.key, lives[-1]))

    def begin(self, life: Life, *, last: Life | None = None) -> None:
        """Add a life; from now on all others are old.

        Args:
            life: The life.
            last: The one before, as it is to be from now on; None: as it is.
        """
        lives = self.read()
        if last is not None:
            lives = tuple(last if is_same(one, last) else one for one in lives)
        others = [one for one in lives if not is_same(one, life)]
        self._raise_fence(life)
        self._write([*others, life])

    def begin_anew(self, life: Life) -> str:
        """Begin a life in the place of a record that cannot be read; every other copy is older than it.

        Returns:
            Where the record is kept, for people; empty: it has gone.
        """
        kept = self.store.keep_record(self.key, RECORD)
        self._raise_fence(life)
        self._write([life], begins_anew=True)
        return kept

    def mend(self, life: Life) -> str | None:
        """Put a life that runs in the place of a record that cannot be read.

        Returns:
            As ``begin_anew``; None: there is a newer life, and nothing was done.
        """
        newest = self.read_fence()
        if newest is not None and newest.is_later_than(life):
            return None
        kept = self.store.keep_record(self.key, RECORD)
        self._write([life])
        return kept

    def has_begun_anew(self, number: int, restart_count: int) -> bool:
        """Whether this life has just begun the record anew: how the others ended is not known."""
        record = self.store.read_record(self.key, RECORD) or {}
        return record.get(_ANEW) == f"{number}.{restart_count}"

    def update(self, life: Life) -> None:
        """Replace the entry of a life, unless there is a newer one."""
        lives = self.read()
        if lives and is_same(lives[-1], life):
            self._write([*lives[:-1], life])

    def close(self, life: Life) -> None:
        """Write down how an earlier life ended, where it could not do so itself."""
        lives = [life if is_same(one, life) else one for one in self.read()]
        self._write(lives)

    def announce(self, life: Life, reason: StopReason, until: datetime) -> None:
        """Say why a life is about to get a signal that Slurm has not sent; for ``syscr simulate``."""
        value = {"life": _name(life), "reason": str(reason), "until": format_time(until)}
        self.store.write_record(self.key, SIMULATE, value)

    def withdraw(self) -> None:
        """Take back what ``announce`` has said: the next signal is Slurm's."""
        self.store.write_record(self.key, SIMULATE, {})

    def read_announced(self, life: Life, now: datetime) -> StopReason | None:
        """Return what ``announce`` has said of a life, while it is to be believed."""
        try:
            record = self.store.read_record(self.key, SIMULATE) or {}
            if record.get("life") != _name(life):
                return None
            if parse_time(str(record.get("until", ""))) >= now:
                return StopReason(str(record.get("reason")))
        except (SyscrError, ValueError):
            pass
        return None

    def is_current(self, life: Life) -> bool:
        """Whether a life is the newest one; one that the record does not have is, unless a later one is there."""
        lives = self.read()
        if self._has(lives, life):
            return is_same(lives[-1], life)
        return not any(_is_later(one, life) for one in lives)

    def ensure(self, life: Life) -> None:
        """Enter a life again that the record has lost, unless there is a newer one.

        A copy on a cut-off node may have read the record before this life began, and have written it after
        its storage came back: its own entry is the last one then, and ours is not there.
        """
        lives = self.read()
        if not self._has(lives, life) and not any(_is_later(one, life) for one in lives):
            self.begin(life)

    def fence_path(self) -> str:
        """Return where the record of the newest life alone is."""
        return self.store.record_path(self.key, FENCE)

    def read_fence(self) -> Newest | None:
        """Return which life is the newest by the fence; None: that is not known."""
        try:
            record = self.store.read_record(self.key, FENCE) or {}
            number, restart_count, started_ms = str(record.get("fence")).split(".")
            return Newest(int(number), int(restart_count), int(started_ms))
        except (ManifestError, ValueError):
            return None

    def _raise_fence(self, life: Life) -> None:
        value = name_copy(life.number, life.restart_count, life.started_at)
        self.store.write_record(self.key, FENCE, {"fence": value})

    @staticmethod
    def _has(lives: Sequence[Life], life: Life) -> bool:
        return any(is_same(one, life) for one in lives)

    def _write(self, lives: list[Life], *, begins_anew: bool = False) -> None:
        value: dict[str, object] = {"lives": [encode_life(life) for life in lives]}
        if begins_anew:
            value[_ANEW] = _name(lives[-1])
        self.store.write_record(self.key, RECORD, value)


def _name(life: Life) -> str:
    return f"{life.number}.{life.restart_count}"


def _is_later(one: Life, other: Life) -> bool:
    if one.number == other.number:
        return one.restart_count > other.restart_count
    return one.started_at > other.started_at
