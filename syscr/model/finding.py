"""What pre-flight finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Weight of a finding."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of pre-flight.

    Attributes:
        code: Stable identifier, snake case (``socket_to_outside``).
        severity: ERROR refuses the checkpoint.
        message: What is the matter, naming the object.
        hint: What to do about it; empty if nothing.
        node: Node; empty: concerns the job as a whole.
        pid: Process on the node; None: no single process.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    node: str = ""
    pid: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the finding as JSON object."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint or None,
            "node": self.node or None,
            "pid": self.pid,
        }
