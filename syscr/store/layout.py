"""Names and paths of the store, all of them; pure.

``Folder`` knows every path inside one ``.ckpt`` folder. The tree is drawn in
docs/explanation/store.md. Who may use a folder is decided in ``access.py``.
"""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from syscr.errors import RequestError
from syscr.ports import StoreKey

MANIFEST_NAME = "manifest.json"
DATA_NAME = "data"
FOLDER_SUFFIX = ".ckpt"
TEMPORARY_PREFIX = ".tmp-"

_ID = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"
_IMAGE_ID = re.compile(_ID)
_PREFIX = re.compile(r"[0-9]{8}T(?:[0-9]{0,6}|[0-9]{6}Z(?:-[0-9a-f]{0,8})?)")
_STEP = re.compile(r"batch|extern|interactive|0|[1-9][0-9]*")
_LINEAGE = re.compile(r"[1-9][0-9]*")
_FOLDER = re.compile(r"([1-9][0-9]*)(?:\.(extern|interactive|0|[1-9][0-9]*))?\.ckpt")
_STAGING = re.compile(rf"({_ID})\.(.+)\.([0-9]+)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_WORK_DIRS = frozenset({"run", "cut"})
_LOCK = re.compile(r"[0-9a-f]{16}\.json")
_ID_TIME = "%Y%m%dT%H%M%SZ"


def new_image_id(now: datetime, random_hex: str) -> str:
    """Return the id of an image begun at ``now``: sorts by age, unique without asking.

    Args:
        now: Aware time.
        random_hex: Eight lower-case hexadecimal digits (``secrets.token_hex(4)``).

    Raises:
        RequestError: ``random_hex`` is something else.

    Example:
        >>> new_image_id(datetime(2026, 11, 22, 6, 19, tzinfo=UTC), "9f3c21ab")
        '20261122T061900Z-9f3c21ab'
    """
    image_id = f"{now.astimezone(UTC).strftime(_ID_TIME)}-{random_hex}"
    return check_image_id(image_id)


def is_image_id(text: str) -> bool:
    """Whether ``text`` is a complete image id."""
    return _IMAGE_ID.fullmatch(text) is not None


def is_image_prefix(text: str) -> bool:
    """Whether ``text`` is an image id or a prefix that reaches its ``T``, so is no job id.

    Example:
        >>> is_image_prefix("20261122T06"), is_image_prefix("20261122")
        (True, False)
    """
    return _PREFIX.fullmatch(text) is not None


def check_image_id(text: str) -> str:
    """Return ``text``, or raise RequestError if it is no complete image id."""
    if not is_image_id(text):
        raise RequestError(
            f"not an image id: '{show(text)}'", hint="write it as 20261122T061900Z-9f3c21ab"
        )
    return text


def image_time(image_id: str) -> datetime:
    """Return the time inside an image id, aware, UTC, whole seconds.

    Raises:
        RequestError: No image id, or its digits are no time.
    """
    try:
        return datetime.strptime(check_image_id(image_id)[:16], _ID_TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise RequestError(f"not an image id: '{image_id}': {error}") from error


def folder_name(key: StoreKey) -> str:
    """Return the name of the folder of a key.

    Raises:
        RequestError: Lineage or step are not what Slurm hands out.

    Example:
        >>> folder_name(StoreKey("4711")), folder_name(StoreKey("4711", "0"))
        ('4711.ckpt', '4711.0.ckpt')
    """
    if not _LINEAGE.fullmatch(key.lineage) or not _STEP.fullmatch(key.step):
        raise RequestError(f"not a job and step: '{show(key.lineage)}.{show(key.step)}'")
    step = "" if key.step == "batch" else f".{key.step}"
    return f"{key.lineage}{step}{FOLDER_SUFFIX}"


def parse_folder_name(name: str) -> StoreKey | None:
    """Return the key of a folder, or None if it is none of ours."""
    match = _FOLDER.fullmatch(name)
    return None if match is None else StoreKey(match[1], match[2] or "batch")


def check_name(text: str) -> str:
    """Return ``text``, or raise RequestError if it is no plain file name of ours."""
    if not _NAME.fullmatch(text):
        raise RequestError(f"not a plain name: '{show(text)}'")
    return text


def is_lock_name(name: str) -> bool:
    """Whether a name inside ``locks/`` is a lock."""
    return _LOCK.fullmatch(name) is not None


def is_inner_path(path: str) -> bool:
    """Whether a path stays inside an image: relative, no ``..``, in its shortest form.

    Example:
        >>> is_inner_path("data/0/pages-1.img"), is_inner_path("data/../x"), is_inner_path("/x")
        (True, False, False)
    """
    return "\0" not in path and not any(part in {"", ".", ".."} for part in path.split("/"))


def show(text: str) -> str:
    r"""Return text for a message, in one line: what cannot be printed is escaped.

    Example:
        >>> show("a\nb\udcff")
        'a\\nb\\xff'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    """Return the escape of a control character, or of a byte that is not Unicode."""
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) & 0xFF:02x}"
    return letter.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True, slots=True)
class StagingName:
    """Name of a staging directory.

    Attributes:
        image_id: The image that is being written.
        host: Host of the writer.
        pid: Its process id there.
    """

    image_id: str
    host: str
    pid: int

    def __str__(self) -> str:
        """Return the name of the directory."""
        return f"{self.image_id}.{self.host.replace('/', '_')}.{self.pid}"

    @classmethod
    def parse(cls, name: str) -> StagingName | None:
        """Return the parts of a name, or None if it is no staging directory."""
        match = _STAGING.fullmatch(name)
        return None if match is None else cls(match[1], match[2], int(match[3]))


@dataclass(frozen=True, slots=True)
class Folder:
    """One ``.ckpt`` folder and every path in it.

    Attributes:
        checkpoint_dir: Absolute checkpoint directory.
        key: Job line and step.
    """

    checkpoint_dir: str
    key: StoreKey

    @property
    def path(self) -> str:
        """The folder itself."""
        return os.path.join(self.checkpoint_dir, folder_name(self.key))

    @property
    def staging_dir(self) -> str:
        """What is being written."""
        return os.path.join(self.path, "staging")

    @property
    def trash_dir(self) -> str:
        """What is deleted but not yet expunged."""
        return os.path.join(self.path, "trash")

    @property
    def locks_dir(self) -> str:
        """Leases."""
        return os.path.join(self.path, "locks")

    @property
    def records_dir(self) -> str:
        """Small JSON records."""
        return os.path.join(self.path, "records")

    def image_dir(self, image_id: str, *, deleted: bool = False) -> str:
        """Return the directory of an image, published or deleted."""
        return os.path.join(self.trash_dir if deleted else self.path, check_image_id(image_id))

    def staging_path(self, name: StagingName) -> str:
        """Return a staging directory."""
        return os.path.join(self.staging_dir, str(name))

    def record_path(self, name: str) -> str:
        """Return the file of a record; RequestError if ``name`` is no plain name."""
        return os.path.join(self.records_dir, f"{check_name(name)}.json")

    def work_path(self, name: str) -> str:
        """Return a place for the work of tasks, ``run/...`` or ``cut/...``; never an image's.

        Raises:
            RequestError: ``name`` is anything else.
        """
        first, *rest = name.split("/")
        if first not in _WORK_DIRS or not rest or not all(map(_NAME.fullmatch, rest)):
            raise RequestError(f"not a folder for the work of tasks: '{show(name)}'")
        return os.path.join(self.path, name)


def parse_staging_path(checkpoint_dir: str, path: str) -> tuple[Folder, StagingName]:
    """Return folder and name of a staging directory of this store.

    Raises:
        RequestError: The path is no staging directory below ``checkpoint_dir``.
    """
    parent, name = os.path.split(os.path.normpath(path))
    folder_path, _ = os.path.split(parent)
    key = parse_folder_name(os.path.basename(folder_path))
    staging = StagingName.parse(name)
    if key is not None and staging is not None:
        folder = Folder(checkpoint_dir, key)
        if folder.staging_dir == parent:
            return folder, staging
    raise RequestError(f"not a staging directory of '{show(checkpoint_dir)}': '{show(path)}'")
