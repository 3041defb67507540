"""``syscr doctor``: which backends work on nodes, and why others do not."""

from __future__ import annotations

from collections.abc import Sequence

from syscr import errors
from syscr.cli import text
from syscr.cli.app import App
from syscr.cli.command import command, option, pass_app
from syscr.cli.help import About
from syscr.errors import PartialError, SchedulerUnavailableError, ToolUnsupportedError
from syscr.result import NodeHealth

ABOUT = About(
    summary="Say which backends work on nodes, and why others do not",
    effect="Looks at this machine, or through Slurm at the nodes that are named; it starts one short"
    " process on each and changes nothing.",
    examples=(
        ("syscr doctor", "this machine"),
        ("syscr doctor --node c1 --node c2", "two compute nodes"),
    ),
    errors=(
        errors.ConfigError,
        errors.PartialError,
        errors.SchedulerUnavailableError,
        errors.ToolUnsupportedError,
    ),
)


@command("doctor", about=ABOUT)
@option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NODE",
    section="Where",
    help="Compute node, or a folded list such as c[1-3]. May be repeated.",
)
@pass_app
def doctor(app: App, nodes: tuple[str, ...]) -> None:
    """Look at nodes."""
    healths = app.manager.doctor(nodes)
    app.emit("doctor", data=lambda: {"nodes": healths}, text=lambda: text.render_health(healths))
    _judge(healths)


def _judge(healths: Sequence[NodeHealth]) -> None:
    """Make an exit status of what was found.

    Raises:
        SchedulerUnavailableError: No node could be asked.
        PartialError: Some could not.
        ToolUnsupportedError: A node has no backend that works.
    """
    silent = [health.node for health in healths if health.error]
    if silent:
        cls = SchedulerUnavailableError if len(silent) == len(healths) else PartialError
        raise cls(
            f"cannot ask node {', '.join(silent)}",
            hint="a node takes no steps while it is down, drained or full; 'syscr doctor' on it needs no Slurm",
            nodes=silent,
        )
    unfit = [health.node for health in healths if all(item.missing for item in health.backends)]
    if unfit:
        raise ToolUnsupportedError(
            f"no backend works on {', '.join(unfit)}", hint="the reasons stand above", nodes=unfit
        )
