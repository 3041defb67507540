"""The lives of a job as text; pure."""

from __future__ import annotations

from datetime import UTC, datetime

from syscr.cli.output import align
from syscr.model import Life, StopReason
from syscr.result import JobStatus
from syscr.units import format_duration

_HEAD = ("LIFE", "NODE", "STARTED", "RAN", "KEPT", "ENDED BY")
_SHOWN = 10


def summarize_lives(status: JobStatus, now: datetime) -> list[tuple[str, str]]:
    """Return rows that say how far a job that keeps itself alive has come; none for other jobs."""
    if not status.lives:
        return []
    kept, lost = format_duration(status.kept_seconds), format_duration(status.lost_seconds)
    rows = [("lives", f"{len(status.lives)}; {kept} of running time kept, {lost} lost")]
    last = status.lives[-1]
    if last.ended_at is None and last.next_at is not None:
        left = (last.next_at - now).total_seconds()
        rows.append(("next", f"checkpoint in {format_duration(left)}" if left > 0 else "now"))
    return rows


def list_lives(status: JobStatus, now: datetime) -> list[str]:
    """Return a table of the newest lives, and what the agent has remarked about the last one."""
    if not status.lives:
        return []
    numbered = list(enumerate(status.lives, 1))[-_SHOWN:]
    rows = [_HEAD, *((str(number), *_row(life, now)) for number, life in numbered)]
    note = status.lives[-1].note
    return [align(rows, indent="    "), *([f"  note: {note}"] if note else [])]


def _row(life: Life, now: datetime) -> tuple[str, ...]:
    ran = max(0.0, ((life.ended_at or now) - life.started_at).total_seconds())
    kept = "-"
    if life.reason is StopReason.OWN_END:
        kept = format_duration(ran)
    elif life.image_at is not None:
        kept = format_duration(max(0.0, (life.image_at - life.started_at).total_seconds()))
    return (
        life.node,
        life.started_at.astimezone(UTC).strftime("%m-%d %H:%M:%SZ"),
        format_duration(ran) if life.reason is not StopReason.LOST else "?",
        kept,
        _name_end(life),
    )


def _name_end(life: Life) -> str:
    if life.ended_at is None:
        return "-"
    reason = str(life.reason or "?")
    if life.exit_code is None:
        return reason
    code = life.exit_code
    return f"{reason}, exit code {code}" if code >= 0 else f"{reason}, signal {-code}"
