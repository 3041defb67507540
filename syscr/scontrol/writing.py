"""``create``, ``vacate`` and ``requeue``: for each step that is meant, and what ``error`` keeps of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from syscr.enabling import name_life
from syscr.errors import PreflightError, RequestError, SyscrError
from syscr.model import Image, Target
from syscr.ports import StoreKey
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult
from syscr.scontrol import texts
from syscr.scontrol.grammar import Operation
from syscr.scontrol.judging import Jobs
from syscr.scontrol.places import Place, Places
from syscr.scontrol.texts import Code, Failure
from syscr.selection import home_dir

log = logging.getLogger(__name__)

_ANY_TIME = datetime.min.replace(tzinfo=UTC)
_RECORDED = frozenset({Code.NOT_RUNNING, Code.CONNECTION})

Act = Callable[[CheckpointRequest], CheckpointResult]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes images.

    Attributes:
        jobs: Slurm.
        places: Where the state is kept.
    """

    jobs: Jobs
    places: Places

    def write(self, act: Act, order: CheckpointRequest) -> tuple[Failure, ...]:
        """Do it; a job without a checkpointable batch script means each of its steps.

        Returns:
            What failed.

        Raises:
            RequestError: Several things could be meant, and no running steps say which.
        """
        try:
            return self._attempt(act, order)
        except RequestError:
            steps = self.jobs.find_steps(order.target.job_id)
            if order.target.step is not None or len(steps) < 2:
                raise
        targets = (Target(order.target.job_id, step) for step in steps)
        return tuple(
            failure
            for target in targets
            for failure in self._attempt(act, replace(order, target=target))
        )

    def _attempt(self, act: Act, order: CheckpointRequest) -> tuple[Failure, ...]:
        """Do it for one target and keep how it ended."""
        try:
            result = act(order)
        except RequestError:
            raise
        except SyscrError as error:
            failure = texts.translate(error, Operation.CREATE)
            if isinstance(error, PreflightError) and self._is_busy(order.target):
                failure = texts.fail(Code.IN_PROGRESS)
            if failure.code in _RECORDED:
                self._record(lambda: self._find_places(order.target), failure)
            return (failure,)
        image = result.image
        if result.job_state == "running" and image is not None:
            self._record(lambda: (self._place_of(image),), None)
        return ()

    def _is_busy(self, target: Target) -> bool:
        """Whether a checkpoint is going on, into any known directory: its traces look like obstacles."""
        try:
            places = self._find_places(target)
        except SyscrError:
            return False
        return any(self.places.find_began(place, _ANY_TIME) is not None for place in places)

    def _record(self, find: Callable[[], tuple[Place, ...]], failure: Failure | None) -> None:
        """Keep a failure, or that there is none; where that fails the answer stands all the same."""
        code, text = (int(failure.code), failure.text) if failure else (0, "")
        try:
            for place in find():
                control = place.read()
                if (control.error_code, control.error_text) != (code, text):
                    place.write(replace(control, error_code=code, error_text=text))
        except SyscrError as error:
            log.info("cannot keep how the checkpoint ended: %s", error)

    def _find_places(self, target: Target) -> tuple[Place, ...]:
        own = self.places.find_own(target)
        if own is not None:
            return (self.places.at(own),)
        return self.places.find(self.jobs.get_job(target.job_id), target.step)

    def _place_of(self, image: Image) -> Place:
        manifest = image.manifest
        return Place(
            self.places.open_store(home_dir(image)),
            StoreKey(manifest.lineage, manifest.step),
            name_life(manifest.number, manifest.restart_count),
        )
