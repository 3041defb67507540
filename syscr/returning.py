"""What every way of bringing a job back, and of putting it back into the queue, says of it; pure."""

from __future__ import annotations

from syscr.errors import JobStateError, OperationUnsupportedError
from syscr.model import Image, Job, Target


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


def build_requeue_error(
    named: Target, step: Target, *, has_script: bool
) -> OperationUnsupportedError:
    """Return the error of a requeue where all that can be dumped is a step.

    Args:
        named: What was to be requeued.
        step: The step.
        has_script: Whether the job has a batch script.
    """
    job_id = named.job_id
    what, cause = f"job {job_id}", "it has no batch script, and Slurm requeues batch jobs only"
    hint = f"use 'syscr vacate {step}', then 'syscr restart {step}'"
    if named.step is not None:
        what, cause = f"step {named}", "Slurm requeues whole jobs only"
    elif has_script:
        cause = f"its batch script was not started through syscr, only step {step} was"
        hint = (
            f"use 'syscr checkpoint {step}' and 'scancel {job_id}', then 'syscr restart {step}': the script "
            "begins anew, and the step goes on from its image"
        )
    return OperationUnsupportedError(
        f"cannot requeue {what}: {cause}; the job is still running", hint=hint
    )


def describe_waiting(job: Job, waited_seconds: float) -> str:
    """Return the remark on a job that was put into the queue and has not started in time."""
    return (
        f"job {job.job_id} is still {job.raw_state} ({job.reason}) after {waited_seconds:g} s; "
        "it continues from the image as soon as it starts"
    )
