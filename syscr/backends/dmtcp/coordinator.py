"""The coordinator of one task: is it there, who is connected, may it start a checkpoint.

There is one coordinator per task, on the loopback address of the task's node; its port is in a file of
the task's private directory. Every question has a limit: 4.2.0 stops answering while anybody keeps an
idle connection to it (measured, 2026-11).
"""

from __future__ import annotations

from pathlib import Path

from syscr.backends.dmtcp import commands, parse
from syscr.backends.dmtcp.parse import Client, Status
from syscr.errors import CoordinatorError
from syscr.model import TaskSpec
from syscr.ports import Clock, CommandTimeout, Completed, Runner

ANSWER_SECONDS = 5.0
_RETRY_SECONDS = 0.02


class Coordinator:
    """Talks to one coordinator.

    Attributes:
        port: Its TCP port on the loopback address.
    """

    def __init__(self, runner: Runner, clock: Clock, tool: commands.Tool, port: int) -> None:
        """Keep the ports; nothing is asked yet."""
        self._runner = runner
        self._clock = clock
        self._tool = tool
        self.port = port

    def get_status(self) -> Status:
        """Ask for the state of the computation.

        Raises:
            CoordinatorError: It is gone or does not answer within ``ANSWER_SECONDS``.
            ToolReplyError: Its answer was not understood.
        """
        return parse.parse_status(self._ask("--status"))

    def list_clients(self) -> tuple[Client, ...]:
        """Ask for the connected processes; raises as ``get_status``."""
        return parse.parse_clients(self._ask("--list"))

    def request_checkpoint(self, deadline: float) -> None:
        """Start a checkpoint; returns when it was accepted, long before anything is on disk.

        Contract: a computation that is not in the running state, as for a moment after each
        checkpoint, is asked again until ``deadline`` (monotonic).

        Raises:
            CoordinatorError: As ``get_status``, or still not running at the deadline; nothing was
                started.
            ToolReplyError: As ``get_status``.
        """
        while not parse.parse_request(self._ask("--checkpoint")):
            if self._clock.monotonic() >= deadline:
                raise CoordinatorError("the processes of the task are not all in the running state")
            self._clock.sleep(_RETRY_SECONDS)

    def wait_running(self, peers: int, deadline: float) -> Status:
        """Wait until ``peers`` processes are connected and all of them run.

        Returns:
            The last status, which does not say so where ``deadline`` (monotonic) has passed.

        Raises:
            CoordinatorError, ToolReplyError: As ``get_status``.
        """
        while True:
            status = self.get_status()
            if status == Status(peers, running=True) or self._clock.monotonic() >= deadline:
                return status
            self._clock.sleep(_RETRY_SECONDS)

    def _ask(self, verb: str) -> Completed:
        argv = commands.build_command(self._tool, self.port, verb)
        try:
            return self._runner.run(argv, timeout_seconds=ANSWER_SECONDS)
        except CommandTimeout as error:
            raise CoordinatorError(
                f"the DMTCP coordinator of the task at '{commands.HOST}:{self.port}' did not answer "
                f"within {ANSWER_SECONDS:g} s"
            ) from error


def read_port(spec: TaskSpec) -> int:
    """Return the port of a task's coordinator.

    Raises:
        CoordinatorError: The coordinator has not written it, or it holds something else.
    """
    path = Path(spec.run_dir, commands.PORT_FILE)
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CoordinatorError(f"no coordinator has written its port into '{path}'") from error
    if not text.isdigit():
        raise CoordinatorError(f"'{path}' holds no port: {text!r}")
    return int(text)
