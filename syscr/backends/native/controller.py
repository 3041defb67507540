"""``NativeController``: the CheckpointController port over ``scontrol checkpoint``; thin.

What is asked in which order, and when an answer may be believed, is in ``syscr/native/``.
"""

from __future__ import annotations

from collections.abc import Sequence

from syscr.backends.native import commands, parse
from syscr.errors import SchedulerUnavailableError, SyscrError
from syscr.ports import (
    Acceptance,
    Capabilities,
    CommandTimeout,
    Completed,
    DumpEnd,
    DumpState,
    Runner,
)

NAME = "native"


class NativeController:
    """Slurm's own checkpoints, as the calling user may order them."""

    def __init__(self, runner: Runner, *, explain: parse.Explain) -> None:
        """Keep the tools.

        Args:
            runner: Runs scontrol.
            explain: Makes an error of what scontrol says when it fails in ways that all commands share.
        """
        self._runner = runner
        self._explain = explain
        self._site: parse.Site | None = None

    def probe(self) -> Capabilities:
        """Return what Slurm itself can do here; see ``ports.CheckpointController.probe``."""
        try:
            site = self._find_site()
        except SchedulerUnavailableError:
            raise
        except SyscrError as error:
            return Capabilities(NAME, needs_launch=False, missing=(error.message,))
        missing = (site.obstacle,) if site.obstacle else ()
        return Capabilities(
            NAME,
            tool_version="" if missing else f"{site.plugin} of Slurm {site.version}",
            needs_launch=False,
            multi_node=True,
            features={} if missing else {"restart of steps": site.can_restart_steps},
            missing=missing,
        )

    def has_commands(self) -> bool:
        """Return whether the configuration names a plugin, if only ``checkpoint/none``."""
        return bool(self._find_site().plugin)

    def can_restart_steps(self) -> bool:
        """Whether srun can start a step from an image."""
        return self._find_site().can_restart_steps

    def purge_seconds(self) -> float | None:
        """Return ``MinJobAge``."""
        return self._find_site().purge_seconds

    def find_state(self, name: str) -> DumpState:
        """Return whether a job or step is being dumped."""
        return parse.parse_able(self._run(commands.build_able(name)), name, self._explain)

    def count_tasks(self, name: str) -> int | None:
        """Return how many tasks a step has."""
        return parse.parse_task_count(self._run(commands.build_show_step(name)))

    def find_end(self, name: str) -> DumpEnd:
        """Return how the last dump ended."""
        return parse.parse_error(self._run(commands.build_error(name)), name, self._explain)

    def order_dump(self, name: str, *, image_dir: str, max_wait_seconds: float) -> None:
        """Order a dump; returns at once."""
        argv = commands.build_create(name, image_dir=image_dir, max_wait_seconds=max_wait_seconds)
        parse.parse_create(self._run(argv), name, self._explain)

    def order_restart(self, number: int, *, image_dir: str, stick_to_nodes: bool) -> Acceptance:
        """Order a restart under the same number; returns at once."""
        argv = commands.build_restart(number, image_dir=image_dir, stick_to_nodes=stick_to_nodes)
        return parse.parse_restart(self._run(argv), number, self._explain)

    def _find_site(self) -> parse.Site:
        """Return the configuration; asked for once."""
        if self._site is None:
            self._site = parse.parse_site(self._run(commands.build_show_config()), self._explain)
        return self._site

    def _run(self, argv: Sequence[str]) -> Completed:
        try:
            return self._runner.run(argv)
        except CommandTimeout as timeout:
            raise SchedulerUnavailableError(
                f"cannot run '{' '.join(argv[:3])}': {timeout}",
                timeout_seconds=timeout.timeout_seconds,
            ) from timeout
