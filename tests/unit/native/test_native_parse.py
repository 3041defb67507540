"""The replies of real 18.08.9 and 19.05.8, each text once; exit codes alone prove nothing."""

from __future__ import annotations

import pytest

from syscr.backends.native import commands, parse
from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    OperationUnsupportedError,
    PreflightError,
    SchedulerDeniedError,
    SchedulerUnavailableError,
    StoreLockedError,
    SyscrError,
    ToolReplyError,
)
from syscr.ports import Acceptance, Completed, DumpEnd, DumpState
from syscr.slurm.failure import build_failure


def reply(out: str = "", err: str = "", exit_code: int = 0) -> Completed:
    return Completed(("scontrol", "checkpoint"), exit_code, out, err)


def refused(text: str) -> Completed:
    return reply(err=f"scontrol_checkpoint error: {text}\n", exit_code=1)


@pytest.mark.parametrize(
    ("out", "state"),
    [
        ("Yes\n", DumpState.IDLE),
        ("No\n", DumpState.DISABLED),
        ("Began at 2026-11-22T06:36:56\n", DumpState.BUSY),
        ("Began at 06:36\n", DumpState.BUSY),
    ],
)
def test_able_is_read(out: str, state: DumpState) -> None:
    assert parse.parse_able(reply(out), "2", build_failure) is state


@pytest.mark.parametrize(
    ("out", "end"),
    [
        ("error(0): \n", DumpEnd(0, "")),
        ("error(4027): Job step not running\n", DumpEnd(4027, "Job step not running")),
        ("error(1001): Communication connection failure\n", DumpEnd(1001, "Communication connection failure")),
        ("error(0): 11697\n", DumpEnd(0, "11697")),
    ],
)  # fmt: skip
def test_error_is_read(out: str, end: DumpEnd) -> None:
    assert parse.parse_error(reply(out), "2", build_failure) == end


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Invalid job id specified", JobNotFoundError),
        ("Job is pending execution", JobStateError),
        ("Job/step already completing or completed", JobStateError),
        ("Job is current suspended, requested operation disabled", JobStateError),
        ("Access/permission denied", SchedulerDeniedError),
        ("Operation already in progress", StoreLockedError),
        ("Requested operation is presently disabled", PreflightError),
        ("Requested operation not supported on this system", OperationUnsupportedError),
        ("Unable to contact slurm controller (connect failure)", SchedulerUnavailableError),
        ("Communication connection failure", SchedulerUnavailableError),
    ],
)
def test_refusal_becomes_an_error(text: str, error: type[SyscrError]) -> None:
    with pytest.raises(error):
        parse.parse_create(refused(text), "2", build_failure)


@pytest.mark.parametrize(
    "err", ["Invalid job step name\n", "Invalid checkpoint operation: create\n"]
)
def test_exit_code_0_with_a_complaint_is_no_success(err: str) -> None:
    with pytest.raises(ToolReplyError):
        parse.parse_create(reply(err=err), "2", build_failure)
    with pytest.raises(ToolReplyError):
        parse.parse_restart(reply(err=err), 2, build_failure)


@pytest.mark.parametrize("out", ["", "Maybe\n"])
def test_unknown_reply_is_not_understood(out: str) -> None:
    with pytest.raises(ToolReplyError):
        parse.parse_able(reply(out), "2", build_failure)


@pytest.mark.parametrize(
    ("completed", "acceptance"),
    [
        (reply(), Acceptance.ACCEPTED),
        (refused("Duplicate job id"), Acceptance.NOT_PURGED),
        (refused("Job is not finished"), Acceptance.ALIVE),
        (refused("No such file or directory"), Acceptance.NO_RECORD),
    ],
)
def test_restart_is_read(completed: Completed, acceptance: Acceptance) -> None:
    assert parse.parse_restart(completed, 2, build_failure) is acceptance


def test_job_of_somebody_else_is_not_restarted() -> None:
    with pytest.raises(SchedulerDeniedError):
        parse.parse_restart(refused("Operation not permitted"), 2, build_failure)


def test_site_is_read() -> None:
    text = "MinJobAge               = 300 sec\nSLURM_VERSION           = 19.05.8\n"
    text += "CheckpointType          = checkpoint/blcr\n"
    site = parse.parse_site(reply(text), build_failure)
    assert (site.version, site.purge_seconds, site.obstacle) == ("19.05.8", 300.0, "")
    assert not site.can_restart_steps


def test_site_without_a_version_is_not_understood() -> None:
    with pytest.raises(ToolReplyError):
        parse.parse_site(reply("nothing\n"), build_failure)


@pytest.mark.parametrize(("seconds", "word"), [(0.2, "1"), (10, "10"), (1e9, "65535")])
def test_max_wait_is_never_0_and_never_wraps(seconds: float, word: str) -> None:
    argv = commands.build_create("2.0", image_dir="/a b/'c", max_wait_seconds=seconds)
    assert argv[3:] == ("2.0", f"MaxWait={word}", "ImageDir=/a b/'c")
