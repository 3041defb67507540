"""The images that an agent takes by itself, and how many of them stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from syscr.model import Image, Target

PERIODIC = "periodic"
"""Tag of images that the agent took at the interval; only those are removed by it."""


@dataclass(frozen=True, slots=True)
class OwnImages:
    """The images that the agent has taken by itself.

    Attributes:
        keep: Newest that stay; 0: all.
        list_images: Images of the job or step, oldest first.
        remove: Removes an image for good.
        origin: Id of the image that this life was restored from, which stays; empty: none.
    """

    keep: int
    list_images: Callable[[Target], tuple[Image, ...]]
    remove: Callable[[Image], None]
    origin: str = ""

    def retain(self, target: Target) -> None:
        """Remove the older ones."""
        if self.keep < 1:
            return
        images = [i for i in self.list_images(target) if PERIODIC in i.manifest.tags]
        for image in images[: -self.keep]:
            if image.image_id != self.origin:
                self.remove(image)
