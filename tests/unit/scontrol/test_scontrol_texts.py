"""Every text of the old surface, and how errors of ours are said in it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from scontrol_transcripts import DIFFERENCES, find_difference, judge, read_calls

from syscr import errors
from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    ImageCorruptError,
    ImageNotFoundError,
    JobNotFoundError,
    JobStateError,
    OperationUnsupportedError,
    PreflightError,
    RequestError,
    RestartError,
    SchedulerDeniedError,
    SchedulerUnavailableError,
    StoreFullError,
    StoreLockedError,
    StoreNotFoundError,
    SyscrError,
)
from syscr.model import Finding, JobState, Severity
from syscr.scontrol import texts
from syscr.scontrol.grammar import Operation, Refusal
from syscr.scontrol.texts import Code, Failure

# Source: slurm/slurm_errno.h and src/common/slurm_errno.c of 19.05.8, libc for the small numbers.
OLD = {
    1: "Operation not permitted",
    2: "No such file or directory",
    22: "Invalid argument",
    114: "Operation already in progress",
    1001: "Communication connection failure",
    1800: "Unable to contact slurm controller (connect failure)",
    2002: "Access/permission denied",
    2017: "Invalid job id specified",
    2021: "Job/step already completing or completed",
    2024: "Job is pending execution",
    2036: "Requested operation not supported on this system",
    2037: "Requested operation is presently disabled",
    2077: "Job is current suspended, requested operation disabled",
    2088: "Job is not finished",
    4027: "Job step not running",
}


def test_numbers_have_the_old_texts() -> None:
    assert {int(code): text for code, text in texts.TEXTS.items()} == OLD
    assert set(texts.TEXTS) == set(Code)


def finding(code: str) -> PreflightError:
    return PreflightError("why", hint="do", findings=[Finding(code, Severity.ERROR, "m")])


def state(name: str) -> JobStateError:
    return JobStateError("why", hint="do", state=name)


REASON = ("syscr: why", "hint: do")


@pytest.mark.parametrize(
    ("error", "code", "remarks"),
    [
        (JobNotFoundError("why", hint="do"), Code.NO_SUCH_JOB, ()),
        (SchedulerDeniedError("why"), Code.DENIED, ()),
        (SchedulerUnavailableError("why", hint="do"), Code.UNREACHABLE, REASON),
        (OperationUnsupportedError("why", hint="do"), Code.NOT_SUPPORTED, REASON),
        (OperationUnsupportedError("why"), Code.NOT_SUPPORTED, REASON[:1]),
        (CheckpointTimeoutError("why", hint="do"), Code.CONNECTION, REASON),
        (StoreLockedError("why"), Code.IN_PROGRESS, ()),
        (finding("checkpoint_disabled"), Code.DISABLED, ()),
        (finding("not_checkpointable"), Code.NOT_SUPPORTED, REASON),
        (state("PENDING"), Code.PENDING, ()),
        (state("REQUEUE_HOLD"), Code.PENDING, ()),
        (state("SUSPENDED"), Code.SUSPENDED, ()),
        (state("STOPPED"), Code.SUSPENDED, ()),
        (state("COMPLETING"), Code.ALREADY_DONE, ()),
        (state("TIMEOUT"), Code.ALREADY_DONE, ()),
    ],
)
def test_error_that_the_old_surface_had_is_said_in_its_words(
    error: SyscrError, code: Code, remarks: tuple[str, ...]
) -> None:
    assert texts.translate(error, Operation.CREATE) == Failure(code, OLD[code], remarks)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckpointError("why", hint="do"), Code.NOT_RUNNING),
        (StoreFullError("why", hint="do"), Code.NOT_RUNNING),
        (finding("socket_to_outside"), Code.NOT_RUNNING),
        (PreflightError("why", hint="do", findings=["no row"]), Code.NOT_RUNNING),
        (state("CONFIGURING"), Code.NOT_RUNNING),
        (state("SOMETHING_NEW"), Code.NOT_RUNNING),
        (state(""), Code.NOT_RUNNING),
        (RequestError("why", hint="do"), Code.INVALID_ARGUMENT),
        (RestartError("why", hint="do"), Code.INVALID_ARGUMENT),
    ],
)
def test_error_that_the_old_surface_hid_is_said_in_ours(error: SyscrError, code: Code) -> None:
    assert texts.translate(error, Operation.VACATE) == Failure(code, "why", ("hint: do",))


@pytest.mark.parametrize(
    ("error", "code", "remarks"),
    [
        (JobNotFoundError("why", hint="do"), Code.NOT_FOUND, REASON),
        (StoreNotFoundError("why", hint="do"), Code.NOT_FOUND, REASON),
        (ImageNotFoundError("why", hint="do"), Code.NOT_FOUND, REASON),
        (ImageCorruptError("why", hint="do"), Code.INVALID_ARGUMENT, REASON),
        (SchedulerDeniedError("why"), Code.NOT_PERMITTED, ()),
        (state("RUNNING"), Code.NOT_FINISHED, ()),
        (StoreLockedError("why"), Code.IN_PROGRESS, ()),
    ],
)
def test_error_of_restart_has_numbers_of_its_own(
    error: SyscrError, code: Code, remarks: tuple[str, ...]
) -> None:
    assert texts.translate(error, Operation.RESTART) == Failure(code, OLD[code], remarks)


def test_every_error_of_ours_becomes_a_failure() -> None:
    for cls in errors.iter_errors():
        for operation in Operation:
            failure = texts.translate(cls("why"), operation)
            assert failure.text in {"why", *OLD.values()}


def test_refusal_is_silenced_only_where_scontrol_did() -> None:
    counted = Refusal(("too few arguments for keyword:ch",), 1, hushed=True)
    assert texts.answer_refusal(counted, quiet=False).err == counted.lines
    assert texts.answer_refusal(counted, quiet=True) == texts.Answer((), (), 1)
    bad_id = Refusal(("Invalid job step name",), 0)
    assert texts.answer_refusal(bad_id, quiet=True) == texts.Answer((), bad_id.lines, 0)


def test_failure_has_the_prefix_on_its_first_line_only() -> None:
    answer = texts.answer_failure(texts.fail(Code.NOT_SUPPORTED, "syscr: why"), quiet=False)
    first = "scontrol_checkpoint error: Requested operation not supported on this system"
    assert answer == texts.Answer((), (first, "syscr: why"), 1)
    assert texts.answer_failure(texts.fail(Code.DENIED), quiet=True) == texts.Answer((), (), 1)


@pytest.mark.parametrize(
    ("time_format", "shown"),
    [
        ("", "2026-11-22T06:36:56"),
        ("standard", "2026-11-22T06:36:56"),
        ("nonsense", "2026-11-22T06:36:56"),
        ("relative", "06:36:56"),
        ("%H.%M", "06.36"),
    ],
)
def test_began_honours_the_time_format(time_format: str, shown: str) -> None:
    moment = datetime(2026, 11, 22, 6, 36, 56)
    now = datetime(2026, 11, 22, 23, 0)
    assert texts.format_began(moment, time_format, now) == f"Began at {shown}"


@pytest.mark.parametrize(
    ("day", "shown"), [(23, "Ystday 06:36"), (25, "22 Nov 06:36"), (21, "22 Nov 06:36")]
)
def test_began_on_another_day_is_relative(day: int, shown: str) -> None:
    moment, now = datetime(2026, 11, 22, 6, 36, 56), datetime(2026, 11, day)
    assert texts.format_began(moment, "relative", now) == f"Began at {shown}"


@pytest.mark.parametrize("name", list(JobState))
def test_state_is_judged(name: JobState) -> None:
    can_run = {"CONFIGURING", "RUNNING", "SIGNALING", "STAGE_OUT", "RESIZING", "UNKNOWN"}
    can_run |= {"REQUEUE_FED", "RESV_DEL_HOLD"}
    assert (texts.judge_state(name) is None) == (name.value in can_run)


def test_each_difference_is_a_row_of_the_page() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "compatibility.md"
    rows = {line.split("|")[1].strip() for line in page.read_text().splitlines() if "|" in line}
    assert {difference.row for difference in DIFFERENCES.values()} <= rows


def test_recorded_calls_and_differences_fit_together() -> None:
    calls = list(read_calls(""))
    names = {call.name for call in calls} | {f"{call.name}/{call.operation}" for call in calls}
    assert set(DIFFERENCES) <= names
    same = next(call for call in calls if find_difference(call) is None)
    out, err = "".join(f"{line}\n" for line in same.out), "".join(f"{line}\n" for line in same.err)
    assert judge(same, same.exit_code, out, err) == ""
    assert "not listed" in judge(same, same.exit_code + 1, out, err)
    other = next(call for call in calls if call.name == "array-task")
    assert "it is the same" in judge(other, 0, "", "Invalid job step name\n")
    assert "another difference" in judge(other, 1, "", "x\n")
    assert judge(other, 0, "", "") == ""
