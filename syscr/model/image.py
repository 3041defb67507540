"""Images and their manifests (docs/reference/manifest.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syscr.model.job import Submission
from syscr.model.task import TaskImage

NOT_STORED: Mapping[str, bool] = {"stored": False}
"""Metadata of a field that manifests do not have: it is known only once they are written."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One stored file of an image.

    Attributes:
        path: Relative to the image folder, without ``..``.
        size_bytes: Size as stored.
        digest: Hexadecimal digest of the bytes as stored.
        node: Node that wrote it; empty: the manager.
        rank: Rank it belongs to; None: none.
    """

    path: str
    size_bytes: int
    digest: str
    node: str = ""
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations of one checkpoint; the longest over the nodes.

    Attributes:
        frozen_us: How long the program stood still, microseconds, as the tool measured it; None if it
            does not say.
        dump_seconds: Freeze to thaw, as the worker saw it.
        digest_seconds: Syncing and digesting the files.
        publish_seconds: Manifest, syncs and rename; None of an image in a store: its manifest was written
            before.
        total_seconds: The whole operation as the caller saw it; in a manifest until it was written.
    """

    frozen_us: int | None = None
    dump_seconds: float = 0.0
    digest_seconds: float = 0.0
    publish_seconds: float | None = field(default=None, metadata=NOT_STORED)
    total_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a restore depends on.

    Attributes:
        node: Node name.
        architecture: ``x86_64`` and the like.
        kernel: Kernel release.
        cpu_model: Model name of the CPU.
        cpu_flags: CPU feature flags, sorted.
        libc: C library and version.
        distribution: ``PRETTY_NAME`` of os-release.
        cgroup_version: 1, 2 or 0 for none.
    """

    node: str
    architecture: str = ""
    kernel: str = ""
    cpu_model: str = ""
    cpu_flags: tuple[str, ...] = ()
    libc: str = ""
    distribution: str = ""
    cgroup_version: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of one image, written last and never changed (docs/reference/manifest.md).

    Attributes:
        image_id: ``20261122T061900Z-9f3c21ab``.
        created_at: When the checkpoint began, aware UTC.
        lineage: First job of the line, plain number as text.
        number: Plain number of the job that was dumped.
        job_id: Its canonical id as text.
        step: Step that was dumped.
        job_name: Its name (user text).
        user_name: Owner.
        uid: Owner's id.
        account: Account.
        partition: Partition.
        nodes: Nodes of the job.
        task_count: Tasks of the step.
        restart_count: ``SLURM_RESTART_COUNT`` at the dump.
        time_limit_seconds: The job's limit; None: unlimited.
        submission: How it was submitted.
        backend: Backend.
        tool_version: Version of its tool.
        launcher_digest: Digest of the launcher binary mapped in the tree; empty if none is.
        slurm_version: As ``sinfo -V`` prints it.
        syscr_version: Version that wrote the image.
        digest_algorithm: ``blake3`` or ``sha256``.
        parent_image_id: Image this life was restored from; empty if none.
        tags: Free words; ``keep`` protects from retention.
        tasks: One entry per rank, by rank.
        hosts: One entry per node.
        files: Stored files, by path.
        timings: Durations.
        notes: Remarks of the backend.
    """

    image_id: str
    created_at: datetime
    lineage: str
    number: int
    job_id: str
    step: str
    backend: str
    job_name: str = ""
    user_name: str = ""
    uid: int = -1
    account: str = ""
    partition: str = ""
    nodes: tuple[str, ...] = ()
    task_count: int = 1
    restart_count: int = 0
    time_limit_seconds: float | None = None
    submission: Submission = Submission()
    tool_version: str = ""
    launcher_digest: str = ""
    slurm_version: str = ""
    syscr_version: str = ""
    digest_algorithm: str = "blake3"
    parent_image_id: str = ""
    tags: tuple[str, ...] = ()
    tasks: tuple[TaskImage, ...] = ()
    hosts: tuple[HostFacts, ...] = ()
    files: tuple[ImageFile, ...] = ()
    timings: Timings = Timings()
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Total size of the stored files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class TornImage:
    """A folder in the place of an image that is none: its manifest is missing or cannot be read.

    A copy that was cut off leaves such a one. Nothing is restored from it; it can be deleted.

    Attributes:
        image_id: Its name.
        lineage: Line of jobs in whose folder it lies.
        step: Step.
        path: Absolute folder.
        checkpoint_dir: Checkpoint directory it was found in.
        reason: Why it is no image.
        is_deleted: In the trash, recoverable until expunged.
    """

    image_id: str
    lineage: str
    step: str
    path: str
    checkpoint_dir: str
    reason: str
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """A published (or deleted) image: its manifest and where it lies.

    Attributes:
        manifest: What it holds.
        path: Absolute folder of the image.
        checkpoint_dir: Checkpoint directory it was found in.
        is_deleted: In the trash, recoverable until expunged.
    """

    manifest: Manifest
    path: str
    checkpoint_dir: str
    is_deleted: bool = False

    @property
    def image_id(self) -> str:
        """Identifier of the image."""
        return self.manifest.image_id
