"""Exit status of a command that has several targets."""

from __future__ import annotations

from collections.abc import Sequence

from syscr.cli import encode
from syscr.errors import PartialError, SyscrError


def settle(verb: str, failures: Sequence[SyscrError], replies: Sequence[object]) -> None:
    """Raise what the failures of a command amount to; nothing where there are none.

    One target: its own error. Several: the common error code where all failed for the same reason, else
    PartialError with the result of each.

    Args:
        verb: Command in words (``checkpoint``, ``delete image``).
        failures: Errors, in the order of the targets.
        replies: One reply per target, failed or not.

    Raises:
        SyscrError: As above.
    """
    if not failures:
        return
    act, _, noun = verb.partition(" ")
    total, failed = len(replies), len(failures)
    if total == 1:
        raise failures[0]
    details = {"results": encode.to_json(list(replies))}
    same = {type(failure) for failure in failures}
    if failed == total and len(same) == 1:
        raise type(failures[0])(
            f"cannot {act} any of {total} {noun or 'target'}s", hint="", **details
        )
    raise PartialError(f"cannot {act} {failed} of {total} {noun or 'target'}s", hint="", **details)
