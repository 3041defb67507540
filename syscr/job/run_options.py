"""Options of ``syscr run``, complete: the command line filled up with the settings."""

from __future__ import annotations

from dataclasses import dataclass

from syscr.job.options import GivenOptions
from syscr.job.start import Keeping
from syscr.settings import Settings


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of ``syscr run``, complete.

    Attributes:
        command: Program and arguments.
        checkpoint_dir: Absolute checkpoint directory.
        backend: Backend, or ``auto`` for the first of ``order`` that this node has.
        order: Backends that ``auto`` tries.
        interval_seconds: Time between two checkpoints; 0: none; ``AUTO_INTERVAL``: the agent chooses.
        restart_dir: What a first start continues from; None: nothing.
        total_seconds: Running time of all lives together; 0: without limit.
        fence_seconds: How often a life looks whether there is a newer one.
        truncate_output: See ``options.GivenOptions``.
        keep_script: See ``options.GivenOptions``.
        verify_level: ``sizes`` or ``digests``, where this task decides about the image.
        agent_signal: See ``start.Keeping``.
        on_bad_image: ``fresh`` or ``fail`` where no image of the job is intact.
        changed_inputs: ``refuse`` or ``warn`` where a file that the program reads has been changed.
    """

    command: tuple[str, ...]
    checkpoint_dir: str
    backend: str = "auto"
    order: tuple[str, ...] = ("criu", "dmtcp")
    interval_seconds: float = 0.0
    restart_dir: str | None = None
    truncate_output: bool = False
    keep_script: bool = False
    verify_level: str = "digests"
    total_seconds: float = 0.0
    fence_seconds: float = 15.0
    agent_signal: str = "none"
    on_bad_image: str = "fresh"
    changed_inputs: str = "refuse"

    @property
    def keeping(self) -> Keeping:
        """What the agent is told."""
        return Keeping(self.interval_seconds, self.total_seconds, self.agent_signal)

    @classmethod
    def build(cls, given: GivenOptions, settings: Settings) -> RunOptions:
        """Fill the command line up with the settings."""
        return cls(
            command=given.command,
            checkpoint_dir=settings.checkpoint_dir,
            backend=settings.backend,
            order=settings.order,
            interval_seconds=given.interval_seconds,
            restart_dir=given.restart_dir,
            truncate_output=given.truncate_output,
            keep_script=given.keep_script,
            verify_level=settings.restart_verify,
            total_seconds=given.total_seconds,
            fence_seconds=settings.agent_fence_seconds,
            agent_signal=settings.agent_signal,
            on_bad_image=settings.restart_on_bad_image,
            changed_inputs=settings.restart_changed_inputs,
        )
