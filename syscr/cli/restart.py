"""``syscr restart``: bring a job or step back."""

from __future__ import annotations

from typing import Any

import click

from syscr import errors, log
from syscr.cli import text
from syscr.cli.app import App
from syscr.cli.command import command, option, pass_app
from syscr.cli.help import About
from syscr.cli.params import DIRECTORY, IMAGE_ID, SECONDS, is_image_id
from syscr.errors import RequestError
from syscr.model import Target
from syscr.request import RestartRequest

ABOUT = About(
    summary="Bring a job or step back from an image",
    effect="The newest image of the job that passes verification is taken; a newer one that does not is"
    " named in a warning. While Slurm knows the job it is requeued under its own id, otherwise a new job"
    " of the same shape is submitted. Output files are cut back to what they held when the image was"
    " taken. A job that still runs is refused, so that there are never two of it.",
    examples=(
        ("syscr restart 4711", "continue job 4711, wherever Slurm finds room"),
        (
            "syscr restart 4711 --stick-to-nodes --no-wait",
            "only on the nodes it ran on; return at once",
        ),
        ("syscr restart 20261124T0619", "continue from this image, named by a prefix"),
    ),
    errors=(
        errors.ConfigError,
        errors.PreflightError,
        errors.SchedulerUnavailableError,
        errors.JobNotFoundError,
        errors.JobStateError,
        errors.SchedulerDeniedError,
        errors.RestartError,
        errors.RestartTimeoutError,
        errors.ImageIncompatibleError,
        errors.StoreAccessError,
        errors.StoreNotFoundError,
        errors.ImageNotFoundError,
        errors.ImageCorruptError,
        errors.StoreLockedError,
    ),
)


@command("restart", about=ABOUT)
@click.argument("what", metavar="JOB[.STEP]|IMAGE")
@option(
    "--image",
    "image_id",
    type=IMAGE_ID,
    metavar="IMAGE",
    section="Image",
    help="This image of the job instead of the newest one; an id or a prefix that reaches its T.",
)
@option(
    "--image-dir",
    type=DIRECTORY,
    metavar="DIR",
    section="Image",
    help="Checkpoint directory to look in instead of the job's own.",
)
@option(
    "--stick-to-nodes",
    is_flag=True,
    section="Placement",
    help="Run only on the nodes that the job ran on.",
)
@option(
    "--new-job",
    is_flag=True,
    section="Placement",
    help="Submit a new job even if the old one could be requeued.",
)
@option(
    "--wait",
    "wait_seconds",
    type=SECONDS,
    metavar="SECONDS",
    section="Limits",
    help="Wait this long until the job runs again; 300 unless configured (SYSCR_RESTART_WAIT).",
)
@option(
    "--no-wait",
    is_flag=True,
    section="Limits",
    help="Return as soon as Slurm has the job; the same as --wait 0.",
)
@option(
    "--dry-run",
    is_flag=True,
    section="Limits",
    help="Only say which image would be taken and what would be done.",
)
@pass_app
def restart(app: App, what: str, **options: Any) -> None:
    """Bring a job or step back."""
    request = _build_request(app, what, **options)
    target = request.target
    app.act_for([target] if target else [], image_id=request.image_id)
    name = text.name_of(target) if target else f"the job of image {request.image_id}"
    look = f"syscr status {target.job_id}" if target else "syscr status"
    app.interrupt_note = f"{name} may still come back; look with '{look}'"
    with app.progress() as progress, log.bound(op="restart", job_id=what):
        result = app.manager.restart(request, progress=progress)
    app.emit(
        "restart",
        data=lambda: result,
        text=lambda: text.render_restart(result, target),
        quiet=lambda: text.job_word(result.job_id),
        warnings=(*text.summarize_skips(result), *result.warnings),
    )


def _build_request(
    app: App,
    what: str,
    *,
    image_id: str | None,
    image_dir: str | None,
    stick_to_nodes: bool,
    new_job: bool,
    wait_seconds: float | None,
    no_wait: bool,
    dry_run: bool,
) -> RestartRequest:
    """Tell job ids from image ids and refuse what contradicts itself."""
    if no_wait and wait_seconds:
        raise RequestError(
            "--wait and --no-wait contradict each other", hint="leave one of them out"
        )
    target: Target | None = None
    if not is_image_id(what):
        target = Target.parse(what)
    elif image_id is not None:
        raise RequestError(
            f"two images are named: '{what}' and '{image_id}'", hint="leave out --image"
        )
    else:
        image_id = what
    if no_wait:
        wait_seconds = 0.0
    return RestartRequest(
        target=target,
        image_id=image_id,
        image_dir=image_dir,
        stick_to_nodes=stick_to_nodes,
        new_job=new_job,
        wait_seconds=app.settings.restart_wait_seconds if wait_seconds is None else wait_seconds,
        dry_run=dry_run,
    )
