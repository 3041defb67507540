"""A whole cluster in memory: Slurm, nodes, stores and a clock, and the manager above them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from syscr.dumping import Dumper
from syscr.locating import Locator
from syscr.manager import CheckpointManager
from syscr.model import Image, Job, JobDetails, JobId, JobState, Submission, Target, TaskSpec
from syscr.ports import StoreKey
from syscr.restarting import Restarter
from syscr.result import NodeHealth
from syscr.testing.clock import FakeClock
from syscr.testing.images import sample_manifest
from syscr.testing.scheduler import FakeScheduler
from syscr.testing.store import FakeStore
from syscr.testing.workers import FakeWorkers

HOME = "/shared/alice"
OTHER = "/scratch/images"
JOB = JobId(4711)
TARGET = Target(JOB)
KEY = StoreKey("4711")


def task(rank: int = 0, *, number: int = 4711, step: str = "batch", **changes: Any) -> TaskSpec:
    """Return a task that runs under syscr."""
    values: dict[str, Any] = {
        "number": number,
        "step": step,
        "rank": rank,
        "node": "c1",
        "lineage": str(number),
        "checkpoint_dir": HOME,
        "backend": "criu",
        "argv": ("solve",),
    }
    return TaskSpec(**(values | changes))


def _wrap_for_plugin(image: Image) -> str:
    """Stand for ``submit.build_batch_script``."""
    submission = image.manifest.submission
    is_own = any(word.startswith("--checkpoint") for word in submission.options)
    return "wrapper" if is_own else submission.script


@dataclass
class World:
    """Everything a test looks at.

    Attributes:
        log: What was changed or asked of the nodes, in order, over all fakes.
        on_progress: Called with each progress message; lets time and jobs go on.
        remembered: Checkpoint directories that were taken note of.
        level: What a restart verifies.
    """

    clock: FakeClock = field(default_factory=FakeClock)
    scheduler: FakeScheduler = field(default_factory=FakeScheduler)
    workers: FakeWorkers = field(default_factory=FakeWorkers)
    log: list[object] = field(default_factory=list)
    stores: dict[str, FakeStore] = field(default_factory=dict)
    remembered: list[str] = field(default_factory=list)
    level: str = "digests"
    uid: int = 1000
    keep_last: int = 0
    on_progress: Callable[[Mapping[str, object]], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        self.scheduler.acts = self.workers.calls = self.log  # type: ignore[assignment]
        self.home = self.open_store(HOME)

    def open_store(self, path: str) -> FakeStore:
        if path not in self.stores:
            self.stores[path] = FakeStore(path, clock=self.clock)
            self.stores[path].calls = self.log  # type: ignore[assignment]
        return self.stores[path]

    @property
    def manager(self) -> CheckpointManager:
        return CheckpointManager(
            scheduler=self.scheduler,
            workers=self.workers,
            locator=Locator(self.open_store, (HOME, OTHER)),
            dumper=Dumper(
                scheduler=self.scheduler,
                workers=self.workers,
                open_store=self.open_store,
                clock=self.clock,
                uid=self.uid,
                user_name="alice",
                digest_algorithm="blake3",
                remember=self.remembered.append,
            ),
            restarter=Restarter(
                self.scheduler,
                self.open_store,
                self.clock,
                lambda image: f"step of {image.image_id}",
                _wrap_for_plugin,
            ),
            open_store=self.open_store,
            clock=self.clock,
            verify_level=self.level,
            keep_last=self.keep_last,
            delegate=lambda _: None,
            probe=lambda nodes: tuple(NodeHealth(node) for node in nodes or ("here",)),
            list_own_jobs=self.scheduler.find_own_jobs,
        )

    def add_job(
        self,
        number: int = 4711,
        *tasks: TaskSpec,
        state: JobState = JobState.RUNNING,
        nodes: tuple[str, ...] = ("c1",),
        script: str | None = "#!/bin/sh\n",
        details: JobDetails | None = None,
    ) -> Job:
        """Put a job in; one batch task if none is named."""
        self.workers.tasks += tasks or (task(number=number),)
        return self.scheduler.add_job(
            number, state=state, nodes=nodes, script=script, details=details
        )

    def add_image(self, lineage: str = "4711", *, age: float = 0.0, **changes: Any) -> Image:
        """Put an image into the home store, taken ``age`` seconds before now."""
        self.clock.advance(1.0)
        moment = self.clock.now()
        self.clock.step(-age)
        created_at = self.clock.now()
        self.clock.step((moment - created_at).total_seconds())
        directory = str(changes.pop("directory", HOME))
        values: dict[str, Any] = {
            "files": (),
            "submission": Submission("sbatch", script="#!/bin/sh\n"),
        }
        return self.open_store(directory).add_image(
            sample_manifest(lineage=lineage, created_at=created_at, **(values | changes))
        )

    def images(self, directory: str = HOME) -> list[str]:
        """Return the ids of the visible images."""
        return [image.image_id for image in self.open_store(directory).list_images()[0]]

    def names(self) -> list[str]:
        """Return what was done, by name only."""
        return [entry if isinstance(entry, str) else str(entry[0]) for entry in self.log]  # type: ignore[index]

    def staged(self) -> list[str]:
        """Return staging directories that are left."""
        return [path for store in self.stores.values() for path in store.files if "staging" in path]
