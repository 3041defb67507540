"""The command line against a stand-in of an old Slurm, each command a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from native_slurm import NativeSlurm, install, opened

from syscr.clock import SystemClock
from syscr.waiting import wait_until

_LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Site:
    """A cluster and a user on it.

    Attributes:
        folder: Where everything is.
        state: The cluster's state.
        store: The checkpoint directory.
    """

    folder: Path
    state: Path
    store: Path

    @classmethod
    def build(cls, folder: Path, **state: Any) -> Site:
        site = cls(folder, folder / "slurm.json", folder / "ck pt 'a\"\nb")
        site.state.write_text(json.dumps(state))
        install(folder / "bin", site.state)
        return site

    @contextmanager
    def slurm(self) -> Iterator[NativeSlurm]:
        with opened(self.state, time.time()) as slurm:
            yield slurm

    def add_job(self, number: int, **changes: Any) -> None:
        with self.slurm() as slurm:
            slurm.add_job(number, **changes)

    def set(self, **state: Any) -> None:
        with self.slurm() as slurm:
            slurm.state.update(state)

    def asked(self) -> list[list[str]]:
        """Return what was asked of ``scontrol checkpoint``, in order."""
        with self.slurm() as slurm:
            log: list[list[str]] = slurm.state["log"]
        return [words[2:] for words in log if words[:2] == ["scontrol", "checkpoint"]]

    def ran(self, tool: str) -> list[list[str]]:
        """Return what a command of Slurm's was given, in order."""
        with self.slurm() as slurm:
            log: list[list[str]] = slurm.state["log"]
        return [words[1:] for words in log if words[0] == tool]

    def job(self, number: int) -> dict[str, Any] | None:
        with self.slurm() as slurm:
            slurm.answer(["sinfo", "-V"])  # lets happen what is due
            job: dict[str, Any] | None = slurm.state["jobs"].get(str(number))
        return job

    def _environ(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SYSCR_CHECKPOINT_DIR": str(self.store),
            **variables,
        }

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run syscr."""
        return subprocess.run(
            [sys.executable, "-m", "syscr", *words],
            env=self._environ(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )

    @property
    def version(self) -> str:
        """Slurm's."""
        with self.slurm() as slurm:
            return str(slurm.state["version"])

    def start(self, *words: str, log: bool = False) -> subprocess.Popen[bytes]:
        """Start syscr and do not wait; with ``log`` what it says on standard error is kept."""
        return subprocess.Popen(
            [sys.executable, "-m", "syscr", *words],
            env=self._environ({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if log else subprocess.DEVNULL,
        )

    def wait_for(self, condition: Callable[[], bool]) -> None:
        assert wait_until(SystemClock(), condition, timeout_seconds=_LIMIT_SECONDS)

    def read(self, *words: str) -> Any:
        """Run syscr and return its JSON; it must succeed."""
        done = self.run("--json", *words)
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)["data"]
        return data["results"][0]["result"] if "results" in data else data

    def images(self) -> list[Path]:
        """Return the folders of published images, oldest first."""
        return sorted(path.parent for path in self.store.glob("*.ckpt/*/manifest.json"))

    def files(self, image: Path) -> list[str]:
        """Return what is in an image, without its manifest."""
        return sorted(
            str(path.relative_to(image)) for path in (image / "data").rglob("*") if path.is_file()
        )
