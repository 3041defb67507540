"""What real 18.08.9 and 19.05.8 answered, and where ``syscr scontrol`` answers otherwise on purpose.

The recorded calls are data: tests/data/scontrol/transcripts.toml. ``DIFFERENCES`` names the row of the table
in docs/reference/compatibility.md for each call that ends otherwise; what is not listed must be the same.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).parent / "data" / "scontrol" / "transcripts.toml"
_OLD = "scontrol_checkpoint error: "
_UNSUPPORTED = _OLD + "Requested operation not supported on this system"


@dataclass(frozen=True)
class Call:
    """One recorded command.

    Attributes:
        name: Its name in the data.
        operation: Word behind ``checkpoint``; empty: none.
        options: What stands before ``checkpoint``.
        arguments: What stands behind the operation, with names in braces.
        exit_code: Exit status.
        out: Lines of standard output.
        err: Lines of standard error.
    """

    name: str
    operation: str
    options: tuple[str, ...]
    arguments: tuple[str, ...]
    exit_code: int
    out: tuple[str, ...]
    err: tuple[str, ...]

    def words(self, names: Mapping[str, str]) -> tuple[str, ...]:
        """Return scontrol's arguments."""
        filled = (argument.format_map(names) for argument in self.arguments)
        operation = (self.operation,) if self.operation else ()
        return (*self.options, "checkpoint", *operation, *filled)


@dataclass(frozen=True)
class Difference:
    """A deliberate difference.

    Attributes:
        row: Its row in docs/reference/compatibility.md.
        exit_code: Our exit status.
        out: Pattern of our standard output.
        err: Pattern of our standard error.
    """

    row: str
    exit_code: int = 0
    out: str = ""
    err: str = ""


def _with_reason(text: str) -> str:
    """Return the pattern of an old line that our reason and a hint follow."""
    return re.escape(text) + r"\nsyscr: [^\n]+(\nhint: [^\n]+)?\n"


DIFFERENCES: Mapping[str, Difference] = {
    "id-array": Difference("array", 1, err=re.escape(_OLD + "Invalid job id specified\n")),
    "none-batch": Difference("reason", 1, err=_with_reason(_UNSUPPORTED)),
    "none-step": Difference("reason", 1, err=_with_reason(_UNSUPPORTED)),
    "none-step/restart": Difference(
        "restart-step", 1, err=re.escape(_OLD + "Job is not finished\n")
    ),
    "restart-no-image": Difference(
        "reason", 1, err=_with_reason(_OLD + "No such file or directory")
    ),
    "restart-unknown": Difference(
        "reason", 1, err=_with_reason(_OLD + "No such file or directory")
    ),
    "blcr-create-at-once": Difference("create"),
    "blcr-create-denied": Difference(
        "failure", 1, err=_OLD + r"cannot checkpoint .*'/root/no.*still running\n(hint: .*\n)?"
    ),
    "blcr-error-denied": Difference(
        "failure", out=r"error\(4027\): cannot checkpoint .*'/root/no.*still running\n"
    ),
    "blcr-restart-wrong-dir": Difference(
        "wrong-dir", 1, err=_with_reason(_OLD + "No such file or directory")
    ),
    "blcr-restart-soon": Difference("duplicate"),
    "alloc-able-empty": Difference("empty", 1, err=_with_reason(_UNSUPPORTED)),
    "alloc-create-empty": Difference("empty", 1, err=_with_reason(_UNSUPPORTED)),
    "alloc-requeue-restart-step/requeue": Difference("reason", 1, err=_with_reason(_UNSUPPORTED)),
    "alloc-requeue-restart-step/restart": Difference(
        "restart-step", 1, err=re.escape(_OLD + "Job is not finished\n")
    ),
    "array-task": Difference("array"),
}


def read_calls(prefix: str) -> Iterator[Call]:
    """Yield the recorded calls whose name begins so, in order."""
    for row in tomllib.loads(RECORDED.read_text(encoding="utf-8"))["call"]:
        if not row["name"].startswith(prefix):
            continue
        for operation in row["operations"]:
            yield Call(
                row["name"],
                operation,
                tuple(row.get("options", ())),
                tuple(row["arguments"]),
                row["exit_code"],
                tuple(row.get("out", ())),
                tuple(row.get("err", ())),
            )


def find_difference(call: Call) -> Difference | None:
    """Return the deliberate difference of a call, None if it must be as recorded."""
    return DIFFERENCES.get(f"{call.name}/{call.operation}") or DIFFERENCES.get(call.name)


def judge(call: Call, exit_code: int, out: str, err: str) -> str:
    """Return what is wrong with our answer; empty: it is the recorded one, or differs as listed."""
    recorded = (
        call.exit_code,
        "".join(f"{line}\n" for line in call.out),
        "".join(f"{line}\n" for line in call.err),
    )
    ours = (exit_code, out, err)
    what = f"{call.name}/{call.operation}: recorded {recorded}, ours {ours}"
    difference = find_difference(call)
    if difference is None:
        return "" if ours == recorded else f"{what}: a difference that is not listed"
    if ours == recorded:
        return f"{what}: listed as different ({difference.row}), but it is the same"
    fits = (
        exit_code == difference.exit_code
        and re.fullmatch(difference.out, out)
        and re.fullmatch(difference.err, err)
    )
    return "" if fits else f"{what}: another difference than the one listed ({difference.row})"
