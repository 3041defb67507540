"""Finding images: from a job, a step or an id to the store and line where they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syscr.errors import (
    ImageCorruptError,
    ImageNotFoundError,
    ManifestError,
    RequestError,
    StoreAccessError,
    StoreError,
    StoreNotFoundError,
)
from syscr.lines import find_image_keys, list_keys
from syscr.lives import LifeBook
from syscr.model import Image, Life, Target, TornImage
from syscr.ports import AnyImage, Store, StoreKey
from syscr.request import RestartRequest
from syscr.selection import Progress, Selection, find_lineage, select_newest, verify_visibly

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where the images of a job lie.

    Attributes:
        store: The checkpoint directory.
        key: Line and step.
    """

    store: Store
    key: StoreKey


@dataclass(frozen=True, slots=True)
class Locator:
    """Looks through the checkpoint directories that this user is known to use.

    Attributes:
        open_store: Opens the store of a checkpoint directory.
        checkpoint_dirs: Directories, most likely first.
    """

    open_store: Callable[[str], Store]
    checkpoint_dirs: tuple[str, ...]

    def stores(self, image_dir: str | None) -> tuple[Store, ...]:
        """Return the stores to look in: the named one, or all known ones."""
        dirs = self.checkpoint_dirs if image_dir is None else (image_dir,)
        return tuple(self.open_store(path) for path in dirs)

    def find_place(self, target: Target, image_dir: str | None) -> Place:
        """Return where the images of a job or step lie.

        Raises:
            StoreNotFoundError: No directory knows the job.
            RequestError: The job has images of several steps, and none of its batch script.
        """
        for store in self.stores(image_dir):
            try:
                keys = find_image_keys(store, target)
            except StoreNotFoundError:
                continue
            except StoreAccessError:
                if image_dir is not None:
                    raise
                continue  # a directory used once that can no longer be read hides no other
            if keys:
                return Place(store, _choose_key(target, keys))
        searched = name_dirs([store.checkpoint_dir for store in self.stores(image_dir)])
        raise StoreNotFoundError(
            f"there is no image of {'job' if target.step is None else 'step'} {target} in {searched}",
            hint="name its checkpoint directory with --image-dir DIR, "
            "or list what is there with 'syscr image list'",
        )

    def get_image(
        self, image_id: str, image_dir: str | None = None, *, deleted: bool = False
    ) -> Image:
        """Return an image by id or prefix, wherever it lies.

        Raises:
            ImageNotFoundError: There is none, or several.
            ManifestError: What lies there is none; see ``get_torn``.
        """
        return self._look_up(
            lambda store: store.get_image(image_id, deleted=deleted), image_id, image_dir
        )

    def get_torn(
        self, image_id: str, image_dir: str | None = None, *, deleted: bool = False
    ) -> TornImage:
        """Return what lies in the place of an image and is none; errors as ``get_image``."""
        return self._look_up(
            lambda store: store.get_torn(image_id, deleted=deleted), image_id, image_dir
        )

    def _look_up(
        self, get: Callable[[Store], AnyImage], image_id: str, image_dir: str | None
    ) -> AnyImage:
        """Return the first that a store has; a torn image hides none that lies elsewhere."""
        failure: StoreError | None = None
        for store in self.stores(image_dir):
            try:
                return get(store)
            except ImageNotFoundError as error:
                if error.details.get("matches"):
                    raise
                failure = failure or error
            except ManifestError as error:
                failure = error if not isinstance(failure, ManifestError) else failure
            except StoreNotFoundError:
                continue
            except StoreAccessError:
                if image_dir is not None:
                    raise
        if failure is not None:
            raise failure
        searched = name_dirs([store.checkpoint_dir for store in self.stores(image_dir)])
        raise ImageNotFoundError(f"no image '{image_id}' in {searched}")

    def select(
        self, request: RestartRequest, *, level: str, progress: Progress | None
    ) -> Selection:
        """Return the image to restart from, verified.

        Raises:
            StoreNotFoundError, ImageNotFoundError: There is none.
            ImageCorruptError: None verifies, or the one that was named does not.
        """
        if request.image_id is not None:
            return self._select_named(request.image_id, request.image_dir, level, progress)
        if request.target is None:
            raise RequestError("neither a job nor an image is named")
        place = self.find_place(request.target, request.image_dir)
        return select_newest(place.store, place.key, level=level, progress=progress)

    def _select_named(
        self, image_id: str, image_dir: str | None, level: str, progress: Progress | None
    ) -> Selection:
        image = self.get_image(image_id, image_dir)
        store = self.open_store(image.checkpoint_dir)
        differences = verify_visibly(store, image, level=level, progress=progress)
        if differences:
            raise ImageCorruptError(
                f"cannot restart from image '{image.image_id}': {'; '.join(differences[:5])}",
                hint=f"choose another one: 'syscr image list {image.manifest.lineage}'",
                differences=list(differences),
            )
        return Selection(image)

    def list_lives(
        self, target: Target, number: int
    ) -> tuple[tuple[Life, ...], tuple[ManifestError, ...]]:
        """Return the lives of a job or step that keeps itself alive, oldest first, and what cannot be read.

        See ``find_book``.
        """
        book, lives, faults = self._find_lives(target, number)
        return (() if book is None else book.add_end(lives)), faults

    def find_book(self, target: Target, number: int) -> LifeBook | None:
        """Return the record of the lives of a job or step; None: it does not keep itself alive.

        Args:
            target: Job or step.
            number: The job's plain number, which its folder is named after.

        Raises:
            ManifestError: There is a record, and it cannot be read.
        """
        book, _, faults = self._find_lives(target, number)
        if book is None and faults:
            raise faults[0]
        return book

    def _find_lives(
        self, target: Target, number: int
    ) -> tuple[LifeBook | None, tuple[Life, ...], tuple[ManifestError, ...]]:
        """Return the record that has lives, these, and which records cannot be read."""
        faults: list[ManifestError] = []
        for store in self.stores(None):
            try:
                key = StoreKey(find_lineage(store, number), target.step or "batch")
                book = LifeBook(store, key)
                lives = book.read()
                if lives:
                    return book, lives, tuple(faults)
            except ManifestError as error:
                faults.append(error)
            except StoreError:
                continue  # what cannot be read here may be elsewhere
        return None, (), tuple(faults)

    def list_images(
        self,
        target: Target | None,
        image_dir: str | None,
        *,
        deleted: bool = False,
        whole_array: bool = False,
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        """Return images, oldest first, and what could not be read.

        Args:
            target: Job or step; None: all.
            image_dir: Where to look; None: in all known directories.
            deleted: Look into the trash instead.
            whole_array: A plain number means all tasks of the array too that has it, at the price of a
                look at every image; else the line alone whose folder has that number.

        Raises:
            StoreNotFoundError: ``image_dir`` was named and is not there.
        """
        images: list[Image] = []
        warnings: list[str] = []
        for store in self.stores(image_dir):
            try:
                keys: tuple[StoreKey | None, ...] = (None,)
                if target is not None:
                    keys = list_keys(store, target, deleted=deleted, whole_array=whole_array)
                for key in keys:
                    found, unreadable = store.list_images(key=key, deleted=deleted)
                    images += found
                    warnings += unreadable
            except StoreNotFoundError:
                if image_dir is not None:
                    raise
            except StoreAccessError as error:
                if image_dir is not None:
                    raise
                warnings.append(error.message)
        images.sort(key=lambda image: (image.manifest.created_at, image.image_id))
        return tuple(images), tuple(warnings)


def name_dirs(dirs: Sequence[str]) -> str:
    """Name directories in a message, at most three of them.

    Example:
        >>> name_dirs(["/a", "/b"]), name_dirs(["/a", "/b", "/c", "/d", "/e"])
        ("'/a', '/b'", "'/a', '/b', '/c' and 2 others")
    """
    shown = ", ".join(f"'{path}'" for path in dirs[:_NAMED])
    more = len(dirs) - _NAMED
    return shown if more < 1 else f"{shown} and {more} other{'s' if more > 1 else ''}"


def _choose_key(target: Target, keys: Sequence[StoreKey]) -> StoreKey:
    for key in keys:
        if key.step == "batch":
            return key
    if len(keys) > 1:
        names = ", ".join(f"{target.job_id}.{key.step}" for key in keys)
        raise RequestError(
            f"job {target.job_id} has images of several steps: {names}", hint="name one of them"
        )
    return keys[0]
