"""Replies of ``scontrol checkpoint`` (Slurm 19.05 and before) -> values and errors; pure.

Exit code and text decide together: a malformed id is told on standard error with exit code 0.
Source: replies of real 18.08.9 and 19.05.8, and ``src/common/slurm_errno.c``; checked 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from syscr.enabling import refuse_disabled
from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    OperationUnsupportedError,
    SchedulerDeniedError,
    StoreLockedError,
    SyscrError,
    ToolReplyError,
)
from syscr.ports import Acceptance, Completed, DumpEnd, DumpState
from syscr.units import parse_version_numbers

DUPLICATE_ID = "Duplicate job id"
NOT_FINISHED = "Job is not finished"
NO_SUCH_FILE = "No such file or directory"

_ERROR = re.compile(r"error\((?P<code>\d+)\): ?(?P<text>.*)", re.DOTALL)
_SETTING = re.compile(r"(?P<key>\w+)\s*= (?P<value>.*)")
_TASKS = re.compile(r"\sTasks=(\d+)\s")
_SECONDS = re.compile(r"(\d+) sec")
_PREFIX = "scontrol_checkpoint error: "
_NONE = "checkpoint/none"
# It writes where Open MPI's own tool likes, and reports only the place; ImageDir is ignored.
_OMPI = "checkpoint/ompi"
_EXCERPT_CHARS = 500

# Plain texts of Slurm -> class; whoever asked adds what is peculiar to the request.
_CLASSES: Mapping[str, type[SyscrError]] = {
    "Invalid job id specified": JobNotFoundError,
    "Job is pending execution": JobStateError,
    "Job/step already completing or completed": JobStateError,
    "Job is current suspended, requested operation disabled": JobStateError,
    "Job step is suspended": JobStateError,
    "Access/permission denied": SchedulerDeniedError,
    "Operation not permitted": SchedulerDeniedError,
    "Operation already in progress": StoreLockedError,
    "Requested operation not supported on this system": OperationUnsupportedError,
}
_HINTS: Mapping[type[SyscrError], str] = {
    StoreLockedError: "wait until it has finished: 'scontrol checkpoint able' says 'Yes' then",
    SchedulerDeniedError: "ask its owner",
}

Explain = Callable[[str, Completed], SyscrError]


@dataclass(frozen=True, slots=True)
class Site:
    """What the configuration says.

    Attributes:
        version: Slurm's version.
        plugin: ``CheckpointType``; empty: this Slurm has no such setting.
        purge_seconds: ``MinJobAge``; 0: ended jobs are never forgotten; None: not said.
    """

    version: str
    plugin: str
    purge_seconds: float | None

    @property
    def obstacle(self) -> str:
        """Why Slurm itself cannot checkpoint here; empty: it can."""
        if not self.plugin:
            return f"Slurm {self.version} has no checkpoint commands (they left with 20.02)"
        if self.plugin == _NONE:
            return f"Slurm {self.version} is configured with CheckpointType={_NONE}"
        if self.plugin == _OMPI:
            return f"CheckpointType={_OMPI} leaves its files where Open MPI likes, not where it is told"
        return ""

    @property
    def can_restart_steps(self) -> bool:
        """Whether srun has ``--restart-dir``: its help lists it in 19.05, too, where it is gone."""
        return (parse_version_numbers(self.version) or (0, 0)) < (19, 5)


def parse_site(completed: Completed, explain: Explain) -> Site:
    """Read ``scontrol show config``.

    Raises:
        SyscrError: What ``explain`` makes of a failure.
    """
    if not completed.is_ok:
        raise explain("read the configuration of Slurm", completed)
    found = {
        match["key"]: match["value"].strip()
        for match in map(_SETTING.fullmatch, completed.stdout.splitlines())
        if match is not None
    }
    version = found.get("SLURM_VERSION", "")
    if not version:
        raise _not_understood("read the configuration of Slurm", completed)
    age = _SECONDS.match(found.get("MinJobAge", ""))
    return Site(version, found.get("CheckpointType", ""), float(age[1]) if age else None)


def parse_able(completed: Completed, name: str, explain: Explain) -> DumpState:
    """Read ``build_able``: ``Yes``, ``No`` (disabled) or ``Began at TIME``."""
    what = f"checkpoint {name}"
    text = _accept(completed, what, explain).strip()
    if text == "Yes":
        return DumpState.IDLE
    if text == "No":
        return DumpState.DISABLED
    if text.startswith("Began at "):
        return DumpState.BUSY
    raise _not_understood(what, completed)


def parse_task_count(completed: Completed) -> int | None:
    """Read ``build_show_step``; None: it does not say. User text (the step's name) comes after it.

    Source: Slurm 18.08.9, ``src/api/job_step_info.c`` ``slurm_sprint_job_step_info``.
    """
    match = _TASKS.search(completed.stdout) if completed.is_ok else None
    return int(match[1]) if match else None


def parse_error(completed: Completed, name: str, explain: Explain) -> DumpEnd:
    """Read ``build_error``: ``error(0): `` after success, or where there was no dump yet."""
    what = f"see how the checkpoint of {name} ended"
    match = _ERROR.fullmatch(_accept(completed, what, explain).rstrip("\n"))
    if match is None:
        raise _not_understood(what, completed)
    return DumpEnd(int(match["code"]), match["text"])


def parse_create(completed: Completed, name: str, explain: Explain) -> None:
    """Read ``build_create``: silence means that the dump was ordered, not that there is one."""
    what = f"checkpoint {name}"
    if _accept(completed, what, explain).strip():
        raise _not_understood(what, completed)


def parse_restart(completed: Completed, number: int, explain: Explain) -> Acceptance:
    """Read ``build_restart``; accepted means that the job was submitted, not that it runs."""
    what = f"restart job {number}"
    text = _refusal(completed)
    if text == DUPLICATE_ID:
        return Acceptance.NOT_PURGED
    if text == NOT_FINISHED:
        return Acceptance.ALIVE
    if text == NO_SUCH_FILE:
        return Acceptance.NO_RECORD
    if _accept(completed, what, explain).strip():
        raise _not_understood(what, completed)
    return Acceptance.ACCEPTED


def _accept(completed: Completed, what: str, explain: Explain) -> str:
    """Return what an accepted request printed.

    Raises:
        SyscrError: It was refused.
    """
    text = _refusal(completed)
    if not text:
        return completed.stdout
    if text == "Requested operation is presently disabled":
        refuse_disabled(what.rpartition(" ")[2])
    cls = _CLASSES.get(text)
    if cls is None:
        raise explain(what, completed) if completed.exit_code else _not_understood(what, completed)
    raise cls(f"cannot {what}: {text}", hint=_HINTS.get(cls), tool="scontrol")


def _refusal(completed: Completed) -> str:
    """Return what Slurm says against a request; empty if nothing."""
    text = completed.stderr.strip()
    if text.startswith(_PREFIX):
        return text.removeprefix(_PREFIX)
    if completed.is_ok and not text:
        return ""
    return text or f"'scontrol' said nothing (exit code {completed.exit_code})"


def _not_understood(what: str, completed: Completed) -> ToolReplyError:
    said = (completed.stderr.strip() or completed.stdout.strip())[:_EXCERPT_CHARS]
    return ToolReplyError(
        f"cannot {what}: unexpected reply of 'scontrol': '{said}'",
        tool="scontrol",
        exit_code=completed.exit_code,
        excerpt=said,
    )
