"""What the commands of ``syscr image`` have in common: options, and what can go wrong."""

from __future__ import annotations

from syscr import errors
from syscr.cli.command import option
from syscr.cli.params import DIRECTORY

STORE = (
    errors.ConfigError,
    errors.StoreAccessError,
    errors.StoreNotFoundError,
    errors.ManifestError,
)
FIND = (*STORE, errors.ImageNotFoundError)
MANY = (*FIND, errors.PartialError)

image_dir_option = option(
    "--image-dir",
    type=DIRECTORY,
    metavar="DIR",
    section="Where",
    help="Checkpoint directory instead of the configured one (SYSCR_CHECKPOINT_DIR).",
)
deleted_option = option(
    "--deleted", is_flag=True, section="Where", help="Look at deleted images instead."
)
