"""The lives of a job, in one small record of its line: who lives, since when, and how the others ended.

The last entry is also the fence: an older copy that a cut-off node still runs sees that it is not the
last one any more, and stops itself (``csrc/launcher/fence.c``, which reads a record of the last life alone).
Only the live copy of a job's first rank writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from syscr.errors import ManifestError, SyscrError
from syscr.model import Image, Life, StopReason
from syscr.ports import Store, StoreKey
from syscr.units import format_time, parse_time

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

_ANEW = "begun_anew"
"""Key of the record: the life that has begun it anew, until that one has really begun."""

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "number": int,
    "restart_count": int,
    "node": str,
    "started_at": datetime,
    "restored_from": str,
    "image_id": str,
    "exit_code": (int, type(None)),
    "note": str,
    "fence_seconds": (int, float),
    "task_count": int,
}
_TIMES = ("started_at", "ended_at", "image_at", "next_at", "noted_at")


_REASONS = {
    "own": StopReason.OWN_END,
    "told": StopReason.USER,
    "image": StopReason.VACATE,
    "fenced": StopReason.FENCED,
}


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
        return self.started_ms > _milliseconds(life.started_at)


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
        found = [_decode(entry) for entry in entries] if isinstance(entries, list) else []
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
        ended = read_end(self.store, self.key, lives[-1])
        if ended is not None:
            return (*lives[:-1], close_life(lives[-1], ended))
        gone_at = _parse_seconds(_read_note(self.store, self.key, lives[-1], AGENT_GONE).strip())
        if gone_at is None:
            return lives
        note = f"{NO_AGENT} since {format_time(gone_at)}"
        return (*lives[:-1], replace(lives[-1], next_at=None, note=note, noted_at=gone_at))

    def begin(self, life: Life, *, last: Life | None = None) -> None:
        """Add a life; from now on all others are old.

        Args:
            life: The life.
            last: The one before, as it is to be from now on; None: as it is.
        """
        lives = self.read()
        if last is not None:
            lives = tuple(last if _is_same(one, last) else one for one in lives)
        others = [one for one in lives if not _is_same(one, life)]
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
        if lives and _is_same(lives[-1], life):
            self._write([*lives[:-1], life])

    def close(self, life: Life) -> None:
        """Write down how an earlier life ended, where it could not do so itself."""
        lives = [life if _is_same(one, life) else one for one in self.read()]
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
            return _is_same(lives[-1], life)
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
        return any(_is_same(one, life) for one in lives)

    def _write(self, lives: list[Life], *, begins_anew: bool = False) -> None:
        value: dict[str, object] = {"lives": [_encode(life) for life in lives]}
        if begins_anew:
            value[_ANEW] = _name(lives[-1])
        self.store.write_record(self.key, RECORD, value)


def ended_folder(number: int, restart_count: int) -> str:
    """Return the name of the folder in which all tasks of a step but the first write how they ended."""
    return f"run/{number}.{restart_count}.ended"


def run_folder(number: int, restart_count: int, rank: int = 0) -> str:
    """Return the name of the private folder of a task in one life, below its line's folder."""
    return f"run/{number}.{restart_count}.{rank}"


def _is_same(one: Life, other: Life) -> bool:
    return (one.number, one.restart_count) == (other.number, other.restart_count)


def _name(life: Life) -> str:
    return f"{life.number}.{life.restart_count}"


def name_copy(number: int, restart_count: int, started_at: datetime) -> str:
    """Return how ``csrc/launcher/fence.c`` names one copy of a job; times in milliseconds since 1970.

    Example:
        >>> name_copy(12, 1, datetime(2026, 11, 29, tzinfo=UTC))
        '12.1.1795910400000'
    """
    return f"{number}.{restart_count}.{_milliseconds(started_at)}"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _is_later(one: Life, other: Life) -> bool:
    if one.number == other.number:
        return one.restart_count > other.restart_count
    return one.started_at > other.started_at


def _encode(life: Life) -> dict[str, object]:
    values = asdict(life)
    for name in _TIMES:
        moment = values[name]
        values[name] = format_time(moment) if moment is not None else None
    return values


def _decode(entry: object) -> Life | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        values = {name: entry[name] for name in Life.__slots__ if name in entry}
        for name in _TIMES:
            text = values.get(name)
            values[name] = parse_time(text) if text else None
        reason = values.get("reason")
        values["reason"] = StopReason(reason) if reason else None
        life = Life(**values)
        is_sound = all(isinstance(getattr(life, name), kind) for name, kind in _KINDS.items())
        return life if is_sound else None
    except (SyscrError, TypeError, ValueError):
        return None


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


def sum_earlier(lives: Sequence[Life], life: Life) -> float:
    """Return the running time of all lives but one, in seconds; one without an end ended with its image."""
    return sum(
        max(
            0.0, ((one.ended_at or one.image_at or one.started_at) - one.started_at).total_seconds()
        )
        for one in lives
        if not _is_same(one, life)
    )


def sum_time(lives: Sequence[Life], now: datetime) -> tuple[float, float]:
    """Return how much running time of all lives was kept and how much was lost, in seconds.

    Kept is what an image holds, or what led to the program's own end; lost is what ran after a life's
    newest image. The life that runs now has lost nothing yet.
    """
    kept = lost = 0.0
    for life in lives:
        end = life.ended_at or now
        ran = max(0.0, (end - life.started_at).total_seconds())
        if life.ended_at is None or life.reason is StopReason.OWN_END:
            kept += ran
            continue
        saved = (life.image_at - life.started_at).total_seconds() if life.image_at else 0.0
        saved = min(max(0.0, saved), ran)
        kept += saved
        lost += ran - saved
    return kept, lost


def add_image(life: Life, image: Image) -> Life:
    """Return a life with an image that somebody else than its agent has taken of it, if it is its newest."""
    created_at = image.manifest.created_at
    if created_at >= life.started_at and (life.image_at is None or created_at > life.image_at):
        return replace(life, image_id=image.image_id, image_at=created_at)
    return life


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
