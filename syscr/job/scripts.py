"""Copies of batch scripts in the checkpoint directory, named after their content.

Slurm's own copy lies in slurmd's spool directory, on one node and under the job's number, and goes with
the job; a restored shell reads on from the file that it has open.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from syscr.errors import StoreAccessError
from syscr.job.launcher import make_private_dir, name_aside, place

_FOLDER = "scripts"


def store_script(checkpoint_dir: str, content: bytes, *, consequence: str = "") -> str:
    """Keep a copy of a batch script; returns its path.

    Args:
        checkpoint_dir: Absolute checkpoint directory.
        content: The script.
        consequence: What a failure means, for its message.

    Raises:
        StoreAccessError: It cannot be written.
    """
    end = f"; {consequence}" if consequence else ""
    try:
        folder = make_private_dir(checkpoint_dir, _FOLDER)
    except OSError as error:
        raise StoreAccessError(
            f"cannot store the batch script below '{checkpoint_dir}': '{error.filename}': {error.strerror}{end}",
            hint="choose another --checkpoint-dir",
            path=checkpoint_dir,
            errno=error.errno,
        ) from error
    path = Path(folder, _name(content))
    try:
        is_damaged = path.exists() and path.read_bytes() != content
        if is_damaged or not path.exists():
            aside = Path(name_aside(path))
            try:
                aside.write_bytes(content)
                aside.chmod(0o700)
                place(str(aside), str(path), replace=is_damaged)
            finally:
                aside.unlink(missing_ok=True)
    except OSError as error:
        raise StoreAccessError(
            f"cannot store the batch script in '{folder}': {error.strerror}{end}",
            hint="choose another --checkpoint-dir",
            path=folder,
            errno=error.errno,
        ) from error
    return str(path)


def is_lost_copy(checkpoint_dir: str, path: str) -> bool:
    """Whether this is the copy of a batch script that ``syscr sbatch`` has made, and this node has it not."""
    folder = Path(checkpoint_dir, f".syscr-{os.geteuid()}", _FOLDER)
    return Path(path).parent == folder and not Path(path).exists()


def keep_script(checkpoint_dir: str, path: str) -> str:
    """Keep a copy of the script at ``path``; returns the path of the copy.

    Raises:
        StoreAccessError: It cannot be read, or the copy cannot be written.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StoreAccessError(
            f"cannot read the batch script '{path}': {error.strerror}", path=path, errno=error.errno
        ) from error
    return store_script(checkpoint_dir, content)


def _name(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
