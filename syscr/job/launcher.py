"""Where the launcher's binary is, and that it stays: a dumped tree has it mapped.

CRIU maps files by path and checks their size at restore (facts: "has bad size"), so an upgrade of
syscr must not change the file under the images of the version before. Each release therefore runs
from a copy named after its digest in the checkpoint directory, made once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import stat
import time
from pathlib import Path

from syscr.errors import ImageIncompatibleError, ToolMissingError
from syscr.model import Image

log = logging.getLogger(__name__)

_NAME = "syscr-launcher"
_PLACED_SECONDS = 2.0
_LOOK_SECONDS = 0.05


class Launcher:
    """The installed launcher and its copies.

    Attributes:
        installed: Path of the installed binary.
    """

    def __init__(self, installed: str) -> None:
        """Keep the path; nothing is read until it is needed."""
        self.installed = installed

    def digest(self) -> str:
        """Return the digest of the installed binary (BLAKE2b, 16 bytes, hexadecimal).

        Raises:
            ToolMissingError: It is not there; syscr was installed without a C compiler.
        """
        return digest_binary(self.installed)

    def path_for(self, checkpoint_dir: str) -> str:
        r"""Return the path to run: the copy in the checkpoint directory, made if it is missing.

        The installed one is returned where the copy cannot be made, is another user's work, lies on a
        file system that does not allow to run programs, or has a line break in its path: /proc/PID/maps
        writes that as ``\\012``, and CRIU then takes the file for a deleted one (4.2.1, seen 2026-11).
        """
        has_break = "\n" in checkpoint_dir
        folder = None if has_break else private_dir(checkpoint_dir, "launcher", self.digest())
        if folder is None:
            return self.installed
        copy = Path(folder, _NAME)
        try:
            if not copy.exists():
                aside = name_aside(copy)
                try:
                    shutil.copyfile(self.installed, aside)
                    os.chmod(aside, 0o500)
                    place(aside, str(copy))
                finally:
                    _remove(aside)
            usable = os.access(copy, os.X_OK) and digest_binary(str(copy)) == self.digest()
        except OSError as error:
            log.info("no copy of the launcher in '%s': %s", folder, error)
            return self.installed
        return str(copy) if usable else self.installed

    def check_image(self, image: Image) -> None:
        """Make sure that the launcher an image was taken with is in its place.

        Raises:
            ImageIncompatibleError: It is gone and this release has another one.
        """
        for task in image.manifest.tasks:
            path = str(task.state.get("launcher_path") or "")
            digest = image.manifest.launcher_digest
            if not path or _is_there(path, digest):
                continue
            if self.digest() == digest and Path(path).name == _NAME:
                self.path_for(str(Path(path).parents[3]))
            if not _is_there(path, digest):
                fate = "was replaced by another one" if Path(path).exists() else "is gone"
                raise ImageIncompatibleError(
                    f"image '{image.image_id}' needs the launcher '{path}' (digest {digest}), which "
                    f"{fate}; the installed one has digest {self.digest()}",
                    hint="install the syscr release that wrote the image "
                    f"({image.manifest.syscr_version}) and restart with it",
                )


def _is_there(path: str, digest: str) -> bool:
    return Path(path).exists() and digest_binary(path) == digest


def private_dir(checkpoint_dir: str, *parts: str) -> str | None:
    """Make ``<checkpoint_dir>/.syscr-<uid>/<parts>``, private; None where that cannot be.

    The reason goes to the log; see ``make_private_dir``.
    """
    try:
        return make_private_dir(checkpoint_dir, *parts)
    except NotPrivateError as error:
        log.warning("'%s' is %s", error.filename, error.strerror)
    except OSError as error:
        log.info("cannot make '%s': %s", error.filename, error.strerror)
    return None


class NotPrivateError(OSError):
    """A folder that should be the user's alone belongs to somebody else, or others can write to it."""


def make_private_dir(checkpoint_dir: str, *parts: str) -> str:
    """Make ``<checkpoint_dir>/.syscr-<uid>/<parts>``, private, and return it.

    A checkpoint directory may be shared by many users, so whose folder it is has to be looked at: a
    program from another user's folder must never run.

    Raises:
        OSError: It cannot be made; ``NotPrivateError``: it is not private.
    """
    path = Path(checkpoint_dir)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in (f".syscr-{os.geteuid()}", *parts):
        path = path / part
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        is_private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022
        if status.st_uid != os.geteuid() or not is_private:
            raise NotPrivateError(errno.EPERM, "not a private folder of this user", str(path))
    return str(path)


def name_aside(path: str | Path) -> str:
    """Return a name beside a file that no other task uses: process ids alone repeat from node to node."""
    return f"{path}.{os.uname().nodename}.{os.getpid()}"


def place(aside: str, path: str, *, replace: bool = False) -> None:
    """Sync a complete file and give it its name; one that is there already stays, unless ``replace``.

    The tasks of a step that starts in a fresh checkpoint directory make the same copy at the same moment. A
    rename would take the name from one that another task runs from by then, and CRIU dumps no program whose
    file is deleted: each checkpoint of that step was refused (1 start in 20 on a busy machine, 2026-11).

    Raises:
        OSError: It could not be placed.
    """
    with open(aside, "rb") as file:
        os.fsync(file.fileno())
    if replace:
        os.rename(aside, path)
        return
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    except OSError:  # no hard links here: who can make the folder may rename; it stays
        try:
            os.mkdir(f"{path}.placed", 0o700)
        except FileExistsError:
            if _appears(path):
                return
        os.rename(aside, path)


def _appears(path: str) -> bool:
    """Whether the file is there soon; it does not come where the task that was to place it was ended."""
    deadline = time.monotonic() + _PLACED_SECONDS
    while not os.path.exists(path):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def digest_binary(path: str) -> str:
    """Return the digest of a launcher (BLAKE2b, 16 bytes); ToolMissingError if it cannot be read."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ToolMissingError(
            f"cannot read the launcher '{path}': {error.strerror}",
            hint="install syscr where a C compiler is, or run 'make -C syscr/csrc' in its sources",
        ) from error
    return hashlib.blake2b(content, digest_size=16).hexdigest()
