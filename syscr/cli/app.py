"""The state of one call of the command line: flags, settings, manager, where output goes.

Everything is made on first use, so that ``--help`` and a usage error read no file. Tests pass fakes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Protocol

import click

from syscr import log
from syscr.cli import output
from syscr.config import load_settings
from syscr.errors import RequestError
from syscr.model import Image, Target, TornImage
from syscr.request import CheckpointRequest, PruneRequest, RestartRequest
from syscr.result import (
    CheckpointResult,
    JobStatus,
    NodeHealth,
    PruneResult,
    RestartResult,
    SimulationResult,
)
from syscr.settings import Settings

Progress = Callable[[Mapping[str, object]], None]


class Manager(Protocol):
    """What the command line needs of ``manager.CheckpointManager``; its contract stands there."""

    def checkpoint(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        """Write an image; the job keeps running."""
        ...

    def vacate(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        """Write an image, then end the job or step."""
        ...

    def requeue(
        self, request: CheckpointRequest, *, progress: Progress | None = None
    ) -> CheckpointResult:
        """Write an image, then put the job back into the queue."""
        ...

    def restart(
        self, request: RestartRequest, *, progress: Progress | None = None
    ) -> RestartResult:
        """Bring a job or step back."""
        ...

    def find_owner(self, target: Target | None, *, image_id: str | None = None) -> str:
        """Return whose a job or image is; empty if nobody knows."""
        ...

    def status(self, targets: Sequence[Target]) -> tuple[JobStatus, ...]:
        """Say what can be done with jobs; none named: all of the user's."""
        ...

    def simulate(self, target: Target, cause: str, *, wait_seconds: float) -> SimulationResult:
        """Do to a job what Slurm would do."""
        ...

    def list_images(
        self,
        *,
        checkpoint_dir: str | None = None,
        target: Target | None = None,
        deleted: bool = False,
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        """Return images, oldest first, and warnings."""
        ...

    def get_image(
        self, image_id: str, *, checkpoint_dir: str | None = None, deleted: bool = False
    ) -> Image:
        """Return one image by id or prefix."""
        ...

    def verify_image(self, image: Image, *, level: str) -> tuple[str, ...]:
        """Return what differs from the manifest."""
        ...

    def delete_image(self, image: Image) -> Image:
        """Take an image out of sight, recoverable."""
        ...

    def undelete_image(self, image_id: str, *, checkpoint_dir: str | None = None) -> Image:
        """Bring a deleted image back."""
        ...

    def delete_torn(self, image_id: str, *, checkpoint_dir: str | None = None) -> TornImage:
        """Take what is no image out of its place, recoverable."""
        ...

    def undelete_torn(self, image_id: str, *, checkpoint_dir: str | None = None) -> TornImage:
        """Bring it back."""
        ...

    def prune(self, request: PruneRequest) -> PruneResult:
        """Delete images by rule."""
        ...

    def doctor(self, nodes: Sequence[str]) -> tuple[NodeHealth, ...]:
        """Say what works on nodes."""
        ...


@dataclass
class Flags:
    """The global options.

    Attributes:
        config_file: ``--config``; None: not given.
        json: JSON on standard output, errors as JSON.
        verbosity: Number of ``-v``.
        quiet: ``-q``.
        debug: Tracebacks.
        log_format: ``--log-format``; None: as configured.
    """

    config_file: str | None = None
    json: bool = False
    verbosity: int = 0
    quiet: bool = False
    debug: bool = False
    log_format: str | None = None


def _build_manager(settings: Settings) -> Manager:
    from syscr.wiring.manager import build_manager  # the adapters: only when work is to be done

    return build_manager(settings)


def _pass_through(verb: str, argv: Sequence[str], settings: Settings) -> int:
    from syscr.wiring.slurm import pass_through

    return pass_through(verb, argv, settings)


def _become(user_name: str, args: Sequence[str]) -> None:
    from syscr.wiring.handover import become_user

    become_user(user_name, args)


@dataclass
class App:
    """One call of the command line.

    Attributes:
        build_manager: Makes the manager from the settings.
        pass_through: Runs ``sbatch``, ``srun`` or ``salloc`` and returns the exit status.
        now: Current time, aware, UTC.
        is_root: Whether root calls.
        become: Continues this command line as another user; returns only if that is not to be done.
        flags: Global options.
        args: The whole command line.
        interrupt_note: What is true of the job when the user presses Ctrl-C now.
    """

    build_manager: Callable[[Settings], Manager] = _build_manager
    pass_through: Callable[[str, Sequence[str], Settings], int] = _pass_through
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    is_root: Callable[[], bool] = lambda: os.geteuid() == 0
    become: Callable[[str, Sequence[str]], None] = _become
    flags: Flags = field(default_factory=Flags)
    args: tuple[str, ...] = ()
    interrupt_note: str = ""

    @cached_property
    def settings(self) -> Settings:
        """All settings of this call."""
        return load_settings(
            config_file=self.flags.config_file, overrides={"log.format": self.flags.log_format}
        )

    @cached_property
    def manager(self) -> Manager:
        """The manager of this call."""
        return self.build_manager(self.settings)

    def act_for(self, targets: Sequence[Target], *, image_id: str | None = None) -> None:
        """Let root act as the owner of the jobs: this command line goes on as that user.

        Raises:
            RequestError: The jobs belong to several users.
        """
        if not self.is_root():
            return
        owners = {self.manager.find_owner(target) for target in targets}
        if not targets:
            owners = {self.manager.find_owner(None, image_id=image_id)}
        owners -= {"", "root"}
        if len(owners) > 1:
            raise RequestError(
                f"the jobs belong to several users: {', '.join(sorted(owners))}",
                hint="name those of one user at a time",
            )
        for owner in owners:
            self.become(owner, self.args)

    def start_log(self) -> None:
        """Install the log as flags and settings say."""
        settings, flags = self.settings, self.flags
        form = settings.log_format
        if flags.json and flags.log_format is None and settings.origin("log.format") == "default":
            form = "json"  # standard error of a --json call is JSON lines throughout
        level = log.choose_level(
            settings.log_level, verbosity=flags.verbosity, is_quiet=flags.quiet
        )
        log.configure(level=level, form=form, file=settings.log_file)

    @contextmanager
    def progress(self) -> Iterator[Progress | None]:
        """Show the progress of the block: bars on a terminal, JSON lines with --json, else with -v."""
        from syscr.cli import progress

        kind = progress.choose(
            json=self.flags.json,
            quiet=self.flags.quiet,
            verbosity=self.flags.verbosity,
            is_terminal=sys.stderr.isatty(),
        )
        with progress.open_progress(kind, now=self.now) as show:
            yield show

    def emit(
        self,
        command: str,
        *,
        data: Callable[[], object],
        text: Callable[[], str],
        quiet: Callable[[], str] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """Write the result: JSON with --json, ids only with -q where that means something, else text."""
        if self.flags.json:
            output.write_json(command, data(), warnings)
            return
        chosen = quiet() if self.flags.quiet and quiet is not None else text()
        if chosen:
            click.echo(chosen)
        if not self.flags.quiet:
            for warning in warnings:
                click.echo(output.format_warning(warning), err=True)

    def show_error(self, error: Exception) -> None:
        """Write an error of one target to standard error, in text; JSON has it in the document."""
        if not self.flags.json:
            click.echo(output.format_error(error), err=True)
