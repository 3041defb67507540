"""``syscr image list`` and ``show``."""

from __future__ import annotations

import click

from syscr.cli import text
from syscr.cli.app import App
from syscr.cli.command import command, option, pass_app
from syscr.cli.encode import ImageDetails
from syscr.cli.help import About
from syscr.cli.image.shared import FIND, STORE, deleted_option, image_dir_option
from syscr.cli.params import IMAGE_ID, TARGET
from syscr.model import Target


@command(
    "list",
    about=About(
        summary="List images, oldest first",
        effect="Reads the manifests only. The number of a job array means all of its tasks. Deleted images"
        " are shown with --deleted.",
        examples=(
            ("syscr image list", "all images in your checkpoint directory"),
            ("syscr image list 4711 -q", "only the ids of the images of job 4711"),
        ),
        errors=STORE,
    ),
)
@click.argument("target", required=False, type=TARGET, metavar="[JOB[.STEP]]")
@image_dir_option
@deleted_option
@pass_app
def list_images(app: App, target: Target | None, image_dir: str | None, deleted: bool) -> None:
    """List images."""
    images, warnings = app.manager.list_images(
        checkpoint_dir=image_dir, target=target, deleted=deleted
    )
    app.emit(
        "image list",
        data=lambda: {"images": images},
        text=lambda: text.render_images(images, target, deleted=deleted),
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
        errors=FIND,
    ),
)
@click.argument("image_id", type=IMAGE_ID, metavar="IMAGE")
@option("--files", "with_files", is_flag=True, section="Output", help="List the stored files too.")
@image_dir_option
@deleted_option
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
