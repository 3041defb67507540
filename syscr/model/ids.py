"""Ids of jobs and steps, as Slurm prints them and as users name them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syscr.errors import RequestError

_JOB_ID = re.compile(r"(?P<number>\d+)(?:_(?P<index>\d+)|\+(?P<offset>\d+))?")
_STEP_NAMES = ("batch", "extern", "interactive")


@dataclass(frozen=True, order=True, slots=True)
class JobId:
    """Identifier of one job in a form that Slurm prints: ``1234``, ``1234_7`` or ``1234+1``.

    Attributes:
        number: The number before ``_`` or ``+`` (of an array: the array's own number).
        array_index: Index within a job array; 0 is a real index; None: no array task.
        het_offset: Component of a heterogeneous job; None: no such job.
    """

    number: int
    array_index: int | None = None
    het_offset: int | None = None

    @classmethod
    def parse(cls, text: str) -> JobId:
        """Read a job id.

        Raises:
            RequestError: No job id; a pending range such as ``1234_[0-9]`` is named as such.
        """
        match = _JOB_ID.fullmatch(text.strip())
        if match is None:
            hint = "write 1234, or 1234_7 for one task of a job array"
            if "[" in text:
                hint = "a range of array tasks is not one job; name each task, as in 1234_7"
            raise RequestError(f"not a job id: '{text}'", hint=hint)
        index, offset = match["index"], match["offset"]
        return cls(
            int(match["number"]),
            None if index is None else int(index),
            None if offset is None else int(offset),
        )

    def __str__(self) -> str:
        """Return the form that Slurm prints."""
        if self.array_index is not None:
            return f"{self.number}_{self.array_index}"
        if self.het_offset is not None:
            return f"{self.number}+{self.het_offset}"
        return str(self.number)


@dataclass(frozen=True, order=True, slots=True)
class StepId:
    """One step of a job: ``1234.0``, ``1234.batch``.

    Attributes:
        job_id: The job.
        step: Step number as text, or ``batch``, ``extern``, ``interactive``.
    """

    job_id: JobId
    step: str

    def __str__(self) -> str:
        """Return the form that Slurm prints."""
        return f"{self.job_id}.{self.step}"

    @property
    def is_batch(self) -> bool:
        """Whether this is the batch script of the job."""
        return self.step == "batch"


@dataclass(frozen=True, slots=True)
class Target:
    """What a user names: a job, or one step of it.

    Attributes:
        job_id: The job.
        step: The step, or None for the job as a whole.
    """

    job_id: JobId
    step: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``JOB`` or ``JOB.STEP``.

        Raises:
            RequestError: Neither.
        """
        job_text, dot, step = text.strip().partition(".")
        if not dot:
            return cls(JobId.parse(job_text))
        if not (step.isdigit() or step in _STEP_NAMES):
            raise RequestError(
                f"not a step id: '{text}'", hint="write JOB.STEP, as in 1234.0 or 1234.batch"
            )
        return cls(JobId.parse(job_text), step if not step.isdigit() else str(int(step)))

    def __str__(self) -> str:
        """Return the form that was named."""
        return str(self.job_id) if self.step is None else f"{self.job_id}.{self.step}"
