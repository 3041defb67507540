"""The nodes of a job that lives on this one alone: no step, no Slurm in between.

An agent needs that for a last image: Slurm starts no steps in a job that is ending. Measured with 22.05
to 26.05, 2026-11: ``srun --overlap`` into a COMPLETING job is refused within 2 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from syscr.job.worker import NodeWorker
from syscr.model import Job, NodeReport
from syscr.wire import WorkerRequest, build_error


@dataclass(frozen=True, slots=True)
class LocalWorkers:
    """Does the work of ``syscr worker`` in this process; see ``ports.Workers``.

    Attributes:
        worker: The worker of this node.
        timeout_seconds: Limit for requests that name none.
    """

    worker: NodeWorker
    timeout_seconds: float

    def inspect(
        self,
        job: Job,
        *,
        step: str | None,
        keep_seconds: float = 0.0,  # noqa: ARG002 - there is nobody to keep
    ) -> tuple[NodeReport, ...]:
        """Look at the tasks; see ``ports.Workers.inspect``."""
        return self._do(
            WorkerRequest("inspect", job.number, step, timeout_seconds=self.timeout_seconds)
        )

    def dump(
        self,
        job: Job,
        *,
        step: str,
        staging_dir: str,
        hold_seconds: float,
        timeout_seconds: float,
        progress: Callable[[Mapping[str, object]], None],  # noqa: ARG002 - nobody looks
        together: bool = False,
    ) -> tuple[NodeReport, ...]:
        """Dump the tasks of a step; see ``ports.Workers.dump``."""
        return self._do(
            WorkerRequest(
                "dump",
                job.number,
                step,
                staging_dir=staging_dir,
                hold_seconds=hold_seconds,
                timeout_seconds=timeout_seconds,
                node_count=1,
                together=together,
            )
        )

    def finish(self, job: Job, *, step: str, action: str) -> tuple[NodeReport, ...]:
        """End the hold; see ``ports.Workers.finish``."""
        return self._do(
            WorkerRequest(
                "finish",
                job.number,
                step,
                timeout_seconds=self.timeout_seconds,
                finish_action=action,
            )
        )

    def release(self, job: Job, *, wait: bool = True) -> None:
        """Nobody waits."""

    def _do(self, request: WorkerRequest) -> tuple[NodeReport, ...]:
        report = self.worker.run(request)
        if report.error is not None:
            raise build_error(dict(report.error), "")
        return (report,)
