"""Figures as a Markdown table; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bench_figures import Comparison, Kind, Series

_BLOCK = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- bench:end -->)", re.DOTALL)
_HEAD = ("", "result", "aim", "", "syscr", "beside", "n")


def format_seconds(seconds: float) -> str:
    """Return a time with three figures: ``0.84 ms``, ``213 ms``, ``1.42 s``."""
    if abs(seconds) >= 0.9995:
        return f"{seconds:.2f} s" if abs(seconds) < 99.995 else f"{seconds:.0f} s"
    milliseconds = seconds * 1000
    if abs(milliseconds) >= 99.95:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds:.1f} ms" if abs(milliseconds) >= 9.995 else f"{milliseconds:.2f} ms"


def format_series(series: Series, *, is_ratio: bool = False) -> str:
    """Return the median, and the smallest and largest value in brackets."""
    low, high = series.spread
    if is_ratio:
        text, rest = f"{series.median:.2f} x", f"{low:.2f}-{high:.2f}"
    else:
        text = format_seconds(series.median)
        rest = f"{format_seconds(low)} - {format_seconds(high)}"
    return text if len(series.values) == 1 else f"{text} ({rest})"


def format_aim(line: Comparison) -> str:
    """Return the aim in words; empty if there is none."""
    if line.limit is None:
        return ""
    return f"≤ {line.limit:g} x" if line.is_ratio else f"≤ {format_seconds(line.limit)}"


def format_table(lines: Sequence[Comparison]) -> str:
    """Return the table; ratios first, as they are less bound to this machine than times."""
    rows = [_HEAD, *map(_row, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    texts = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def _row(line: Comparison) -> tuple[str, ...]:
    met = {None: "", True: "met", False: "missed"}[line.is_met]
    other = "" if line.other is None else f"{line.beside}: {format_series(line.other)}"
    result = format_series(line.result, is_ratio=line.is_ratio)
    if line.kind is Kind.DIFFERENCE and line.result.median > 0:
        result = f"+{result}"
    return (
        line.subject,
        result,
        format_aim(line),
        met,
        format_series(line.ours),
        other,
        str(len(line.ours.values)),
    )


def format_conditions(conditions: Mapping[str, str]) -> str:
    """Return what was measured on, one point a line."""
    return "\n".join(f"* {name}: {text}" for name, text in conditions.items())


def replace_block(page: str, text: str) -> str:
    """Put the figures between the marks of a page.

    Raises:
        ValueError: It has no such marks.
    """
    if not _BLOCK.search(page):
        raise ValueError("the page has no block for the figures of the benchmark")
    return _BLOCK.sub(lambda _: f"{text}\n", page)
