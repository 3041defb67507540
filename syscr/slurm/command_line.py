"""A command line of sbatch, srun or salloc, taken apart; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syscr.slurm.grammar import Arity
from syscr.slurm.options import Option, parse_options
from syscr.slurm.own_options import OwnOptions, read_own_options


@dataclass(frozen=True, slots=True)
class SplitCommand:
    """What follows ``sbatch``, ``srun`` or ``salloc``, taken apart.

    Attributes:
        tool: Slurm's command.
        options: Slurm's options, word by word as given, without ours.
        program: Program (or script) and its arguments; empty with ``--wrap`` or a script on stdin.
        own: Our options.
        parsed: Slurm's options, one by one.
    """

    tool: str
    options: tuple[str, ...]
    program: tuple[str, ...]
    own: OwnOptions
    parsed: tuple[Option, ...]

    def without(self, *names: str) -> tuple[str, ...]:
        """Return Slurm's options word by word, without those of these long names."""
        kept = (option for option in self.parsed if option.name not in names)
        return tuple(word for option in kept for word in option.words)

    @property
    def is_heterogeneous(self) -> bool:
        """Whether a ``:`` separates the components of a heterogeneous job."""
        return ":" in self.program if self.tool == "srun" else self.program[:1] == (":",)


def split_command(
    tool: str, words: Sequence[str], *, plugin_options: Mapping[str, Arity] | None = None
) -> SplitCommand:
    """Take a command line apart.

    Args:
        tool: ``sbatch``, ``srun`` or ``salloc``.
        words: Everything after it.
        plugin_options: Options that a site's plugins add (``parse_help``); None: none.

    Raises:
        RequestError: An option without its argument, or one that is not known and not written as
            ``--name=value``, so that nobody can tell where the program begins.

    Example:
        >>> split = split_command("srun", ["-N2", "--checkpoint-dir=/c", "-n", "4", "a.out", "-n"])
        >>> split.options, split.program, split.own.checkpoint_dir
        (('-N2', '-n', '4'), ('a.out', '-n'), '/c')
    """
    options, program = parse_options(tool, words, plugin_options=plugin_options)
    kept = tuple(option for option in options if not option.is_ours)
    return SplitCommand(
        tool=tool,
        options=tuple(word for option in kept for word in option.words),
        program=program,
        own=read_own_options(options),
        parsed=kept,
    )
