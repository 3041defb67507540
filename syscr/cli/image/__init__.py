"""``syscr image``: what lies on disk."""

from __future__ import annotations

from syscr.cli.command import LazyGroup
from syscr.cli.help import About
from syscr.cli.image.shared import MANY

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
        errors=MANY,
    ),
    families={
        "Commands": {
            "list": (f"{_HERE}.look:list_images", "List images, oldest first"),
            "show": (f"{_HERE}.look:show", "Show what an image holds"),
            "verify": (f"{_HERE}.several:verify", "Compare images with their manifests"),
            "delete": (f"{_HERE}.several:delete", "Delete images, recoverable"),
            "undelete": (f"{_HERE}.several:undelete", "Bring deleted images back"),
            "prune": (f"{_HERE}.prune:prune", "Delete images by rule"),
        }
    },
)
