"""``syscr spank``: the plugin that gives Slurm's own commands the options."""

from __future__ import annotations

import click

from syscr import errors
from syscr.cli.app import App
from syscr.cli.command import LazyGroup, command, option, pass_app
from syscr.cli.encode import to_json
from syscr.cli.help import About


@command(
    "build",
    about=About(
        summary="Build the SPANK plugin for this cluster's Slurm",
        effect="Compiles syscr_spank.so and syscr-start into DIR with Slurm's headers and prints the line for plugstack.conf."
        " It changes nothing else: the plugin works on machines that have both files and the line.",
        examples=(
            (
                "syscr spank build /usr/local/lib/slurm",
                "on each machine, or on storage that all mount",
            ),
            ("syscr spank build --include=/opt/slurm/include /opt/slurm/lib", "headers elsewhere"),
        ),
        errors=(errors.ToolMissingError, errors.ToolUnsupportedError),
    ),
)
@click.argument("directory", metavar="DIR")
@option(
    "--include",
    "include_dir",
    default="/usr/include",
    metavar="DIR",
    help="Directory that has slurm/spank.h.",
    show_default=True,
)
@option("--cc", "compiler", default="cc", metavar="PROGRAM", help="C compiler.", show_default=True)
@pass_app
def build(app: App, directory: str, include_dir: str, compiler: str) -> None:
    """Build the plugin."""
    from syscr.wiring.slurm import build_plugin_builder

    built = build_plugin_builder().build(directory, include_dir=include_dir, compiler=compiler)
    app.emit(
        "spank build",
        data=lambda: to_json(built),
        text=lambda: (
            f"built {built.path} for Slurm {built.slurm_version}; line for plugstack.conf:\n"
            f"{built.plugstack_line}"
        ),
        quiet=lambda: built.plugstack_line,
    )


spank = LazyGroup(
    "spank",
    about=About(
        summary="Build the plugin that gives sbatch, srun and salloc the checkpoint options",
        effect="No job is touched.",
        examples=(
            ("syscr spank build /usr/local/lib/slurm", "then add the line that it prints"),
            ("srun --help | grep checkpoint", "whether this machine has the plugin"),
        ),
    ),
    families={
        "Commands": {
            "build": ("syscr.cli.spank:build", "Build the SPANK plugin for this cluster's Slurm")
        }
    },
)
