"""What dumps and restores a task, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from syscr.model import FileState, Finding, TaskImage, TaskSpec
from syscr.ports.task import TaskControl


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as data.

    Attributes:
        name: Backend.
        tool_version: Version of its tool; empty if it is missing.
        needs_launch: The program must have been started through ``syscr run``.
        needs_privilege: Needs more than an ordinary user has.
        leaves_running: The program goes on after a checkpoint.
        multi_node: Several nodes as one computation that talks over the network.
        tcp: TCP connections inside the tree.
        gpu: Programs that use a GPU.
        restart_on_other_nodes: May come back elsewhere.
        features: What was probed, name -> found.
        missing: Reasons why it does not work here; empty: it works.
    """

    name: str
    tool_version: str = ""
    needs_launch: bool = True
    needs_privilege: bool = False
    leaves_running: bool = True
    multi_node: bool = False
    tcp: bool = False
    gpu: bool = False
    restart_on_other_nodes: bool = True
    features: Mapping[str, bool] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """How to start or restore one task; the launcher's ``run`` executes it (``job/run.py``).

    Attributes:
        argv: What the launcher shall run as the task (``dmtcp_launch ... PROG`` or just ``PROG``); for
            a restore in namespaces the restoring tool itself (``criu restore ...``).
        namespaces: Whether the task lives in its own user, PID and mount namespace.
        restores_sibling: ``argv`` restores the tree as a sibling and ends (CRIU's way).
        no_randomize: Switch address randomisation off for ``argv``.
        env: Variables to add.
        sidecar: Helper process to start before the task, as a child of the launcher; empty: none.
        sidecar_listen_fd: Number of the descriptor on which the sidecar expects a listening loopback
            socket; None: none.
        log_path: Log of the restoring tool, whose last errors are shown when it fails; empty: none.
        uses_run_dir: Whether ``TaskSpec.run_dir`` must exist; a task that needs none leaves no trace.
    """

    argv: tuple[str, ...]
    namespaces: bool = False
    restores_sibling: bool = False
    no_randomize: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    sidecar: tuple[str, ...] = ()
    sidecar_listen_fd: int | None = None
    log_path: str = ""
    uses_run_dir: bool = True


@dataclass(frozen=True, slots=True)
class DumpReport:
    """What a backend did for one task.

    Attributes:
        open_files: Regular files the task had open, sizes while it was frozen.
        frozen_us: Time it stood still as the tool measured it; None if unknown.
        dump_seconds: Freeze to thaw as seen from outside.
        state: Facts for the restore, JSON-serialisable.
        notes: Remarks for the manifest.
    """

    open_files: tuple[FileState, ...] = ()
    frozen_us: int | None = None
    dump_seconds: float = 0.0
    state: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Backend(Protocol):
    """One way to dump and restore a task; runs on the task's node.

    A backend writes only below the directory it was given and never publishes.
    """

    name: str

    def probe(self) -> Capabilities:
        """Look at this node: tool, version, kernel, rights. Never raises for something missing."""
        ...

    def find_obstacle(self) -> str:
        """Return why a task cannot be launched on this node, empty if it can.

        Contract: cheap (well below 5 ms, starts no process), since every task asks; ``probe`` is thorough.
        """
        ...

    def build_launch(self, spec: TaskSpec) -> LaunchPlan:
        """Return how to start ``spec.argv`` so that it can be dumped later; pure."""
        ...

    def build_restore(self, spec: TaskSpec, image: TaskImage, data_dir: str) -> LaunchPlan:
        """Return how to bring a task back from ``data_dir`` in its place; pure.

        Args:
            spec: The new life of the task (new job id, node, run_dir).
            image: The task inside the image.
            data_dir: Absolute directory of its files, read only.
        """
        ...

    def wait_restored(self, task: TaskControl, image: TaskImage, *, timeout_seconds: float) -> None:
        """Wait until all processes of a restored task run; RestartTimeoutError if they do not.

        Asked only where ``LaunchPlan.restores_sibling`` is False: else the launcher knows by itself.
        """
        ...

    def check(self, task: TaskControl) -> tuple[Finding, ...]:
        """Look at a live task for what would make its image useless; touches nothing."""
        ...

    def checkpoint(
        self, task: TaskControl, data_dir: str, *, timeout_seconds: float, hold_seconds: float = 0
    ) -> DumpReport:
        """Dump one task into ``data_dir`` (exists, empty).

        Contract: after success the task runs, or stands still for at most ``hold_seconds``; after
        failure it runs. Files are written, not yet synced.

        Raises:
            CheckpointError: Failed; the message says what became of the task.
            CheckpointTimeoutError: ``timeout_seconds`` passed.
        """
        ...
