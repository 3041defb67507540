"""``syscr status``: can jobs be checkpointed, and which images do they have."""

from __future__ import annotations

import click

from syscr import errors
from syscr.cli import text
from syscr.cli.app import App
from syscr.cli.command import command, pass_app
from syscr.cli.help import About
from syscr.cli.params import TARGET
from syscr.model import Target

ABOUT = About(
    summary="Say whether jobs can be checkpointed and which images they have",
    effect="Reads only; the jobs are not touched. Without a job: all of yours that Slurm knows.",
    examples=(
        ("syscr status", "one line for each of your jobs"),
        ("syscr status 4711", "what stands in the way of an image of job 4711, if anything does"),
    ),
    errors=(
        errors.ConfigError,
        errors.SchedulerUnavailableError,
        errors.JobNotFoundError,
        errors.SchedulerDeniedError,
    ),
)


@command("status", about=ABOUT)
@click.argument("targets", nargs=-1, type=TARGET, metavar="[JOB[.STEP]]...")
@pass_app
def status(app: App, targets: tuple[Target, ...]) -> None:
    """Show the state of jobs."""
    app.interrupt_note = "nothing was changed"
    if targets:
        app.act_for(targets)
    statuses = app.manager.status(tuple(dict.fromkeys(targets)))
    render = text.render_status if targets else text.render_status_table
    app.emit(
        "status",
        data=lambda: {"jobs": statuses},
        text=lambda: render(statuses, app.now()),
        quiet=lambda: "\n".join(str(item.target) for item in statuses),
        warnings=[warning for item in statuses for warning in item.warnings],
    )
