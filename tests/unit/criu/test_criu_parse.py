"""Replies of CRIU and of the hook."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.backends.criu import parse
from syscr.errors import ToolReplyError
from syscr.model import FileState
from syscr.ports import Completed

DATA = Path(__file__).parents[2] / "data" / "criu" / "4.2.1"


def record(*fields: str) -> bytes:
    """Return one record as the hook writes it."""
    return "".join(field + "\0" for field in fields).encode()


def test_version_is_read_from_the_recorded_reply() -> None:
    assert parse.parse_version((DATA / "version.txt").read_text()) == (4, 2, 1)
    assert parse.parse_version("Version: 4.2\nGitID: v4.2\n") == (4, 2, 0)


def test_reply_without_version_is_refused() -> None:
    with pytest.raises(ToolReplyError, match="version of CRIU"):
        parse.parse_version("command not found")


@pytest.mark.parametrize(
    ("version", "kernel", "problem"),
    [
        ((4, 2, 1), "6.18.44", ""),
        ((4, 1, 1), "6.15.9-amd64", ""),
        ((4, 1, 1), "6.16.0", "it takes CRIU 4.2"),
        ((4, 1, 1), "7.0", "it takes CRIU 4.2"),
        ((3, 17, 1), "6.1.0", "no unprivileged mode"),
        ((4, 1, 1), "strange", ""),
    ],
)
def test_version_is_judged_by_kernel(
    version: tuple[int, int, int], kernel: str, problem: str
) -> None:
    found = parse.find_version_problem(version, kernel)
    assert problem in found
    assert bool(problem) == bool(found)


def test_recorded_statistics_are_read() -> None:
    assert parse.parse_stats((DATA / "stats-dump").read_bytes()) == parse.DumpStats(
        freezing_us=986, frozen_us=11437, memdump_us=2182, pages_written=708
    )


@given(st.integers(min_value=0, max_value=47))
def test_statistics_cut_short_never_crash(length: int) -> None:
    data = (DATA / "stats-dump").read_bytes()[:length]
    with contextlib.suppress(ToolReplyError):
        parse.parse_stats(data)


@given(st.binary(max_size=64))
def test_foreign_statistics_are_refused(data: bytes) -> None:
    with pytest.raises(ToolReplyError):
        parse.parse_stats(data)


def test_statistics_with_unknown_kind_of_field_are_refused() -> None:
    data = bytearray((DATA / "stats-dump").read_bytes())
    data[12] = 0x0D
    with pytest.raises(ToolReplyError, match="kind 5"):
        parse.parse_stats(bytes(data))


def test_recorded_list_of_open_files_is_read_once_per_path() -> None:
    (file,) = parse.parse_open_files((DATA / "open-files-counter").read_bytes())
    assert file.path == "/shared/criu-lab/cases/counter/out1"
    assert file.writable
    assert file.append


def test_several_descriptors_of_one_path_are_joined() -> None:
    data = (
        record("F", "3", "4", "100000", "0", "7", "644", "1", "2", "", "/a\n b")
        + record("F", "3", "5", "102001", "0", "7", "644", "1", "2", "", "/a\n b")
        + record("F", "9", "5", "100001", "0", "7", "644", "1", "2", "", "/a\n b")
        + record("F", "9", "-1", "0", "0", "5", "600", "1", "3", "local.0", "/dev/shm/x")
        + record("E")
    )
    assert parse.parse_open_files(data) == (
        FileState("/a\n b", 7, writable=True, append=False, mode=0o644),
        FileState("/dev/shm/x", 5, writable=False, copy="local.0", mode=0o600),
    )


def test_time_of_the_last_change_is_read_where_the_launcher_recorded_it() -> None:
    data = record("G", "3", "4", "100000", "0", "7", "644", "1", "2", "1234", "", "/a") + record(
        "E"
    )
    assert parse.parse_open_files(data) == (
        FileState("/a", 7, False, mode=0o644, modified_ns=1234),
    )


def test_reader_does_not_hide_that_the_writer_appends() -> None:
    data = (
        record("F", "3", "5", "102001", "0", "7", "644", "1", "2", "", "/a")
        + record("F", "3", "4", "100000", "0", "7", "644", "1", "2", "", "/a")
        + record("E")
    )
    assert parse.parse_open_files(data)[0].append


def test_path_that_is_not_unicode_keeps_its_bytes() -> None:
    data = record("F", "3", "4", "0", "0", "7", "644", "1", "2", "")[:-1] + b"\0/\xff\0E\0"
    assert parse.parse_open_files(data)[0].path.encode("utf-8", "surrogateescape") == b"/\xff"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"E",
        record("F", "3"),
        record("F", "3", "E"),
        record("X", "3", "4", "0", "0", "7", "644", "1", "2", "", "/a") + record("E"),
        record("F", "3", "4", "0", "0", "7", "644", "1", "2", "../x", "/a") + record("E"),
    ],
)
def test_incomplete_or_unknown_list_is_refused(data: bytes) -> None:
    with pytest.raises(ToolReplyError, match="open files"):
        parse.parse_open_files(data)


def probed(stderr: str, exit_code: int = 0) -> Completed:
    """Return the end of a probe."""
    return Completed(argv=("launcher",), exit_code=exit_code, stderr=stderr)


def test_probe_that_works_has_no_problem() -> None:
    assert (
        parse.parse_probe(probed("Warn  (criu/kerndat.c:1200): $XDG_RUNTIME_DIR not set\n")) == ""
    )


def test_probe_without_namespaces_gives_the_launchers_words() -> None:
    stderr = (
        "syscr: cannot make user, PID and mount namespaces: Operation not permitted\n"
        "syscr: the program runs all the same, but cannot be checkpointed; see 'syscr doctor'\n"
    )
    assert parse.parse_probe(probed(stderr)) == (
        "cannot make user, PID and mount namespaces: Operation not permitted"
    )


def test_probe_that_fails_gives_crius_last_line() -> None:
    assert "no dice" in parse.parse_probe(probed("a\nno dice\n", 1))
    assert "no output" in parse.parse_probe(probed("", 1))


def test_switch_that_forbids_namespaces_is_named() -> None:
    path = "/proc/sys/user/max_user_namespaces"
    assert path in parse.find_switch_problem({path: "0"})
    assert parse.find_switch_problem({path: "100", "/proc/sys/kernel/x": ""}) == ""
