"""syscr: checkpoint and restart of Slurm jobs.

    >>> import syscr
    >>> result = syscr.checkpoint(4711)                       # doctest: +SKIP
    >>> syscr.restart(4711, stick_to_nodes=True).job_state    # doctest: +SKIP
    'running'

The public names are ``__all__``; each is imported when it is first used, so that ``import syscr`` costs
nothing. The functions are in ``api/``; read ``errors.py`` and ``model/`` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syscr.api.images import (
        delete_image,
        get_image,
        images,
        prune,
        undelete_image,
        verify_image,
    )
    from syscr.api.jobs import checkpoint, doctor, requeue, restart, status, vacate
    from syscr.config import load_settings
    from syscr.errors import SyscrError
    from syscr.model import Image, JobId, Manifest, Target
    from syscr.result import (
        CheckpointResult,
        JobStatus,
        NodeHealth,
        PruneResult,
        RestartResult,
    )
    from syscr.settings import Settings

from syscr._version import __version__

_HOMES = {
    "syscr.api.images": (
        "delete_image",
        "get_image",
        "images",
        "prune",
        "undelete_image",
        "verify_image",
    ),
    "syscr.api.jobs": ("checkpoint", "doctor", "requeue", "restart", "status", "vacate"),
    "syscr.config": ("load_settings",),
    "syscr.errors": ("SyscrError",),
    "syscr.model": ("Image", "JobId", "Manifest", "Target"),
    "syscr.result": (
        "CheckpointResult",
        "JobStatus",
        "NodeHealth",
        "PruneResult",
        "RestartResult",
    ),
    "syscr.settings": ("Settings",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CheckpointResult",
    "Image",
    "JobId",
    "JobStatus",
    "Manifest",
    "NodeHealth",
    "PruneResult",
    "RestartResult",
    "Settings",
    "SyscrError",
    "Target",
    "__version__",
    "checkpoint",
    "delete_image",
    "doctor",
    "get_image",
    "images",
    "load_settings",
    "prune",
    "requeue",
    "restart",
    "status",
    "undelete_image",
    "vacate",
    "verify_image",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'syscr' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
