"""Which image a life continues from: decided once, and handed to all ranks; none chooses alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from syscr.errors import (
    ImageCorruptError,
    ImageNotFoundError,
    StoreLockedError,
    StoreNotFoundError,
)
from syscr.job.environment import TaskPlace
from syscr.job.run_options import RunOptions
from syscr.model import Image
from syscr.ports import Clock, Store, StoreKey
from syscr.selection import (
    Selection,
    build_decision,
    decision_name,
    read_decision,
    select_from_dir,
    select_newest,
)

_FIRST_WAIT_SECONDS = 0.5  # so that rank 0 is the one that decides, as a rule
_WAIT_SECONDS = 0.25
_PURPOSE = "decide what a life continues from"


@dataclass(frozen=True, slots=True)
class ImageChooser:
    """Finds what was decided for a life, or decides.

    Attributes:
        open_store: Opens the store of a checkpoint directory.
        warn: Writes a line to the job's standard error.
        clock: Time.
    """

    open_store: Callable[[str], Store]
    warn: Callable[[str], None]
    clock: Clock

    def find(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Image | None:
        """Return what this life continues from; all ranks of a life get the same answer."""
        name = decision_name(place.number, place.restart_count)
        record = store.read_record(key, name)
        if record is None:
            if place.restart_count == 0 and options.restart_dir is None:
                return None
            record = self._decide_once(options, place, store, key)
        image_id, checkpoint_dir = read_decision(record)
        if image_id is None:
            return None
        return self.open_store(checkpoint_dir or options.checkpoint_dir).get_image(image_id)

    def _decide_once(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Mapping[str, object]:
        """Decide what this life continues from; of several ranks one does, and verifies, the others wait.

        Who decides holds the lease of the line: another one takes its place where it dies. What a
        checkpoint of the life before has left there keeps nobody waiting.
        """
        name = decision_name(place.number, place.restart_count)
        if place.task_count == 1:
            return self._decide(options, place, store, key)
        seconds = 0.0 if place.rank == 0 else _FIRST_WAIT_SECONDS
        while True:
            self.clock.sleep(seconds)
            record = store.read_record(key, name)
            if record is not None:
                return record
            try:
                with store.lock(key, purpose=_PURPOSE):
                    record = store.read_record(key, name)
                    return self._decide(options, place, store, key) if record is None else record
            except StoreLockedError:
                if f"({_PURPOSE})" not in (store.find_holder(key) or f"({_PURPOSE})"):
                    return self._decide(options, place, store, key)
                seconds = _WAIT_SECONDS * (1 + place.rank % 8 / 8)  # not all at the same moment

    def _decide(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Mapping[str, object]:
        selection = self._select(options, place, store, key)
        found_in = selection.image.checkpoint_dir if selection else options.checkpoint_dir
        name = decision_name(place.number, place.restart_count)
        return store.create_record(key, name, build_decision(selection, found_in))

    def _select(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Selection | None:
        """Choose an image of the job's own, else of ``--restart-dir``; None: there is none."""
        if place.restart_count > 0:
            try:
                return select_newest(store, key, level=options.verify_level)
            except (ImageNotFoundError, StoreNotFoundError):
                pass  # requeued before its first checkpoint
            except ImageCorruptError as error:
                if options.on_bad_image == "fail":
                    raise
                self.warn(f"{error.message}; the program begins afresh")
        if options.restart_dir is None:
            return None
        return select_from_dir(self.open_store, options.restart_dir, level=options.verify_level)
