"""``syscr sbatch`` and ``srun`` where Slurm itself can checkpoint: its own options do it then.

On Slurm 19.05 and before syscr's workers cannot reach a job that runs (``srun --overlap`` came with 20.11).
So where a plugin works there, the command line goes to Slurm's own command as it is, and the job is one
that ``syscr checkpoint`` takes through Slurm like any other.

Source: Slurm 18.08.9 and 19.05.8, run 2026-11 (docs/explanation/slurm-versions.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syscr.errors import OperationUnsupportedError, SyscrError
from syscr.ports import CheckpointController
from syscr.slurm import options as slurm_options
from syscr.units import parse_version_numbers

log = logging.getLogger(__name__)

_FIRST_WITHOUT = (20, 2)
# What 18.08 had no word for.
_UNKNOWN_TO_SLURM = ("total-time", "on-bad-image")


@dataclass(frozen=True, slots=True)
class HandOver:
    """Decides whether a submission is left to Slurm's own command.

    Attributes:
        find_version: Returns Slurm's version without asking the controller.
        controller: Slurm's checkpoint commands.
    """

    find_version: Callable[[], str]
    controller: CheckpointController

    def find_words(self, tool: str, argv: Sequence[str]) -> tuple[str, ...] | None:
        """Return the words that Slurm's own command gets; None: syscr starts the job itself.

        Contract: a version that has no plugins is asked for nothing else. A command line that names one of
        syscr's backends is syscr's, and so is every doubt: its own way says what is wrong.

        Raises:
            OperationUnsupportedError: It asks for what Slurm's own checkpoints cannot do; nothing was
                submitted.
        """
        try:
            numbers = parse_version_numbers(self.find_version())
            if numbers is None or numbers >= _FIRST_WITHOUT:  # what is no version counts as today's
                return None
            options, program = slurm_options.parse_options(tool, argv)
            if slurm_options.find_option(options, "backend") not in {None, "auto"}:
                return None
            own = self.controller.probe()
        except SyscrError as error:
            log.info("not left to Slurm's own %s: %s", tool, error.message)
            return None
        if own.missing or (tool == "srun" and not program):
            return None
        _refuse_unknown(tool, options)
        log.warning(
            "left to Slurm's own %s and %s",
            tool,
            own.tool_version,
        )
        kept = (option for option in options if option.name != "backend")
        return (*(word for option in kept for word in option.words), *_mark_end(argv, program))


def _refuse_unknown(tool: str, options: Sequence[slurm_options.Option]) -> None:
    names = [
        f"--{name}"
        for name in _UNKNOWN_TO_SLURM
        if slurm_options.find_option(options, name) is not None
    ]
    interval = slurm_options.find_option(options, "checkpoint")
    if interval is not None and interval.lower() == "auto":
        names.append(f"--checkpoint={interval}")
    if names:
        raise OperationUnsupportedError(
            f"cannot {tool} with {names[0]}: here Slurm itself checkpoints, and it has no such option",
            hint="leave it out; syscr's own backends, which have it, need Slurm 20.11 or later",
        )


def _mark_end(argv: Sequence[str], program: Sequence[str]) -> tuple[str, ...]:
    """Return the program with the ``--`` in front that it was given with."""
    place = len(argv) - len(program) - 1
    return ("--", *program) if place >= 0 and argv[place] == "--" else tuple(program)
