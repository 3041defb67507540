"""``syscr status``: can jobs be checkpointed, and which images do they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from syscr import errors
from syscr.cli import encode, text
from syscr.cli.app import App
from syscr.cli.command import command, pass_app
from syscr.cli.encode import TargetFailure
from syscr.cli.help import About
from syscr.cli.params import TARGET
from syscr.errors import PartialError, SchedulerUnavailableError, SyscrError
from syscr.model import Target
from syscr.result import JobStatus

ABOUT = About(
    summary="Say whether jobs can be checkpointed and which images they have",
    effect="Reads only; the jobs are not touched. Without a job: all of yours that Slurm knows. Where"
    " something is wrong with one of several, the others are shown all the same.",
    examples=(
        ("syscr status", "one line for each of your jobs"),
        ("syscr status 4711", "what stands in the way of an image of job 4711, if anything does"),
    ),
    errors=(
        errors.ConfigError,
        errors.PartialError,
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
    named = tuple(dict.fromkeys(targets))
    statuses, failures = _read_each(app, named) if named else (app.manager.status(()), {})
    if len(named) == 1:
        _settle(failures, named)
    render = text.render_status if named else text.render_status_table
    app.emit(
        "status",
        data=lambda: {
            "jobs": statuses,
            "errors": [TargetFailure(str(one), e.to_dict()) for one, e in failures.items()],
        },
        text=lambda: render(statuses, app.now()),
        quiet=lambda: "\n".join(str(item.target) for item in statuses),
        warnings=[warning for item in statuses for warning in item.warnings],
    )
    different = dict.fromkeys(failures.values())
    if len(different) > 1:
        for failure in different:
            app.show_error(failure)
    _settle(failures, named)


def _read_each(
    app: App, targets: Sequence[Target]
) -> tuple[tuple[JobStatus, ...], dict[Target, SyscrError]]:
    """Return what is known of jobs, and the errors of the others; a silent Slurm is asked only once."""
    statuses: list[JobStatus] = []
    failures: dict[Target, SyscrError] = {}
    silent: SyscrError | None = None
    for target in targets:
        try:
            if silent is None:
                statuses += app.manager.status((target,))
        except SyscrError as error:
            failures[target] = error
            silent = error if isinstance(error, SchedulerUnavailableError) else None
        if silent is not None:
            failures[target] = silent
    return tuple(statuses), failures


def _settle(failures: Mapping[Target, SyscrError], targets: Sequence[Target]) -> None:
    """Raise what the errors amount to: the only one, else one with the code that all have, or PartialError."""
    if not failures:
        return
    different = set(failures.values())
    if len(different) == 1:
        raise different.pop()
    classes = {type(failure) for failure in different}
    error = classes.pop() if len(classes) == 1 else PartialError
    results = [
        {"target": str(one), "ok": one not in failures, "error": _describe(failures.get(one))}
        for one in targets
    ]
    raise error(
        f"cannot show {len(failures)} of {len(targets)} jobs",
        hint="",
        results=encode.to_json(results),
    )


def _describe(failure: SyscrError | None) -> dict[str, object] | None:
    return None if failure is None else failure.to_dict()
