"""Checkpoint directories that this user has used, so that a restart finds images anywhere.

One tiny file for each, below ``$XDG_STATE_HOME/syscr``: what two commands remember at the same time are two
files, so neither can lose the other's, and nothing is locked (a home directory may be unable to, or hang). It is
a convenience: the store is the truth, a lost entry costs an ``--image-dir``, and no failure here may disturb a
checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_FOLDER = "checkpoint-dirs"
_MOST = 64
_LIMIT_BYTES = 1 << 16
_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class KnownDirs:
    """The user's list.

    Attributes:
        path: The folder of the entries; empty where the user has no home directory.
        now_ns: Nanoseconds since 1970; entries are ordered by it.
    """

    path: str
    now_ns: Callable[[], int] = time.time_ns

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> KnownDirs:
        """Return the list of the user whose environment this is."""
        state = environ.get("XDG_STATE_HOME") or ""
        home = environ.get("HOME") or ""
        if not Path(state).is_absolute():
            state = str(Path(home, ".local", "state")) if Path(home).is_absolute() else ""
        return cls(str(Path(state, "syscr", _FOLDER)) if state else "")

    def ordered(self, first: str) -> tuple[str, ...]:
        """Return ``first`` and then the others, newest first."""
        found = [_read(Path(self.path, name)) for name in self._list()[:_MOST]]
        return tuple(dict.fromkeys((first, *filter(None, found), *self._read_former())))

    def remember(self, checkpoint_dir: str) -> None:
        """Put a directory in front; says nothing where that fails."""
        if not self.path:
            return
        name = hashlib.sha256(os.fsencode(checkpoint_dir)).hexdigest()[:32]
        known = self._list()
        if known[:1] == [name]:
            return
        try:
            Path(self.path).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(name, checkpoint_dir)
            for old in [one for one in known if one != name][_MOST - 1 :]:
                Path(self.path, old).unlink(missing_ok=True)
        except OSError as error:
            log.info("cannot remember '%s': %s", checkpoint_dir, error)

    def _write(self, name: str, checkpoint_dir: str) -> None:
        aside = Path(self.path, f".{os.urandom(8).hex()}")  # homes are shared: pids are not unique
        try:
            aside.write_bytes(os.fsencode(checkpoint_dir))
            now = self.now_ns()
            os.utime(aside, ns=(now, now))
            aside.rename(Path(self.path, name))
        except OSError:
            aside.unlink(missing_ok=True)
            raise

    def _read_former(self) -> tuple[str, ...]:
        """Return what was remembered in one file for all, as until November 2026."""
        try:
            value = json.loads(Path(f"{self.path}.json").read_bytes()) if self.path else []
        except (OSError, ValueError, RecursionError):
            return ()
        entries = value if isinstance(value, list) else []
        return tuple(entry for entry in entries if isinstance(entry, str) and entry.startswith("/"))

    def _list(self) -> list[str]:
        """Return the names of the entries, newest first."""
        if not self.path:
            return []
        try:
            names = [name for name in os.listdir(self.path) if _NAME.fullmatch(name)]
        except OSError:
            return []
        return sorted(names, key=lambda name: (_written_at(Path(self.path, name)), name))[::-1]


def _written_at(path: Path) -> int:
    """Return when an entry was written, nanoseconds; 0: another command has just removed it."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> str:
    """Return the directory of an entry; empty: it is none."""
    try:
        with path.open("rb") as file:
            text = os.fsdecode(file.read(_LIMIT_BYTES))
    except OSError:
        return ""
    return text if text.startswith("/") and "\0" not in text else ""
