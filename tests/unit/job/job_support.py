"""A place for ``syscr run``: a real store, a launcher that is only looked at, and a world of variables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from syscr.job.environment import TaskPlace
from syscr.job.launcher import Launcher
from syscr.job.run import TaskRunner
from syscr.job.run_options import RunOptions
from syscr.job.start import TaskStarter
from syscr.model import Image, TaskImage
from syscr.ports import Store, StoreKey
from syscr.store.digest import sync_and_digest
from syscr.store.directory import DirectoryStore
from syscr.store.tree import find_files
from syscr.testing.backend import IMAGE_FILE, FakeBackend
from syscr.testing.clock import FakeClock
from syscr.testing.images import sample_manifest

PLACE = TaskPlace(12, "batch", 0, 1, "c1", 0)
AGAIN = PLACE._replace(restart_count=1)
COMMAND = ("prog", "a b", "\udcff")


class Became(BaseException):
    """This process would be another program now.

    Attributes:
        argv: Its arguments.
        env: Its environment; None: ours.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None) -> None:
        super().__init__(list(argv))
        self.argv = tuple(argv)
        self.env = None if env is None else dict(env)


def become(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> NoReturn:
    raise Became(argv, env)


@dataclass
class Job:
    """One task that starts.

    Attributes:
        root: A directory of the test.
        installed: The installed launcher, just bytes.
        backend: The only backend.
        warnings: Lines for the job's output.
        environ: The task's environment.
        sidecars: Helpers that were started: their words and options.
    """

    root: Path
    installed: Path
    backend: FakeBackend = field(default_factory=FakeBackend)
    warnings: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": "/bin", "SYSCR_SRUN": "prog"})
    clock: FakeClock = field(default_factory=FakeClock)
    sidecars: list[tuple[tuple[str, ...], dict[str, Any]]] = field(default_factory=list)

    def start_sidecar(self, argv: Sequence[str], **options: Any) -> int:
        """Take note of a helper; the first has pid 4001."""
        self.sidecars.append((tuple(argv), options))
        return 4000 + len(self.sidecars)

    @property
    def directory(self) -> str:
        return str(self.root / "checkpoints")

    def open_store(self, path: str) -> Store:
        return DirectoryStore(path, clock=self.clock, durable=False)

    @property
    def store(self) -> Store:
        return self.open_store(self.directory)

    def run(
        self, place: TaskPlace = PLACE, *, command: Sequence[str] = COMMAND, **options: Any
    ) -> Became:
        """Run ``syscr run`` until it becomes another program."""
        runner = TaskRunner(
            {"fake": self.backend},
            self.open_store,
            TaskStarter(Launcher(str(self.installed)), self.environ, ("/bin/syscr",)),
            self.environ,
            self.warnings.append,
            self.clock,
        )
        values: dict[str, Any] = {"backend": "fake"}
        run_options = RunOptions(tuple(command), self.directory, **(values | options))
        try:
            runner.run(run_options, place)
        except Became as program:
            return program
        raise AssertionError("still the same program")

    def publish(
        self, *ranks: int, lineage: str = "12", step: str = "batch", **changes: Any
    ) -> Image:
        """Put an image of some ranks into the store."""
        self.clock.advance(1.0)
        key = StoreKey(lineage, step)
        image_id = self.store.new_image_id()
        staging = self.store.open_staging(key, image_id, needed_bytes=0)
        for rank in ranks:
            folder = Path(staging, "data", str(rank))
            folder.mkdir(parents=True)
            (folder / IMAGE_FILE).write_text(f"memory {rank}")
        files = sync_and_digest(
            staging, find_files(staging, "data"), node="c1", rank=None, durable=False
        )
        values: dict[str, Any] = {
            "backend": "fake",
            "task_count": len(ranks),
            "hosts": (),
            "tasks": tuple(self.task_image(rank) for rank in ranks),
        }
        manifest = sample_manifest(
            lineage=lineage,
            step=step,
            image_id=image_id,
            created_at=self.clock.now(),
            files=files,
            **(values | changes),
        )
        return self.store.publish(staging, manifest)

    def task_image(self, rank: int = 0, **changes: Any) -> TaskImage:
        """Return a rank of an image that worked in our root."""
        values: dict[str, Any] = {"working_dir": str(self.root), "argv": ("old", "words")}
        return TaskImage(rank, "c1", f"data/{rank}", **(values | changes))

    def note(self, place: TaskPlace = AGAIN) -> str | None:
        """Return what a waiting restart reads."""
        life = f"{place.number}.{place.restart_count}.{place.rank}"
        return self.store.read_note(StoreKey("12", place.step), f"run/{life}/ready")


def option(program: Became, name: str) -> str:
    """Return the value of an option of the launcher."""
    return program.argv[program.argv.index(name) + 1]


def words_after(program: Became) -> tuple[str, ...]:
    """Return what the launcher shall run."""
    return program.argv[program.argv.index("--") + 1 :]


def file_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")
