"""All backends, by name, in an explicit list; what cannot work here registers with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from syscr.ports import Backend, Clock, Runner
from syscr.settings import Settings


class Parts(NamedTuple):
    """What backends are made of.

    Attributes:
        settings: Settings of this call.
        runner: Runs the tools.
        clock: Time.
        launcher_path: The launcher on this node.
    """

    settings: Settings
    runner: Runner
    clock: Clock
    launcher_path: str


def _criu(parts: Parts) -> Backend:
    from syscr.backends.criu.backend import CriuBackend

    return CriuBackend(
        parts.runner,
        launcher_path=parts.launcher_path,
        criu_path=parts.settings.criu_path,
    )


def _dmtcp(parts: Parts) -> Backend:
    from syscr.backends.dmtcp.backend import DmtcpBackend

    return DmtcpBackend(parts.runner, parts.clock, prefix=parts.settings.dmtcp_prefix)


_BUILDERS: dict[str, Callable[[Parts], Backend]] = {"criu": _criu, "dmtcp": _dmtcp}


def build_backends(parts: Parts) -> dict[str, Backend]:
    """Return all backends by name, those of the configured order first."""
    names = dict.fromkeys((*parts.settings.order, *_BUILDERS))
    return {name: _BUILDERS[name](parts) for name in names if name in _BUILDERS}
