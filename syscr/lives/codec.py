"""One life as it stands in the record: JSON in and out; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from syscr.errors import SyscrError
from syscr.model import Life, StopReason
from syscr.units import format_time, parse_time

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


def encode_life(life: Life) -> dict[str, object]:
    """Return the entry of a life."""
    values = asdict(life)
    for name in _TIMES:
        moment = values[name]
        values[name] = format_time(moment) if moment is not None else None
    return values


def decode_life(entry: object) -> Life | None:
    """Read an entry; None: it is none."""
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
