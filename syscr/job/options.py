"""The options of ``syscr run``, read without a library: every task of every job pays for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from syscr.errors import RequestError

_HINT = "write: syscr run [--checkpoint-dir DIR] [--backend NAME] -- COMMAND [ARGS]..."
_FLAGS = frozenset({"--truncate-output", "--keep-script"})


_VALUED = frozenset(
    {
        "--backend",
        "--checkpoint-dir",
        "--interval",
        "--on-bad-image",
        "--restart-dir",
        "--total-time",
    }
)


class GivenOptions(NamedTuple):
    """What stood on the command line of ``syscr run``.

    Attributes:
        command: Program and arguments.
        checkpoint_dir: ``--checkpoint-dir``, absolute; None: as configured.
        backend: ``--backend``; None: as configured.
        interval_seconds: ``--interval``: time between two checkpoints; 0: none.
        restart_dir: ``--restart-dir``, absolute: what a first start continues from; None: nothing.
        total_seconds: ``--total-time``: running time of all lives together; 0: without limit.
        truncate_output: ``--truncate-output``, which ``syscr sbatch`` gives: empty the output files
            where the program starts from the beginning, as Slurm would have done had syscr not asked
            it to append.
        on_bad_image: ``--on-bad-image``: ``fresh`` or ``fail``; None: as configured.
        keep_script: ``--keep-script``, which the SPANK plugin gives: the command is a batch script in
            slurmd's spool directory; run a copy of it in the checkpoint directory.
    """

    command: tuple[str, ...]
    checkpoint_dir: str | None = None
    backend: str | None = None
    interval_seconds: float = 0.0
    restart_dir: str | None = None
    truncate_output: bool = False
    keep_script: bool = False
    total_seconds: float = 0.0
    on_bad_image: str | None = None

    def overrides(self) -> dict[str, str]:
        """Return what overrides the configuration, by setting."""
        pairs = {
            "store.checkpoint_dir": self.checkpoint_dir,
            "checkpoint.backend": self.backend,
            "restart.on_bad_image": self.on_bad_image,
        }
        return {name: value for name, value in pairs.items() if value is not None}


def parse_run(argv: Sequence[str]) -> GivenOptions | None:
    """Read the command line after ``syscr run``; None: help was asked for.

    Raises:
        RequestError: An unknown option, a missing value, or no command.
    """
    values: dict[str, str] = {}
    flags: set[str] = set()
    words = list(argv)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in {"--help", "-h"}:
            return None
        if word == "--":
            break
        if word in _FLAGS:
            flags.add(word)
            continue
        name, value = _read_option(word, words)
        values[name] = value
    if not words:
        raise RequestError("'syscr run' was given no command", hint=_HINT)
    return GivenOptions(
        command=tuple(words),
        checkpoint_dir=_absolute(values.get("--checkpoint-dir")),
        backend=values.get("--backend"),
        interval_seconds=_read_interval(values.get("--interval")),
        restart_dir=_absolute(values.get("--restart-dir")),
        truncate_output="--truncate-output" in flags,
        keep_script="--keep-script" in flags,
        total_seconds=_read_seconds(values.get("--total-time"), "--total-time"),
        on_bad_image=values.get("--on-bad-image"),
    )


def _read_interval(text: str | None) -> float:
    if text == "auto":
        from syscr.units import AUTO_INTERVAL

        return AUTO_INTERVAL
    return _read_seconds(text)


def _read_seconds(text: str | None, name: str = "--interval") -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise RequestError(f"{name} is no number of seconds: '{text}'", hint=_HINT)
    return seconds


def _read_option(word: str, rest: list[str]) -> tuple[str, str]:
    """Read one option with a value, ``--name=value`` or ``--name value``; takes it from ``rest``."""
    name, equals, value = word.partition("=")
    if name not in _VALUED:
        raise RequestError(f"'syscr run' has no option '{name}'", hint=_HINT)
    if not equals:
        if not rest:
            raise RequestError(f"option '{name}' needs a value", hint=_HINT)
        value = rest.pop(0)
    if not value:
        raise RequestError(f"option '{name}' is empty", hint=_HINT)
    return name, value


def _absolute(directory: str | None) -> str | None:
    try:
        return None if directory is None else os.path.abspath(directory)
    except OSError as error:
        raise RequestError(
            f"cannot tell where '{directory}' is: {error.strerror}",
            hint="name --checkpoint-dir with its full path",
        ) from error
