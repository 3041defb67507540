"""What it means when a node worker fails, says nothing or cannot be started; pure.

Errors that a worker reports come back as the same class; what srun says is told apart here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    JobNotFoundError,
    JobStateError,
    OperationUnsupportedError,
    SyscrError,
    ToolMissingError,
)
from syscr.ports import Completed
from syscr.slurm.failure import build_failure, find_cause, get_reply_text
from syscr.wire import build_error

# Texts of srun and slurmstepd; seen with 24.11.5, in the source of 20.11 to 26.05. Checked 2026-11.
_NOT_STARTED = (
    "unable to create step",
    "unable to confirm allocation",
    "has expired",
    "unable to allocate",
)
# Seen with 18.08.9 and 19.05.8.
_NO_OVERLAP = "unrecognized option '--overlap'"
# The prefix is "slurmstepd-NODE: " in 20.11 to 24.11 and a time in 26.05.
_EXECVE = re.compile(
    r"^(?:slurmstepd(?:-(?P<node>\S+))?: |\[\S+\] )?error: execve\(\): (?P<path>.*): (?P<why>[^:]+)$",
    re.MULTILINE,
)
_EXITED = re.compile(r"^srun: error: (?P<node>\S+): tasks? [\d,-]+: (?P<how>.+)$", re.MULTILINE)
_SHOWN_LINES = 20


def build_step_error(what: str, completed: Completed) -> SyscrError | None:
    """Return why srun started nothing on any node; None if it did start.

    Args:
        what: What we could not do, as in "look into job 12".
        completed: srun, ended.
    """
    text = get_reply_text(completed)
    missing = _EXECVE.search(text)
    if missing is not None:
        named = {match["node"] or "" for match in _EXECVE.finditer(text)} - {""}
        nodes = sorted(named or {match["node"] for match in _EXITED.finditer(text)})
        where = f" on {_say_nodes(nodes)}" if nodes else ""
        return ToolMissingError(
            f"cannot {what}: cannot run '{missing['path']}'{where}: {missing['why'].lower()}",
            hint="install syscr at the same path on all nodes; 'syscr doctor --node NODE' shows a node",
            tool=missing["path"],
            nodes=nodes,
        )
    if _NO_OVERLAP in text:
        return OperationUnsupportedError(
            f"cannot {what}: srun of this Slurm has no --overlap, so no running job can be reached",
            hint="syscr's own checkpoints need Slurm 20.11 or later; before 20.02 Slurm may have a plugin of its "
            "own: 'syscr doctor' names it",
        )
    lowered = text.lower()
    if not any(part in lowered for part in _NOT_STARTED):
        return None
    error = build_failure(what, completed)
    if "has expired" in lowered or isinstance(error, JobNotFoundError):
        return JobStateError(
            f"cannot {what}: the job has ended meanwhile",
            hint="its images are in 'syscr image list'",
            tool_output=find_cause(completed),
        )
    return error


def build_missing_error(
    what: str,
    nodes: Sequence[str],
    completed: Completed,
    *,
    fate: str = "",
    timed_out: bool = False,
) -> SyscrError:
    """Return the error for nodes that gave no answer.

    Args:
        what: What we could not do.
        nodes: Those nodes.
        completed: srun, ended.
        fate: What became of the job, where that is certain.
        timed_out: Whether the limit of the whole checkpoint has passed.
    """
    step_error = build_step_error(what, completed)
    if isinstance(step_error, ToolMissingError):
        return step_error
    how = {match["node"]: match["how"] for match in _EXITED.finditer(completed.stderr)}
    ends = "".join(f" ({how[node]})" for node in nodes[:1] if node in how)
    cls = CheckpointTimeoutError if timed_out else CheckpointError
    cause = "did not answer in time" if completed.exit_code is None else f"did not answer{ends}"
    lines = completed.stderr.strip().splitlines()[-_SHOWN_LINES:]
    detail = "".join(f"\n| {line}" for line in lines)
    return cls(
        f"cannot {what}: {_say_nodes(nodes)} {cause}{fate and f'; {fate}'}{detail}",
        nodes=list(nodes),
    )


def build_node_error(what: str, failed: Mapping[str, Mapping[str, object]]) -> SyscrError:
    """Return the error that stands for those which the nodes reported: a specific class if there is one.

    Args:
        what: What we could not do.
        failed: Node -> its ``error`` object, in node order.
    """
    errors = [build_error(error, node) for node, error in failed.items()]
    first = min(errors, key=lambda error: type(error) is CheckpointError)
    combined = type(first)(
        f"cannot {what}: {first.message}",
        hint=first.hint or None,
        **{**first.details, "nodes": list(failed)},
    )
    for error in errors:
        if error is not first:
            combined.add_note(error.message)
    return combined


def _say_nodes(nodes: Sequence[str]) -> str:
    names = ", ".join(f"'{node}'" for node in nodes)
    return f"node {names}" if len(nodes) == 1 else f"nodes {names}"
