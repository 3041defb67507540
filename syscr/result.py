"""What the manager's operations return: frozen, ready for text and for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from syscr.model import Finding, Image, Job, JobId, Life, Target, TaskSpec
from syscr.ports import Capabilities


@dataclass(frozen=True, slots=True)
class CheckpointResult:
    """Result of checkpoint, vacate and requeue.

    Attributes:
        target: What was dumped; the step is filled in.
        image: The published image; None after a dry run.
        job_state: What became of the job: ``running``, ``ended``, ``requeued``, ``pending``.
        findings: Pre-flight results that did not refuse.
        warnings: Remarks for the user.
    """

    target: Target
    image: Image | None
    job_state: str
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedImage:
    """An image that restart passed over.

    Attributes:
        image_id: The image.
        reasons: Why.
    """

    image_id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestartResult:
    """Result of restart.

    Attributes:
        image: The image it continues from.
        job_id: The job that continues; None after a dry run of a new job.
        method: ``requeue`` (same job id), ``submit`` (new job) or ``native`` (same job id, by Slurm's own
            ``scontrol checkpoint restart``).
        job_state: ``running`` (restored and going on), ``pending`` (waits in the queue), ``planned``.
        nodes: Nodes it runs on; with a dry run those it is tied to.
        skipped: Newer images that could not be used.
        warnings: Remarks for the user.
        wait_seconds: Time from the call until it ran again.
    """

    image: Image
    job_id: JobId | None
    method: str
    job_state: str
    nodes: tuple[str, ...] = ()
    skipped: tuple[SkippedImage, ...] = ()
    warnings: tuple[str, ...] = ()
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Can a job be checkpointed, and what is there of it.

    Attributes:
        target: The job.
        job: What Slurm says; None: Slurm does not know it any more.
        tasks: Tasks that can be dumped, by step and rank.
        findings: Pre-flight results.
        images: Its images, oldest first.
        busy: Holder of the lock where a checkpoint is going on; empty if none.
        warnings: Remarks.
        lives: Those of a job that keeps itself alive (``--checkpoint``), oldest first.
        kept_seconds: Running time of all lives that is in an image, or led to the end.
        lost_seconds: Running time after the last image of lives that have ended.
    """

    target: Target
    job: Job | None
    tasks: tuple[TaskSpec, ...] = ()
    findings: tuple[Finding, ...] = ()
    images: tuple[Image, ...] = ()
    busy: str = ""
    warnings: tuple[str, ...] = ()
    lives: tuple[Life, ...] = ()
    kept_seconds: float = 0.0
    lost_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Result of simulate.

    Attributes:
        target: The job.
        cause: ``preempt``, ``timeout`` or ``node-failure``.
        life: The life that was ended, as it is written down.
        job_state: What Slurm says of the job now, ``PENDING`` after a requeue.
    """

    target: Target
    cause: str
    life: Life
    job_state: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What retention decided for one image.

    Attributes:
        image: The image.
        keep: Whether it stays.
        reason: Why.
    """

    image: Image
    keep: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PruneResult:
    """Result of prune.

    Attributes:
        decisions: One per image, oldest first.
        expunged: Ids removed for good.
        warnings: Remarks.
    """

    decisions: tuple[Decision, ...]
    expunged: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """What ``syscr doctor`` found on one node.

    Attributes:
        node: Node name.
        backends: Capabilities, in the configured order.
        facts: Name -> text (kernel, Slurm version, launcher, Python, ...).
        error: Why the node could not be asked; empty if it was.
    """

    node: str
    backends: tuple[Capabilities, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    error: str = ""
