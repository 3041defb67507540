"""Durations, sizes and times: text <-> value."""

from __future__ import annotations

import doctest
import importlib
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr import units
from syscr.errors import RequestError

_SOURCES = Path(units.__file__).parent
_WITH_EXAMPLES = sorted(
    ".".join(("syscr", *path.relative_to(_SOURCES).with_suffix("").parts))
    for path in _SOURCES.rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", _WITH_EXAMPLES)
def test_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("0", 0),
        ("1:30", 90),
        ("02:00:01", 7201),
        ("2-00", 172800),
        ("2-1:30", 178200),
        ("1-00:00:01", 86401),
        (" 5 ", 300),
        ("UNLIMITED", None),
        ("Partition_Limit", None),
        ("N/A", None),
        ("infinite", None),
    ],
)
def test_slurm_time_is_read(text: str, seconds: float | None) -> None:
    assert units.parse_slurm_time(text) == seconds


@pytest.mark.parametrize("text", ["", "1:2:3:4", "-5", "1-", "5m", "1.5", "1-2-3", "::", "x", "1:"])
def test_text_that_is_no_slurm_time_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="not a Slurm time"):
        units.parse_slurm_time(text)


@given(st.integers(0, 400 * 86400))
def test_slurm_time_survives_each_way_to_write_it(seconds: int) -> None:
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    assert units.parse_slurm_time(f"{days}-{clock}") == seconds
    assert units.parse_slurm_time(f"{days * 24 + rest // 3600}{clock[2:]}") == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1.5h", 5400),
        ("7d", 604800),
        ("01:30:00", 5400),
        ("2-00", 172800),
    ],
)
def test_duration_is_read(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds
    assert units.parse_duration(text.upper()) == seconds


@given(st.floats(0.0, 999_999_999.0))
def test_written_interval_is_read_as_the_next_whole_second(seconds: float) -> None:
    assert units.parse_interval(units.format_interval(seconds)) == math.ceil(seconds)


def test_bare_number_is_no_duration_since_its_unit_would_be_a_guess() -> None:
    with pytest.raises(RequestError, match="without a unit: '90'") as caught:
        units.parse_duration("90")
    assert "'90s'" in caught.value.hint


@pytest.mark.parametrize("text", ["UNLIMITED", "soon", "", "5x", "1e3s"])
def test_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (3661, "1 h 1 min 1 s"),
        (90061, "1 d 1 h 1 min"),
        (86400 * 30, "30 d"),
    ],
)
def test_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@given(st.floats(0, 1e9))
def test_every_duration_can_be_written(seconds: float) -> None:
    assert units.format_duration(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("1K", 1024),
        ("1.5G", 3 << 29),
        ("2t", 2 << 40),
        ("500 MiB", 500 << 20),
    ],
)
def test_size_is_read(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1P", "1.G", "1,5G"])
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="not a size"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 29, "1.5 GiB"),
        (5 << 40, "5.0 TiB"),
        (5000 << 40, "5000.0 TiB"),
    ],
)
def test_size_is_written_for_people(size: int, text: str) -> None:
    assert units.format_size(size) == text


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)), st.integers(-14, 14))
def test_time_survives_writing_and_reading(moment: datetime, zone: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=zone)))
    again = units.parse_time(units.format_time(aware))
    assert again.tzinfo is UTC
    assert abs(again - aware) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("yesterday", "not an RFC 3339 time"), ("2026-11-24T09:30:00", "without a zone")],
)
def test_text_that_is_no_time_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        units.parse_time(text)
