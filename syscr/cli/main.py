"""The command line's entrance: the tree of commands, and the one place that makes exit codes.

Commands are imported when they are used. ``syscr run`` and ``syscr worker`` do not come here: see
``__main__.py``.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from syscr import __version__, errors, log
from syscr.cli import output
from syscr.cli.app import App
from syscr.cli.command import LazyGroup, NoCommandError, global_options
from syscr.cli.help import About
from syscr.config import COMPLETION_VARIABLE, completion_question

INTERRUPTED = 130
BROKEN_PIPE = 141
PASS_THROUGH = ("run", "sbatch", "srun", "salloc", "scontrol", "worker")

FAMILIES = {
    "Jobs": {
        "checkpoint": (
            "syscr.cli.checkpoint:checkpoint",
            "Write an image of jobs or steps; they keep running",
        ),
        "vacate": ("syscr.cli.checkpoint:vacate", "Write an image of jobs or steps, then end them"),
        "requeue": (
            "syscr.cli.checkpoint:requeue",
            "Write an image of jobs, then put them back into the queue",
        ),
        "restart": ("syscr.cli.restart:restart", "Bring a job or step back from an image"),
        "status": (
            "syscr.cli.status:status",
            "Say whether jobs can be checkpointed and which images they have",
        ),
        "simulate": (
            "syscr.cli.simulate:simulate",
            "Stop a job as Slurm would, to see how it goes on",
        ),
    },
    "Starting jobs": {
        "sbatch": (
            "syscr.cli.submit:sbatch",
            "Submit a batch script so that it can be checkpointed",
        ),
        "srun": ("syscr.cli.submit:srun", "Start a job step so that it can be checkpointed"),
        "salloc": ("syscr.cli.submit:salloc", "Get an allocation whose steps can be checkpointed"),
        "run": ("syscr.cli.submit:run", "Start one task of a job so that it can be checkpointed"),
    },
    "Images": {
        "image": ("syscr.cli.image:image", "List, show, verify, delete and prune images"),
    },
    "System": {
        "doctor": (
            "syscr.cli.doctor:doctor",
            "Say which backends work on nodes, and why others do not",
        ),
        "scontrol": (
            "syscr.cli.scontrol:scontrol",
            "Run scontrol with the checkpoint keyword of Slurm 19.05 back",
        ),
        "spank": (
            "syscr.cli.spank:spank",
            "Build the plugin that gives Slurm's own commands the options",
        ),
        "config": ("syscr.cli.configure:config", "Show and check the configuration"),
        "completion": ("syscr.cli.completion:completion", "Print the completion script of a shell"),
    },
}

ABOUT = About(
    summary="Checkpoint and restart Slurm jobs",
    effect="A checkpoint writes an image of a running job into its checkpoint directory; restart"
    " continues the job from its newest verified image, under the same job id where Slurm still knows"
    " it. A checkpoint that fails leaves the job running.",
    examples=(
        ("syscr sbatch --checkpoint-dir=/scratch/ckpt job.sh", "submit an unchanged batch script"),
        (
            "syscr checkpoint 4711 && scancel 4711 && syscr restart 4711",
            "write an image, lose the job, go on",
        ),
    ),
    errors=(
        errors.ConfigError,
        errors.PartialError,
        errors.PreflightError,
    ),
)


def build_root() -> LazyGroup:
    """Return the root of the command tree."""
    root = LazyGroup("syscr", about=ABOUT, families=FAMILIES, invoke_without_command=False)
    root.params.extend(global_options(hidden=False))
    root.params.append(_version_option())
    return root


def _version_option() -> click.Option:
    from syscr.cli.command import SyscrOption

    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(f"syscr {__version__}")
            ctx.exit()

    return SyscrOption(
        ["--version"],
        section="Global options",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Print the version.",
    )


def main(argv: Sequence[str] | None = None, *, app: App | None = None) -> int:
    """Run one command line.

    Args:
        argv: Arguments without the program's name; None: this process's.
        app: State with fakes, for tests.

    Returns:
        The exit status of docs/reference/errors.md.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    state = App() if app is None else app
    state.args = tuple(args)
    try:
        return _run(args, state)
    except BrokenPipeError:
        return _leave_pipe()
    finally:
        log.release()


def _run(args: list[str], app: App) -> int:
    try:
        status = _invoke(args, app)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        note = app.interrupt_note or "nothing was changed"
        click.echo(f"syscr: interrupted; {output.printable(note)}", err=True)
        return INTERRUPTED
    except click.UsageError as error:
        return _refuse_usage(error, app, args)
    except errors.SyscrError as error:
        _show(error, app)
        return error.exit_code or 1
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place: a fault of ours is an exit code too
        _show(error, app)
        return 1


def _invoke(args: list[str], app: App) -> object:
    """Answer the shell's question for completions, or run the command."""
    root = build_root()
    question = completion_question()
    if question:
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, "syscr", COMPLETION_VARIABLE, question)
    with root.make_context("syscr", args, obj=app) as ctx:
        return root.invoke(ctx)


def _show(error: Exception, app: App) -> None:
    if app.flags.debug:
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    output.write_error(error, as_json=app.flags.json)


def _refuse_usage(error: click.UsageError, app: App, args: Sequence[str]) -> int:
    as_json = app.flags.json or wants_json(args)
    if isinstance(error, NoCommandError) and error.ctx is not None and not as_json:
        click.echo(error.ctx.get_help(), err=True)
        return 2
    output.write_error(error, as_json=as_json)
    return 2


def wants_json(args: Sequence[str]) -> bool:
    """Return whether a command line that could not be read asked for JSON; pure."""
    for word in args:
        if word == "--json":
            return True
        if word == "--" or word in PASS_THROUGH:
            return False
    return False


def _leave_pipe() -> int:
    """Say nothing more to a reader that has gone, not even at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(null, stream.fileno())
    return BROKEN_PIPE
