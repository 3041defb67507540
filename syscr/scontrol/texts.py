"""The old answers: error numbers with their texts, and what is printed where; pure.

Source: Slurm 19.05.8, ``slurm/slurm_errno.h`` and ``src/common/slurm_errno.c``; the numbers are the same in
18.08 to 26.05. Transcripts of real 18.08.9 and 19.05.8 are in tests/data/scontrol.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from syscr.enabling import CHECKPOINT_DISABLED
from syscr.errors import (
    BackendError,
    CheckpointError,
    CheckpointTimeoutError,
    ImageCorruptError,
    ImageNotFoundError,
    JobNotFoundError,
    JobStateError,
    OperationUnsupportedError,
    PreflightError,
    SchedulerDeniedError,
    SchedulerUnavailableError,
    StoreError,
    StoreLockedError,
    StoreNotFoundError,
    SyscrError,
)
from syscr.model import JobState
from syscr.scontrol.grammar import Operation, Refusal


class Code(IntEnum):
    """Error numbers of the old surface."""

    NOT_PERMITTED = errno.EPERM
    NOT_FOUND = errno.ENOENT
    INVALID_ARGUMENT = errno.EINVAL
    IN_PROGRESS = errno.EALREADY
    CONNECTION = 1001
    UNREACHABLE = 1800
    DENIED = 2002
    NO_SUCH_JOB = 2017
    ALREADY_DONE = 2021
    PENDING = 2024
    NOT_SUPPORTED = 2036
    DISABLED = 2037
    SUSPENDED = 2077
    NOT_FINISHED = 2088
    NOT_RUNNING = 4027


TEXTS: Mapping[Code, str] = {
    Code.NOT_PERMITTED: "Operation not permitted",
    Code.NOT_FOUND: "No such file or directory",
    Code.INVALID_ARGUMENT: "Invalid argument",
    Code.IN_PROGRESS: "Operation already in progress",
    Code.CONNECTION: "Communication connection failure",
    Code.UNREACHABLE: "Unable to contact slurm controller (connect failure)",
    Code.DENIED: "Access/permission denied",
    Code.NO_SUCH_JOB: "Invalid job id specified",
    Code.ALREADY_DONE: "Job/step already completing or completed",
    Code.PENDING: "Job is pending execution",
    Code.NOT_SUPPORTED: "Requested operation not supported on this system",
    Code.DISABLED: "Requested operation is presently disabled",
    Code.SUSPENDED: "Job is current suspended, requested operation disabled",
    Code.NOT_FINISHED: "Job is not finished",
    Code.NOT_RUNNING: "Job step not running",
}

_PREFIX = "scontrol_checkpoint error: "


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something was not done.

    Attributes:
        code: Number.
        text: Text behind the number; the old one unless ours says what that never said.
        remarks: More lines for people: our reason and what to do.
    """

    code: Code
    text: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call prints and how it ends.

    Attributes:
        out: Lines for standard output.
        err: Lines for standard error.
        exit_code: Exit status.
    """

    out: tuple[str, ...] = ()
    err: tuple[str, ...] = ()
    exit_code: int = 0


DONE = Answer()


def fail(code: Code, *remarks: str) -> Failure:
    """Return a failure in the old words."""
    return Failure(code, TEXTS[code], remarks)


def answer_refusal(refusal: Refusal, *, quiet: bool) -> Answer:
    """Return the answer to words that cannot be read."""
    lines = () if quiet and refusal.hushed else refusal.lines
    return Answer(err=lines, exit_code=refusal.exit_code)


def answer_failure(failure: Failure, *, quiet: bool) -> Answer:
    """Return the answer to a request that failed: the old line first, then our remarks."""
    lines = () if quiet else (_PREFIX + failure.text, *failure.remarks)
    return Answer(err=lines, exit_code=1)


def format_error(code: int, text: str) -> str:
    """Return the answer of ``error``.

    Example:
        >>> format_error(0, "")
        'error(0): '
    """
    return f"error({code}): {text}"


def format_began(moment: datetime, time_format: str, now: datetime) -> str:
    """Return the answer of ``able`` while a checkpoint is going on.

    Args:
        moment: When it began, in the local zone.
        time_format: ``SLURM_TIME_FORMAT``; empty: standard.
        now: The current time, in the local zone.

    Source: Slurm 19.05.8, ``src/common/parse_time.c``, ``slurm_make_time_str``.
    """
    form = time_format if "%" in time_format else "%Y-%m-%dT%H:%M:%S"
    if time_format == "relative":
        form = _relative_form((moment.date() - now.date()).days)
    return f"Began at {time.strftime(form, moment.timetuple())}"


def _relative_form(days: int) -> str:
    if days == 0:
        return "%H:%M:%S"
    return "Ystday %H:%M" if days == -1 else "%-d %b %H:%M"


def translate(error: SyscrError, operation: Operation) -> Failure:
    """Return how the old surface says an error of ours.

    Contract: pure. Where the old text says all, there is nothing else; where it hides the reason, ours
    follows; a failed dump keeps its number, with our reason in the place of ``Job step not running``.
    """
    is_restart = operation is Operation.RESTART
    if isinstance(error, JobStateError):
        return fail(Code.NOT_FINISHED) if is_restart else _translate_state(error)
    if isinstance(error, PreflightError):
        return _translate_findings(error)
    for classes, code in _RESTART_CODES if is_restart else _CODES:
        if isinstance(error, classes):
            return fail(code, *(() if code in _SAYS_ALL else _remarks(error)))
    hint = _remarks(error)[1:]
    code = Code.INVALID_ARGUMENT
    if isinstance(error, (CheckpointError, StoreError, BackendError)):
        code = Code.NOT_RUNNING
    return Failure(code, error.message, hint)


_SAYS_ALL = frozenset(
    {Code.NOT_PERMITTED, Code.DENIED, Code.NO_SUCH_JOB, Code.IN_PROGRESS, Code.DISABLED}
)
_Classes = type[SyscrError] | tuple[type[SyscrError], ...]
_COMMON: tuple[tuple[_Classes, Code], ...] = (
    (SchedulerUnavailableError, Code.UNREACHABLE),
    (OperationUnsupportedError, Code.NOT_SUPPORTED),
    (StoreLockedError, Code.IN_PROGRESS),
)
_CODES: tuple[tuple[_Classes, Code], ...] = (
    *_COMMON,
    (JobNotFoundError, Code.NO_SUCH_JOB),
    (SchedulerDeniedError, Code.DENIED),
    (CheckpointTimeoutError, Code.CONNECTION),
)
_RESTART_CODES: tuple[tuple[_Classes, Code], ...] = (
    *_COMMON,
    ((JobNotFoundError, StoreNotFoundError, ImageNotFoundError), Code.NOT_FOUND),
    (SchedulerDeniedError, Code.NOT_PERMITTED),
    (ImageCorruptError, Code.INVALID_ARGUMENT),
)


def _translate_state(error: JobStateError) -> Failure:
    name = str(error.details.get("state") or "")
    failure = judge_state(JobState.parse(name))
    if failure is not None:
        return failure
    return Failure(Code.NOT_RUNNING, error.message, _remarks(error)[1:])


def judge_state(state: JobState) -> Failure | None:
    """Return what the old controller says of a job in a state in which it cannot be checkpointed."""
    if state.is_waiting:
        return fail(Code.PENDING)
    if state in {JobState.SUSPENDED, JobState.STOPPED}:
        return fail(Code.SUSPENDED)
    if state.is_final or state is JobState.COMPLETING:
        return fail(Code.ALREADY_DONE)
    return None


def _translate_findings(error: PreflightError) -> Failure:
    rows = error.details.get("findings")
    codes = (
        [row.get("code") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    )
    if CHECKPOINT_DISABLED in codes:
        return fail(Code.DISABLED)
    if "not_checkpointable" in codes:
        return fail(Code.NOT_SUPPORTED, *_remarks(error))
    return Failure(Code.NOT_RUNNING, error.message, _remarks(error)[1:])


def _remarks(error: SyscrError) -> tuple[str, ...]:
    lines = [f"syscr: {error.message}"]
    return (*lines, f"hint: {error.hint}") if error.hint else tuple(lines)
