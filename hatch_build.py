"""Compiles the launcher while the wheel is built, so that a site needs no compiler on its nodes."""

from __future__ import annotations

import platform
import subprocess
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LauncherHook(BuildHookInterface[Any]):
    """Runs the Makefile of ``syscr/csrc`` and marks the wheel as one for this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build ``syscr/csrc/bin/syscr-launcher``; a failing compiler fails the build."""
        subprocess.run(
            ["make", "-C", "syscr/csrc", f"VERSION={self.metadata.version}"],
            cwd=self.root,
            check=True,
        )
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"
