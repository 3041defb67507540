"""What every way of bringing a job back says of it; pure."""

from __future__ import annotations

from syscr.errors import JobStateError
from syscr.model import Image, Job


def build_alive_error(job: Job, image: Image, hint: str = "") -> JobStateError:
    """Return the error of a restart whose job is not over.

    Args:
        job: The job.
        image: What it was to continue from.
        hint: What to do instead; empty: end it.
    """
    end = f"end it first: 'syscr vacate {job.job_id}' (keeps its work) or 'scancel {job.job_id}'"
    lineage = image.manifest.lineage
    which = "" if lineage == str(job.number) else f", which continues job {lineage},"
    return JobStateError(
        f"cannot restart from image '{image.image_id}': job {job.job_id}{which} is {job.raw_state}; two live "
        "copies would write the same files",
        hint=hint or end,
        state=job.raw_state,
        allowed=["ended"],
    )


def describe_waiting(job: Job, waited_seconds: float) -> str:
    """Return the remark on a job that was put into the queue and has not started in time."""
    return (
        f"job {job.job_id} is still {job.raw_state} ({job.reason}) after {waited_seconds:g} s; "
        "it continues from the image as soon as it starts"
    )
