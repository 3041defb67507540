"""Images in a checkpoint directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from syscr.model import Image, Manifest, TornImage

AnyImage = TypeVar("AnyImage", Image, TornImage)


@dataclass(frozen=True, slots=True)
class StoreKey:
    """One ``.ckpt`` folder: a line of jobs, and a step (``batch`` for the job itself).

    Attributes:
        lineage: First job of the line, plain number as text.
        step: ``batch`` (folder ``<job>.ckpt``) or a step number (folder ``<job>.<step>.ckpt``).
    """

    lineage: str
    step: str = "batch"


class Store(Protocol):
    """Images in one checkpoint directory. All methods raise StoreAccessError on I/O failure."""

    checkpoint_dir: str

    def new_image_id(self) -> str:
        """Return an id that no image has: UTC time and 8 random hexadecimal digits."""
        ...

    def open_staging(self, key: StoreKey, image_id: str, *, needed_bytes: int) -> str:
        """Make a private staging directory and return its absolute path.

        Contract: removes staging left by writers that are dead on this host.

        Raises:
            StoreFullError: Less than ``needed_bytes`` free.
        """
        ...

    def add_probe(self, staging_dir: str, name: str) -> None:
        """Write an empty file into staging, by which nodes see that they share the file system."""
        ...

    def remove_probe(self, staging_dir: str, name: str) -> None:
        """Remove it again, before publishing."""
        ...

    def publish(self, staging_dir: str, manifest: Manifest) -> Image:
        """Make the image visible: manifest, syncs, one rename. The only way for an image to appear.

        Contract: every file of ``manifest.files`` is in ``staging_dir`` and synced already by the node
        that wrote it; sizes are checked. After failure nothing is visible and staging is untouched.

        Raises:
            ImageCorruptError: A file is missing or has another size.
            ImageExistsError: The id is taken.
        """
        ...

    def discard_staging(self, staging_dir: str) -> None:
        """Remove a staging directory; missing is no error."""
        ...

    def list_images(
        self, *, key: StoreKey | None = None, deleted: bool = False
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        """Return the images, oldest first, and warnings about entries that could not be read."""
        ...

    def find_keys(self, lineage: str | None = None) -> tuple[StoreKey, ...]:
        """Return the keys that have a folder, sorted."""
        ...

    def get_image(self, image_id: str, *, deleted: bool = False) -> Image:
        """Return an image by id or unambiguous prefix (at least to its ``T``).

        Raises:
            ImageNotFoundError: There is none, or several.
            ManifestError: What lies there is none; see ``get_torn``.
        """
        ...

    def list_torn(self, *, deleted: bool = False) -> tuple[TornImage, ...]:
        """Return what lies in the place of an image and is none, by job, step and id."""
        ...

    def get_torn(self, image_id: str, *, deleted: bool = False) -> TornImage:
        """Return what lies in the place of an image and is none; ImageNotFoundError also where it is one."""
        ...

    def verify(
        self, image: Image, *, level: str, progress: Callable[[int], None] | None = None
    ) -> tuple[str, ...]:
        """Compare an image with its manifest; ``level`` is ``sizes`` or ``digests``.

        Args:
            image: The image.
            level: How thoroughly.
            progress: Called with the bytes read since the last call.

        Returns:
            What differs, one line each; empty: all right.
        """
        ...

    def trash(self, image: AnyImage) -> AnyImage:
        """Take an image out of sight, recoverable."""
        ...

    def untrash(self, image: AnyImage) -> AnyImage:
        """Bring a deleted image back; ImageExistsError if its place is taken."""
        ...

    def expunge(self, image: Image | TornImage) -> None:
        """Remove a deleted image for good."""
        ...

    def lock(self, key: StoreKey, *, purpose: str) -> AbstractContextManager[tuple[str, ...]]:
        """Hold the exclusive lease of a key while the block runs; refreshed in the background.

        Yields warnings (a stale lock was taken over). Raises StoreLockedError: held by another.
        """
        ...

    def find_holder(self, key: StoreKey) -> str:
        """Return who holds the lease of a key, in words; empty if nobody does."""
        ...

    def drop_leases(self, key: StoreKey, host: str, *, purpose: str) -> tuple[str, ...]:
        """Remove the leases of a key that processes on a host hold for a purpose; returns whose they were.

        Contract: only for who knows that these processes are over, or can do no harm any more.
        """
        ...

    def read_record(self, key: StoreKey, name: str) -> Mapping[str, object] | None:
        """Return a small JSON record of a line (``submission``, ``decision-<job>.<restarts>``), or None."""
        ...

    def write_record(self, key: StoreKey, name: str, value: Mapping[str, object]) -> None:
        """Write a small JSON record atomically, replacing an older one."""
        ...

    def keep_record(self, key: StoreKey, name: str) -> str:
        """Copy a record that cannot be read to a name of its own, before another takes its place.

        Returns:
            Where the copy is, for people; empty: there is no record.
        """
        ...

    def record_path(self, key: StoreKey, name: str) -> str:
        """Return where ``write_record`` writes a record; for readers that are not Python."""
        ...

    def make_folder(self, key: StoreKey, name: str) -> str:
        """Make a private folder of a line of jobs unless it exists; return its absolute path.

        Args:
            key: The line.
            name: ``run/<life>`` (logs and sockets of one task) or ``cut/<life>`` (ends of files that a
                restart cut off). Never taken for an image.
        """
        ...

    def folder_path(self, key: StoreKey, name: str) -> str:
        """Return the path that ``make_folder`` would return; nothing is made."""
        ...

    def read_note(self, key: StoreKey, name: str) -> str | None:
        """Return the text of a small file below a line's folder (``run/<life>/ready``), or None."""
        ...

    def list_notes(self, key: StoreKey, name: str) -> frozenset[str]:
        """Return the names in a folder below a line's folder (``run/<life>.ended``); none where it is missing."""
        ...

    def create_record(
        self, key: StoreKey, name: str, value: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Write a record unless it exists, atomically; return what is there afterwards (first wins)."""
        ...
