"""What the SPANK plugin asks for on Slurm before 23.11, where no word can be put in front of a program.

There it starts ``syscr`` in place of the program, with the program's arguments; the program and the options
of ``syscr run`` stand in variables. Source: ``csrc/spank/task.c``, ``exchange``.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

PROGRAM_VARIABLE = "SYSCR_TASK_PROGRAM"
_OPTION_VARIABLE = "SYSCR_TASK_OPTION_{}"


def take_task(argv: Sequence[str], environ: MutableMapping[str, str]) -> list[str]:
    """Return the command line after ``syscr`` that is meant; the variables are taken out.

    Args:
        argv: The program's arguments.
        environ: The task's environment, with ``PROGRAM_VARIABLE``.
    """
    options: list[str] = []
    while (word := environ.pop(_OPTION_VARIABLE.format(len(options)), None)) is not None:
        options.append(word)
    return ["run", *options, "--", environ.pop(PROGRAM_VARIABLE), *argv]
