"""``syscr checkpoint``, ``vacate`` and ``requeue``: the same act with three endings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from syscr import errors, log
from syscr.cli import output, text
from syscr.cli.app import App, Progress
from syscr.cli.command import command, option, pass_app
from syscr.cli.encode import CheckpointReply
from syscr.cli.help import About
from syscr.cli.params import DIRECTORY, SECONDS, TARGET
from syscr.cli.partial import settle
from syscr.errors import RequestError, SyscrError
from syscr.model import Target
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult

_ERRORS = (
    errors.ConfigError,
    errors.PartialError,
    errors.PreflightError,
    errors.SchedulerUnavailableError,
    errors.JobNotFoundError,
    errors.JobStateError,
    errors.SchedulerDeniedError,
    errors.CheckpointError,
    errors.CheckpointTimeoutError,
    errors.StoreAccessError,
    errors.StoreFullError,
    errors.StoreLockedError,
)
_SAFE = (
    "If anything fails the job runs on as before, an unfinished image is never used, and the images that"
    " are there stay."
)


@dataclass(frozen=True)
class _Options:
    """Options that the three verbs share."""

    image_dir: str | None
    max_wait: float | None
    tags: tuple[str, ...]
    dry_run: bool


def _shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in reversed(
        (
            option(
                "--image-dir",
                type=DIRECTORY,
                metavar="DIR",
                section="Image",
                help="Checkpoint directory for this image instead of the job's own.",
            ),
            option(
                "--tag",
                "tags",
                multiple=True,
                metavar="TAG",
                section="Image",
                help="Mark the image with a word; 'keep' protects it from pruning. May be repeated.",
            ),
            option(
                "--max-wait",
                type=SECONDS,
                metavar="SECONDS",
                section="Limits",
                help="Give up after this time, the job running on; 600 unless configured"
                " (SYSCR_MAX_WAIT).",
            ),
            option(
                "--dry-run",
                is_flag=True,
                section="Limits",
                help="Only say whether it would work; the job is not touched.",
            ),
        )
    ):
        function = decorate(function)
    return function


@command(
    "checkpoint",
    about=About(
        summary="Write an image of running jobs or steps; they keep running",
        effect="The tasks stand still while their memory is written, then they go on. " + _SAFE,
        examples=(
            ("syscr checkpoint 4711", "write an image of the batch script of job 4711"),
            (
                "syscr checkpoint 4711.0 4712 --tag keep",
                "of one step and of another job, never pruned",
            ),
        ),
        errors=_ERRORS,
    ),
)
@click.argument("targets", nargs=-1, required=True, type=TARGET, metavar="JOB[.STEP]...")
@_shared_options
@pass_app
def checkpoint(app: App, targets: tuple[Target, ...], **options: Any) -> None:
    """Write images."""
    _act(app, "checkpoint", targets, _Options(**options))


@command(
    "vacate",
    about=About(
        summary="Write an image of running jobs or steps, then end them",
        effect="The tasks stand still from the dump on and are ended only when the image is complete, so"
        " nothing is computed twice. " + _SAFE,
        examples=(
            ("syscr vacate 4711", "stop for today; go on with: syscr restart 4711"),
            (
                "syscr vacate 4711.0 --max-wait 1800",
                "end one step, with half an hour for a big image",
            ),
        ),
        errors=_ERRORS,
    ),
)
@click.argument("targets", nargs=-1, required=True, type=TARGET, metavar="JOB[.STEP]...")
@_shared_options
@pass_app
def vacate(app: App, targets: tuple[Target, ...], **options: Any) -> None:
    """Write images and end what was dumped."""
    _act(app, "vacate", targets, _Options(**options))


@command(
    "requeue",
    about=About(
        summary="Write an image of running jobs, then put them back into the queue",
        effect="The job keeps its id and continues from the image when Slurm starts it again. "
        + _SAFE,
        examples=(
            ("syscr requeue 4711", "give the nodes back and wait for others"),
            ("syscr requeue 4711_3 4711_4", "the same for two tasks of a job array"),
        ),
        errors=_ERRORS,
    ),
)
@click.argument("targets", nargs=-1, required=True, type=TARGET, metavar="JOB...")
@_shared_options
@pass_app
def requeue(app: App, targets: tuple[Target, ...], **options: Any) -> None:
    """Write images and requeue the jobs."""
    for target in targets:
        if target.step not in (None, "batch"):
            raise RequestError(
                f"cannot requeue step {target}: only a whole job can go back into the queue; nothing was done",
                hint=f"end the step with an image: 'syscr vacate {target}'",
            )
    _act(app, "requeue", targets, _Options(**options))


def _act(app: App, verb: str, targets: Sequence[Target], options: _Options) -> None:
    """Do one verb for each target, one after another, and report each of them."""
    limit = app.settings.max_wait_seconds if options.max_wait is None else options.max_wait
    requests = [
        CheckpointRequest(
            target=target,
            image_dir=options.image_dir,
            max_wait_seconds=limit,
            tags=options.tags,
            dry_run=options.dry_run,
        )
        for target in dict.fromkeys(targets)
    ]
    app.act_for(targets)
    acts: dict[str, Callable[..., CheckpointResult]] = {
        "checkpoint": app.manager.checkpoint,
        "vacate": app.manager.vacate,
        "requeue": app.manager.requeue,
    }
    replies: list[CheckpointReply] = []
    failures: list[SyscrError] = []
    for request in requests:
        app.interrupt_note = _interrupt_note(verb, request.target)
        with app.progress() as progress, log.bound(op=verb, job_id=str(request.target)):
            reply, failure = _attempt(acts[verb], request, progress)
        replies.append(reply)
        if failure is not None:
            failures.append(failure)
            if len(requests) > 1:
                app.show_error(failure)
        elif not app.flags.json and reply.result is not None:
            _show(app, verb, reply.result, options.image_dir)
    if app.flags.json and (len(requests) > 1 or not failures):
        warnings = [text for reply in replies if reply.result for text in reply.result.warnings]
        output.write_json(verb, {"results": replies}, warnings)
    settle(verb, failures, replies)


def _attempt(
    act: Callable[..., CheckpointResult], request: CheckpointRequest, progress: Progress | None
) -> tuple[CheckpointReply, SyscrError | None]:
    name = str(request.target)
    try:
        result = act(request, progress=progress)
    except SyscrError as error:
        return CheckpointReply(name, ok=False, result=None, error=error.to_dict()), error
    return CheckpointReply(name, ok=True, result=result, error=None), None


def _show(app: App, verb: str, result: CheckpointResult, image_dir: str | None) -> None:
    app.emit(
        verb,
        data=lambda: result,
        text=lambda: text.render_checkpoint(result, image_dir=image_dir),
        quiet=lambda: result.image.image_id if result.image else "",
        warnings=result.warnings,
    )


def _interrupt_note(verb: str, target: Target) -> str:
    if verb == "checkpoint":
        return f"{text.name_of(target)} keeps running, and an unfinished image is never used"
    return (
        f"an unfinished image is never used, and {text.name_of(target)} was ended only if its image is"
        f" complete; look with 'syscr status {target.job_id}'"
    )
