"""``syscr image``: what lies on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from syscr import errors
from syscr.cli import text
from syscr.cli.app import App
from syscr.cli.command import LazyGroup, command, option, pass_app
from syscr.cli.encode import ImageDetails, ImageReply
from syscr.cli.help import About
from syscr.cli.params import DIRECTORY, DURATION, IMAGE_ID, TARGET
from syscr.cli.partial import settle
from syscr.errors import ImageCorruptError, RequestError, SyscrError
from syscr.model import Image, Target
from syscr.request import PruneRequest

_STORE = (
    errors.ConfigError,
    errors.StoreAccessError,
    errors.StoreNotFoundError,
    errors.ManifestError,
)
_FIND = (*_STORE, errors.ImageNotFoundError)
_MANY = (*_FIND, errors.PartialError)

_image_dir = option(
    "--image-dir",
    type=DIRECTORY,
    metavar="DIR",
    section="Where",
    help="Checkpoint directory instead of the configured one (SYSCR_CHECKPOINT_DIR).",
)
_deleted = option(
    "--deleted", is_flag=True, section="Where", help="Look at deleted images instead."
)


@command(
    "list",
    about=About(
        summary="List images, oldest first",
        effect="Reads the manifests only. Deleted images are shown with --deleted.",
        examples=(
            ("syscr image list", "all images in your checkpoint directory"),
            ("syscr image list 4711 -q", "only the ids of the images of job 4711"),
        ),
        errors=_STORE,
    ),
)
@click.argument("target", required=False, type=TARGET, metavar="[JOB[.STEP]]")
@_image_dir
@_deleted
@pass_app
def list_images(app: App, target: Target | None, image_dir: str | None, deleted: bool) -> None:
    """List images."""
    images, warnings = app.manager.list_images(
        checkpoint_dir=image_dir, target=target, deleted=deleted
    )
    app.emit(
        "image list",
        data=lambda: {"images": images},
        text=lambda: text.render_images(images),
        quiet=lambda: "\n".join(image.image_id for image in images),
        warnings=warnings,
    )


@command(
    "show",
    about=About(
        summary="Show what an image holds",
        effect="Reads its manifest only; --json has all of it.",
        examples=(
            ("syscr image show 20261124T061900Z-9f3c21ab", "job, nodes, tasks, size, durations"),
            ("syscr image show 20261124T0619 --files", "named by a prefix, with the stored files"),
        ),
        errors=_FIND,
    ),
)
@click.argument("image_id", type=IMAGE_ID, metavar="IMAGE")
@option("--files", "with_files", is_flag=True, section="Output", help="List the stored files too.")
@_image_dir
@_deleted
@pass_app
def show(app: App, image_id: str, with_files: bool, image_dir: str | None, deleted: bool) -> None:
    """Show one image."""
    image = app.manager.get_image(image_id, checkpoint_dir=image_dir, deleted=deleted)
    app.emit(
        "image show",
        data=lambda: ImageDetails(image, image.manifest),
        text=lambda: text.render_image(image, with_files=with_files),
        quiet=lambda: image.image_id,
    )


@command(
    "verify",
    about=About(
        summary="Compare images with their manifests",
        effect="Reads only. Each restart does this by itself; here it is for peace of mind.",
        examples=(
            (
                "syscr image verify 20261124T061900Z-9f3c21ab",
                "read everything and compare the digests",
            ),
            (
                "syscr image verify --level sizes 20261124T0619",
                "compare names and sizes only, fast",
            ),
        ),
        errors=(*_MANY, errors.ImageCorruptError),
    ),
)
@click.argument("image_ids", nargs=-1, required=True, type=IMAGE_ID, metavar="IMAGE...")
@option(
    "--level",
    type=click.Choice(["sizes", "digests"]),
    default="digests",
    metavar="LEVEL",
    section="Output",
    help="sizes (fast) or digests (reads all files; the default).",
)
@_image_dir
@_deleted
@pass_app
def verify(
    app: App, image_ids: tuple[str, ...], level: str, image_dir: str | None, deleted: bool
) -> None:
    """Verify images."""

    def act(image_id: str) -> tuple[Image, tuple[str, ...]]:
        image = app.manager.get_image(image_id, checkpoint_dir=image_dir, deleted=deleted)
        return image, app.manager.verify_image(image, level=level)

    _each(app, "verify", image_ids, act, f"{{}}: all {level} are right")


@command(
    "delete",
    about=About(
        summary="Delete images, recoverable",
        effect="The images go to the trash of their checkpoint directory, from where 'syscr image"
        " undelete' brings them back until 'syscr image prune --expunge' removes them for good. Jobs are"
        " not touched.",
        examples=(
            ("syscr image delete 20261124T061900Z-9f3c21ab", "delete one image"),
            ("syscr image list 4711 -q | xargs syscr image delete", "delete all images of a job"),
        ),
        errors=(*_MANY, errors.StoreLockedError),
    ),
)
@click.argument("image_ids", nargs=-1, required=True, type=IMAGE_ID, metavar="IMAGE...")
@_image_dir
@pass_app
def delete(app: App, image_ids: tuple[str, ...], image_dir: str | None) -> None:
    """Delete images."""

    def act(image_id: str) -> tuple[Image, tuple[str, ...]]:
        image = app.manager.get_image(image_id, checkpoint_dir=image_dir)
        return app.manager.delete_image(image), ()

    _each(
        app, "delete", image_ids, act, "{0}: deleted; bring it back with: syscr image undelete {0}"
    )


@command(
    "undelete",
    about=About(
        summary="Bring deleted images back",
        effect="Works until the image was removed for good. Jobs are not touched.",
        examples=(
            ("syscr image undelete 20261124T061900Z-9f3c21ab", "bring one image back"),
            ("syscr image list --deleted", "see what can be brought back"),
        ),
        errors=(*_MANY, errors.ImageExistsError),
    ),
)
@click.argument("image_ids", nargs=-1, required=True, type=IMAGE_ID, metavar="IMAGE...")
@_image_dir
@pass_app
def undelete(app: App, image_ids: tuple[str, ...], image_dir: str | None) -> None:
    """Bring images back."""

    def act(image_id: str) -> tuple[Image, tuple[str, ...]]:
        return app.manager.undelete_image(image_id, checkpoint_dir=image_dir), ()

    _each(app, "undelete", image_ids, act, "{}: there again")


@command(
    "prune",
    about=About(
        summary="Delete images by rule",
        effect="An image stays if one of the rules keeps it; a rule must be given. The newest good image"
        " of a job that has not ended, parents of kept images, images in use and those tagged 'keep' stay"
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
        errors=(*_STORE, errors.StoreLockedError),
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
@_image_dir
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
            lineage=None if target is None else str(target.job_id.number),
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


def _each(
    app: App,
    verb: str,
    image_ids: Sequence[str],
    act: Callable[[str], tuple[Image, tuple[str, ...]]],
    done: str,
) -> None:
    """Do one verb for each image and report each of them; ``done`` gets the id."""
    replies: list[ImageReply] = []
    failures: list[SyscrError] = []
    for image_id in dict.fromkeys(image_ids):
        reply, failure = _attempt(image_id, act)
        replies.append(reply)
        if failure is not None:
            failures.append(failure)
    if len(replies) > 1:
        for failure in failures:
            app.show_error(failure)
    good = [reply.image_id for reply in replies if reply.ok]
    if good or not app.flags.json or len(replies) > 1:
        app.emit(
            f"image {verb}",
            data=lambda: {"results": replies},
            text=lambda: "\n".join(done.format(image_id) for image_id in good),
            quiet=lambda: "\n".join(good),
        )
    settle(f"{verb} image", failures, replies)


def _attempt(
    image_id: str, act: Callable[[str], tuple[Image, tuple[str, ...]]]
) -> tuple[ImageReply, SyscrError | None]:
    try:
        image, problems = act(image_id)
    except SyscrError as error:
        return ImageReply(image_id, ok=False, image=None, problems=(), error=error.to_dict()), error
    if not problems:
        return ImageReply(image.image_id, ok=True, image=image, problems=(), error=None), None
    failure = ImageCorruptError(
        f"image {image.image_id} differs from its manifest:\n" + "\n".join(problems),
        hint="restart takes the newest image that is right; delete this one with"
        f" 'syscr image delete {image.image_id}'",
        image_id=image.image_id,
        problems=list(problems),
    )
    failed = ImageReply(
        image.image_id, ok=False, image=image, problems=problems, error=failure.to_dict()
    )
    return failed, failure


_HERE = "syscr.cli.image"
image = LazyGroup(
    "image",
    about=About(
        summary="List, show, verify, delete and prune images",
        effect="Works on what lies in a checkpoint directory; jobs are not touched. An image id may be cut"
        " to a prefix that reaches its T and fits only one image.",
        examples=(
            ("syscr image list", "what is there"),
            ("syscr image prune --keep-last 3", "keep the three newest of each job"),
        ),
        errors=_MANY,
    ),
    families={
        "Commands": {
            "list": (f"{_HERE}:list_images", "List images, oldest first"),
            "show": (f"{_HERE}:show", "Show what an image holds"),
            "verify": (f"{_HERE}:verify", "Compare images with their manifests"),
            "delete": (f"{_HERE}:delete", "Delete images, recoverable"),
            "undelete": (f"{_HERE}:undelete", "Bring deleted images back"),
            "prune": (f"{_HERE}:prune", "Delete images by rule"),
        }
    },
)
