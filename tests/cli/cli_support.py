"""What the tests of the command line share: a fake manager, an image, golden files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from syscr.cli.app import Progress
from syscr.model import (
    FileState,
    HostFacts,
    Image,
    ImageFile,
    Job,
    JobId,
    JobState,
    Manifest,
    Submission,
    Target,
    TaskImage,
    TaskSpec,
    Timings,
    TornImage,
)
from syscr.request import CheckpointRequest, PruneRequest, RestartRequest
from syscr.result import (
    CheckpointResult,
    JobStatus,
    NodeHealth,
    PruneResult,
    RestartResult,
    SimulationResult,
)

GOLDEN = Path(__file__).parents[1] / "data" / "cli"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
IMAGE_ID = "20261124T114500Z-9f3c21ab"


def make_image(
    image_id: str = IMAGE_ID, *, is_deleted: bool = False, path: str = "", **changes: Any
) -> Image:
    """Return an image of job 4711 as a dump of one small task leaves it."""
    manifest = Manifest(
        image_id=image_id,
        created_at=datetime(2026, 11, 24, 11, 45, tzinfo=UTC),
        lineage="4711",
        number=4711,
        job_id="4711",
        step="batch",
        backend="criu",
        job_name="heat",
        user_name="alice",
        uid=1000,
        nodes=("c1",),
        submission=Submission(command="sbatch", program=("job.sh",), working_dir="/home/alice"),
        tool_version="4.2",
        slurm_version="24.11.5",
        tasks=(
            TaskImage(
                rank=0,
                node="c1",
                data_dir="data/0",
                argv=("python3", "heat.py", "--steps", "100"),
                stdio=("/dev/null", "/home/alice/slurm-4711.out", "/home/alice/slurm-4711.out"),
                open_files=(
                    FileState("/home/alice/slurm-4711.out", 4096, writable=True, append=True),
                ),
                resident_bytes=1 << 30,
                state={"root_pid": 2},
            ),
        ),
        hosts=(
            HostFacts("c1", "x86_64", "6.12.9", "EPYC 9654", ("avx", "sse2"), cgroup_version=2),
        ),
        files=(
            ImageFile("data/0/core-2.img", 1024, "ab" * 32, "c1", 0),
            ImageFile("data/0/pages-1.img", 3 << 29, "cd" * 32, "c1", 0),
        ),
        timings=Timings(812_000, 0.9, 0.8, 0.1, 2.3),
    )
    folder = path or f"/scratch/ckpt/4711.ckpt/{image_id}"
    return Image(replace(manifest, **changes), folder, "/scratch/ckpt", is_deleted)


def make_job(number: int = 4711, state: JobState = JobState.RUNNING, **changes: Any) -> Job:
    """Return a running job on c1."""
    job = Job(
        JobId(number), number, "alice", 1000, state, state.value, node_list="c1", nodes=("c1",),
        batch_host="c1", partition="main", time_limit_seconds=3600.0,
    )  # fmt: skip
    return replace(job, **changes)


def make_task(step: str = "batch") -> TaskSpec:
    """Return a live task."""
    return TaskSpec(4711, step, 0, "c1", "4711", "/scratch/ckpt", "criu", argv=("heat",))


@dataclass
class FakeManager:
    """Answers as told, or raises, and remembers what it was asked.

    Attributes:
        answers: Verb -> value, exception, or function of the arguments.
        calls: (verb, arguments), in order.
        events: Progress events that checkpoint, vacate, requeue and restart report.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    events: list[Mapping[str, object]] = field(default_factory=list)

    def _answer(self, verb: str, *args: Any) -> Any:
        self.calls.append((verb, args))
        answer = self.answers[verb]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(*args)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _report(self, progress: Progress | None) -> None:
        for event in self.events if progress else ():
            assert progress is not None
            progress(event)

    def find_owner(self, target: Target | None, *, image_id: str | None = None) -> str:
        owner: str = self._answer("find_owner", target, image_id)
        return owner

    def checkpoint(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        self._report(progress)
        result: CheckpointResult = self._answer("checkpoint", request)
        return result

    def vacate(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        self._report(progress)
        result: CheckpointResult = self._answer("vacate", request)
        return result

    def requeue(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        self._report(progress)
        result: CheckpointResult = self._answer("requeue", request)
        return result

    def restart(
        self, request: RestartRequest, *, progress: Progress | None = None
    ) -> RestartResult:
        self._report(progress)
        result: RestartResult = self._answer("restart", request)
        return result

    def status(self, targets: Sequence[Target]) -> tuple[JobStatus, ...]:
        result: tuple[JobStatus, ...] = self._answer("status", targets)
        return result

    def simulate(self, target: Target, cause: str, *, wait_seconds: float) -> SimulationResult:
        result: SimulationResult = self._answer("simulate", target, cause, wait_seconds)
        return result

    def list_images(
        self,
        *,
        checkpoint_dir: str | None = None,
        target: Target | None = None,
        deleted: bool = False,
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        result: tuple[tuple[Image, ...], tuple[str, ...]] = self._answer(
            "list_images", checkpoint_dir, target, deleted
        )
        return result

    def get_image(
        self, image_id: str, *, checkpoint_dir: str | None = None, deleted: bool = False
    ) -> Image:
        result: Image = self._answer("get_image", image_id, checkpoint_dir, deleted)
        return result

    def verify_image(self, image: Image, *, level: str) -> tuple[str, ...]:
        result: tuple[str, ...] = self._answer("verify_image", image, level)
        return result

    def delete_image(self, image: Image) -> Image:
        result: Image = self._answer("delete_image", image)
        return result

    def undelete_image(self, image_id: str, *, checkpoint_dir: str | None = None) -> Image:
        result: Image = self._answer("undelete_image", image_id, checkpoint_dir)
        return result

    def delete_torn(self, image_id: str, *, checkpoint_dir: str | None = None) -> TornImage:
        result: TornImage = self._answer("delete_torn", image_id, checkpoint_dir)
        return result

    def undelete_torn(self, image_id: str, *, checkpoint_dir: str | None = None) -> TornImage:
        result: TornImage = self._answer("undelete_torn", image_id, checkpoint_dir)
        return result

    def prune(self, request: PruneRequest) -> PruneResult:
        result: PruneResult = self._answer("prune", request)
        return result

    def doctor(self, nodes: Sequence[str]) -> tuple[NodeHealth, ...]:
        result: tuple[NodeHealth, ...] = self._answer("doctor", nodes)
        return result


@dataclass(frozen=True)
class Outcome:
    """One finished call: exit status and both streams."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


def check_golden(name: str, text: str) -> None:
    """Compare text with a golden file; UPDATE_GOLDEN=1 writes it."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{name}: UPDATE_GOLDEN=1 pytest writes it"
