"""A backend that starts programs as they are and writes images of one small file; runs no tool."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from syscr.errors import SyscrError
from syscr.model import Finding, TaskImage, TaskSpec
from syscr.ports import Capabilities, DumpReport, LaunchPlan, TaskControl

IMAGE_FILE = "memory.img"


@dataclass
class FakeBackend:
    """Implements ``ports.Backend``; see there for the contracts.

    Attributes:
        name: Its name.
        obstacle: What ``find_obstacle`` answers.
        findings: What ``check`` reports.
        failures: Method name -> error that it raises next time, once.
        report: What ``checkpoint`` returns.
        plan: What ``build_launch`` returns; None: the program itself.
        calls: What was asked, in order, as ("checkpoint", rank).
    """

    name: str = "fake"
    obstacle: str = ""
    findings: tuple[Finding, ...] = ()
    failures: dict[str, SyscrError] = field(default_factory=dict)
    report: DumpReport = field(default_factory=DumpReport)
    plan: LaunchPlan | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def probe(self) -> Capabilities:
        """Say that everything is there, or what ``obstacle`` says."""
        missing = (self.obstacle,) if self.obstacle else ()
        return Capabilities(self.name, tool_version="1.0", missing=missing)

    def find_obstacle(self) -> str:
        """Return ``obstacle``."""
        return self.obstacle

    def build_launch(self, spec: TaskSpec) -> LaunchPlan:
        """Start the program as it is."""
        self._answer("build_launch", spec)
        return self.plan or LaunchPlan(spec.argv)

    def build_restore(self, spec: TaskSpec, image: TaskImage, data_dir: str) -> LaunchPlan:
        """Print the image file in the program's place."""
        del image
        self._answer("build_restore", spec)
        return LaunchPlan(("cat", f"{data_dir}/{IMAGE_FILE}"))

    def wait_restored(self, task: TaskControl, image: TaskImage, *, timeout_seconds: float) -> None:
        """Take note; the program runs at once."""
        del image, timeout_seconds
        self._answer("wait_restored", task.spec)

    def check(self, task: TaskControl) -> tuple[Finding, ...]:
        """Return ``findings``."""
        self._answer("check", task.spec)
        return self.findings

    def checkpoint(
        self, task: TaskControl, data_dir: str, *, timeout_seconds: float, hold_seconds: float = 0
    ) -> DumpReport:
        """Write one file; stop the task where a hold is asked for."""
        del timeout_seconds
        self._answer("checkpoint", task.spec)
        Path(data_dir, IMAGE_FILE).write_text(f"memory of task {task.spec.rank}\n")
        if hold_seconds > 0:
            task.hold(hold_seconds)
        return self.report

    def _answer(self, method: str, spec: TaskSpec) -> None:
        self.calls.append((method, spec.rank))
        error = self.failures.pop(method, None)
        if error is not None:
            raise error
