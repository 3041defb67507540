"""When a job has to take its last image, and why it is being stopped; pure.

What Slurm sends whom, and when, differs by version and configuration; the facts that this rests on were
measured with 22.05, 24.11 and 26.05 and are listed in docs/explanation/staying-alive.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from syscr.model import JobState, Outlook, SiteTimes, StopReason

_LEAST_LEAD_SECONDS = 30.0
_MARGIN = 1.3
_MARGIN_SECONDS = 1.0
_TYPICAL_SHARE = 0.1
_LARGEST_SHARE = 0.5
# Slurm enforces time limits a little late, never early. Seen with 24.11.5, 2026-11: 6 to 21 s late.
_EARLY_SECONDS = 2.0
_BYTES_PER_SECOND = 200e6
_FIXED_SECONDS = 2.0
_FIRST_LOOK_SECONDS = 20.0
_LEAST_POLL_SECONDS = 5.0


def estimate_cost(resident_bytes: int, measured_seconds: float | None) -> float:
    """Return how long a checkpoint takes, in seconds: as the last one did, else by the memory.

    Example:
        >>> estimate_cost(0, None), estimate_cost(10**9, 3.5)
        (2.0, 3.5)
    """
    if measured_seconds is not None:
        return measured_seconds
    return _FIXED_SECONDS + resident_bytes / _BYTES_PER_SECOND


def find_lead(cost_seconds: float, limit_seconds: float | None) -> float:
    """Return how long before its time limit a job begins its last checkpoint.

    1.3 times what a checkpoint takes, and 30 s at least; but of a short limit no more than a tenth unless
    the checkpoint itself needs more, and never more than half.

    Example:
        >>> find_lead(2.0, 3600.0), find_lead(100.0, 3600.0), find_lead(2.0, 60.0), find_lead(50.0, 60.0)
        (30.0, 131.0, 6.0, 30.0)
    """
    need = _MARGIN * cost_seconds + _MARGIN_SECONDS
    if limit_seconds is None:
        return max(_LEAST_LEAD_SECONDS, need)
    lead = max(min(_LEAST_LEAD_SECONDS, _TYPICAL_SHARE * limit_seconds), need)
    return min(lead, _LARGEST_SHARE * limit_seconds)


def judge_stop(
    outlook: Outlook, *, restart_count: int, started_at: datetime, now: datetime
) -> StopReason | None:
    """Say why Slurm tells a job to end, where it will or may live again; None: it is to end.

    Args:
        outlook: What Slurm says now.
        restart_count: That of this life.
        started_at: When this life began: an older preemption ended an earlier one.
        now: Now.
    """
    # Slurm's times are whole seconds: it can be preempted in the second in which it began.
    began = started_at.replace(microsecond=0)
    if outlook.preempted_at is not None and outlook.preempted_at >= began:
        return StopReason.PREEMPTION
    if outlook.restart_count > restart_count:
        return StopReason.REQUEUE
    if outlook.state is JobState.CANCELLED:
        return None
    early = timedelta(seconds=_EARLY_SECONDS)
    if outlook.reason == "TimeLimit" or outlook.raw_state == "TIMEOUT":
        return StopReason.TIME_LIMIT
    if outlook.end_at is not None and outlook.end_at <= now + early:
        return StopReason.TIME_LIMIT if outlook.state is JobState.RUNNING else None
    return None


def is_ending(outlook: Outlook) -> bool:
    """Whether Slurm has done with this life of the job, whatever for."""
    return outlook.state.is_final or outlook.state is JobState.COMPLETING


def find_poll(poll_seconds: float, cost_seconds: float, site: SiteTimes) -> float:
    """Return how often Slurm is asked what it has in mind, in seconds; 0: never.

    A batch job learns of its preemption only at the end of the grace, when ``KillWait`` is all that is
    left (24.11.5, 2026-11). Where a checkpoint takes longer than that, it has to look for itself.

    Example:
        >>> find_poll(120.0, 2.0, SiteTimes(30.0, 60.0)), find_poll(120.0, 40.0, SiteTimes(30.0, 60.0))
        (120.0, 15.0)
    """
    if (
        site.grace_seconds <= 0
        or not poll_seconds
        or has_time(cost_seconds, site.kill_wait_seconds)
    ):
        return poll_seconds
    return min(poll_seconds, max(_LEAST_POLL_SECONDS, site.grace_seconds / 4))


def spread(number: int) -> float:
    """Return by what a job lengthens its time between two looks: thousands that began together drift apart.

    Example:
        >>> spread(32), spread(16)
        (1.0, 1.05)
    """
    return 1.0 + number % 32 / 320


def find_first_look(number: int, poll_seconds: float) -> float:
    """Return how long a life that has just begun leaves Slurm alone, in seconds.

    It asks half a dozen questions, and the tasks of an array begin together. What Slurm wants of the job
    meanwhile comes with SIGTERM, and makes it ask at once.

    Example:
        >>> find_first_look(4711, 120.0), find_first_look(4711, 1.0), find_first_look(4736, 120.0)
        (12.1875, 0.609375, 0.0)
    """
    return number % 64 / 64 * min(poll_seconds, _FIRST_LOOK_SECONDS)


def has_time(cost_seconds: float, left_seconds: float) -> bool:
    """Whether a checkpoint can be finished before SIGKILL; if not it must not even begin."""
    return find_spare(cost_seconds, left_seconds) > 0


def find_spare(cost_seconds: float, left_seconds: float) -> float:
    """Return how long a checkpoint may be put off so that it is still finished in time, in seconds."""
    return left_seconds - _MARGIN * cost_seconds
