"""``syscr image prune``."""

from __future__ import annotations

import click

from syscr import errors
from syscr.cli import text
from syscr.cli.app import App
from syscr.cli.command import command, option, pass_app
from syscr.cli.help import About
from syscr.cli.image.shared import STORE, image_dir_option
from syscr.cli.params import DURATION, TARGET
from syscr.errors import RequestError
from syscr.model import Target
from syscr.request import PruneRequest


@command(
    "prune",
    about=About(
        summary="Delete images by rule",
        effect="An image stays if one of the rules keeps it; a rule must be given. The newest good image"
        " of a job that has not ended, images in use and those tagged 'keep' stay"
        " whatever the rules say. What is deleted can be brought back until it is expunged.",
        examples=(
            (
                "syscr image prune --keep-last 3 --dry-run",
                "say what would stay, what would go, and why",
            ),
            (
                "syscr image prune 4711 --keep-within 7d --expunge",
                "one job; also empty the trash for good",
            ),
        ),
        errors=(*STORE, errors.StoreLockedError),
    ),
)
@click.argument("target", required=False, type=TARGET, metavar="[JOB]")
@option(
    "--keep-last",
    type=click.IntRange(min=0),
    metavar="N",
    section="Rules",
    help="Keep the N newest images of each job and step.",
)
@option(
    "--keep-within",
    type=DURATION,
    metavar="TIME",
    section="Rules",
    help="Keep images that are younger: 90s, 15m, 2h, 7d, or D-HH:MM:SS.",
)
@option(
    "--keep-tag",
    "keep_tags",
    multiple=True,
    metavar="TAG",
    section="Rules",
    help="Keep images that have this tag. May be repeated.",
)
@option("--allow-empty", is_flag=True, section="Rules", help="Allow a rule that keeps nothing.")
@option(
    "--expunge",
    is_flag=True,
    section="Action",
    help="Remove for good what was deleted before.",
)
@option(
    "--dry-run", is_flag=True, section="Action", help="Only say what would be deleted, and why."
)
@image_dir_option
@pass_app
def prune(
    app: App,
    target: Target | None,
    keep_last: int | None,
    keep_within: float | None,
    keep_tags: tuple[str, ...],
    allow_empty: bool,
    expunge: bool,
    dry_run: bool,
    image_dir: str | None,
) -> None:
    """Delete images by rule."""
    if target is not None and target.step is not None:
        raise RequestError(
            f"prune takes a job, not a step: '{target}'", hint=f"name {target.job_id}"
        )
    result = app.manager.prune(
        PruneRequest(
            checkpoint_dir=image_dir or app.settings.checkpoint_dir,
            job_id=None if target is None else target.job_id,
            keep_last=keep_last,
            keep_within_seconds=keep_within,
            keep_tags=keep_tags,
            allow_empty=allow_empty,
            expunge=expunge,
            dry_run=dry_run,
        )
    )
    app.emit(
        "image prune",
        data=lambda: result,
        text=lambda: text.render_prune(result, is_dry_run=dry_run),
        quiet=lambda: "\n".join(
            decision.image.image_id for decision in result.decisions if not decision.keep
        ),
        warnings=result.warnings,
    )
