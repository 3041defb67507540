"""What we say in a job's own output."""

from __future__ import annotations

import sys

from syscr.errors import SyscrError


def warn(line: str) -> None:
    """Write one line of ours to the job's standard error."""
    sys.stderr.write(f"syscr: {line}\n")
    sys.stderr.flush()


def report(error: SyscrError) -> int:
    """Say an error in the job's output, unless that is what has been cut; return its exit code."""
    if error.details.get("output_is_short"):
        return error.exit_code or 1  # ``syscr restart``, which waits, says it
    warn(error.message)
    if error.hint:
        warn(f"hint: {error.hint}")
    return error.exit_code or 1
