"""Text <-> value for durations, sizes, times and versions; pure.

Slurm's time format and the sizes of its options are read here, once. Identifiers are in ``model/ids.py``.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from syscr.errors import RequestError

_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", re.IGNORECASE)
_INTERVAL = re.compile(
    r"(?:(?P<days>[0-9]{1,30})-)?(?P<clock>[0-9]{1,30}(?::[0-9]{1,30}){0,2})|(?P<only>[0-9]{1,30})-"
)
_MOST_INTERVAL_SECONDS = 999_999_999
_DURATION = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")
_SUFFIXED = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_SUFFIXES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_slurm_time(text: str) -> float | None:
    """Read a duration in Slurm's own format, as ``--time`` and ``--checkpoint`` take it.

    Returns:
        Seconds; None for UNLIMITED, INFINITE, NOT_SET, Partition_Limit and N/A.

    Raises:
        RequestError: The text is in none of the forms.

    Source: Slurm `sbatch` manual, 24.11, ``--time``: "minutes", "minutes:seconds",
    "hours:minutes:seconds", "days-hours", "days-hours:minutes", "days-hours:minutes:seconds".
    Checked 2026-11.

    Example:
        >>> parse_slurm_time("30"), parse_slurm_time("1:30"), parse_slurm_time("2-00")
        (1800.0, 90.0, 172800.0)
    """
    stripped = text.strip()
    if stripped.upper() in {
        "UNLIMITED",
        "INFINITE",
        "NOT_SET",
        "PARTITION_LIMIT",
        "N/A",
        "INVALID",
    }:
        return None
    match = _DURATION.fullmatch(stripped)
    if match is None:
        raise RequestError(
            f"not a Slurm time: '{text}'", hint="write minutes, MM:SS, HH:MM:SS, D-HH or D-HH:MM:SS"
        )
    parts = [int(part) for part in match["clock"].split(":")]
    if match["days"] is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return float(int(match["days"]) * 86400 + hours * 3600 + minutes * 60 + seconds)
    if len(parts) == 1:
        return float(parts[0] * 60)
    if len(parts) == 2:
        return float(parts[0] * 60 + parts[1])
    return float(parts[0] * 3600 + parts[1] * 60 + parts[2])


AUTO_INTERVAL = -2.0
"""An interval that the job's agent chooses; see ``schedule.choose_interval``."""


def parse_interval(text: str) -> float:
    """Read the time between two checkpoints, as ``--checkpoint`` of Slurm took it.

    Returns:
        Whole seconds; 0 for 0, UNLIMITED, INFINITE and -1: none; ``AUTO_INTERVAL`` for ``auto``.

    Raises:
        RequestError: The text is in none of the forms, or longer than 31 years.

    Source: the forms are those of Slurm 19.05.8 ``src/common/parse_time.c``, time_str2mins, which rounded
    up to whole minutes; here the seconds count, as its manual said. ``csrc/spank/interval.c`` reads the
    same, and a test compares the two. Checked 2026-11.

    Example:
        >>> parse_interval("5"), parse_interval("0:30"), parse_interval("1-")
        (300.0, 30.0, 86400.0)
    """
    if text.upper() in {"UNLIMITED", "INFINITE", "-1"}:
        return 0.0
    if text.lower() == "auto":
        return AUTO_INTERVAL
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise RequestError(
            f"invalid checkpoint interval specification: '{text}'",
            hint="write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or auto",
        )
    days = match["days"] or match["only"]
    clock = [int(part) for part in (match["clock"] or "0").split(":")]
    if days is not None or len(clock) == 3:
        hours, minutes, seconds = (*clock, 0, 0)[:3]
    else:
        hours, (minutes, seconds) = 0, (*clock, 0)[:2]
    total = int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds
    if max(total, *clock, int(days or 0)) > _MOST_INTERVAL_SECONDS:
        raise RequestError(f"the checkpoint interval '{text}' is longer than 31 years")
    return float(total)


def format_interval(seconds: float) -> str:
    """Write the time between two checkpoints as ``parse_interval`` reads it; parts of a second round up.

    Example:
        >>> format_interval(AUTO_INTERVAL)
        'auto'
        >>> format_interval(1800), format_interval(90.5), format_interval(0.2)
        ('30', '1:31', '0:01')
    """
    if seconds == AUTO_INTERVAL:
        return "auto"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}:{rest:02}" if rest else str(minutes)


def parse_total_time(text: str) -> float:
    """Read ``--total-time``, in the forms of Slurm's ``--time``; seconds, 0: without limit.

    Raises:
        RequestError: The text is in none of the forms.

    Example:
        >>> parse_total_time("2-12"), parse_total_time("90")
        (216000.0, 5400.0)
    """
    try:
        seconds = parse_interval(text)
    except RequestError:
        seconds = AUTO_INTERVAL
    if seconds == AUTO_INTERVAL:
        raise RequestError(
            f"invalid total time: '{text}'",
            hint="write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS",
        )
    return seconds


def parse_duration(text: str) -> float:
    """Read a duration of our own options: '90s', '15m', '2h', '7d', or HH:MM:SS and D-HH as in Slurm.

    Raises:
        RequestError: A bare number (its unit would be a guess), or no duration at all.

    Example:
        >>> parse_duration("1.5h"), parse_duration("01:30:00")
        (5400.0, 5400.0)
    """
    stripped = text.strip()
    suffixed = _SUFFIXED.fullmatch(stripped.lower())
    if suffixed is not None:
        return float(suffixed[1]) * _SUFFIXES[suffixed[2]]
    if stripped.isdigit():
        raise RequestError(
            f"duration without a unit: '{text}'",
            hint=f"write '{text}s', '{text}m', '{text}h' or '{text}d'",
        )
    try:
        seconds = parse_slurm_time(stripped)
    except RequestError:
        seconds = None
    if seconds is None:
        raise RequestError(f"not a duration: '{text}'", hint="write for example 90s, 15m, 2h, 7d")
    return seconds


def format_duration(seconds: float) -> str:
    """Write a duration for people.

    Example:
        >>> format_duration(0.0123), format_duration(75), format_duration(90061)
        ('12 ms', '1 min 15 s', '1 d 1 h 1 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    parts = (
        (whole // 86400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "min"),
        (whole % 60, "s"),
    )
    shown = [f"{value} {unit}" for value, unit in parts if value]
    return " ".join(shown[:3])


def parse_size(text: str) -> int:
    """Read a size: digits and K, M, G or T, powers of 1024; bytes without a letter.

    Raises:
        RequestError: The text is no size.

    Example:
        >>> parse_size("1.5G"), parse_size("100")
        (1610612736, 100)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise RequestError(f"not a size: '{text}'", hint="write for example 500M or 2G")
    return round(float(match[1]) * _SIZE_UNITS[match[2].upper()])


def format_size(size_bytes: float) -> str:
    """Write a size for people, powers of 1024.

    Example:
        >>> format_size(512), format_size(1610612736)
        ('512 B', '1.5 GiB')
    """
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):  # pragma: no branch - TiB ends it
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def format_time(moment: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with milliseconds, as in our JSON.

    Example:
        >>> format_time(datetime(2026, 11, 24, 9, 30, tzinfo=UTC))
        '2026-11-24T09:30:00.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time; the result is aware, in UTC.

    Raises:
        RequestError: No such time, or one without a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise RequestError(f"not an RFC 3339 time: '{text}'") from error
    if moment.tzinfo is None:
        raise RequestError(f"time without a zone: '{text}'", hint=f"write '{text}Z' for UTC")
    return moment.astimezone(UTC)


def parse_version_numbers(text: str) -> tuple[int, int] | None:
    """Read the first two numbers of a version of Slurm, a C library or a kernel; None: it is no version.

    Example:
        >>> parse_version_numbers("18.08.9"), parse_version_numbers("6.18.44-fc"), parse_version_numbers("new")
        ((18, 8), (6, 18), None)
    """
    match = _VERSION.match(text)
    return None if match is None else (int(match[1]), int(match[2]))
