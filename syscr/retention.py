"""Which images stay: a pure function that also says why.

Rules come from the request; protections hold whatever the rules say. The caller finds out which
jobs are unfinished, which images are in use and which are intact, and it does the deleting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from syscr.model import Image
from syscr.request import PruneRequest
from syscr.result import Decision
from syscr.units import format_duration

KEEP_TAG = "keep"


def _trust(_image: Image) -> bool:
    return True


def decide(
    images: Iterable[Image],
    request: PruneRequest,
    *,
    now: datetime,
    unfinished: Collection[str] = frozenset(),
    in_use: Collection[str] = frozenset(),
    is_intact: Callable[[Image], bool] = _trust,
    lineages: Collection[str] | None = None,
) -> tuple[Decision, ...]:
    """Decide for each image whether it stays.

    Contract: pure, as far as ``is_intact`` is. An image stays if a protection or a rule says so;
    the reason names the first that does. Protected are: the newest intact image of each step of an
    unfinished job, images in use, and those with the tag ``keep``. An image is whole by itself, so
    what its life was restored from is not protected. A damaged image is none of the last N, so that
    it never takes the place of a good one.

    Args:
        images: All images of the checkpoint directory, in any order.
        request: The rules; without any rule and without ``allow_empty`` everything stays.
        now: Current time, aware.
        unfinished: Lineages whose job is not known to be in a final state.
        in_use: Ids of images that somebody works with (a restart reads them).
        is_intact: Whether an image verifies; asked only of those for which it matters, newest
            first, at most once each.
        lineages: Only the images of these lines are decided on; None: all.

    Returns:
        One decision per image, oldest first.
    """
    asked = sorted(
        (one for one in images if lineages is None or one.manifest.lineage in lineages), key=_order
    )
    reasons: dict[str, str] = {}
    for group in _groups(asked):
        is_unfinished = group[0].manifest.lineage in unfinished
        wanted = max(request.keep_last or 0, 1 if is_unfinished else 0)
        good = _find_good(group, wanted, is_intact)
        for image in group:
            reason = _protect(image, good if is_unfinished else (), in_use)
            reason = reason or _apply_rules(image, request, now, good)
            if reason:
                reasons[image.image_id] = reason
    return tuple(
        Decision(image, True, reasons[image.image_id])
        if image.image_id in reasons
        else Decision(image, False, "no rule keeps it")
        for image in asked
    )


def _order(image: Image) -> tuple[datetime, str]:
    return (image.manifest.created_at, image.image_id)


def _groups(images: list[Image]) -> Iterable[list[Image]]:
    """Return the images of each job and step, newest first."""
    groups: dict[tuple[str, str], list[Image]] = defaultdict(list)
    for image in reversed(images):
        groups[image.manifest.lineage, image.manifest.step].append(image)
    return groups.values()


def _find_good(
    group: list[Image], wanted: int, is_intact: Callable[[Image], bool]
) -> tuple[str, ...]:
    """Return the ids of the newest intact images, newest first, ``wanted`` of them if there are."""
    good: list[str] = []
    for image in group:
        if len(good) == wanted:
            break
        if is_intact(image):
            good.append(image.image_id)
    return tuple(good)


def _protect(image: Image, good: tuple[str, ...], in_use: Collection[str]) -> str:
    """Return why an image stays whatever the rules say, or an empty text."""
    if image.image_id in good[:1]:
        return f"newest verified image of job {image.manifest.lineage}, which has not ended"
    if image.image_id in in_use:
        return "in use"
    return f"tag '{KEEP_TAG}'" if KEEP_TAG in image.manifest.tags else ""


def _apply_rules(image: Image, request: PruneRequest, now: datetime, good: tuple[str, ...]) -> str:
    """Return which rule keeps an image, or an empty text."""
    last, within = request.keep_last, request.keep_within_seconds
    if last is None and within is None and not request.keep_tags:
        return "" if request.allow_empty else "no rule was given"
    if last is not None and image.image_id in good[:last]:
        return "newest" if last == 1 else f"one of the newest {last}"
    if within is not None and (now - image.manifest.created_at).total_seconds() <= within:
        return f"younger than {format_duration(within)}"
    for tag in request.keep_tags:
        if tag in image.manifest.tags:
            return f"tag '{tag}'"
    return ""
