"""What Slurm's commands say when something fails -> the error class that a caller reacts to; pure.

Slurm's texts are not translated and hardly change; they are told apart here, once.
"""

from __future__ import annotations

import re

from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    SchedulerDeniedError,
    SchedulerError,
    SchedulerReplyError,
    SchedulerUnavailableError,
)
from syscr.ports import Completed

# Texts in lower case, first match wins.
# Source: Slurm src/common/slurm_errno.c, 20.11 to 26.05; those of tests/data/slurm were seen.
_NOT_FOUND = (
    "invalid job id specified",
    "expired or invalid job",
    "job script not specified",  # a job of srun or salloc, seen on 24.11.5
)
_UNAVAILABLE = (
    "unable to contact slurm controller",
    "socket timed out",
    "zero bytes were transmitted",
    "connection refused",
    "connection failure",
    "shutdown failure",
    "configuration source",
    "can't find an address",
    "munge",
    "protocol authentication error",
    "authentication credential",
    "standby mode",
    "temporarily unable",
    "rate limit exceeded",
    "unexpected message received",  # what scontrol says where nothing listens
    # of a step that asks for nothing: slurmctld has just started and does not know its nodes yet
    "memory required by task is not available",
    "requested nodes are busy",
)
_WRONG_STATE = (
    "pending execution",
    "already completing or completed",
    "already started",
    "already finished",
    "suspended",
    "presently disabled",
    "try again later",
    "transitional state",
    "not running",
    "not pending nor running",
    "not heterogeneous job",
    "individual component of heterogeneous job",
    "on a pending job",
)
_DENIED = (
    "denied",
    "not permitted",
    "not allowed",
    "not authorized",
    "violates",
    "invalid ",
    "requested ",
    "is disabled",
)
_TRY_AGAIN = ("try again later", "transitional state")
_PREFIX = re.compile(
    r"(?:(?:[a-z_]+: )?(?:error|fatal): |slurm_\w+ error: |[\w ]+ failed: |[a-z_]+: )+"
)
_SUFFIX = re.compile(r" for job \S+$")
_TOOLS = frozenset({"sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun"})
_EXCERPT_CHARS = 500


def get_reply_text(completed: Completed) -> str:
    """Return what a failed command said, whichever stream it used."""
    return "\n".join(part for part in (completed.stderr.strip(), completed.stdout.strip()) if part)


def find_cause(completed: Completed) -> str:
    """Return the line that tells the cause, without the tool's own prefixes."""
    lines = [line.strip() for line in get_reply_text(completed).splitlines() if line.strip()]
    known = [line for line in lines if _classify(line) is not None]
    line = (known or lines or [_say_exit(completed)])[0]
    match = _PREFIX.match(line)
    shorter = _SUFFIX.sub("", line[match.end() :] if match else line)
    return shorter or line


def is_already_over(completed: Completed) -> bool:
    """Whether Slurm says that the job or step has ended."""
    over = ("already completing or completed", "already finished", *_NOT_FOUND)
    return not completed.is_ok and _has(get_reply_text(completed), over)


def is_worth_repeating(completed: Completed) -> bool:
    """Whether Slurm refused an act for the moment and did nothing (error 2020)."""
    return not completed.is_ok and _has(get_reply_text(completed), _TRY_AGAIN)


def build_failure(
    what: str, completed: Completed, *, default: type[SchedulerError] = SchedulerReplyError
) -> SchedulerError:
    """Return the error that a failed command stands for.

    Args:
        what: What we could not do, as in "requeue job 12".
        completed: The command.
        default: Class where no known text occurs.
    """
    cls = _classify(get_reply_text(completed)) or default
    if cls is SchedulerReplyError:
        return build_reply_error(what, completed)
    return cls(f"cannot {what}: {find_cause(completed)}", tool=_find_tool(completed))


def build_reply_error(
    what: str, completed: Completed, *, cause: str = "", version: str = ""
) -> SchedulerReplyError:
    """Return the error for a reply that was not understood; carries tool, version and excerpt."""
    return SchedulerReplyError(
        f"cannot {what}: {cause or find_cause(completed)}",
        tool=_find_tool(completed),
        version=version,
        exit_code=completed.exit_code,
        excerpt=get_reply_text(completed)[:_EXCERPT_CHARS],
    )


def _find_tool(completed: Completed) -> str:
    """Return the name of Slurm's command; sbatch and srun may stand behind ``env`` or ``runuser``."""
    return next((word for word in completed.argv if word in _TOOLS), completed.argv[0])


def _say_exit(completed: Completed) -> str:
    tool = _find_tool(completed)
    if completed.signal is not None:
        return f"'{tool}' was ended by signal {completed.signal}"
    return f"'{tool}' said nothing (exit code {completed.exit_code})"


def _classify(text: str) -> type[SchedulerError] | None:
    classes: tuple[tuple[tuple[str, ...], type[SchedulerError]], ...] = (
        (_NOT_FOUND, JobNotFoundError),
        (_UNAVAILABLE, SchedulerUnavailableError),
        (_WRONG_STATE, JobStateError),
        (_DENIED, SchedulerDeniedError),
    )
    return next((cls for texts, cls in classes if _has(text, texts)), None)


def _has(text: str, parts: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(part in lowered for part in parts)
