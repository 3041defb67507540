"""Pass-through: a command of Slurm's with our own streams, environment and signals."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from syscr.process.replace import find_executable

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are passed on; SIGINT is not, for the terminal tells both."""


def run_attached(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run a command with our own streams and environment; signals are passed on.

    Returns:
        Its exit code, or 128 + n where signal n ended it.

    Raises:
        ToolMissingError: The executable does not exist or may not be run.
    """
    executable = find_executable(argv[0])
    full_env = {**os.environ, **(env or {})}
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _: object) -> None:
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    # before the command starts: it may signal us at once. What is ignored (nohup) stays so for both.
    actions = dict.fromkeys(_FORWARDED, pass_on) | {signal.SIGINT: lambda *_: None}
    previous = {
        number: signal.signal(number, action)
        for number, action in actions.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        process = subprocess.Popen(argv, executable=executable, env=full_env)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code
