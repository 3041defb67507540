"""``syscr image verify``, ``delete`` and ``undelete``: one act for each of several images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from syscr import errors
from syscr.cli.app import App
from syscr.cli.command import command, option, pass_app
from syscr.cli.encode import ImageReply
from syscr.cli.help import About
from syscr.cli.image.shared import MANY, deleted_option, image_dir_option
from syscr.cli.params import IMAGE_ID
from syscr.cli.partial import settle
from syscr.errors import ImageCorruptError, ManifestError, SyscrError
from syscr.model import Image, TornImage

Done = tuple[Image | TornImage, tuple[str, ...]]
"""The image that something was done to, and what is wrong with it."""


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
        errors=(*MANY, errors.ImageCorruptError),
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
@image_dir_option
@deleted_option
@pass_app
def verify(
    app: App, image_ids: tuple[str, ...], level: str, image_dir: str | None, deleted: bool
) -> None:
    """Verify images."""

    def act(image_id: str) -> Done:
        image = app.manager.get_image(image_id, checkpoint_dir=image_dir, deleted=deleted)
        return image, app.manager.verify_image(image, level=level)

    _each(app, "verify", image_ids, act, f"{{}}: all {level} are right")


@command(
    "delete",
    about=About(
        summary="Delete images, recoverable",
        effect="The images go to the trash of their checkpoint directory, from where 'syscr image"
        " undelete' brings them back until 'syscr image prune --expunge' removes them for good. Jobs are"
        " not touched. A folder in the place of an image that is none, since its manifest is missing or cannot"
        " be read, goes the same way.",
        examples=(
            ("syscr image delete 20261124T061900Z-9f3c21ab", "delete one image"),
            ("syscr image list 4711 -q | xargs syscr image delete", "delete all images of a job"),
        ),
        errors=(*MANY, errors.StoreLockedError),
    ),
)
@click.argument("image_ids", nargs=-1, required=True, type=IMAGE_ID, metavar="IMAGE...")
@image_dir_option
@pass_app
def delete(app: App, image_ids: tuple[str, ...], image_dir: str | None) -> None:
    """Delete images."""

    def act(image_id: str) -> Done:
        try:
            image = app.manager.get_image(image_id, checkpoint_dir=image_dir)
        except ManifestError:
            return app.manager.delete_torn(image_id, checkpoint_dir=image_dir), ()
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
        errors=(*MANY, errors.ImageExistsError),
    ),
)
@click.argument("image_ids", nargs=-1, required=True, type=IMAGE_ID, metavar="IMAGE...")
@image_dir_option
@pass_app
def undelete(app: App, image_ids: tuple[str, ...], image_dir: str | None) -> None:
    """Bring images back."""

    def act(image_id: str) -> Done:
        try:
            return app.manager.undelete_image(image_id, checkpoint_dir=image_dir), ()
        except ManifestError:
            return app.manager.undelete_torn(image_id, checkpoint_dir=image_dir), ()

    _each(app, "undelete", image_ids, act, "{}: there again")


def _each(
    app: App,
    verb: str,
    image_ids: Sequence[str],
    act: Callable[[str], Done],
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
    good = [reply for reply in replies if reply.ok]
    if good or not app.flags.json or len(replies) > 1:
        app.emit(
            f"image {verb}",
            data=lambda: {"results": replies},
            text=lambda: "\n".join(_say(reply, done) for reply in good),
            quiet=lambda: "\n".join(reply.image_id for reply in good),
        )
    settle(f"{verb} image", failures, replies)


def _say(reply: ImageReply, done: str) -> str:
    """Return what was done to an image, and what it is if it is none."""
    return "\n".join((done.format(reply.image_id), *(f"  {line}" for line in reply.problems)))


def _attempt(image_id: str, act: Callable[[str], Done]) -> tuple[ImageReply, SyscrError | None]:
    try:
        image, problems = act(image_id)
    except SyscrError as error:
        return ImageReply(image_id, ok=False, image=None, problems=(), error=error.to_dict()), error
    if isinstance(image, TornImage):
        reply = ImageReply(
            image.image_id, ok=True, image=None, problems=(image.reason,), error=None
        )
        return reply, None
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
