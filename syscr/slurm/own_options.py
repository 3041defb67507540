"""What is ours among the options of sbatch, srun and salloc, and the variables that say the same; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from syscr.errors import RequestError
from syscr.slurm.grammar import OURS
from syscr.slurm.options import Option, find_option
from syscr.units import parse_interval, parse_total_time

OWN_VARIABLES: Mapping[str, Mapping[str, str]] = {
    "sbatch": {"SBATCH_CHECKPOINT": "checkpoint", "SBATCH_CHECKPOINT_DIR": "checkpoint-dir"},
    "srun": {
        "SLURM_CHECKPOINT": "checkpoint",
        "SLURM_CHECKPOINT_DIR": "checkpoint-dir",
        "SLURM_RESTART_DIR": "restart-dir",
    },
    "salloc": {},
}
"""The variables that each tool read: stronger than ``#SBATCH`` lines, weaker than the command line.

Source: Slurm 18.08.9, sbatch and srun manuals, INPUT ENVIRONMENT VARIABLES; ``csrc/spank/plugin.c`` has the same.
"""
FALLBACK_VARIABLES: Mapping[str, str] = {
    "SBATCH_CHECKPOINT": "SLURM_CHECKPOINT",
    "SBATCH_CHECKPOINT_DIR": "SLURM_CHECKPOINT_DIR",
}
"""What counts where a variable of sbatch is not set (empty: nothing counts); ``csrc/spank/client.c`` has the same.

Source: checkpoint page of Slurm's own documentation, up to 18.08. sbatch never did what it says there.
"""


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """Our own options; None where one was not given.

    Attributes:
        interval_seconds: ``--checkpoint``: time between two checkpoints; 0: none.
        checkpoint_dir: ``--checkpoint-dir``.
        restart_dir: ``--restart-dir``: an image, or a folder whose newest verified image is meant.
        backend: ``--backend``.
        on_bad_image: ``--on-bad-image``.
        total_seconds: ``--total-time``: running time of all lives together; 0: without limit.
    """

    interval_seconds: float | None = None
    checkpoint_dir: str | None = None
    restart_dir: str | None = None
    backend: str | None = None
    total_seconds: float | None = None
    on_bad_image: str | None = None

    def over(self, weaker: OwnOptions) -> OwnOptions:
        """Return these options, filled up with those of a weaker source (command before script)."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(
            weaker, **{name: value for name, value in given.items() if value is not None}
        )


def read_own_options(options: Sequence[Option]) -> OwnOptions:
    """Read our own options; the last of each wins.

    Raises:
        RequestError: An interval that is no time in Slurm's format, or an empty value.
    """
    values = {name: find_option(options, name) for name in OURS}
    for name, value in values.items():
        if value == "":
            raise RequestError(
                f"--{name} has an empty value", hint=f"write --{name}=VALUE or leave it out"
            )
    interval, total = values["checkpoint"], values["total-time"]
    return OwnOptions(
        interval_seconds=None if interval is None else parse_interval(interval),
        checkpoint_dir=values["checkpoint-dir"],
        restart_dir=values["restart-dir"],
        backend=values["backend"],
        on_bad_image=values["on-bad-image"],
        total_seconds=None if total is None else parse_total_time(total),
    )


def read_own_variables(tool: str, environ: Mapping[str, str], given: OwnOptions) -> OwnOptions:
    """Return our options, filled up with the variables of a tool; an empty variable says nothing.

    A variable that an option overrides is not looked at: a wrong value in it harms nobody, as in 18.08.

    Raises:
        RequestError: As ``read_own_options``.
    """
    fields_of = {
        "checkpoint": given.interval_seconds,
        "checkpoint-dir": given.checkpoint_dir,
        "restart-dir": given.restart_dir,
    }
    values = {
        name: environ.get(variable, environ.get(FALLBACK_VARIABLES.get(variable, "")))
        for variable, name in OWN_VARIABLES[tool].items()
    }
    options = [
        Option(name, value) for name, value in values.items() if value and fields_of[name] is None
    ]
    return given.over(read_own_options(options))


def is_own_word(word: str) -> bool:
    """Whether a word is one of our options (``--checkpoint``, ``--checkpoint-dir=/c``)."""
    return word.startswith("--") and word[2:].partition("=")[0] in OURS
