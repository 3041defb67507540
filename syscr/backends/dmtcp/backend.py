"""The DMTCP backend: launch a program under it and bring it back; what it is able to do here.

Each task has a coordinator of its own that only its node can reach. Commands are built in
``commands.py``; live tasks are looked at and dumped in ``dump.py``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from syscr.backends.dmtcp import commands
from syscr.backends.dmtcp.installation import Installation
from syscr.backends.dmtcp.program import can_fix_addresses, may_be_fixed
from syscr.errors import BackendError, ImageIncompatibleError
from syscr.model import Finding, TaskImage, TaskSpec
from syscr.ports import (
    Capabilities,
    Clock,
    CommandTimeout,
    DumpReport,
    LaunchPlan,
    Runner,
    TaskControl,
)

if TYPE_CHECKING:
    from syscr.backends.dmtcp.dump import Dumper

_PACKAGE = Path(__file__).parent.parent.parent


class DmtcpBackend:
    """Dumps and restores tasks with DMTCP 4.2 or 5.0; see ``ports.Backend``.

    Attributes:
        name: ``dmtcp``.
        installation: The tool on this node.
    """

    name = "dmtcp"

    def __init__(
        self,
        runner: Runner,
        clock: Clock,
        *,
        prefix: str | None = None,
        environ: Mapping[str, str] | None = None,
        library_dir: str | None = None,
    ) -> None:
        """Keep the ports; nothing is looked at yet.

        Args:
            runner: Runs DMTCP's programs.
            clock: Time.
            prefix: Directory below which DMTCP is installed; where it is not there, PATH is searched.
            environ: Environment of the task, for PATH, variables to join with ours, and Slurm's; None:
                our own.
            library_dir: Directory of our own libraries for DMTCP; None: beside the launcher.
        """
        self._runner = runner
        self._clock = clock
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self.installation = Installation(
            runner,
            prefix=prefix,
            environ=self._environ,
            library_dir=library_dir or str(_PACKAGE / "csrc" / "bin"),
        )

    def find_obstacle(self) -> str:
        """Return why a task cannot be launched here; starts no process."""
        return self.installation.find_obstacle()

    def probe(self) -> Capabilities:
        """Look at this node; a version that does not answer is a reason, not an error."""
        obstacle, version = self.find_obstacle(), ""
        features = {"personality": can_fix_addresses()}
        if not obstacle:
            try:
                version = self.installation.get_version()
                tool = self.installation.get_probed_tool()
                features["json"] = tool.json
                features["unique_option"] = not tool.unique_plugin
                features["checkpoint_signal"] = bool(tool.task_library)
                features["coordinator_guard"] = bool(tool.guard)
            except (BackendError, CommandTimeout) as error:
                obstacle = str(error)
        return Capabilities(
            name=self.name,
            tool_version=version,
            tcp=True,
            features=features,
            missing=(obstacle,) if obstacle else (),
        )

    def build_launch(self, spec: TaskSpec) -> LaunchPlan:
        """Return how to start the program; reads the first bytes of its file."""
        tool = self.installation.get_tool()
        pad = not can_fix_addresses() and may_be_fixed(spec.argv[0], self._environ)
        return LaunchPlan(
            argv=commands.build_launch(tool, spec.run_dir, spec.argv),
            env=commands.build_environment(
                tool, spec.run_dir, self._environ, launch=True, pad_heap=pad
            ),
            sidecar=commands.build_coordinator(tool, spec.run_dir),
            sidecar_listen_fd=commands.LISTEN_FD,
        )

    def build_restore(self, spec: TaskSpec, image: TaskImage, data_dir: str) -> LaunchPlan:
        """Return how to bring the task back.

        Not pure: writes ``dmtcp_env.txt`` into the run directory, and lays links where DMTCP looks for
        its copies of deleted files (``generation.link_saved_files``).

        Raises:
            ImageIncompatibleError: The image was written by another version of DMTCP, or its programs
                would crash here.
        """
        from syscr.backends.dmtcp.generation import IMAGE_SUFFIX, link_saved_files

        tool = self.installation.get_tool()
        wanted, version = str(image.state.get("tool_version", "")), self.installation.get_version()
        if wanted != version:
            raise ImageIncompatibleError(
                f"the image of task {image.rank} was written by DMTCP {wanted}, node '{spec.node}' has "
                f"{version}",
                hint=f"install DMTCP {wanted} there and name it with SYSCR_DMTCP_PREFIX",
                image_version=wanted,
                node_version=version,
            )
        if image.state.get("needs_fixed_addresses") and not can_fix_addresses():
            raise ImageIncompatibleError(
                f"the image of task {image.rank} can only be restored where address randomisation can be "
                f"switched off, which node '{spec.node}' refuses (setarch -R)",
                hint="restart on a node like the one it ran on, or let its containers use personality()",
            )
        images = sorted(
            str(path) for path in Path(data_dir).iterdir() if path.name.endswith(IMAGE_SUFFIX)
        )
        link_saved_files(data_dir, str(image.state.get("generation_dir", "")))
        text = commands.build_environment_file(self._environ)
        Path(spec.run_dir, commands.ENVIRONMENT_FILE).write_text(text, encoding="ascii")
        return LaunchPlan(
            argv=commands.build_restart(tool, spec.run_dir, images),
            no_randomize=can_fix_addresses(),
            env=commands.build_environment(tool, spec.run_dir, self._environ, launch=False),
            sidecar=commands.build_coordinator(tool, spec.run_dir),
            sidecar_listen_fd=commands.LISTEN_FD,
        )

    def check(self, task: TaskControl) -> tuple[Finding, ...]:
        """Look at a live task for what would make its image useless."""
        return self._dumper().check(task)

    def checkpoint(
        self, task: TaskControl, data_dir: str, *, timeout_seconds: float, hold_seconds: float = 0
    ) -> DumpReport:
        """Dump one task; see ``dump.Dumper.checkpoint``."""
        return self._dumper().checkpoint(
            task, data_dir, timeout_seconds=timeout_seconds, hold_seconds=hold_seconds
        )

    def wait_restored(self, task: TaskControl, image: TaskImage, *, timeout_seconds: float) -> None:
        """Wait until all processes of a restored task run; see ``dump.Dumper.wait_restored``."""
        self._dumper().wait_restored(task, image, timeout_seconds=timeout_seconds)

    def _dumper(self) -> Dumper:
        from syscr.backends.dmtcp.dump import Dumper  # a task that starts needs none of it

        return Dumper(self._runner, self._clock, self.installation)
