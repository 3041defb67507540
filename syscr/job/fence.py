"""A copy of a job that a cut-off node still runs ends itself, once there is a newer life of the job.

The next life writes itself down first and then waits for twice the time between two looks, so that it
never runs beside an old one (``beginning.py``). A thread of its own looks: neither a long dump nor a
Slurm that does not answer may keep it from that.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Protocol

from syscr.errors import SyscrError
from syscr.lives import LifeBook
from syscr.model import Life
from syscr.ports import Clock

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_INSIST_SECONDS = 600.0

EXIT_UNFINISHED = 75
"""Exit code of a job, or a copy of one, that has not come to its end; EX_TEMPFAIL of sysexits.h."""

FENCED = "fenced"
"""Word in the launcher's note of the end; see ``lives.End``."""


class Launcher(Protocol):
    """What a fence needs of ``job.control.LauncherControl``."""

    def kill(self, how: str = ...) -> None:
        """End the program."""

    def leave(self, exit_code: int) -> None:
        """End the step."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Looks whether a life is still the newest one.

    Attributes:
        book: Lives of the job.
        life: This one.
        launcher: The launcher of the task.
        every_seconds: Time between two looks.
        clock: Time.
    """

    book: LifeBook
    life: Life
    launcher: Launcher
    every_seconds: float
    clock: Clock

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._serve, daemon=True, name="fence").start()

    def check(self) -> bool:
        """Look once; returns whether this copy has ended itself. What cannot be read ends nobody."""
        try:
            if self.book.is_current(self.life):
                self.book.ensure(self.life)
                return False
        except SyscrError as error:
            log.warning("%s", error.message)
            return False
        log.warning("there is a newer life of this job: this copy ends")
        return self._end()

    def _end(self) -> bool:
        """End this copy; the launcher refuses while a dump keeps the program still, so it is asked until then."""
        deadline = self.clock.monotonic() + _INSIST_SECONDS
        while True:
            try:
                self.launcher.kill(FENCED)
                self.launcher.leave(EXIT_UNFINISHED)  # if Slurm ever hears of it: it is not done
            except SyscrError as error:
                log.warning("%s", error.message)
                if self.clock.monotonic() >= deadline:
                    return False
                self.clock.sleep(_AGAIN_SECONDS)
            else:
                return True

    def _serve(self) -> None:
        while True:
            self.clock.sleep(self.every_seconds)
            try:
                if self.check():
                    return
            except Exception:
                log.exception("fault in syscr")
