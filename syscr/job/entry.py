"""This life's entry in the record of a job's lives, as the agent keeps it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from syscr.errors import ManifestError, SyscrError
from syscr.lives import LifeBook
from syscr.model import Image, Life, StopReason
from syscr.ports import Clock

log = logging.getLogger(__name__)

_MENDED = (
    "the record of earlier lives cannot be read and begins anew; their running time is not known"
)


@dataclass(slots=True)
class LifeEntry:
    """One life as it is in the book; that it cannot be written down is logged, and no more.

    Attributes:
        life: The life.
        book: Lives of the job.
        clock: Time.
    """

    life: Life
    book: LifeBook
    clock: Clock
    _said: str = ""

    def ensure(self) -> None:
        """Enter this life again, should an older copy have written the record over."""
        self._attempt(self.book.ensure)

    def read_all(self) -> tuple[Life, ...]:
        """Return all lives of the job; where the record cannot be read, this one alone."""
        try:
            return self.book.read()
        except SyscrError as error:
            log.warning("%s", error.message)
            return (self.life,)

    def note_image(self, image: Image) -> None:
        """Take note of an image of this life."""
        self._write(image_id=image.image_id, image_at=image.manifest.created_at, note="")

    def note_failure(self, message: str) -> None:
        """Take note of an image that could not be taken; a newer one makes that forgotten."""
        self._write(note=message, noted_at=self.clock.now())

    def note_next(self, at: datetime | None) -> None:
        """Take note of when the next periodic image is due; a second more or less is nothing new."""
        known = self.life.next_at
        if at is None or known is None or abs((at - known).total_seconds()) > 1:
            self._write(next_at=at)

    def remark(self, note: str) -> None:
        """Leave a remark for people, in the log too."""
        log.warning("%s", note)
        self._write(note=note, noted_at=self.clock.now())

    def expect(self, reason: StopReason) -> None:
        """Write down why the program is about to get a signal; should it end, that is why."""
        self._write(reason=reason)

    def close(self, reason: StopReason, image: Image | None = None) -> None:
        """Write down the end of this life, with its last image if there is one."""
        if image is None:
            self._write(ended_at=self.clock.now(), reason=reason, next_at=None)
            return
        self._write(
            image_id=image.image_id,
            image_at=image.manifest.created_at,
            ended_at=self.clock.now(),
            reason=reason,
            next_at=None,
            note="",
        )

    def is_stuck(self, lives: Sequence[Life], most: int) -> bool:
        """Whether nothing has come of the last ``most`` lives, this one included.

        Those that were lost do not count: a node that fails says nothing of the program, and it was not we who
        asked for another life.
        """
        recent = [life for life in lives if life.reason is not StopReason.LOST][-most:]
        if len(recent) < most or any(one.image_id for one in recent):
            return False
        self.remark(f"not requeued: {most} lives in a row brought no image")
        return True

    def _write(self, **changes: object) -> None:
        self.life = replace(self.life, **changes)  # type: ignore[arg-type]
        self._attempt(self.book.update)

    def _attempt(self, write: Callable[[Life], None]) -> None:
        """Write this life down; what cannot be done is said once, though it is tried each time."""
        try:
            try:
                write(self.life)
            except ManifestError as error:
                self._mend(error)
        except SyscrError as error:
            if error.message != self._said:
                log.warning("cannot write down this life: %s", error.message)
            self._said = error.message

    def _mend(self, error: ManifestError) -> None:
        """Begin the record anew that cannot be read; raises the error where a newer life is there."""
        life = self.life
        if not life.note:
            life = replace(life, note=_MENDED, noted_at=self.clock.now())
        kept = self.book.mend(life)
        if kept is None:
            raise error
        self.life = life
        where = f"; it is kept as '{kept}'" if kept else ""  # gone by itself
        log.warning("%s%s; %s", error.message, where, _MENDED)
