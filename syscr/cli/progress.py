"""Progress of long dumps and restarts on standard error: bars, JSON lines, plain lines, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import click

from syscr.cli import encode
from syscr.cli.output import printable
from syscr.units import format_size, format_time

Show = Callable[[Mapping[str, object]], None]
Kind = Literal["none", "json", "plain", "bars"]
_STEP = 0.25


def choose(*, json: bool, quiet: bool, verbosity: int, is_terminal: bool) -> Kind:
    """Return how progress is shown; pure."""
    if quiet:
        return "none"
    if json:
        return "json"
    if is_terminal and not verbosity:
        return "bars"
    return "plain" if verbosity else "none"


@contextmanager
def open_progress(kind: Kind, *, now: Callable[[], datetime]) -> Iterator[Show | None]:
    """Yield what the manager calls with each event; None where nothing is shown."""
    if kind == "none":
        yield None
    elif kind == "json":
        yield lambda event: _write_json(event, now())
    elif kind == "plain":
        yield PlainProgress().show
    else:
        with BarProgress() as bars:
            yield bars.show


def _write_json(event: Mapping[str, object], moment: datetime) -> None:
    line = {"type": "progress", **event, "time": format_time(moment)}
    text = json.dumps(encode.to_json(line), sort_keys=True, ensure_ascii=False)
    click.echo(text, err=True)


def _word(event: Mapping[str, object], key: str) -> str:
    value = event.get(key)
    return printable(str(value)) if value else ""


def _count(event: Mapping[str, object], key: str) -> int | None:
    value = event.get(key)
    return int(value) if isinstance(value, int | float) else None


class PlainProgress:
    """One line per phase and node; of the bytes at each quarter, or doubling where no total is known."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self._shown: dict[str, float] = {}
        self._last = ""

    def show(self, event: Mapping[str, object]) -> None:
        """Write a line where there is something new."""
        done, total = _count(event, "bytes_done"), _count(event, "bytes_total")
        words = [_word(event, "phase"), _word(event, "node"), _word(event, "message")]
        key = " ".join(words[:2])
        if done:
            if not self._is_due(key, done, total):
                return
            words.append(format_size(done) + (f" of {format_size(total)}" if total else ""))
        line = " ".join(word for word in words if word)
        if line != self._last:
            self._last = line
            click.echo(f"syscr: {line}", err=True)

    def _is_due(self, key: str, done: int, total: int | None) -> bool:
        before = self._shown.get(key, 0.0)
        reached = done / total if total else float(done)
        if reached < (min(before + _STEP, 1.0) if total else before * 2):
            return False
        self._shown[key] = reached
        return True


class BarProgress:
    """A bar per node on a terminal; it disappears when the work is done."""

    def __init__(self, console: Any = None) -> None:
        """Take a console of rich, or make one on standard error."""
        from rich.console import Console  # 60 ms: only where bars are shown
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TransferSpeedColumn,
        )

        self._bars = Progress(
            TextColumn("{task.fields[title]}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._phase = "starting"
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> BarProgress:
        """Begin to draw."""
        self._bars.start()
        self._task("")
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the bars."""
        self._bars.stop()

    def _task(self, node: str) -> Any:
        if node not in self._tasks:
            self._tasks[node] = self._bars.add_task("", total=None, title=self._title(node))
        return self._tasks[node]

    def _title(self, node: str) -> str:
        return f"{self._phase} {node}".strip()

    def show(self, event: Mapping[str, object]) -> None:
        """Move the bar of the event's node."""
        node = _word(event, "node")
        phase = _word(event, "phase")
        if node and "" in self._tasks:  # nodes have bars of their own
            self._bars.remove_task(self._tasks.pop(""))
        if phase and not node:
            self._phase = phase
            for name, task in self._tasks.items():
                self._bars.update(task, title=self._title(name))
        title = f"{phase or self._phase} {node} {_word(event, 'message')}".strip()
        done, total = _count(event, "bytes_done"), _count(event, "bytes_total")
        values: dict[str, Any] = {"title": title}
        if done is not None:
            values["completed"] = done
        if total:
            values["total"] = max(total, done or 0)
        if node or not self._tasks or "" in self._tasks:
            self._bars.update(self._task(node), **values)
