"""Whether checkpoints of a job are allowed, and how the last one that was asked for ended; pure.

``scontrol checkpoint disable`` forbids them until ``enable`` was said as often; pre-flight looks here, so
that no verb of syscr takes one meanwhile. It is one small record of the job in its store, and it counts
for one life of the job: a restart begins with checkpoints allowed, as the image was taken.

Source: Slurm 18.08.9, ``src/plugins/checkpoint/blcr/checkpoint_blcr.c``: a counter, checkpoints only at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from syscr.errors import PreflightError
from syscr.model import Finding, Severity, TaskSpec

CONTROL = "scontrol"
"""Name of the record, below the job's line and step."""

CHECKPOINT_DISABLED = "checkpoint_disabled"
"""Code of the finding that refuses."""

_MOST = 0xFFFF


@dataclass(frozen=True, slots=True)
class Control:
    """What ``scontrol checkpoint`` keeps about one life of a job or step.

    Attributes:
        life: Job number and restart count, ``4711.0``.
        disabled: How often checkpoints were disabled more than enabled.
        error_code: Number of the last failure; 0: none.
        error_text: Its text.
    """

    life: str
    disabled: int = 0
    error_code: int = 0
    error_text: str = ""

    @classmethod
    def read(cls, life: str, record: Mapping[str, object] | None) -> Control:
        """Read a record; what is of another life, or unreadable, does not count."""
        if record is None or record.get("life") != life:
            return cls(life)
        disabled, code = record.get("disabled"), record.get("error_code")
        return cls(
            life,
            disabled if isinstance(disabled, int) and 0 <= disabled <= _MOST else 0,
            code if isinstance(code, int) else 0,
            str(record.get("error_text") or ""),
        )

    def to_record(self) -> dict[str, object]:
        """Return the record."""
        return {name: getattr(self, name) for name in self.__slots__}

    def disable(self) -> Control:
        """Return it with one more reason against checkpoints."""
        return replace(self, disabled=min(self.disabled + 1, _MOST))

    def enable(self) -> Control:
        """Return it with one less; what is allowed stays so."""
        return replace(self, disabled=max(self.disabled - 1, 0))


def name_life(number: int, restart_count: int) -> str:
    """Return the name of one life of a job.

    Example:
        >>> name_life(4711, 0)
        '4711.0'
    """
    return f"{number}.{restart_count}"


def check_enabled(task: TaskSpec, record: Mapping[str, object] | None) -> tuple[Finding, ...]:
    """Return the finding against a checkpoint while its job has them disabled."""
    life = name_life(task.number, task.restart_count)
    if Control.read(life, record).disabled == 0:
        return ()
    return (_disabled(str(task.number) if task.step == "batch" else f"{task.number}.{task.step}"),)


def refuse_disabled(name: str) -> NoReturn:
    """Raise PreflightError for a job or step whose checkpoints are disabled."""
    finding = _disabled(name, "scontrol")
    raise PreflightError(
        f"cannot checkpoint {name}: {finding.message}; the job is still running",
        hint=finding.hint,
        findings=[finding],
    )


def _disabled(name: str, scontrol: str = "syscr scontrol") -> Finding:
    return Finding(
        CHECKPOINT_DISABLED,
        Severity.ERROR,
        f"checkpoints of {name} are disabled ('scontrol checkpoint disable')",
        f"allow them with '{scontrol} checkpoint enable {name}'",
    )
