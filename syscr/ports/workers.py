"""The nodes of a running job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from syscr.model import Job, NodeReport


class Workers(Protocol):
    """The nodes of a running job, reached through Slurm as the job's owner."""

    def inspect(
        self, job: Job, *, step: str | None, keep_seconds: float = 0.0
    ) -> tuple[NodeReport, ...]:
        """Find the checkpointable tasks of a job and look at them; touches nothing.

        Args:
            job: The job.
            step: The step; None: all.
            keep_seconds: For so long the workers may wait for a ``dump``, which then need not start them
                again; ``release`` sends them away. 0: they leave at once.

        Returns:
            One report per node of the job, in node order; a node without tasks has none.

        Raises:
            CheckpointError: A node did not answer; names it.
            JobStateError: The job ended meanwhile.
        """
        ...

    def dump(
        self,
        job: Job,
        *,
        step: str,
        staging_dir: str,
        hold_seconds: float,
        timeout_seconds: float,
        progress: Callable[[Mapping[str, object]], None],
        together: bool = False,
    ) -> tuple[NodeReport, ...]:
        """Dump all tasks of a step into ``staging_dir/data/<rank>/``, sync and digest them.

        Contract: after success every file is on disk and digested, and the tasks run again, or stand
        still for at most ``hold_seconds`` where that is not 0. After failure the tasks run.

        Args:
            job: The job.
            step: The step.
            staging_dir: Private directory on shared storage, made by the caller.
            hold_seconds: Keep the tasks stopped that long after the dump, until ``finish`` is called;
                when the time is over they go on by themselves.
            timeout_seconds: Limit for the whole.
            progress: Called with ``{"type", "node", ...}`` objects as they come.
            together: End the hold once all tasks are dumped, so that none writes to what another one is
                still to be dumped with; ``finish`` is not called.

        Raises:
            CheckpointError, CheckpointTimeoutError: Dump failed; tasks run on.
            StoreFullError: No space; tasks run on.
        """
        ...

    def finish(self, job: Job, *, step: str, action: str) -> tuple[NodeReport, ...]:
        """End the hold: ``resume`` lets the tasks go on, ``kill`` ends them and keeps the step alive.

        After ``kill`` the launcher waits for Slurm to end the step (cancel or requeue), for at most a
        minute; then it leaves with exit code 75: a job that is not done must not look like one that is.
        """
        ...

    def release(self, job: Job, *, wait: bool = True) -> None:
        """Send workers away that still wait for a request; harmless where none do, never raises.

        Args:
            job: The job.
            wait: Until they have gone; else call it again before the end.
        """
        ...
