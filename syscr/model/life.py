"""Lives of a job: what ends them, and what Slurm has in mind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from syscr.model.job import JobState


@dataclass(frozen=True, slots=True)
class Outlook:
    """What Slurm has in mind for a running job; no user text in it.

    Attributes:
        state: State.
        raw_state: State in Slurm's words.
        reason: Slurm's reason field, "None" where there is none.
        end_at: When the job is to end (time limit, or the end of a preemption's grace); None: never.
        preempted_at: When Slurm decided to preempt it; None: never. Slurm keeps it in later lives.
        restart_count: How often the job has been requeued; counted as soon as a requeue is asked for.
    """

    state: JobState
    raw_state: str = ""
    reason: str = "None"
    end_at: datetime | None = None
    preempted_at: datetime | None = None
    restart_count: int = 0


@dataclass(frozen=True, slots=True)
class SiteTimes:
    """What the site's configuration gives a job that has to end.

    Attributes:
        kill_wait_seconds: Between SIGTERM and SIGKILL (``KillWait``).
        grace_seconds: Between the decision to preempt a job of the partition and SIGTERM (``GraceTime``).
    """

    kill_wait_seconds: float = 30.0
    grace_seconds: float = 0.0


class StopReason(StrEnum):
    """Why a life of a job ended."""

    TIME_LIMIT = "time limit"
    PREEMPTION = "preemption"
    REQUEUE = "requeue"
    VACATE = "vacate or requeue by syscr"
    DRAIN = "drain"
    BUDGET = "total time"
    USER = "user"
    OWN_END = "own end"
    FENCED = "newer life"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a job: from a start of its program to the end of that process tree.

    Attributes:
        number: Plain job number.
        restart_count: How often that job had been requeued.
        node: Where it ran.
        started_at: When.
        restored_from: Image that it continued from; empty: it began afresh.
        ended_at: When it ended; None: it runs, or nobody could write it down.
        reason: Why it ended; None as before.
        image_id: Newest image of this life; empty: none.
        image_at: When that was taken.
        next_at: When the next checkpoint is due; None: none is planned.
        exit_code: Of the program, where it ended by itself; minus the signal where that ended it.
        note: Remark for people.
        noted_at: When that was made.
        fence_seconds: How often it looks whether there is a newer life; 0: not known.
        task_count: Tasks of the step.
    """

    number: int
    restart_count: int
    node: str
    started_at: datetime
    restored_from: str = ""
    ended_at: datetime | None = None
    reason: StopReason | None = None
    image_id: str = ""
    image_at: datetime | None = None
    next_at: datetime | None = None
    exit_code: int | None = None
    note: str = ""
    noted_at: datetime | None = None
    fence_seconds: float = 0.0
    task_count: int = 1
