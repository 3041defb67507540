"""What the worker of a node answers."""

from __future__ import annotations

from dataclasses import dataclass

from syscr.model.finding import Finding
from syscr.model.image import HostFacts, ImageFile, Timings
from syscr.model.task import TaskImage, TaskSpec


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Answer of one node worker.

    Attributes:
        node: Node name.
        tasks: Tasks found (inspect) on this node.
        findings: Pre-flight results.
        images: Tasks dumped.
        files: Stored files with size and digest.
        host: Facts of the node.
        timings: Durations on this node.
        tool_version: Version of the backend's tool.
        notes: Remarks.
        processes: Processes in all trees (inspect).
        resident_bytes: Their resident memory (inspect).
        error: Code, message and hint where the node failed; None where it did not.
        is_waiting: Whether the worker waits for another request.
        written: Paths that tasks have open for writing, once per task; of steps of several tasks (inspect).
    """

    node: str
    tasks: tuple[TaskSpec, ...] = ()
    findings: tuple[Finding, ...] = ()
    images: tuple[TaskImage, ...] = ()
    files: tuple[ImageFile, ...] = ()
    host: HostFacts | None = None
    timings: Timings = Timings()
    tool_version: str = ""
    launcher_digest: str = ""
    notes: tuple[str, ...] = ()
    processes: int = 0
    resident_bytes: int = 0
    error: dict[str, object] | None = None
    is_waiting: bool = False
    written: tuple[str, ...] = ()
