"""What manager, workers and launchers say to each other: frozen values <-> lines of JSON; pure.

A node worker writes messages on standard output: ``{"type": "report", ...}`` once and ``{"type":
"progress", ...}`` as often as it likes. A message is one line of JSON, or several lines where it is
long: srun mixes the output of its tasks within lines of more than 1024 bytes (``encode_message``). A
request and a task description travel as one argument. Everything is ASCII on the wire; names that are
not Unicode keep their bytes as surrogate escapes. Keys that this version does not know are ignored,
keys that are missing take their default, so that a job that was started by another version of syscr
can still be dumped.

Imported by the job's side too, so it stays cheap: json and values only. Read ``slurm/workers.py`` next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields
from typing import Any, TypeVar

from syscr.errors import CheckpointError, RequestError, SyscrError, ToolReplyError, iter_errors
from syscr.model import (
    FileState,
    Finding,
    HostFacts,
    ImageFile,
    NodeReport,
    Severity,
    TaskImage,
    TaskSpec,
    Timings,
)
from syscr.ports import Capabilities
from syscr.result import NodeHealth

ACTIONS = ("inspect", "dump", "finish", "probe", "confirm")
FINISH_ACTIONS = ("resume", "kill")

# Source: Slurm src/common/io_hdr.h, 20.11 to 26.05: output travels in pieces of at most 1024 bytes, and
# slurmstepd keeps a line in one piece where it fits. Measured with 24.11.5, 3 nodes, 2026-11: of 60
# lines of 100,000 bytes 25 arrived with another node's text inside, of 60 of 1,000 bytes none.
MAX_LINE_BYTES = 900

PROBE_FILE = "shared-probe"
"""File that the manager puts into staging: a worker that cannot see it has another file system there."""

_EXCERPT_CHARS = 200
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """What a node worker shall do; the argument of ``syscr worker --request``.

    Attributes:
        action: ``inspect``, ``dump``, ``finish``, ``probe`` (look at the node, no job) or ``confirm``
            (wait until a restored task runs and say so in its run_dir).
        number: Plain number of the job; 0 for ``probe``.
        step: Step; None: all steps (inspect only).
        staging_dir: Where ``dump`` writes: ``<staging_dir>/data/<rank>/``.
        hold_seconds: How long the tasks may stand still after the dump, waiting for ``finish``.
        timeout_seconds: Limit for the whole on this node.
        finish_action: ``resume`` or ``kill`` for ``finish``; else empty.
        node_count: Nodes that dump at the same time; with a hold they wait for each other.
        run_dir: Private directory of the task for ``confirm``, whose ``staging_dir`` is the image.
        keep_seconds: How long the worker waits for the next request on standard input after this one;
            0: it leaves.
        together: End the hold of a dump as soon as all nodes have dumped.
        nodes: Nodes that are meant, where the request goes to several; none: all. Others leave.
    """

    action: str
    number: int = 0
    step: str | None = None
    staging_dir: str = ""
    hold_seconds: float = 0.0
    timeout_seconds: float = 600.0
    finish_action: str = ""
    node_count: int = 1
    run_dir: str = ""
    keep_seconds: float = 0.0
    nodes: tuple[str, ...] = ()
    together: bool = False

    def __post_init__(self) -> None:
        """Refuse what no worker can do."""
        if self.action not in ACTIONS:
            raise RequestError(f"no action of a worker: '{self.action}'")
        if self.action == "finish" and self.finish_action not in FINISH_ACTIONS:
            raise RequestError(f"no way to finish: '{self.finish_action}'")
        if self.action == "dump" and not self.staging_dir:
            raise RequestError("a dump needs a staging directory")


def name_ended(node: str) -> str:
    """Return the name of the file in staging by which a node tells the others that it is done."""
    return f"ended.{node}"


def encode_request(request: WorkerRequest) -> str:
    """Write a request as one line of ASCII."""
    return _dump(asdict(request))


def decode_request(text: str) -> WorkerRequest:
    """Read a request; ToolReplyError or RequestError if it is none."""
    return _build(WorkerRequest, load_object(text, "worker request"))


def encode_task_spec(spec: TaskSpec) -> str:
    """Write the description of a task, for the launcher's argument ``--task``."""
    return _dump(asdict(spec))


def decode_task_spec(text: str) -> TaskSpec:
    """Read the description of a task; ToolReplyError if it is none."""
    return _build(TaskSpec, load_object(text, "task description"))


def encode_message(message: Mapping[str, object]) -> str:
    """Write a message of a worker: lines of at most ``MAX_LINE_BYTES`` without the last newline.

    Args:
        message: Its ``type`` and ``node`` are texts. A long message becomes pieces that begin with
            ``+NODE``, and with ``.NODE`` the last one. One node writes one message at a time.
    """
    text = _dump(message)
    if len(text) <= MAX_LINE_BYTES:
        return text
    node = str(message["node"])
    size = MAX_LINE_BYTES - len(node) - 2
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    *parts, last = pieces
    return "\n".join([*(f"+{node} {part}" for part in parts), f".{node} {last}"])


class MessageReader:
    """Puts the messages of several nodes together again, line by line."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._parts: dict[str, list[str]] = {}

    def feed(self, line: str) -> Mapping[str, object] | None:
        """Take the next line of output.

        Returns:
            The message that it completes; None: no message is complete, or the line is not ours (a
            site's prolog may print between our lines).
        """
        text = line.rstrip("\r\n")
        if text[:1] in {"+", "."}:
            node, blank, piece = text[1:].partition(" ")
            if not blank:
                return None
            parts = self._parts.setdefault(node, [])
            parts.append(piece)
            if text[0] == "+":
                return None
            text = "".join(self._parts.pop(node))
        if not text.startswith("{"):
            return None
        try:
            value = json.loads(text)
        except ValueError:
            return None
        return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None


def encode_report(report: NodeReport) -> str:
    """Write the answer of a node (``"type": "report"``); may be several lines."""
    return encode_message({"type": "report", **asdict(report)})


def decode_report(text: str) -> NodeReport:
    """Read the answer of a node, all its lines.

    Raises:
        ToolReplyError: It is none, or a value in it has another type than ``model.NodeReport`` says.
    """
    reader = MessageReader()
    for line in text.splitlines():
        message = reader.feed(line)
        if message is not None and message["type"] == "report":
            return build_report(message)
    raise ToolReplyError(
        "cannot read the report of a node: no report in it", excerpt=text[:_EXCERPT_CHARS]
    )


def build_report(message: Mapping[str, object]) -> NodeReport:
    """Turn a decoded report message into its value; see ``decode_report``."""
    return _build(NodeReport, message)


def encode_health(health: NodeHealth) -> str:
    """Write what a node has (``"type": "health"``); may be several lines."""
    return encode_message({"type": "health", **asdict(health)})


def build_health(message: Mapping[str, object]) -> NodeHealth:
    """Turn a decoded health message into its value; ToolReplyError if a value has the wrong type."""
    return _build(NodeHealth, message)


def encode_progress(
    node: str, phase: str, bytes_done: int = 0, bytes_total: int | None = None
) -> str:
    """Write a progress line (``"type": "progress"``); ``bytes_total`` None: not known."""
    return encode_message(
        {
            "type": "progress",
            "node": node,
            "phase": phase,
            "bytes_done": bytes_done,
            "bytes_total": bytes_total,
        }
    )


def build_error(error: Mapping[str, object], node: str) -> SyscrError:
    """Turn the error in a node's report back into an exception of the same class that names the node.

    A code that this version does not know becomes CheckpointError.
    """
    classes = {cls.code: cls for cls in iter_errors() if cls.exit_code}
    cls = classes.get(str(error.get("code")), CheckpointError)
    message = str(error.get("message") or "failed without a message")
    if node and node not in message:
        message = f"node '{node}': {message}"
    details = error.get("details")
    facts = {str(key): value for key, value in details.items()} if isinstance(details, dict) else {}
    hint = error.get("hint")
    facts = {key: value for key, value in facts.items() if key not in {"self", "message", "hint"}}
    return cls(message, hint=str(hint) if hint else None, **{**facts, "node": node})


def load_object(text: str, what: str) -> Mapping[str, object]:
    """Read one JSON object; ToolReplyError names ``what`` if it is none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ToolReplyError(
            f"cannot read the {what}: {error}", excerpt=text[:_EXCERPT_CHARS]
        ) from error
    if not isinstance(value, dict):
        raise ToolReplyError(
            f"cannot read the {what}: no JSON object", excerpt=text[:_EXCERPT_CHARS]
        )
    return value


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def _build(cls: type[_Value], values: Mapping[str, object]) -> _Value:
    """Make a dataclass from decoded JSON by the annotations of its fields."""
    arguments: dict[str, object] = {}
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name in values:
            arguments[item.name] = _convert(cls, item, values[item.name])
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ToolReplyError(f"cannot read {cls.__name__}: '{item.name}' is missing")
    return cls(**arguments)


def _convert(cls: type, item: Field[Any], value: object) -> object:
    kind = str(item.type)
    if kind.endswith(" | None"):
        if value is None:
            return None
        kind = kind.removesuffix(" | None")
    try:
        return _READERS[kind](value)
    except (TypeError, ValueError) as error:
        raise ToolReplyError(
            f"cannot read {cls.__name__}: '{item.name}' is {type(value).__name__}, not {kind}"
        ) from error


def _plain(kind: type[_Value]) -> Callable[[object], _Value]:
    def read(value: object) -> _Value:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(kind.__name__)
        return value

    return read


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("number")
    return float(value)


def _record(cls: type[_Value]) -> Callable[[object], _Value]:
    return lambda value: _build(cls, _plain(dict)(value))


def _many(
    read: Callable[[object], _Value], length: int | None = None
) -> Callable[[object], object]:
    def read_all(value: object) -> tuple[_Value, ...]:
        items = _plain(list)(value)
        if length is not None and len(items) != length:
            raise ValueError(f"{len(items)} items")
        return tuple(read(item) for item in items)

    return read_all


def _dictionary(read: Callable[[object], _Value]) -> Callable[[object], dict[str, _Value]]:
    return lambda value: {str(key): read(item) for key, item in _plain(dict)(value).items()}


_text = _plain(str)
# Annotation -> reader. The tests check that every annotation of the values above is here.
_READERS: Mapping[str, Callable[[object], object]] = {
    "str": _text,
    "int": _plain(int),
    "bool": _plain(bool),
    "float": _real,
    "Severity": lambda value: Severity(_text(value)),
    "dict[str, object]": _plain(dict),
    "dict[str, str]": _dictionary(_text),
    "Mapping[str, bool]": _dictionary(_plain(bool)),
    "tuple[str, ...]": _many(_text),
    "tuple[str, str, str]": _many(_text, 3),
    "HostFacts": _record(HostFacts),
    "Timings": _record(Timings),
    "tuple[TaskSpec, ...]": _many(_record(TaskSpec)),
    "tuple[Finding, ...]": _many(_record(Finding)),
    "tuple[FileState, ...]": _many(_record(FileState)),
    "tuple[TaskImage, ...]": _many(_record(TaskImage)),
    "tuple[ImageFile, ...]": _many(_record(ImageFile)),
    "tuple[Capabilities, ...]": _many(_record(Capabilities)),
}
