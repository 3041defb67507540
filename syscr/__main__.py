"""Entrance of ``syscr`` and ``python -m syscr``.

``run`` and ``worker`` run once per task or node of a job, so they are taken before anything slow is
imported; all else is the command line of ``cli/main.py``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    if "SYSCR_STARTER" in os.environ:
        from syscr.process.replace import serve_starter

        serve_starter(os.environ.pop("SYSCR_STARTER"))
    verb = args[0] if args else ""
    if verb == "run" and args[1:2] not in (["--help"], ["-h"]):
        return _run(args[1:])
    if verb == "worker":
        from syscr.wiring.worker import run_worker

        status = run_worker(args[1:])
        return status if argv is not None else _leave(status)
    if verb == "agent":
        from syscr.wiring.agent import run_agent

        return run_agent(args[1:])
    from syscr.cli import main as command_line

    status = command_line.main(args)
    return status if argv is not None else _leave(status)


def _leave(status: int) -> NoReturn:
    """End at once: its caller waits, and Python takes 10 ms to take itself apart (3.13, 2026-11)."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a reader that has gone; who wrote has said so already
            stream.flush()
    os._exit(status)


def _run(args: Sequence[str]) -> int:
    """Start one task: the short way where it is a fresh start, else through ``wiring``."""
    from syscr.job import fresh

    control = fresh.open_control()
    installed = os.path.join(os.path.dirname(__file__), "csrc", "bin", "syscr-launcher")
    launch = fresh.find_launch(args, os.environ, installed, control)
    if launch is not None:
        from syscr.errors import ToolMissingError
        from syscr.process.replace import replace_process

        # It fails for too long an argument list, say: the long way tells why and runs the program.
        with contextlib.suppress(ToolMissingError):
            replace_process(launch)
    control.close()
    from syscr.wiring.task import run_task

    return run_task(args)


if __name__ == "__main__":
    sys.exit(main())
