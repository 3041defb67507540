"""Progress: which form, and what it writes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest
from cli_support import NOW, FakeManager, Run, make_image

from syscr.cli import progress
from syscr.cli.progress import BarProgress, PlainProgress, choose
from syscr.model import JobId, Target
from syscr.result import CheckpointResult

EVENTS: list[Mapping[str, object]] = [
    {"type": "phase", "phase": "dump"},
    {
        "type": "progress",
        "phase": "dump",
        "node": "c1",
        "bytes_done": 1 << 29,
        "bytes_total": 1 << 30,
    },
    {
        "type": "progress",
        "phase": "dump",
        "node": "c1",
        "bytes_done": 6 << 27,
        "bytes_total": 1 << 30,
    },
    {
        "type": "progress",
        "phase": "dump",
        "node": "c1",
        "bytes_done": 13 << 26,
        "bytes_total": 1 << 30,
    },
    {"type": "node", "node": "c1", "message": "done\x1b[0m"},
]


@pytest.fixture
def ready(manager: FakeManager) -> FakeManager:
    manager.answers["checkpoint"] = CheckpointResult(Target(JobId(4711)), make_image(), "running")
    manager.events.extend(EVENTS)
    return manager


@pytest.mark.parametrize(
    ("json", "quiet", "verbosity", "is_terminal", "kind"),
    [
        (False, False, 0, False, "none"),
        (False, False, 1, False, "plain"),
        (False, False, 1, True, "plain"),
        (False, False, 0, True, "bars"),
        (True, False, 0, True, "json"),
        (True, True, 0, True, "none"),
        (False, True, 1, True, "none"),
    ],
)
def test_form_follows_flags_and_terminal(
    json: bool, quiet: bool, verbosity: int, is_terminal: bool, kind: str
) -> None:
    assert choose(json=json, quiet=quiet, verbosity=verbosity, is_terminal=is_terminal) == kind


def test_without_a_terminal_nothing_is_shown(run: Run, ready: FakeManager) -> None:
    assert run("checkpoint", "4711").err == ""


def test_verbose_writes_plain_lines_at_each_quarter(run: Run, ready: FakeManager) -> None:
    lines = run("checkpoint", "4711", "-v").err.splitlines()
    assert lines == [
        "syscr: dump",
        "syscr: dump c1 512.0 MiB of 1.0 GiB",
        "syscr: dump c1 768.0 MiB of 1.0 GiB",
        "syscr: c1 done\\x1b[0m",
    ]


def test_json_writes_lines_with_time(run: Run, ready: FakeManager) -> None:
    lines = [json.loads(line) for line in run("checkpoint", "4711", "--json").err.splitlines()]
    assert len(lines) == len(EVENTS)
    assert lines[0] == {"type": "phase", "phase": "dump", "time": "2026-11-24T12:00:00.000Z"}
    assert lines[1]["bytes_done"] == 1 << 29


def test_plain_progress_shows_the_end_once() -> None:
    shown = PlainProgress()
    event = {"phase": "dump", "node": "c1", "bytes_done": 8, "bytes_total": 8}
    shown.show(event)
    shown.show(event)


def test_plain_progress_without_a_total_shows_each_doubling(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = PlainProgress()
    for done in (0, 1024, 1500, 2048, 4000, 8192):
        shown.show({"phase": "dump", "node": "c1", "bytes_done": done, "bytes_total": None})
    shown.show({"phase": "start", "message": "job 52 is PENDING"})
    shown.show({"phase": "start", "message": "job 52 is PENDING"})
    assert capsys.readouterr().err.splitlines() == [
        "syscr: dump c1",
        "syscr: dump c1 1.0 KiB",
        "syscr: dump c1 2.0 KiB",
        "syscr: dump c1 8.0 KiB",
        "syscr: start job 52 is PENDING",
    ]


def test_bars_show_bytes_rate_and_node() -> None:
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, color_system=None)
    with BarProgress(console) as bars:
        for event in EVENTS:
            bars.show(event)
        bars.show({"type": "phase", "phase": "[bold]publish"})
        bars._bars.refresh()
    text = stream.getvalue()
    assert "dump c1" in text
    assert "/1.1 GB" in text or "GiB" in text
    assert "[bold]publish" in text


def test_open_progress_gives_nothing_or_something() -> None:
    with progress.open_progress("none", now=lambda: NOW) as show:
        assert show is None
    with progress.open_progress("plain", now=lambda: NOW) as show:
        assert show is not None
