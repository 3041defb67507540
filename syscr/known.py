"""Checkpoint directories that this user has used, so that a restart finds images anywhere.

One small file below ``$XDG_STATE_HOME/syscr``. It is a convenience: the store is the truth, a lost
entry costs an ``--image-dir``, and no failure here may disturb a checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_FILE = "checkpoint-dirs.json"
_MOST = 64


@dataclass(frozen=True, slots=True)
class KnownDirs:
    """The user's list.

    Attributes:
        path: The file; empty where the user has no home directory.
    """

    path: str

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> KnownDirs:
        """Return the list of the user whose environment this is."""
        state = environ.get("XDG_STATE_HOME") or ""
        home = environ.get("HOME") or ""
        if not Path(state).is_absolute():
            state = str(Path(home, ".local", "state")) if Path(home).is_absolute() else ""
        return cls(str(Path(state, "syscr", _FILE)) if state else "")

    def ordered(self, first: str) -> tuple[str, ...]:
        """Return ``first`` and then the others, newest first."""
        return tuple(dict.fromkeys((first, *self._read())))

    def remember(self, checkpoint_dir: str) -> None:
        """Put a directory in front; says nothing where that fails."""
        entries = self._read()
        if not self.path or entries[:1] == (checkpoint_dir,):
            return
        kept = list(dict.fromkeys((checkpoint_dir, *entries)))[:_MOST]
        aside = f"{self.path}.{os.urandom(4).hex()}"  # homes are shared: pids are not unique
        try:
            Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(aside).write_text(json.dumps(kept), encoding="ascii")
            Path(aside).rename(self.path)
        except OSError as error:
            log.info("cannot remember '%s': %s", checkpoint_dir, error)

    def _read(self) -> tuple[str, ...]:
        try:
            value = json.loads(Path(self.path).read_text(encoding="ascii")) if self.path else []
        except (OSError, ValueError, RecursionError):
            return ()
        if not isinstance(value, list):
            return ()
        return tuple(entry for entry in value if isinstance(entry, str) and entry.startswith("/"))
