"""Whose checkpoints a job gets: those of Slurm itself, or those of syscr's own launchers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syscr.errors import StoreError
from syscr.model import Image, Target
from syscr.native.naming import NAME
from syscr.ports import CheckpointController, Scheduler, Store, StoreKey
from syscr.selection import CONTINUES, SUBMISSION

if TYPE_CHECKING:
    from syscr.native.dumping import NativeDumper
    from syscr.native.restarting import NativeRestarter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NativeWay:
    """Slurm's own checkpoints, and for which jobs they are taken.

    Attributes:
        controller: Slurm's commands.
        scheduler: Slurm.
        stores: Returns the stores that this user is known to use.
        build_dumper: Returns what writes images; called where it is needed, as few jobs do.
        build_restarter: Returns what brings jobs back; as before.
        is_allowed: Whether the settings allow it.
    """

    controller: CheckpointController
    scheduler: Scheduler
    stores: Callable[[], tuple[Store, ...]]
    build_dumper: Callable[[], NativeDumper]
    build_restarter: Callable[[], NativeRestarter]
    is_allowed: bool = True

    def takes(self, target: Target) -> bool:
        """Whether a job or step is dumped by Slurm itself.

        Contract: a job that syscr has started is not, and nothing is asked for it; any other is, where
        this Slurm has a plugin that can.

        Raises:
            SchedulerUnavailableError: The controller does not answer.
        """
        if not self.is_allowed or self._is_ours(target):
            return False
        missing = self.controller.probe().missing
        if missing:
            log.debug("not by Slurm itself: %s", missing[0])
        return not missing

    def answers(self, target: Target) -> bool:
        """Whether Slurm's own ``scontrol checkpoint`` answers for a job or step: also where it can do little.

        Raises:
            SchedulerUnavailableError: The controller does not answer.
        """
        return self.is_allowed and not self._is_ours(target) and self.controller.has_commands()

    def made(self, image: Image) -> bool:
        """Whether an image was written by Slurm itself."""
        return image.manifest.backend == NAME

    def _is_ours(self, target: Target) -> bool:
        """Whether syscr has submitted a job, or continues one in it; a directory that is gone says no."""
        numbers = {target.job_id.number}
        if target.job_id.array_index is not None:
            numbers.add(self.scheduler.get_job(target.job_id).number)
        for store in self.stores():
            for number in numbers:
                for name in (SUBMISSION, CONTINUES):
                    try:
                        if store.read_record(StoreKey(str(number)), name) is not None:
                            return True
                    except StoreError as error:
                        log.info("cannot look into '%s': %s", store.checkpoint_dir, error)
        return False
