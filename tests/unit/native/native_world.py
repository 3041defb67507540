"""Slurm's own checkpoints in this process: the stand-in's answers, the test's clock, a store in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from native_slurm import NativeSlurm

from syscr.backends.native.controller import NativeController
from syscr.native.choice import NativeWay
from syscr.native.dumping import NativeDumper
from syscr.native.ordering import DumpOrder
from syscr.native.planning import NativePlanner
from syscr.native.restarting import NativeRestarter
from syscr.ports import Completed
from syscr.slurm.failure import build_failure
from syscr.slurm.scheduler import SlurmScheduler
from syscr.store.digest import sync_and_digest
from syscr.store.directory import DirectoryStore
from syscr.store.tree import read_tree, remove_tree
from syscr.testing.clock import FakeClock


class NativeRunner:
    """Answers Slurm's commands from a ``NativeSlurm`` at the clock's time."""

    def __init__(self, slurm: NativeSlurm, clock: FakeClock) -> None:
        self.slurm = slurm
        self.clock = clock

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.slurm.now = self.clock.now().timestamp()
        self.slurm.state["stdin"] = stdin or ""
        status, out, err = self.slurm.answer(argv)
        return Completed(tuple(argv), status, out, err)


@dataclass
class World:
    """One old Slurm, and what drives it.

    Attributes:
        folder: Where images go.
        state: The stand-in's state.
    """

    folder: Path
    state: dict[str, Any]
    clock: FakeClock = field(default_factory=FakeClock)
    progress: list[Mapping[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slurm = NativeSlurm(self.state, self.clock.now().timestamp())
        runner = NativeRunner(self.slurm, self.clock)
        self.controller = NativeController(runner, explain=build_failure)
        self.scheduler = SlurmScheduler(runner, self.clock)
        planner = NativePlanner(
            self.controller, self.scheduler, self.open_store, os.getuid(), "alice", str(self.folder)
        )
        order = DumpOrder(
            self.controller, self.scheduler, self.clock, lambda folder: read_tree(folder).sizes, remove_tree
        )  # fmt: skip
        self.dumper = NativeDumper(
            planner, order, self.scheduler, self.clock,
            lambda root, paths: sync_and_digest(root, paths, durable=False), "blake3", lambda _: None,
        )  # fmt: skip
        self.restarter = NativeRestarter(self.controller, self.scheduler, self.clock)
        self.way = NativeWay(
            self.controller, self.scheduler, lambda: (self.open_store(str(self.folder)),),
            lambda: self.dumper, lambda: self.restarter,
        )  # fmt: skip

    def open_store(self, path: str) -> DirectoryStore:
        return DirectoryStore(path, clock=self.clock, durable=False)
