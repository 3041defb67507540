"""Frozen values that everything else talks about: ids, jobs, tasks, images, manifests, findings.

No I/O here. What is asked for is in ``request.py``, what can be done in ``ports/``.
"""

from __future__ import annotations

from syscr.model.finding import Finding, Severity
from syscr.model.ids import JobId, StepId, Target
from syscr.model.image import (
    NOT_STORED,
    HostFacts,
    Image,
    ImageFile,
    Manifest,
    Timings,
    TornImage,
)
from syscr.model.job import Job, JobDetails, JobState, Submission
from syscr.model.life import Life, Outlook, SiteTimes, StopReason
from syscr.model.report import NodeReport
from syscr.model.task import FileState, TaskImage, TaskSpec

__all__ = [
    "JobId",
    "StepId",
    "Target",
    "JobState",
    "Job",
    "JobDetails",
    "Submission",
    "Outlook",
    "SiteTimes",
    "StopReason",
    "Life",
    "Severity",
    "Finding",
    "TaskSpec",
    "FileState",
    "TaskImage",
    "NOT_STORED",
    "ImageFile",
    "Timings",
    "HostFacts",
    "Manifest",
    "Image",
    "TornImage",
    "NodeReport",
]
