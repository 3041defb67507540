"""What a keeper is told, and whom it asks; see ``keeper.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from syscr.model import JobId, Outlook, SiteTimes


class OutlookSource(Protocol):
    """What Slurm has in mind; see ``slurm.outlook.SlurmOutlook``."""

    def look(self, job_id: JobId, *, within_seconds: float | None = None) -> Outlook:
        """Return what Slurm has in mind for a job; where it does not say within this time, an error."""
        ...

    def site_times(self, partition: str) -> SiteTimes:
        """Return the site's times."""
        ...

    def is_draining(self, node: str) -> bool:
        """Whether a node is to take no more jobs."""
        ...

    def find_stops(self, partition: str) -> tuple[float, int]:
        """Return the running time of the user's jobs, and how often it was broken off."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What a job's keeper shall do.

    Attributes:
        requeue: Put the job back into the queue after its last image.
        hold: It then waits for ``scontrol release``.
        poll_seconds: How often Slurm is asked (drain, preemption, a changed time limit); 0: never.
        on_drain: ``checkpoint``, ``requeue`` or ``ignore``.
        total_seconds: Running time of all lives together; 0: without limit.
        mtbf_seconds: Mean running time between two failures where there is no history.
        stuck_lives: After so many lives in a row without an image, lost ones left out, the job is not requeued
            any more.
    """

    requeue: bool = True
    hold: bool = False
    poll_seconds: float = 120.0
    on_drain: str = "checkpoint"
    total_seconds: float = 0.0
    mtbf_seconds: float = 86400.0
    stuck_lives: int = 3
