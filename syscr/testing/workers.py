"""Nodes in memory: tasks that answer, fail or stand still as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from syscr.errors import JobStateError, SyscrError
from syscr.model import Finding, HostFacts, Job, JobState, NodeReport, TaskImage, TaskSpec

Progress = Callable[[Mapping[str, object]], None]
Dump = Callable[[TaskSpec, str], TaskImage]


class FakeWorkers:
    """Implements ``ports.Workers``; see there for the contracts.

    Attributes:
        tasks: Tasks of all jobs.
        findings: What ``inspect`` reports, by node.
        failures: Method name -> error that it raises next time, once.
        on_dump: Called with a task and the staging directory; writes files if the test wants any.
        reports: Node -> report of ``dump`` to give instead of the made-up one.
        held: (number, step) of the tasks that stand still.
        killed: (number, step) of the tasks that were ended.
        kept: Numbers of the jobs whose workers wait.
        together: (number, step) of the tasks that went on only when all were dumped.
        written: Node -> what its tasks have open for writing.
        calls: What was asked, in order, as ("dump", number, step).
    """

    def __init__(self, tasks: Iterable[TaskSpec] = ()) -> None:
        """Start with some tasks."""
        self.tasks = list(tasks)
        self.findings: dict[str, tuple[Finding, ...]] = {}
        self.failures: dict[str, SyscrError] = {}
        self.on_dump: Dump = _describe
        self.reports: dict[str, NodeReport] = {}
        self.held: set[tuple[int, str]] = set()
        self.killed: set[tuple[int, str]] = set()
        self.kept: set[int] = set()
        self.together: set[tuple[int, str]] = set()
        self.written: dict[str, tuple[str, ...]] = {}
        self.calls: list[tuple[object, ...]] = []

    def inspect(
        self, job: Job, *, step: str | None, keep_seconds: float = 0.0
    ) -> tuple[NodeReport, ...]:
        """Report the tasks and findings of each node."""
        self._answer("inspect", job, step)
        if keep_seconds > 0:
            self.kept.add(job.number)
        return tuple(
            NodeReport(
                node,
                tasks=self._on(job, node, step),
                findings=self.findings.get(node, ()),
                host=HostFacts(node, architecture="x86_64"),
                processes=len(self._on(job, node, step)),
                resident_bytes=1 << 20,
                written=self.written.get(node, ()),
            )
            for node in job.nodes
        )

    def dump(
        self,
        job: Job,
        *,
        step: str,
        staging_dir: str,
        hold_seconds: float,
        timeout_seconds: float,
        progress: Progress,
        together: bool = False,
    ) -> tuple[NodeReport, ...]:
        """Describe each task as dumped; hold them where that is asked for."""
        del timeout_seconds
        self._answer("dump", job, step)
        reports = []
        for node in job.nodes:
            tasks = self._on(job, node, step)
            images = tuple(self.on_dump(task, staging_dir) for task in tasks)
            host = HostFacts(node, architecture="x86_64")
            report = NodeReport(node, tasks=tasks, images=images, host=host)
            reports.append(replace(self.reports.get(node, report), node=node))
            progress({"type": "progress", "node": node, "phase": "dump", **_BYTES})
        if together:
            self.together.add((job.number, step))
        elif hold_seconds > 0:
            self.held.add((job.number, step))
        return tuple(reports)

    def finish(self, job: Job, *, step: str, action: str) -> tuple[NodeReport, ...]:
        """End the hold; ``kill`` ends the tasks as well."""
        self._answer(f"finish {action}", job, step)
        self.held.discard((job.number, step))
        if action == "kill":
            self.release(job)
            self.killed.add((job.number, step))
            self.tasks = [
                task for task in self.tasks if (task.number, task.step) != (job.number, step)
            ]
        return tuple(NodeReport(node) for node in job.nodes)

    def release(self, job: Job, *, wait: bool = True) -> None:
        """Take note that no worker waits any more."""
        del wait
        self.kept.discard(job.number)

    def _answer(self, method: str, job: Job, step: str | None) -> None:
        self.calls.append((method, job.number, step))
        error = self.failures.pop(method, None)
        if error is not None:
            raise error
        if job.state is not JobState.RUNNING:
            raise JobStateError(
                f"cannot look into job {job.job_id}: the job is {job.raw_state}",
                state=job.raw_state,
            )

    def _on(self, job: Job, node: str, step: str | None) -> tuple[TaskSpec, ...]:
        return tuple(
            task
            for task in self.tasks
            if task.number == job.number and task.node == node and step in {None, task.step}
        )


_BYTES: Mapping[str, object] = {"bytes_done": 1 << 20, "bytes_total": 1 << 20}


def _describe(task: TaskSpec, staging_dir: str) -> TaskImage:
    del staging_dir
    return TaskImage(task.rank, task.node, f"data/{task.rank}", argv=task.argv)
