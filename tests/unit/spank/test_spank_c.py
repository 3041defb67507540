"""The parts of the SPANK plugin that need no Slurm: compiled here, called from here."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syscr.errors import RequestError
from syscr.spank import SOURCES_DIR
from syscr.units import parse_interval

PROBE = """
#include "interval.c"
#include "command.c"
long probe_interval(const char *text) { return interval_seconds(text); }
const char *probe_command(const char *command, char *interpreter)
{
    return check_command(command, interpreter, 100);
}
"""
# What 18.08.9 and 19.05.8 took, in seconds, which they rounded up to minutes; None: invalid.
NATIVE = {
    "5": 300, "0": 0, "0:30": 30, "0:04": 4, "0:00": 0, "1:30": 90, "1:00:00": 3600, "0:00:59": 59,
    "1-0": 86_400, "1-12": 129_600, "1-12:30": 131_400, "1-12:30:59": 131_459, "2-": 172_800,
    "0-0:0:1": 1, "12-34:56:78": 1_162_638, "65535": 3_932_100, "65536": 3_932_160,
    "auto": -2, "AUTO": -2, "auto1": None, "UNLIMITED": 0, "infinite": 0, "-1": 0, "": None, " 5": None, "5m": None, "5s": None, "1.5": None,
    "1:": None, "1:2:3:4": None, "1-2-3": None, "99999999999": None, "-5": None, ":5": None, "-": None,
}  # fmt: skip
TEXT = st.text(st.sampled_from("0123456789:-- xU"), max_size=14) | st.from_regex(
    r"\A([0-9]{1,4}-)?[0-9]{0,6}(:[0-9]{1,7}){0,3}\Z"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("spank")
    source = folder / "probe.c"
    source.write_text(PROBE)
    argv = [
        "cc",
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        f"-I{SOURCES_DIR}",
    ]
    subprocess.run([*argv, "-o", folder / "probe.so", source], check=True, timeout=60)
    found = ctypes.CDLL(str(folder / "probe.so"))
    found.probe_interval.restype = ctypes.c_long
    found.probe_command.restype = ctypes.c_char_p
    return found


def read_seconds(text: str) -> float | None:
    try:
        return parse_interval(text)
    except RequestError:
        return None


@pytest.mark.parametrize(("text", "seconds"), NATIVE.items())
def test_interval_is_read_as_slurm_read_it(
    library: ctypes.CDLL, text: str, seconds: int | None
) -> None:
    found = library.probe_interval(text.encode())
    assert (None if found == -1 else found) == seconds
    assert read_seconds(text) == seconds


@given(text=TEXT)
@example("999999999")
@example("16666666")
@example("16666667")
@example("0-0:0:999999999")
@example("11574-1:46:39")
@example("11574-1:46:40")
def test_plugin_and_python_read_the_same_interval(library: ctypes.CDLL, text: str) -> None:
    found = library.probe_interval(text.encode())
    assert (None if found == -1 else found) == read_seconds(text)


def check(library: ctypes.CDLL, path: Path) -> tuple[str, str]:
    interpreter = ctypes.create_string_buffer(100)
    reason = library.probe_command(str(path).encode(), interpreter)
    return ("" if reason is None else reason.decode()), interpreter.value.decode()


def write(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_python_of_a_script_is_found(library: ctypes.CDLL, tmp_path: Path) -> None:
    python = str(Path(sys.executable).parent / "python3")
    assert check(library, write(tmp_path / "a", f"#!{python}\nimport os\n")) == ("", python)


@pytest.mark.parametrize(
    "text",
    ["#!/bin/sh\nexec x\n", "#!/usr/bin/env python3\n", "\x7fELF", "#!/bin/sh", "", "#! \n"],
)
def test_other_programs_are_started_as_they_are(
    library: ctypes.CDLL, tmp_path: Path, text: str
) -> None:
    reason, interpreter = check(library, write(tmp_path / "a", text))
    assert (reason if text != "#! \n" else "", interpreter) == ("", "")


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0, "cannot run '{}' on this node: No such file or directory"),
        (
            "#!/not/there/python3\n",
            0o755,
            "cannot run '{}' on this node: its interpreter '/not/there/python3': No such file or directory",
        ),
        ("#!/bin/sh\n", 0o644, "cannot run '{}' on this node: Permission denied"),
    ],
)
def test_command_that_cannot_run_is_told(
    library: ctypes.CDLL, tmp_path: Path, text: str | None, mode: int, words: str
) -> None:
    path = tmp_path / "syscr"
    if text is not None:
        write(path, text, mode)
    assert check(library, path) == (words.format(path), "")
