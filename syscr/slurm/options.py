"""The option grammar of sbatch, srun and salloc as data, and what is ours among the options; pure.

Slurm's options pass through untouched; to find where the program begins one has to know which of them
take an argument. The tables are the union over 20.11 to 26.05: no option ever changed between "none" and
"required", and "optional" accepts what "none" accepts. ``#SBATCH`` lines are in ``script.py``.

Source: Slurm ``src/common/slurm_opt.c``, branches slurm-20.11 to slurm-26.05 (struct slurm_cli_opt_t:
name, has_arg, val and the set_func of each tool); the option string begins with "+", so parsing stops
at the first word that is no option. ``tests/data/slurm/options.json`` is what that file says. Checked
2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum

from syscr.errors import RequestError
from syscr.units import parse_interval, parse_total_time


class Arity(Enum):
    """Whether an option takes an argument; an optional one only within the same word."""

    NONE = "no"
    REQUIRED = "required"
    OPTIONAL = "optional"


# name[:short]
_COMMON = {
    Arity.NONE: """consolidate-segments contiguous help:h hold:H overcommit:O oversubscribe:s quiet:Q
        reboot spread-job spread-segments stepmgr usage use-min-nodes verbose:v version:V""",
    Arity.REQUIRED: """account:A acctg-freq autocomplete bb bbf begin:b chdir:D cluster
        cluster-constraint clusters:M comment constraint:C container container-id container-type
        context core-spec:S cores-per-socket cpu-freq cpus-per-gpu cpus-per-task:c deadline delay-boot
        dependency:d distribution:m exclude:x extra extra-node-info:B gid gpu-bind gpu-freq gpus:G
        gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint job-name:J licenses:L
        mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mem-update mincpus network
        nodefile:F nodelist:w nodes:N ntasks:n ntasks-per-core ntasks-per-gpu ntasks-per-node
        ntasks-per-socket ntasks-per-tres partition:p power prefer priority profile qos:q reservation
        resources segment signal sockets-per-node switches tasks-per-node thread-spec threads-per-core
        time:t time-min tmp tres-bind tres-per-task uid wckey""",
    Arity.OPTIONAL: "exclusive nice no-kill:k oom-kill-step resv-ports",
}
_OWN_TABLES: Mapping[str, Mapping[Arity, str]] = {
    "sbatch": {
        Arity.NONE: "external ignore-pbs no-requeue parsable test-only wait:W",
        Arity.REQUIRED: """array:a batch error:e export export-file input:i kill-on-invalid-dep
            open-mode output:o wait-all-nodes wrap""",
        Arity.OPTIONAL: "get-user-env propagate requeue",
    },
    "srun": {
        Arity.NONE: """async debugger-test disable-status:X exact interactive label:l multi-prog
            no-allocate:Z parsable preserve-env:E quit-on-interrupt test-only unbuffered:u
            wait-for-children whole""",
        Arity.REQUIRED: """accel-bind bcast-exclude cpu-bind cpu_bind epilog error:e export het-group
            ignore-signals input:i jobid mpi msg-timeout open-mode output:o pack-group prolog
            relative:r slurmd-debug task-epilog task-prolog threads:T treewidth wait:W""",
        Arity.OPTIONAL: """bcast compress external-launcher immediate:I kill-on-bad-exit:K overlap
            propagate pty send-libs x11""",
    },
    "salloc": {
        Arity.NONE: "bell no-bell no-shell",
        Arity.REQUIRED: "wait-all-nodes",
        Arity.OPTIONAL: "get-user-env immediate:I kill-command:K x11",
    },
}
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
# Ours; they are never abbreviated, so that no abbreviation of Slurm's becomes ambiguous.
_OURS = ("checkpoint", "checkpoint-dir", "restart-dir", "backend", "total-time", "on-bad-image")
_HELP_OPTION = re.compile(r"^\s+(?:-\w,\s+)?--([a-z0-9][\w-]*)(\[=|=)?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it was given.

    Attributes:
        name: Long name in full; an abbreviation that fits several options stays as it is.
        value: Its argument; None where it has none.
        words: The words it stood in; empty where it shares a bundle (``-vQ``) with the one before.
    """

    name: str
    value: str | None = None
    words: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether syscr takes it and Slurm never sees it."""
        return self.name in _OURS


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


def parse_options(
    tool: str, words: Sequence[str], *, plugin_options: Mapping[str, Arity] | None = None
) -> tuple[tuple[Option, ...], tuple[str, ...]]:
    """Return the options at the beginning of ``words`` and what follows them; see ``split_command``."""
    longs, shorts = get_table(tool)
    longs = {**longs, **(plugin_options or {})}
    found: list[Option] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            position += 1
            break
        if not word.startswith("-") or word == "-":
            break
        following = words[position + 1] if position + 1 < len(words) else None
        if word.startswith("--"):
            options = [_read_long(tool, word, following, longs)]
        else:
            options = list(_iter_short(tool, word, following, shorts, longs))
        found.extend(options)
        position += sum(len(option.words) for option in options)
    return tuple(found), tuple(words[position:])


def read_own_options(options: Sequence[Option]) -> OwnOptions:
    """Read our own options; the last of each wins.

    Raises:
        RequestError: An interval that is no time in Slurm's format, or an empty value.
    """
    values = {name: find_option(options, name) for name in _OURS}
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


def find_option(options: Sequence[Option], name: str) -> str | None:
    """Return the value of an option by its long name, the last one wins.

    Returns:
        Its argument; "" where it was given without one; None where it was not given.
    """
    found = None
    for option in options:
        if option.name == name:
            found = option.value or ""
    return found


def is_own_word(word: str) -> bool:
    """Whether a word is one of our options (``--checkpoint``, ``--checkpoint-dir=/c``)."""
    return word.startswith("--") and word[2:].partition("=")[0] in _OURS


def get_table(tool: str) -> tuple[dict[str, Arity], dict[str, str]]:
    """Return long name -> arity, and short letter -> long name, for one tool; ours included."""
    longs = dict.fromkeys(_OURS, Arity.REQUIRED)
    shorts: dict[str, str] = {}
    for table in (_COMMON, _OWN_TABLES[tool]):
        for arity, text in table.items():
            for entry in text.split():
                name, _, letter = entry.partition(":")
                longs[name] = arity
                if letter:
                    shorts[letter] = name
    return longs, shorts


def parse_help(text: str) -> dict[str, Arity]:
    """Read the long options from the ``--help`` of a Slurm command, those of plugins included.

    The help does not mark each argument of Slurm's own options; use it for unknown ones only.
    """
    arities = {"": Arity.NONE, "=": Arity.REQUIRED, "[=": Arity.OPTIONAL}
    return {name: arities[sign] for name, sign in _HELP_OPTION.findall(text)}


def _read_long(tool: str, word: str, following: str | None, longs: Mapping[str, Arity]) -> Option:
    given, equals, value = word[2:].partition("=")
    name, arity = _resolve(tool, given, bool(equals), longs)
    if equals:
        if arity is Arity.NONE:
            raise RequestError(f"{tool}: option '--{name}' takes no argument: '{word}'")
        return Option(name, value, (word,))
    if arity is not Arity.REQUIRED:
        return Option(name, None, (word,))
    if following is None:
        raise RequestError(f"{tool}: option '--{name}' needs an argument")
    return Option(name, following, (word, following))


def _resolve(
    tool: str, given: str, has_value: bool, longs: Mapping[str, Arity]
) -> tuple[str, Arity]:
    """Find an option by its name or an abbreviation, as getopt_long does."""
    if given in longs:
        return given, longs[given]
    candidates = [name for name in longs if name.startswith(given) and name not in _OURS]
    arities = {longs[name] for name in candidates}
    if len(arities) == 1:
        return (candidates[0] if len(candidates) == 1 else given), arities.pop()
    if has_value:
        return given, Arity.OPTIONAL
    if candidates:
        names = ", ".join(f"--{name}" for name in candidates[:6])
        raise RequestError(
            f"{tool}: option '--{given}' is ambiguous: {names}", hint="write it in full"
        )
    raise RequestError(
        f"{tool}: unknown option '--{given}'",
        hint=f"write its argument as '--{given}=VALUE', so that the program can be told from it",
        option=given,
    )


def _iter_short(
    tool: str,
    word: str,
    following: str | None,
    shorts: Mapping[str, str],
    longs: Mapping[str, Arity],
) -> Iterator[Option]:
    """Take a bundle apart: ``-vN2``, ``-N 2``, ``-vQ``; the first option carries the words."""
    words: tuple[str, ...] = (word,)
    for index, letter in enumerate(word[1:], start=1):
        name = shorts.get(letter)
        if name is None:
            raise RequestError(f"{tool}: unknown option '-{letter}' in '{word}'")
        rest = word[index + 1 :]
        if longs[name] is Arity.NONE:
            yield Option(name, None, words)
            words = ()
            continue
        if rest or longs[name] is Arity.OPTIONAL:
            yield Option(name, rest or None, words)
            return
        if following is None:
            raise RequestError(f"{tool}: option '-{letter}' needs an argument")
        # The argument is a word of its own; a flag before it in the bundle has the bundle.
        yield Option(name, following, (*words, following))
        return
