"""What a caller asks for: frozen, validated before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from syscr.errors import RequestError
from syscr.model import JobId, Target

DEFAULT_MAX_WAIT_SECONDS = 600.0


def _check_dir(option: str, path: str | None) -> None:
    if path is None:
        return
    if not path or "\0" in path:
        raise RequestError(f"{option} is empty or holds a NUL byte", hint="name a directory")
    if not PurePath(path).is_absolute():
        raise RequestError(f"{option} is not an absolute path: '{path}'", hint="give the full path")


@dataclass(frozen=True, slots=True)
class CheckpointRequest:
    """Write an image of a running job or step.

    Attributes:
        target: Job or step.
        image_dir: Checkpoint directory for this operation; None: the job's own.
        max_wait_seconds: Limit for dump, digest and publish together; > 0.
        tags: Free words for the manifest.
        dry_run: Only pre-flight.
    """

    target: Target
    image_dir: str | None = None
    max_wait_seconds: float = DEFAULT_MAX_WAIT_SECONDS
    tags: tuple[str, ...] = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        _check_dir("--image-dir", self.image_dir)
        if not self.max_wait_seconds > 0:
            raise RequestError(
                f"--max-wait must be more than 0 s, not {self.max_wait_seconds:g} s",
                hint="leave it out for the configured limit",
            )


@dataclass(frozen=True, slots=True)
class RestartRequest:
    """Bring a job or step back.

    Attributes:
        target: Job or step whose newest verified image is meant; None where ``image_id`` says it.
        image_id: Image id or unambiguous prefix; None: the newest verified image of ``target``.
        image_dir: Checkpoint directory; None: wherever the job's is found.
        stick_to_nodes: Only the nodes it ran on.
        new_job: Submit a new job even if the old one could be requeued.
        wait_seconds: How long to wait until it runs again; 0: not at all.
        options: More options for sbatch where a new job is submitted.
        dry_run: Only say what would be done.
    """

    target: Target | None = None
    image_id: str | None = None
    image_dir: str | None = None
    stick_to_nodes: bool = False
    new_job: bool = False
    wait_seconds: float = 300.0
    options: tuple[str, ...] = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        _check_dir("--image-dir", self.image_dir)
        if self.target is None and self.image_id is None:
            raise RequestError("neither a job nor an image is named", hint="name one of them")
        if self.wait_seconds < 0:
            raise RequestError(
                f"--wait must not be negative: {self.wait_seconds:g} s", hint="use 0"
            )


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """Delete images by rule.

    Attributes:
        checkpoint_dir: Directory to work in.
        job_id: Only the line of this job, of the number of an array those of all its tasks; None: all.
        keep_last: Keep this many newest images of each job and step.
        keep_within_seconds: Keep images younger than this.
        keep_tags: Keep images that have one of these tags.
        allow_empty: Allow a rule that may leave a job without any image.
        expunge: Also remove for good what is in the trash.
        dry_run: Only say what would be done.
    """

    checkpoint_dir: str
    job_id: JobId | None = None
    keep_last: int | None = None
    keep_within_seconds: float | None = None
    keep_tags: tuple[str, ...] = ()
    allow_empty: bool = False
    expunge: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Refuse a rule that keeps nothing by accident."""
        rules = (self.keep_last, self.keep_within_seconds, self.keep_tags or None)
        if all(rule is None for rule in rules) and not self.allow_empty and not self.expunge:
            raise RequestError(
                "no rule says what to keep",
                hint="give --keep-last N or --keep-within TIME; --allow-empty deletes everything",
            )
        if self.keep_last is not None and self.keep_last < 1 and not self.allow_empty:
            raise RequestError(
                f"--keep-last {self.keep_last} keeps nothing",
                hint="add --allow-empty if you mean it",
            )
