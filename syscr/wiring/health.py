"""What ``syscr doctor`` sees on a node."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from syscr.errors import StoreNotFoundError, SyscrError
from syscr.wiring.parts import (
    build_backends,
    build_controller,
    build_launcher,
    find_syscr,
    open_store,
)

if TYPE_CHECKING:
    from syscr.ports import Capabilities
    from syscr.result import NodeHealth
    from syscr.settings import Settings
    from syscr.slurm.workers import SrunWorkers


def probe_here(settings: Settings) -> NodeHealth:
    """Look at this machine: backends, launcher, versions."""
    from syscr import __version__
    from syscr.result import NodeHealth

    launcher = build_launcher(settings)
    try:
        launcher_text = f"{launcher.installed} ({launcher.digest()})"
    except SyscrError as error:
        launcher_text = error.message
    facts = {
        "syscr": f"{__version__} ({find_syscr()})",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "launcher": launcher_text,
        "checkpoint directory": settings.checkpoint_dir,
    }
    native = _probe_native(settings)
    others = tuple(backend.probe() for backend in build_backends(settings).values())
    backends = (*others, native) if native.missing else (native, *others)
    return NodeHealth(os.environ.get("SLURMD_NODENAME") or platform.node(), backends, facts)


def _probe_native(settings: Settings) -> Capabilities:
    """Ask what Slurm itself can dump; that nobody answers is a reason, too."""
    from syscr.ports import Capabilities

    name, missing = "native", ("it is switched off (backends.native.use)",)
    if settings.native_use == "auto":
        try:
            return build_controller(settings).probe()
        except SyscrError as error:
            missing = (error.message,)
    return Capabilities(name, needs_launch=False, missing=missing)


def _look_at_images(settings: Settings) -> dict[str, str]:
    """Return a fact about what lies among the images and cannot be read; empty where all is well."""
    try:
        unreadable = open_store(settings.checkpoint_dir).list_images()[1]
    except StoreNotFoundError:
        return {}
    except SyscrError as error:
        return {"images": error.message}
    count = len(unreadable)
    what = "entry" if count == 1 else "entries"
    return {"images": f"{count} {what} cannot be read; see 'syscr image list'"} if count else {}


def probe_nodes(
    settings: Settings, workers: SrunWorkers, nodes: Sequence[str]
) -> tuple[NodeHealth, ...]:
    """Look at nodes, which may be folded; at this machine if none is named."""
    if not nodes:
        here = probe_here(settings)
        return (replace(here, facts={**here.facts, **_look_at_images(settings)}),)
    from syscr.slurm.hostlist import parse_hostlist

    expanded = dict.fromkeys(node for folded in nodes for node in parse_hostlist(folded))
    return workers.probe_nodes(tuple(expanded))
