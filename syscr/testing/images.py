"""Sample manifests, and directories full of them for benchmarks; nothing here is a real image."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from syscr.model import (
    FileState,
    HostFacts,
    ImageFile,
    Manifest,
    Submission,
    TaskImage,
    Timings,
)
from syscr.ports import StoreKey
from syscr.store.layout import Folder, new_image_id
from syscr.store.manifest import format_manifest

CREATED_AT = datetime(2026, 11, 22, 6, 19, tzinfo=UTC)
_FLAGS = tuple(sorted(f"flag_{number:03d}" for number in range(120)))


def sample_manifest(
    *,
    lineage: str = "4711",
    step: str = "batch",
    image_id: str | None = None,
    created_at: datetime = CREATED_AT,
    files: tuple[ImageFile, ...] | None = None,
    task_count: int = 1,
    **changes: Any,
) -> Manifest:
    """Return a manifest as a CRIU dump of a small program leaves it.

    Args:
        lineage: First job of the line.
        step: Step.
        image_id: Id; None: made from ``created_at``.
        created_at: When it was taken.
        files: Stored files; None: some thirty invented ones for each task.
        task_count: Tasks, one on each node.
        changes: Other fields of the manifest.
    """
    nodes = tuple(f"c{number + 1}" for number in range(task_count))
    seed = f"{lineage}.{step}.{created_at}"
    source = random.Random(seed)  # noqa: S311 - invented data, the same each time
    if files is None:
        files = tuple(
            ImageFile(
                path=f"data/{rank}/{name}",
                size_bytes=source.randrange(1 << 22),
                digest=f"{source.getrandbits(256):064x}",
                node=node,
                rank=rank,
            )
            for rank, node in enumerate(nodes)
            for name in sorted(f"core-{number}.img" for number in range(30))
        )
    values: dict[str, Any] = {
        "image_id": image_id or new_image_id(created_at, f"{source.getrandbits(32):08x}"),
        "created_at": created_at,
        "lineage": lineage,
        "number": int(lineage),
        "job_id": lineage,
        "step": step,
        "backend": "criu",
        "job_name": "sample",
        "user_name": "alice",
        "uid": 1000,
        "account": "physics",
        "partition": "main",
        "nodes": nodes,
        "task_count": task_count,
        "time_limit_seconds": 3600.0,
        "submission": Submission(
            command="sbatch",
            options=("--time=60", "--mem=1G"),
            program=("/home/alice/job.sh", "--seed", "7"),
            script="#!/bin/sh\nexec ./solver\n",
            stdout_path="/home/alice/slurm-4711.out",
            working_dir="/home/alice",
        ),
        "tool_version": "4.2.1",
        "slurm_version": "24.11.5",
        "syscr_version": "0.1.0",
        "tasks": tuple(_task(rank, node) for rank, node in enumerate(nodes)),
        "hosts": tuple(_host(node) for node in nodes),
        "files": files,
        "timings": Timings(frozen_us=84211, dump_seconds=0.31, digest_seconds=0.05),
    }
    return Manifest(**(values | changes))


def write_images(checkpoint_dir: str, count: int, *, per_job: int = 10) -> None:
    """Fill a directory with manifests of invented images, without their data, for benchmarks.

    Args:
        checkpoint_dir: Directory; made if it is missing.
        count: How many images.
        per_job: How many of them belong to one job.
    """
    for number in range(count):
        lineage = str(1000 + number // per_job)
        manifest = sample_manifest(
            lineage=lineage, created_at=CREATED_AT + timedelta(seconds=61 * number)
        )
        folder = Folder(checkpoint_dir, StoreKey(lineage))
        image_dir = folder.image_dir(manifest.image_id)
        os.makedirs(image_dir, mode=0o700)
        with open(os.path.join(image_dir, "manifest.json"), "wb") as file:
            file.write(format_manifest(manifest))


def _task(rank: int, node: str) -> TaskImage:
    return TaskImage(
        rank=rank,
        node=node,
        data_dir=f"data/{rank}",
        working_dir="/home/alice",
        argv=("/home/alice/solve", "--seed", "7"),
        stdio=("/dev/null", "/home/alice/slurm-4711.out", "/home/alice/slurm-4711.out"),
        open_files=(
            FileState("/home/alice/slurm-4711.out", 4096, writable=True, append=True),
            FileState("/home/alice/result.dat", 1 << 20, writable=True, mode=0o644),
        ),
        process_count=2,
        resident_bytes=64 << 20,
        state={"root_pid": 2, "external": ["mnt[/proc]:proc"]},
    )


def _host(node: str) -> HostFacts:
    return HostFacts(
        node=node,
        architecture="x86_64",
        kernel="6.12.48",
        cpu_model="Invented CPU @ 2.60GHz",
        cpu_flags=_FLAGS,
        libc="glibc 2.41",
        distribution="Debian GNU/Linux 13 (trixie)",
        cgroup_version=2,
    )
