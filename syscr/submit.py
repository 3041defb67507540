"""``syscr sbatch``, ``srun`` and ``salloc``: Slurm's own commands, with the program put behind us.

Slurm's options are passed on untouched. ``sbatch`` submits a small wrapper around an unchanged copy
of the script; ``srun`` puts ``syscr run`` in front of the program.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from syscr.errors import (
    OperationUnsupportedError,
    RequestError,
    SchedulerUnavailableError,
    StoreError,
    SyscrError,
)
from syscr.job.fresh import SRUN_VARIABLE
from syscr.job.scripts import store_script
from syscr.model import Image, JobId
from syscr.ports import CommandTimeout, Completed, Runner, Store, StoreKey
from syscr.process.attached import run_attached
from syscr.selection import CONTINUES, SUBMISSION, check_restart_dir
from syscr.settings import Settings
from syscr.slurm import commands as slurm_commands
from syscr.slurm import script as slurm_script
from syscr.slurm.command_line import SplitCommand, split_command
from syscr.slurm.options import Option, find_option, parse_options
from syscr.slurm.own_options import (
    FALLBACK_VARIABLES,
    OWN_VARIABLES,
    OwnOptions,
    is_own_word,
    read_own_options,
    read_own_variables,
)
from syscr.units import AUTO_INTERVAL

# Options of our SPANK plugin as Slurm hands them on (csrc/spank/plugin.c): here the wrapper asks for us.
_SPANK_VARIABLES = "SLURM_SPANK__SLURM_SPANK_OPTION_syscr_"


@dataclass(frozen=True, slots=True)
class Submitter:
    """Submits jobs and starts steps.

    Attributes:
        settings: Settings of this call.
        runner: Runs sbatch.
        open_store: Opens the store of a checkpoint directory.
        remember: Takes note of a checkpoint directory for later restarts.
        syscr: Absolute path of ``syscr`` on the nodes.
        environ: The caller's environment.
        job_environment: Variables that the runner changes, as the job shall see them.
    """

    settings: Settings
    runner: Runner
    open_store: Callable[[str], Store]
    remember: Callable[[str], None]
    syscr: str
    environ: Mapping[str, str]
    job_environment: Mapping[str, str]

    def sbatch(self, argv: Sequence[str]) -> int:
        """Submit a batch script so that it is checkpointable; returns sbatch's exit status.

        Raises:
            RequestError: The command line or the script cannot be read.
            StoreAccessError: The copy of the script cannot be stored; nothing was submitted.
        """
        split = split_command("sbatch", argv)
        if split.is_heterogeneous:
            raise OperationUnsupportedError(
                "cannot make a heterogeneous job checkpointable; nothing was submitted",
                hint="submit it with Slurm's own sbatch",
            )
        script, arguments, name = _read_script(split)
        in_script = slurm_script.read_sbatch_options(script)
        own = self._own(split).over(read_own_options(in_script))
        if own.restart_dir:
            check_restart_dir(own.restart_dir)
        checkpoint_dir = self._checkpoint_dir(own)
        parsed = (*in_script, *split.parsed)
        wrapper = slurm_script.build_wrapper(
            script,
            syscr=self.syscr,
            run_options=(*self._run_options(own, checkpoint_dir), *_truncation(parsed)),
            copy_path=store_script(
                checkpoint_dir,
                script.encode("utf-8", "surrogateescape"),
                consequence="nothing was submitted",
            ),
            arguments=arguments,
        )
        options = split.without("wrap", "parsable")
        is_waiting = find_option(parsed, "wait") is not None
        options = (*self._name(parsed, name), *options)
        # appended, for a requeue must not empty what the job has written; a start from the beginning
        # empties it, where that was asked for; in front, so the user's choice wins
        completed = self._submit(
            ("--open-mode=append", *options), wrapper, math.inf if is_waiting else None
        )
        if completed.is_ok:
            self._record(completed.stdout, checkpoint_dir, options)
            _print_job(completed.stdout, split)
        return completed.exit_code if completed.exit_code is not None else 1

    def srun(self, argv: Sequence[str]) -> int:
        """Start a step whose tasks are checkpointable; returns srun's exit status."""
        split = split_command("srun", argv)
        if not split.program:
            return run_attached(["srun", *split.options])
        if split.is_heterogeneous:
            raise OperationUnsupportedError(
                "cannot make a heterogeneous step checkpointable; nothing was started",
                hint="start it with Slurm's own srun",
            )
        own = self._own(split)
        checkpoint_dir = self._checkpoint_dir(own)
        self.remember(checkpoint_dir)
        options, truncation = self._append_where_continued(split, checkpoint_dir)
        run = [self.syscr, "run", *self._run_options(own, checkpoint_dir), *truncation]
        run += ["--", *split.program]
        env = {} if "SLURM_JOB_ID" in self.environ else {SRUN_VARIABLE: shlex.join(argv)}
        return run_attached(["srun", *options, *run], env=env)

    def salloc(self, argv: Sequence[str]) -> int:
        """Run salloc; our options become the defaults of ``syscr srun`` inside."""
        split = split_command("salloc", argv)
        env = {}
        if split.own.checkpoint_dir:
            env["SYSCR_CHECKPOINT_DIR"] = os.path.abspath(split.own.checkpoint_dir)
        if split.own.backend:
            env["SYSCR_BACKEND"] = split.own.backend
        return run_attached(["salloc", *split.options, *split.program], env=env)

    def _submit(
        self, options: Sequence[str], wrapper: str, limit_seconds: float | None
    ) -> Completed:
        """Run sbatch with the user's Slurm environment, which is meant for it; pass messages on."""
        argv = slurm_commands.build_submit(options, environment=self.job_environment)
        env = {
            name: value
            for name, value in self.environ.items()
            if name.startswith(("SLURM_", "SBATCH_"))
            and name not in OWN_VARIABLES["sbatch"]
            and not name.startswith(_SPANK_VARIABLES)
        }
        # the steps in the job shall find theirs, and the plugin shall not take them for sbatch's
        fallbacks = FALLBACK_VARIABLES.items()
        env.update({own: "" for own, fallback in fallbacks if fallback in env})
        try:
            completed = self.runner.run(argv, stdin=wrapper, env=env, timeout_seconds=limit_seconds)
        except CommandTimeout as timeout:
            raise SchedulerUnavailableError(
                f"sbatch gave no answer within {timeout.timeout_seconds:g} s: nobody knows whether the "
                "job was submitted",
                hint="look for it with 'squeue --me' before you submit it again",
            ) from timeout
        sys.stderr.write(completed.stderr)
        return completed

    def _name(self, options: Sequence[Option], name: str) -> tuple[str, ...]:
        """Return the name that sbatch would have chosen by itself, had it seen the script itself.

        It stands in front, so the user's wins; and it is recorded, for a restart sees no script's name.
        """
        if find_option(options, "job-name") is not None:
            return ()
        return (f"--job-name={self.environ.get('SBATCH_JOB_NAME') or name}",)

    def _record(self, reply: str, checkpoint_dir: str, options: Sequence[str]) -> None:
        """Write down how the job was submitted; without it a restart derives it from Slurm."""
        self.remember(checkpoint_dir)
        number = reply.strip().partition(";")[0]
        try:
            self.open_store(checkpoint_dir).write_record(
                StoreKey(str(JobId.parse(number).number)),
                SUBMISSION,
                {"command": "sbatch", "options": list(options), "program": []},
            )
        except StoreError as error:  # the same directory shall take the images
            sys.stderr.write(
                f"syscr: warning: {error.message}; how job {number} was submitted is not recorded, and "
                "checkpoints of it may fail for the same reason\n"
            )
            if error.hint:
                sys.stderr.write(f"hint: {error.hint}\n")
        except SyscrError as error:
            sys.stderr.write(f"syscr: {error.message}; a restart will derive the options\n")

    def _append_where_continued(
        self, split: SplitCommand, checkpoint_dir: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return srun's options, and those of ``syscr run``, for a step of a job that goes on.

        srun empties the step's output files at its start; in a job that continues from an image they
        hold what the tasks wrote before it.
        """
        is_set = find_option(split.parsed, "open-mode") is not None
        if is_set or not self._is_continued(checkpoint_dir):
            return split.options, ()
        output = find_option(split.parsed, "output") or ""
        own_files = "%t" in output  # one file for each task: a task that starts afresh may empty it
        return (*split.options, "--open-mode=append"), ("--truncate-output",) if own_files else ()

    def _is_continued(self, checkpoint_dir: str) -> bool:
        """Whether the job around us has been requeued, or continues another one."""
        number = self.environ.get("SLURM_JOB_ID", "")
        if not number.isdigit():
            return False
        if self.environ.get("SLURM_RESTART_COUNT", "0") not in {"", "0"}:
            return True
        return self.open_store(checkpoint_dir).read_record(StoreKey(number), CONTINUES) is not None

    def _own(self, split: SplitCommand) -> OwnOptions:
        """Return our options as they were given on the command line, else by the documented variables."""
        return read_own_variables(split.tool, self.environ, split.own)

    def _checkpoint_dir(self, own: OwnOptions) -> str:
        return os.path.abspath(own.checkpoint_dir or self.settings.checkpoint_dir)

    def _run_options(self, own: OwnOptions, checkpoint_dir: str) -> tuple[str, ...]:
        backend = own.backend or self.settings.backend
        known = ("auto", *self.settings.order)
        if backend not in known:
            raise RequestError(f"unknown backend '{backend}'", hint=f"one of: {', '.join(known)}")
        if own.on_bad_image not in {None, "fresh", "fail"}:
            raise RequestError(
                f"unknown value of --on-bad-image: '{own.on_bad_image}'", hint="one of: fresh, fail"
            )
        return _build_run_options(replace(own, backend=backend), checkpoint_dir)


def _build_run_options(own: OwnOptions, checkpoint_dir: str) -> tuple[str, ...]:
    """Return the options of ``syscr run``."""
    options = ["--checkpoint-dir", checkpoint_dir]
    if own.backend and own.backend != "auto":
        options += ["--backend", own.backend]
    if own.interval_seconds:
        auto = own.interval_seconds == AUTO_INTERVAL
        options += ["--interval", "auto" if auto else f"{own.interval_seconds:.0f}"]
    if own.total_seconds:
        options += ["--total-time", f"{own.total_seconds:.0f}"]
    if own.on_bad_image:
        options += ["--on-bad-image", own.on_bad_image]
    if own.restart_dir:
        options += ["--restart-dir", os.path.abspath(own.restart_dir)]
    return tuple(options)


def _print_job(reply: str, split: SplitCommand) -> None:
    """Print what sbatch itself would have printed."""
    number, semicolon, cluster = reply.strip().partition(";")
    if find_option(split.parsed, "parsable") is not None:
        sys.stdout.write(reply)
    elif find_option(split.parsed, "quiet") is None:
        where = f" on cluster {cluster}" if semicolon else ""
        sys.stdout.write(f"Submitted batch job {number}{where}\n")
    sys.stdout.flush()


def _read_script(
    split: SplitCommand,
) -> tuple[str, tuple[str, ...], str]:
    """Return script text, its arguments and the job name that sbatch would give it."""
    wrap = find_option(split.parsed, "wrap")
    if wrap is not None:
        if split.program:
            raise RequestError(
                "a script and --wrap exclude each other", hint="leave one of them out"
            )
        return slurm_script.build_wrap_script(wrap), (), "wrap"
    if not split.program:
        return sys.stdin.read(), (), "sbatch"
    path = split.program[0]
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(), split.program[1:], Path(path).name
    except OSError as error:
        raise RequestError(f"cannot read batch script '{path}': {error.strerror}") from error


def _truncation(options: Sequence[Option]) -> tuple[str, ...]:
    """Return the option that empties the output at a start from the beginning, as Slurm's default."""
    mode = find_option(options, "open-mode")
    return () if mode is not None and mode.startswith("a") else ("--truncate-output",)


def build_batch_script(image: Image, syscr: str) -> str:
    """Return the batch script of a new job that continues from an image; empty if the job had none.

    Where the SPANK plugin had put ``syscr run`` in front of the script, a wrapper does it now: a new job
    then needs neither the plugin nor the variables that the first one was submitted with.
    """
    submission = image.manifest.submission
    words = [word for word in submission.options if is_own_word(word)]
    if not submission.script or not words or image.manifest.step != "batch":
        return submission.script
    own = read_own_options(parse_options("sbatch", words)[0])
    copy, *arguments = image.manifest.tasks[0].argv
    return slurm_script.build_wrapper(
        submission.script,
        syscr=syscr,
        run_options=_build_run_options(own, own.checkpoint_dir or image.checkpoint_dir),
        copy_path=copy,
        arguments=arguments,
    )


def build_step_script(image: Image, syscr: str) -> str:
    """Return a batch script for the restart of a step whose job had none (``syscr srun`` alone)."""
    home = next(
        (str(task.state["home_dir"]) for task in image.manifest.tasks if "home_dir" in task.state),
        image.checkpoint_dir,
    )
    program = image.manifest.submission.program or image.manifest.tasks[0].argv
    geometry = (
        () if image.manifest.submission.program else (f"--ntasks={image.manifest.task_count}",)
    )
    command = shlex.join([syscr, "srun", f"--checkpoint-dir={home}", *geometry, *program])
    return f"#!/bin/sh\n# Made by 'syscr restart' for a step that had no batch script.\nexec {command}\n"
