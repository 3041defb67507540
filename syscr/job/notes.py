"""Small files in a task's private folder, for who waits there: whole, or not there yet."""

from __future__ import annotations

import os
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_note(path: Path, text: str) -> None:
    """Write a file (0600) in one step: a reader sees all of it, or what was there before.

    It need not survive a loss of power, as what the store writes does: the task does not, either.

    Raises:
        OSError: Nothing has changed at ``path``.
        ValueError: No name of a file.
    """
    aside = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(aside, _FLAGS, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
