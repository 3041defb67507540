"""Slurm's own checkpoint commands, which it had up to 19.05."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from syscr.ports.backend import Capabilities


class DumpState(StrEnum):
    """What Slurm's own checkpoint commands say of a job or step that runs."""

    IDLE = "idle"
    DISABLED = "disabled"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class DumpEnd:
    """How a dump by Slurm itself ended.

    Attributes:
        code: Slurm's error number; 0: no error, or no dump yet.
        text: Its text; empty if none.
    """

    code: int
    text: str = ""


class Acceptance(StrEnum):
    """What Slurm says to the order to restart a job under its number."""

    ACCEPTED = "accepted"
    NOT_PURGED = "not_purged"
    ALIVE = "alive"
    NO_RECORD = "no_record"


class CheckpointController(Protocol):
    """Slurm's own checkpoint commands, which it had up to 19.05.

    All are asynchronous: an order that was accepted says nothing about its end. Methods raise
    SchedulerUnavailableError (no answer), SchedulerDeniedError, JobNotFoundError, JobStateError,
    OperationUnsupportedError (Slurm's plugin cannot do it) and ToolReplyError (not understood).

    Source: Slurm 18.08.9 and 19.05.8, run 2026-11.
    """

    def probe(self) -> Capabilities:
        """Return what this Slurm can do; ``missing`` says why nothing.

        Contract: asks for the configuration, once per object; never decides by the version alone.

        Raises:
            SchedulerUnavailableError: The controller does not answer.
        """
        ...

    def has_commands(self) -> bool:
        """Return whether ``scontrol`` has the keyword at all, whatever the plugin can do."""
        ...

    def can_restart_steps(self) -> bool:
        """Return whether a step can be started from an image (``srun --restart-dir``)."""
        ...

    def purge_seconds(self) -> float | None:
        """Return how long Slurm remembers an ended job at least; 0: for ever; None: it does not say."""
        ...

    def find_state(self, name: str) -> DumpState:
        """Return whether a job (``4711``) or step (``4711.0``) may be, or is being, dumped."""
        ...

    def count_tasks(self, name: str) -> int | None:
        """Return how many tasks a step has, and so how many files its dump; None: Slurm does not say."""
        ...

    def find_end(self, name: str) -> DumpEnd:
        """Return how its last dump ended; it is cleared when a new one is accepted."""
        ...

    def order_dump(self, name: str, *, image_dir: str, max_wait_seconds: float) -> None:
        """Order a dump into ``<image_dir>/<name>/``.

        Contract: a second order in the same second is accepted and silently dropped.

        Args:
            name: Job or step.
            image_dir: Absolute; the nodes make and write the folder below it as the job's owner.
            max_wait_seconds: After that Slurm reports a failure, while the dump may go on.

        Raises:
            StoreLockedError: One is going on.
            PreflightError: They are disabled.
        """
        ...

    def order_restart(self, number: int, *, image_dir: str, stick_to_nodes: bool) -> Acceptance:
        """Order a job back under its number, from ``<image_dir>/<number>/``; that is not checked."""
        ...
