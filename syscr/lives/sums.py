"""Sums over the lives of a job, and the newest image of one; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from syscr.lives.names import is_same
from syscr.model import Image, Life, StopReason


def sum_earlier(lives: Sequence[Life], life: Life) -> float:
    """Return the running time of all lives but one, in seconds; one without an end ended with its image."""
    return sum(
        max(
            0.0, ((one.ended_at or one.image_at or one.started_at) - one.started_at).total_seconds()
        )
        for one in lives
        if not is_same(one, life)
    )


def sum_time(lives: Sequence[Life], now: datetime) -> tuple[float, float]:
    """Return how much running time of all lives was kept and how much was lost, in seconds.

    Kept is what an image holds, or what led to the program's own end; lost is what ran after a life's
    newest image. The life that runs now has lost nothing yet.
    """
    kept = lost = 0.0
    for life in lives:
        end = life.ended_at or now
        ran = max(0.0, (end - life.started_at).total_seconds())
        if life.ended_at is None or life.reason is StopReason.OWN_END:
            kept += ran
            continue
        saved = (life.image_at - life.started_at).total_seconds() if life.image_at else 0.0
        saved = min(max(0.0, saved), ran)
        kept += saved
        lost += ran - saved
    return kept, lost


def add_image(life: Life, image: Image) -> Life:
    """Return a life with an image that somebody else than its agent has taken of it, if it is its newest."""
    created_at = image.manifest.created_at
    if created_at >= life.started_at and (life.image_at is None or created_at > life.image_at):
        return replace(life, image_id=image.image_id, image_at=created_at)
    return life
