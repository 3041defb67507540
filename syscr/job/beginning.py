"""What a life does about the one before it: it makes sure that that one is over, and writes itself down.

Lives are kept for jobs with an agent (``--checkpoint``, ``--total-time``); see ``lives/``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime

from syscr.errors import ManifestError
from syscr.job.environment import TaskPlace
from syscr.lives import End, LifeBook, add_image, close_life, find_open, read_end
from syscr.model import Image, Life, StopReason
from syscr.ports import Clock, Store, StoreKey

log = logging.getLogger(__name__)


def end_last_life(
    book: LifeBook,
    place: TaskPlace,
    *,
    fence_seconds: float,
    clock: Clock,
    warn: Callable[[str], None],
    may_give_back: bool,
) -> int | None:
    """See to it that the life before has really ended, and that the book says how.

    Slurm can start a job once more whose program has ended by itself, after an earlier preemption (seen
    with 24.11.5, 2026-11: its PreemptTime stays set). Such a life gives back what the program gave.

    Args:
        book: The job's lives.
        place: This task, the first of its step.
        fence_seconds: How often a life looks whether there is a newer one.
        clock: Time.
        warn: Writes a line into the job's output.
        may_give_back: False: somebody has asked for this life.

    Returns:
        The exit code to end with, 0 to 255; None: this life goes on.
    """
    try:
        lives = book.read()
    except ManifestError as error:  # only the record is lost: images and fence are not
        kept = book.begin_anew(Life(place.number, place.restart_count, place.node, clock.now()))
        warn(f"{_tell_kept(error, kept)}, and the job goes on in {2 * fence_seconds:.0f} s")
        clock.sleep(2 * fence_seconds)
        return None
    if not lives or _is_own(lives[-1], place):
        return None
    last = lives[-1]
    if last.ended_at is None:
        ended = read_end(book.store, book.key, last)
        missing = find_open(book.store, book.key, last)
        if missing:
            ended = _wait_out(book, last, ended, missing, place, fence_seconds, clock, warn)
        last = close_life(last, ended)
        book.close(last)
    _drop_leases(book, {life.node for life in lives} - {place.node})
    if not may_give_back or last.reason is not StopReason.OWN_END or last.number != place.number:
        return None
    if last.exit_code is None:
        return None
    warn(
        f"the program of job {place.number} has ended by itself already, with {_name(last.exit_code)}; to run "
        f"it on from its last image use: syscr restart {place.number}"
    )
    return last.exit_code if last.exit_code >= 0 else 128 - last.exit_code


def is_overtaken(book: LifeBook, place: TaskPlace, came_at: datetime) -> bool:
    """Whether a later life of the same job has begun since this task came.

    A start can hang, on a node that is cut off, until Slurm has requeued the job. That such a life would begin
    after all must not make the later one an old one. Lives that are older than this task are not asked: numbers
    of jobs begin again where a controller has lost its state.

    Args:
        book: The job's lives.
        place: This task.
        came_at: When it came.
    """
    try:
        lives = book.read()
    except ManifestError:
        newest = book.read_fence()
        return (
            newest is not None
            and newest.number == place.number
            and newest.restart_count > place.restart_count
            and newest.started_ms >= came_at.timestamp() * 1000
        )
    return any(
        one.number == place.number
        and one.restart_count > place.restart_count
        and one.started_at >= came_at
        for one in lives
    )


def _drop_leases(book: LifeBook, nodes: Collection[str]) -> None:
    """Free the images of what a checkpoint holds that ended with a life on another node.

    Without it no image of this life could be taken until that lease is stale, two minutes later. Not of the
    last life alone: that may have been ended before it came to this. On its own node it is seen whether the
    process lives.
    """
    for node in nodes:
        for holder in book.store.drop_leases(book.key, node, purpose="checkpoint"):
            log.info("a lease of an earlier life was dropped: %s", holder)


def await_last_life(book: LifeBook, place: TaskPlace, fence_seconds: float, clock: Clock) -> None:
    """Wait as the first task does, in any other task, where nobody saw the end of the life before.

    Its copy of this task may run on another node than that of the first task. Nothing is written.
    """
    try:
        others = _list_others(book, place)
    except ManifestError:
        clock.sleep(2 * fence_seconds)
        return
    if not others:
        if book.has_begun_anew(place.number, place.restart_count):
            clock.sleep(2 * fence_seconds)  # as the first task does
        return
    last = others[-1]  # the first task may have closed it meanwhile: the launchers' notes count
    if find_open(book.store, book.key, last):
        clock.sleep(_find_wait(last, fence_seconds))


def begin_life(
    store: Store,
    key: StoreKey,
    place: TaskPlace,
    image: Image | None,
    now: datetime,
    *,
    fence_seconds: float,
    warn: Callable[[str], None],
) -> None:
    """Enter this life into the book; from now on every other copy is an old one."""
    book = LifeBook(store, key)
    life = Life(
        number=place.number,
        restart_count=place.restart_count,
        node=place.node,
        started_at=now,
        restored_from=image.image_id if image else "",
        fence_seconds=fence_seconds,
        task_count=place.task_count,
    )
    try:
        _note_image(book, place, image)
        book.begin(life)
    except ManifestError as error:
        warn(_tell_kept(error, book.begin_anew(life)))


def _tell_kept(error: ManifestError, kept: str) -> str:
    """Return what is said of a record that could not be read."""
    where = f"; it is kept as '{kept}'" if kept else ""
    return f"{error.message}{where}; the record of the job's lives begins anew"


def _wait_out(
    book: LifeBook,
    last: Life,
    ended: End | None,
    missing: tuple[int, ...],
    place: TaskPlace,
    fence_seconds: float,
    clock: Clock,
    warn: Callable[[str], None],
) -> End | None:
    """Tell a life of which some end is not written down that it is over; wait until it must have seen that.

    It is closed in the same breath in which this one begins: should this one be ended while it waits, the last
    life does not stay open; and if it is ended before that, the next one waits.
    """
    wait = _find_wait(last, fence_seconds)
    whose = f"on {last.node}" if 0 in missing else f"of task {missing[0]}"
    warn(
        f"nobody saw the end of this job's last life, {whose}; it starts in {wait:.0f} s, when no "
        "older copy can run any more"
    )
    book.begin(
        Life(
            place.number,
            place.restart_count,
            place.node,
            clock.now(),
            fence_seconds=fence_seconds,
            task_count=place.task_count,
        ),
        last=close_life(last, ended),
    )
    clock.sleep(wait)
    return read_end(book.store, book.key, last)


def _find_wait(last: Life, fence_seconds: float) -> float:
    """Return after how long an older copy must have seen that it is over, in seconds; it looks as it was told."""
    return 2 * max(fence_seconds, last.fence_seconds)


def _list_others(book: LifeBook, place: TaskPlace) -> list[Life]:
    """Return all lives but this one, oldest first."""
    return [life for life in book.read() if not _is_own(life, place)]


def _note_image(book: LifeBook, place: TaskPlace, image: Image | None) -> None:
    """Remember the image that the life before ended with, where it was not the agent's own."""
    if image is None:
        return
    others = _list_others(book, place)
    if not others:
        return
    life = add_image(others[-1], image)
    if life != others[-1]:
        book.close(life)


def _is_own(life: Life, place: TaskPlace) -> bool:
    return (life.number, life.restart_count) == (place.number, place.restart_count)


def _name(exit_code: int) -> str:
    return f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
