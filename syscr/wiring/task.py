"""``syscr run``: one task, where the short way (``job/fresh.py``) is not enough."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence

from syscr.errors import RequestError, SyscrError
from syscr.wiring.output import report, warn
from syscr.wiring.parts import build_backends, build_launcher, find_syscr, open_store


def run_task(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """``syscr run``: become the launcher of one task; returns only where that failed."""
    from syscr.config import load_settings
    from syscr.job import options as job_options
    from syscr.job.environment import find_bypass, read_place
    from syscr.job.fresh import is_on_terminal
    from syscr.job.run import TaskRunner
    from syscr.job.run_options import RunOptions
    from syscr.job.start import TaskStarter
    from syscr.job.tracking import must_leave_tree
    from syscr.process.replace import replace_process

    environ = dict(os.environ if environ is None else environ)
    try:
        given = job_options.parse_run(argv)
        if given is None:
            raise RequestError(
                "'--help' stands before other options", hint="run 'syscr run --help'"
            )
        place = read_place(environ, platform.node().partition(".")[0])
        if place is None:
            warn("not inside a Slurm job: the program runs without checkpoints")
            replace_process(given.command, env=environ)
        bypass = find_bypass(environ, is_on_terminal())
        if bypass:
            warn(f"{bypass}; the program runs without checkpoints")
            replace_process(given.command, env=environ)
        settings = load_settings(environ, overrides=given.overrides())
        detach = must_leave_tree(environ)
        starter = TaskStarter(build_launcher(settings), environ, (find_syscr(),), detach)
        runner = TaskRunner(build_backends(settings), open_store, starter, environ, warn)
        runner.run(RunOptions.build(given, settings), place)
    except SyscrError as error:
        return report(error)
    return 0
