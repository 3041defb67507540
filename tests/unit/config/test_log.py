"""What a log line looks like, and which lines there are."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from syscr import log
from syscr.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    log.release()


def test_text_line_has_time_level_message_and_fields() -> None:
    stream = io.StringIO()
    log.configure(level="info", form="text", stream=stream)
    with log.bound(op="checkpoint", job_id="4711"):
        logging.getLogger("syscr.x").info(
            "phase %s ended", "dump", extra={"phase": "dump", "duration_seconds": 0.25}
        )
    line = stream.getvalue()
    assert line.endswith(
        " info phase dump ended (op=checkpoint job_id=4711 phase=dump duration_seconds=0.250)\n"
    )
    assert line[:10].count("-") == 2
    assert "Z info" in line


def test_json_line_is_one_object_and_extra_goes_before_bound() -> None:
    stream = io.StringIO()
    log.configure(level="debug", form="json", stream=stream)
    with log.bound(node="c1"):
        logging.getLogger("syscr.y").debug("two\nlines", extra={"node": "c2"})
    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "type": "log", "level": "debug", "logger": "syscr.y", "message": "two\nlines", "node": "c2",
    }  # fmt: skip


def test_bound_fields_end_with_their_block() -> None:
    stream = io.StringIO()
    log.configure(level="info", form="json", stream=stream)
    with log.bound(op="a"):
        with log.bound(phase="b"):
            pass
        logging.getLogger("syscr").info("x")
    logging.getLogger("syscr").info("y")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["op"], "phase" in first, "op" in second) == ("a", False, False)


def test_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no log field: jobid"), log.bound(jobid=3):
        pass


@pytest.mark.parametrize("form", ["text", "json"])
def test_exception_is_shown(form: str) -> None:
    stream = io.StringIO()
    log.configure(level="error", form=form, stream=stream)
    try:
        raise ValueError("no such thing")
    except ValueError:
        logging.getLogger("syscr").exception("failed")
    assert "ValueError: no such thing" in stream.getvalue()


def test_text_line_cannot_be_forged() -> None:
    stream = io.StringIO()
    log.configure(level="info", form="text", stream=stream)
    logging.getLogger("syscr").info("name %s", "a\n2026 error \x1b[31m")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_file_gets_the_same_lines_and_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("before\n")
    stream = io.StringIO()
    log.configure(level="info", form="text", file=str(file), stream=stream)
    logging.getLogger("syscr").info("hello \udcff")
    log.release()
    assert file.read_text().splitlines()[0] == "before"
    assert "hello \\udcff" in file.read_text()


def test_file_that_cannot_be_opened_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write log file '.*/none/log': No such file"):
        log.configure(level="info", form="text", file=str(tmp_path / "none" / "log"))


def test_configure_twice_writes_each_line_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.configure(level="info", form="text", stream=first)
    log.configure(level="info", form="text", stream=second)
    logging.getLogger("syscr").info("x")
    assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("configured", "verbosity", "is_quiet", "level"),
    [
        ("warning", 0, False, "warning"),
        ("warning", 1, False, "info"),
        ("warning", 2, False, "debug"),
        ("debug", 1, False, "debug"),
        ("debug", 0, True, "error"),
        ("error", 0, False, "error"),
    ],
)
def test_level_follows_flags_then_configuration(
    configured: str, verbosity: int, is_quiet: bool, level: str
) -> None:
    assert log.choose_level(configured, verbosity=verbosity, is_quiet=is_quiet) == level
