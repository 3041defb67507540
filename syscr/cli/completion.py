"""``syscr completion``: the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from syscr.cli.app import App
from syscr.cli.command import command, pass_app
from syscr.cli.help import About
from syscr.config import COMPLETION_VARIABLE

SHELLS = ("bash", "zsh", "fish")
ABOUT = About(
    summary="Print the completion script of a shell",
    effect="Prints only; load it in the start-up file of the shell. It completes commands and options and"
    " never asks Slurm.",
    examples=(
        ('eval "$(syscr completion bash)"', "in ~/.bashrc; zsh likewise in ~/.zshrc"),
        (
            "syscr completion fish > ~/.config/fish/completions/syscr.fish",
            "once, for fish",
        ),
    ),
)


@command("completion", about=ABOUT)
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
@pass_app
def completion(_: App, shell: str) -> None:
    """Print a completion script."""
    from syscr.cli.main import build_root

    cls = get_completion_class(shell)
    if cls is None:  # pragma: no cover - click has all three
        raise click.UsageError(f"click has no completion for {shell}")
    click.echo(cls(build_root(), {}, "syscr", COMPLETION_VARIABLE).source())
