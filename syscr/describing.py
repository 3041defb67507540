"""What a manifest says of a job: asked of Slurm, whoever dumps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from syscr.assemble import Parts, build_submission
from syscr.errors import JobNotFoundError
from syscr.model import Job, JobDetails, JobId
from syscr.ports import JobSource


def describe_job(
    scheduler: JobSource,
    job: Job,
    details: JobDetails,
    *,
    script_of: JobId,
    record: Mapping[str, object] | None,
    image_id: str,
    created_at: datetime,
    digest_algorithm: str,
    tags: tuple[str, ...],
) -> Parts:
    """Ask Slurm for what the manifest needs beyond the nodes' reports.

    Args:
        scheduler: Slurm.
        job: The job.
        details: What Slurm says of it.
        script_of: The id under which its batch script is asked for.
        record: How it was submitted, as syscr wrote it down; None: by other means.
        image_id: Id of the image.
        created_at: When the checkpoint began.
        digest_algorithm: Algorithm of the digests.
        tags: The user's tags.
    """
    try:
        script = scheduler.get_batch_script(script_of)
    except JobNotFoundError:
        script = ""  # a job of srun or salloc has none
    return Parts(
        image_id=image_id,
        created_at=created_at,
        job=job,
        details=details,
        submission=build_submission(record, details, job, script),
        slurm_version=scheduler.version(),
        digest_algorithm=digest_algorithm,
        tags=tags,
    )
