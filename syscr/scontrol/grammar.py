"""What follows the keyword ``checkpoint``: words -> request, with the old error texts; pure.

Everything that Slurm 18.08 and 19.05 took is taken, in the same order of checks, with two exceptions:
an array task may be named ``13_0``, and numbers that do not fit are no job instead of another one.

Source: Slurm 19.05.8, ``src/scontrol/scontrol.c`` and ``update_job.c``; facts checked 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from syscr.model import JobId, Target
from syscr.scontrol.options import begins

_LEAST_WORDS, _MOST_WORDS = 3, 5
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")  # what C's strtol takes, base 10
_ARRAY_TASK = re.compile(r"[0-9]+_[0-9]+(?:\.[0-9]+)?")
_MOST_DIGITS = 18
_MOST_JOB = 0xFFFFFFFD  # NO_VAL is 0xfffffffe; slurm.h, 24.11
_MOST_STEP = 0xFFFFFFEF  # the numbers above are Slurm's own steps


class Operation(StrEnum):
    """What can be asked for."""

    ABLE = "able"
    COMPLETE = "complete"
    DISABLE = "disable"
    ENABLE = "enable"
    CREATE = "create"
    REQUEUE = "requeue"
    VACATE = "vacate"
    RESTART = "restart"
    ERROR = "error"


# In the order in which they are tried, with the number of letters that is enough: `re` is requeue.
_OPERATIONS = (
    (Operation.ABLE, 1),
    (Operation.COMPLETE, 2),
    (Operation.DISABLE, 1),
    (Operation.ENABLE, 2),
    (Operation.CREATE, 2),
    (Operation.REQUEUE, 2),
    (Operation.VACATE, 2),
    (Operation.RESTART, 2),
    (Operation.ERROR, 2),
)
_WRITING = frozenset({Operation.CREATE, Operation.REQUEUE, Operation.VACATE})


@dataclass(frozen=True, slots=True)
class Request:
    """One request that can be read.

    Attributes:
        operation: What to do.
        target: Job or step; None: a number that no job or step can have.
        has_step: Whether a step was named.
        max_wait_seconds: ``MaxWait=``; None: not given, or nothing usable.
        image_dir: ``ImageDir=`` as typed; None: not given, or empty.
        stick_to_nodes: ``StickToNodes``.
    """

    operation: Operation
    target: Target | None
    has_step: bool = False
    max_wait_seconds: float | None = None
    image_dir: str | None = None
    stick_to_nodes: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """One request that cannot be read.

    Attributes:
        lines: What scontrol says of it on standard error.
        exit_code: Its exit status.
        hushed: Whether ``-Q`` silences it.
    """

    lines: tuple[str, ...]
    exit_code: int
    hushed: bool = False


def parse_request(words: Sequence[str]) -> Request | Refusal:
    """Read a command that begins with the keyword.

    Contract: pure; never raises. The number of words is judged first, then the id, then the operation,
    then the keys. A bad id or operation has exit status 0, as it always had.

    Args:
        words: The command, keyword included.

    Example:
        >>> parse_request(["check", "vac", "12.0", "maxwait=5"]).operation.value
        'vacate'
        >>> parse_request(["checkpoint", "create", "2,3"]).lines
        ('Invalid job step name',)
    """
    if len(words) < _LEAST_WORDS:
        return Refusal((f"too few arguments for keyword:{words[0]}",), 1, hushed=True)
    if len(words) > _MOST_WORDS:
        return Refusal((f"too many arguments for keyword:{words[0]}",), 1, hushed=True)
    found = _parse_id(words[2])
    if found is None:
        return Refusal(("Invalid job step name",), 0)
    target, has_step = found
    operation = find_operation(words[1])
    if operation is None:
        return Refusal((f"Invalid checkpoint operation: {words[1]}",), 0)
    if operation is Operation.REQUEUE and target is not None:
        target, has_step = Target(target.job_id), False  # read and dropped, as ever
    return _parse_keys(Request(operation, target, has_step), words[3:])


def find_operation(word: str) -> Operation | None:
    """Return the operation that a word abbreviates, None if it is none or too short.

    Example:
        >>> [find_operation(word) for word in ("a", "re", "res", "c", "creates")]
        [<Operation.ABLE: 'able'>, <Operation.REQUEUE: 'requeue'>, <Operation.RESTART: 'restart'>, None, None]
    """
    for operation, least in _OPERATIONS:
        if begins(word, operation.value, least):
            return operation
    return None


def _parse_id(text: str) -> tuple[Target | None, bool] | None:
    """Return (target, whether a step was named), None for what is no id at all."""
    if _ARRAY_TASK.fullmatch(text):
        return _array_task(text), "." in text
    number, rest = _strtol(text)
    if not rest:
        return _target(number, None), False
    if not rest.startswith("."):
        return None
    step, rest = _strtol(rest[1:])
    return None if rest else (_target(number, step), True)


def _array_task(text: str) -> Target | None:
    parts = re.split("[_.]", text)
    if any(len(part) > _MOST_DIGITS for part in parts):
        return None
    number, index, *step = map(int, parts)
    if not 0 < number <= _MOST_JOB or index > _MOST_JOB or (step and step[0] > _MOST_STEP):
        return None
    return Target(JobId(number, index), str(step[0]) if step else None)


def _target(number: int, step: int | None) -> Target | None:
    if not 0 < number <= _MOST_JOB or (step is not None and not 0 <= step <= _MOST_STEP):
        return None
    return Target(JobId(number), None if step is None else str(step))


def _strtol(text: str) -> tuple[int, str]:
    """Return number and rest as C's strtol; no digits: 0 and the whole text."""
    match = _NUMBER.match(text)
    if match is None:
        return 0, text
    rest, digits = text[match.end() :], match[1].lstrip("+-0")
    size = int(digits or "0") if len(digits) <= _MOST_DIGITS else _MOST_JOB + 1
    return -size if match[1].startswith("-") else size, rest


def _parse_keys(request: Request, words: Sequence[str]) -> Request | Refusal:
    max_wait, image_dir, stick = request.max_wait_seconds, request.image_dir, False
    if request.operation not in {*_WRITING, Operation.RESTART}:
        return request  # further words are ignored
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lower() + equals if key.isascii() else ""
        if name == "imagedir=":
            image_dir = value or None
        elif name == "maxwait=" and request.operation in _WRITING:
            seconds = _strtol(value)[0]
            max_wait = float(seconds) if seconds > 0 else None
        elif begins(word[:5], "stick", 5) and request.operation is Operation.RESTART:
            stick = True
        else:
            lines = (f"scontrol: error: Invalid input: {word}", "scontrol: error: Request aborted")
            return Refusal(lines, 1)
    return Request(request.operation, request.target, request.has_step, max_wait, image_dir, stick)
