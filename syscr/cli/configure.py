"""``syscr config``: show and check the configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from syscr import config as configuration
from syscr import errors
from syscr.cli.app import App
from syscr.cli.command import LazyGroup, command, option, pass_app
from syscr.cli.help import About
from syscr.cli.output import align, printable
from syscr.declared import SETTINGS
from syscr.settings import Settings, get_setting, suggest
from syscr.values import Setting, format_value

_ERRORS = (errors.ConfigError,)


@command(
    "show",
    about=About(
        summary="Show the settings that are in force",
        effect="Prints them as a configuration file; secrets are no settings, so nothing is left out.",
        examples=(
            ("syscr config show --origin", "each setting with the place it comes from"),
            ("syscr config show --sample > ~/.config/syscr/config.toml", "a file to begin with"),
        ),
        errors=_ERRORS,
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("--origin", is_flag=True, section="Output", help="Add where each value comes from.")
@option(
    "--sample",
    is_flag=True,
    section="Output",
    help="Print a commented file with all settings and their defaults instead.",
)
@pass_app
def show(app: App, names: tuple[str, ...], origin: bool, sample: bool) -> None:
    """Show settings."""
    chosen = tuple(get_setting(name) for name in names) or SETTINGS
    if sample:
        click.echo(render_sample(chosen))
        return
    settings = app.settings
    app.emit(
        "config show",
        data=lambda: {
            "settings": [
                {
                    "name": setting.name,
                    "value": settings.get(setting.name),
                    "origin": settings.origin(setting.name),
                }
                for setting in chosen
            ]
        },
        text=lambda: render_settings(settings, chosen, with_origin=origin),
        quiet=lambda: "\n".join(_bare(settings, setting) for setting in chosen),
    )


@command(
    "path",
    about=About(
        summary="Print the configuration files, the strongest last",
        effect="Says of each file whether it is there. Variables and options go before all of them.",
        examples=(
            ("syscr config path", "where settings may lie"),
            ("syscr config path -q", "only the names of the files that are there"),
        ),
        errors=_ERRORS,
    ),
)
@pass_app
def path(app: App) -> None:
    """Print the files."""
    found = _files(app)
    app.emit(
        "config path",
        data=lambda: {"files": found},
        text=lambda: align(
            [
                (str(file["path"]), str(file["role"]), "read" if file["exists"] else "not there")
                for file in found
            ]
        ),
        quiet=lambda: "\n".join(printable(str(file["path"])) for file in found if file["exists"]),
    )


@command(
    "check",
    about=About(
        summary="Check the configuration",
        effect="Reads files and environment as each command does and says what is wrong, with the line.",
        examples=(
            ("syscr config check", "check what is in force"),
            ("syscr --config new.toml config check", "check a file before it is put in place"),
        ),
        errors=_ERRORS,
    ),
)
@pass_app
def check(app: App) -> None:
    """Check the configuration."""
    settings = app.settings
    found = _files(app)
    read = [str(file["path"]) for file in found if file["exists"]]
    changed = sum(origin != configuration.DEFAULT for origin in settings.origins.values())
    unknown = configuration.find_unknown_variables(os.environ)
    app.emit(
        "config check",
        data=lambda: {"files": found, "changed_count": changed, "unknown_variables": list(unknown)},
        text=lambda: (
            f"the configuration is right: {changed} of {len(SETTINGS)} settings differ in origin from the"
            f" default\n  read: {printable(', '.join(read)) or 'no file'}"
        ),
        warnings=[f"variable {name} means nothing to syscr; {_near(name)}" for name in unknown],
    )


def _near(name: str) -> str:
    import difflib

    known = [variable for setting in SETTINGS for variable in setting.variables]
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else suggest(name)


def _files(app: App) -> list[dict[str, object]]:
    files = configuration.find_files(
        os.environ,
        config_file=app.flags.config_file,
        is_privileged=configuration.has_privilege(os.environ),
    )
    return [
        {"path": file.path, "role": file.role, "exists": os.path.exists(file.path)}
        for file in files
    ]


def _bare(settings: Settings, setting: Setting) -> str:
    value = settings.get(setting.name)
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return printable(text)


def render_settings(settings: Settings, chosen: Sequence[Setting], *, with_origin: bool) -> str:
    """Return settings as a TOML file, with their origins as comments if asked; pure."""
    blocks: dict[str, list[tuple[str, str]]] = {}
    for setting in chosen:
        line = f"{setting.key} = {format_value(settings.get(setting.name))}"
        note = f"# {settings.origin(setting.name)}" if with_origin else ""
        blocks.setdefault(setting.section, []).append((line, note))
    return "\n\n".join(f"[{section}]\n{align(rows)}" for section, rows in blocks.items())


def render_sample(chosen: Sequence[Setting] = SETTINGS) -> str:
    """Return a file with every setting commented out at its default; pure."""
    lines = ["# syscr: configuration. Remove the # before a line to set it."]
    section = ""
    for setting in chosen:
        if setting.section != section:
            section = setting.section
            lines += ["", f"[{section}]"]
        choices = f" One of: {', '.join(setting.choices)}." if setting.choices else ""
        lines.append(f"# {setting.help}{choices}")
        lines.append(f"#{setting.key} = {format_value(setting.default)}")
    return "\n".join(lines)


_HERE = "syscr.cli.configure"
config = LazyGroup(
    "config",
    about=About(
        summary="Show and check the configuration",
        effect="Later wins: defaults, /etc/syscr.toml, the user's file, SYSCR_ variables, options.",
        examples=(
            ("syscr config show --origin", "each setting with the place it comes from"),
            ("syscr config check", "say what is wrong, with the line"),
        ),
        errors=_ERRORS,
    ),
    families={
        "Commands": {
            "show": (f"{_HERE}:show", "Show the settings that are in force"),
            "path": (f"{_HERE}:path", "Print the configuration files, the strongest last"),
            "check": (f"{_HERE}:check", "Check the configuration"),
        }
    },
)
