"""Putting a manifest together from what Slurm, the nodes and the store said; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syscr._version import __version__
from syscr.model import (
    Job,
    JobDetails,
    Manifest,
    NodeReport,
    Submission,
    TaskSpec,
    Timings,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a manifest is made of.

    Attributes:
        image_id: Id of the image.
        created_at: When the checkpoint began.
        job: The job.
        details: Its details.
        submission: How it was submitted.
        slurm_version: Slurm's version.
        digest_algorithm: Algorithm of the digests.
        tags: The user's tags.
    """

    image_id: str
    created_at: datetime
    job: Job
    details: JobDetails
    submission: Submission
    slurm_version: str
    digest_algorithm: str
    tags: tuple[str, ...] = ()


def build_manifest(parts: Parts, reports: Sequence[NodeReport], timings: Timings) -> Manifest:
    """Return the manifest of one checkpoint; ``reports`` are those of the nodes that dumped."""
    first = next(task for report in reports for task in report.tasks)
    images = [image for report in reports for image in report.images]
    return Manifest(
        image_id=parts.image_id,
        created_at=parts.created_at,
        lineage=first.lineage,
        number=parts.job.number,
        job_id=str(parts.job.job_id),
        step=first.step,
        backend=first.backend,
        job_name=parts.details.name,
        user_name=parts.job.user_name,
        uid=parts.job.uid,
        account=parts.details.account,
        partition=parts.job.partition,
        nodes=parts.job.nodes,
        task_count=first.task_count,
        restart_count=first.restart_count,
        time_limit_seconds=parts.job.time_limit_seconds,
        submission=parts.submission,
        tool_version=next((report.tool_version for report in reports if report.tool_version), ""),
        launcher_digest=next((r.launcher_digest for r in reports if r.launcher_digest), ""),
        slurm_version=parts.slurm_version,
        syscr_version=__version__,
        digest_algorithm=parts.digest_algorithm,
        parent_image_id=first.restored_from,
        tags=parts.tags,
        tasks=tuple(sorted(images, key=lambda image: image.rank)),
        hosts=tuple(report.host for report in reports if report.host is not None),
        files=tuple(sorted((f for r in reports for f in r.files), key=lambda file: file.path)),
        timings=timings,
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def merge_timings(reports: Sequence[NodeReport], total_seconds: float) -> Timings:
    """Return the longest durations over the nodes; publishing is not over yet and stays None."""
    frozen = [r.timings.frozen_us for r in reports if r.timings.frozen_us is not None]
    return Timings(
        frozen_us=max(frozen) if frozen else None,
        dump_seconds=max((report.timings.dump_seconds for report in reports), default=0.0),
        digest_seconds=max((report.timings.digest_seconds for report in reports), default=0.0),
        total_seconds=total_seconds,
    )


def build_submission(
    record: Mapping[str, object] | None, details: JobDetails, job: Job, script: str
) -> Submission:
    """Return how a job was submitted: as syscr recorded it, else as far as Slurm knows.

    Args:
        record: Record of ``syscr sbatch`` or ``syscr srun``, or of a batch script that the SPANK plugin has put
            under syscr; None: submitted by other means.
        details: What Slurm says.
        job: The same.
        script: Its batch script; empty: it has none.
    """
    common = {
        "script": script,
        "stdout_path": details.stdout_path,
        "stderr_path": details.stderr_path,
        "working_dir": details.working_dir,
    }
    if record is not None and record.get("command") == "sbatch":
        return Submission(
            command="sbatch",
            options=_texts(record.get("options")),
            program=_texts(record.get("program")),
            **common,
        )
    own = record.get("options") if record is not None and record.get("command") == "spank" else None
    return Submission(
        command="sbatch" if script else "srun",
        options=(*_derive_options(details, job), *_texts(own)),
        program=_texts(record.get("program")) if record is not None else (),
        **common,
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _derive_options(details: JobDetails, job: Job) -> tuple[str, ...]:
    """Return sbatch options that give a new job the geometry of an old one."""
    minutes = None if job.time_limit_seconds is None else max(1, round(job.time_limit_seconds / 60))
    pairs = (
        ("job-name", details.name),
        ("account", details.account),
        ("qos", details.qos),
        ("partition", job.partition),
        ("nodes", str(details.node_count)),
        ("ntasks", str(details.task_count)),
        ("cpus-per-task", str(details.cpus_per_task) if details.cpus_per_task > 1 else ""),
        ("constraint", details.features),
        ("time", "UNLIMITED" if minutes is None else str(minutes)),
    )
    return tuple(f"--{name}={value}" for name, value in pairs if value)


def rank_order(tasks: Sequence[TaskSpec]) -> tuple[TaskSpec, ...]:
    """Return tasks by step and rank."""
    return tuple(sorted(tasks, key=lambda task: (task.step, task.rank)))
