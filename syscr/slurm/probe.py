"""Whether pyslurm can be imported here: tried in a process of its own, with a time limit.

Where Slurm's library finds no configuration, the import ends the process, and no ``except`` sees it.
Source: seen with pyslurm 22.5.x and 24.11.x, 2026-11; with a wrong SLURM_CONF it also retries for 60 s.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from syscr.errors import ToolMissingError, ToolUnsupportedError
from syscr.ports import CommandTimeout, Completed, Runner

LIMIT_SECONDS = 10.0

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; import pyslurm; "
    "pyslurm.Job.load, pyslurm.JobSteps.load, pyslurm.RPCError; print(pyslurm.__version__)"
)
_HINT = (
    "install the pyslurm whose version is that of Slurm (docs/explanation/slurm-versions.md), or set "
    "'client = \"cli\"' under [slurm]"
)


def build_probe(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the command that tries it; pure.

    Args:
        paths: Where Python looks for modules.
    """
    return (sys.executable, "-I", "-S", "-c", _PROGRAM, *paths)


def parse_probe(completed: Completed) -> str:
    """Return pyslurm's version; pure.

    Raises:
        ToolMissingError: It is not installed.
        ToolUnsupportedError: It is, and cannot be used: its own words say why.
    """
    version = completed.stdout.strip()
    if completed.is_ok and version:
        return version
    said = completed.stderr.strip().splitlines()
    reason = said[-1] if said else f"it ended the process (exit code {completed.exit_code})"
    if "No module named 'pyslurm'" in reason:
        raise ToolMissingError(
            "cannot ask Slurm through pyslurm, as slurm.client demands: it is not installed for "
            f"'{sys.executable}'",
            hint=_HINT,
            tool="pyslurm",
        )
    if "AttributeError" in reason:
        reason += " (its interface is older than 22.5)"
    raise ToolUnsupportedError(
        f"cannot ask Slurm through pyslurm, as slurm.client demands: 'import pyslurm' failed: {reason}",
        hint=_HINT,
        reasons=[reason],
    )


def import_pyslurm(runner: Runner) -> Any:
    """Return the module; tried in a process of its own first.

    Raises:
        ToolMissingError, ToolUnsupportedError: As ``parse_probe``; also where the trial took too long.
    """
    try:
        completed = runner.run(
            build_probe([path for path in sys.path if path]), timeout_seconds=LIMIT_SECONDS
        )
    except CommandTimeout as timeout:
        raise ToolUnsupportedError(
            "cannot ask Slurm through pyslurm, as slurm.client demands: 'import pyslurm' did not end "
            f"within {LIMIT_SECONDS:g} s",
            hint="see whether SLURM_CONF names Slurm's configuration, or set 'client = \"cli\"' under "
            "[slurm]",
            reasons=[str(timeout)],
        ) from timeout
    parse_probe(completed)
    return importlib.import_module("pyslurm")
