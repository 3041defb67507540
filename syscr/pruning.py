"""Images that rules let go: asked for by ``syscr image prune``, or after a checkpoint by ``keep_last``.

``retention.py`` decides, ``protecting.py`` says what must stay whatever the rule is; here it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from syscr import retention
from syscr.errors import SyscrError
from syscr.lines import find_lineages
from syscr.model import Image, TornImage
from syscr.ports import Clock, Scheduler, Store, StoreKey
from syscr.protecting import find_protection
from syscr.request import PruneRequest
from syscr.result import Decision, PruneResult


@dataclass(frozen=True, slots=True)
class Pruner:
    """Deletes images by rule.

    Attributes:
        scheduler: Slurm.
        open_store: Opens the store of a checkpoint directory.
        clock: Time.
    """

    scheduler: Scheduler
    open_store: Callable[[str], Store]
    clock: Clock

    def prune(self, request: PruneRequest) -> PruneResult:
        """Delete images by rule; the newest verified one of an unfinished job always stays."""
        store = self.open_store(request.checkpoint_dir)
        images, warnings = store.list_images()
        lineages = None if request.job_id is None else find_lineages(store, request.job_id)
        decisions = self._decide(images, request, lineages)
        expunged: tuple[str, ...] = ()
        if not request.dry_run:
            for decision in decisions:
                if not decision.keep:
                    store.trash(decision.image)
            if request.expunge:
                expunged = _expunge(store, lineages)
        return PruneResult(decisions, expunged, warnings)

    def retain(self, store: Store, key: StoreKey, keep_last: int) -> tuple[str, ...]:
        """Keep the newest images of a line; a fault here is a remark, the checkpoint before it stands."""
        try:
            images, _ = store.list_images(key=key)
            request = PruneRequest(store.checkpoint_dir, keep_last=keep_last)
            for decision in self._decide(images, request):
                if not decision.keep:
                    store.trash(decision.image)
        except SyscrError as error:
            return (f"old images were not pruned: {error.message}",)
        return ()

    def _decide(
        self,
        images: Sequence[Image],
        request: PruneRequest,
        lineages: Collection[str] | None = None,
    ) -> tuple[Decision, ...]:
        protection = find_protection(images, self.scheduler, self.open_store)
        return retention.decide(
            images,
            request,
            now=self.clock.now(),
            unfinished=protection.unfinished,
            in_use=protection.in_use,
            is_intact=self._is_intact,
            lineages=lineages,
        )

    def _is_intact(self, image: Image) -> bool:
        return not self.open_store(image.checkpoint_dir).verify(image, level="sizes")


def _expunge(store: Store, lineages: Collection[str] | None) -> tuple[str, ...]:
    """Empty the trash of some lines, or of all; returns what was in it."""
    images, _ = store.list_images(deleted=True)
    doomed: list[Image | TornImage] = [
        image for image in images if lineages is None or image.manifest.lineage in lineages
    ]
    doomed += [
        torn
        for torn in store.list_torn(deleted=True)
        if lineages is None or torn.lineage in lineages
    ]
    for one in doomed:
        store.expunge(one)
    return tuple(one.image_id for one in doomed)
