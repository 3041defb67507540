"""Writes the generated pages of docs/reference: ``python -m syscr.cli.docs [--check] [DIRECTORY]``.

cli.md, config.md, errors.md, json.md and json-schema.json come from the code; a test runs ``--check``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from syscr.cli import shapes
from syscr.cli.app import App
from syscr.cli.configure import render_sample
from syscr.cli.main import BROKEN_PIPE, INTERRUPTED, build_root
from syscr.config import OTHER_VARIABLES, SYSTEM_FILE
from syscr.declared import SETTINGS
from syscr.errors import error_table, iter_errors
from syscr.values import format_value

WIDTH = 90
_NOTE = "<!-- written by `python -m syscr.cli.docs`; change the code, not this page -->\n"


def iter_commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield (path, command, context) of the whole tree, groups before their commands."""
    root = build_root()
    context = click.Context(root, info_name="syscr", obj=App(), terminal_width=WIDTH)
    yield from _walk("syscr", root, context)


def _walk(
    path: str, command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                inner = click.Context(child, parent=context, info_name=name, terminal_width=WIDTH)
                yield from _walk(f"{path} {name}", child, inner)


def build_cli_page() -> str:
    """Return cli.md: the help of every command."""
    parts = [
        "# Command line\n",
        _NOTE,
        "Arguments are ids, all else is an option. The global options of `syscr` may also stand after one"
        " of its own commands, but only before `sbatch`, `srun`, `salloc` and `run`, whose options are"
        " Slurm's. Standard output carries the result only. Colour and width follow the terminal and"
        " `NO_COLOR`. Exit codes: [errors](errors.md); `--json`: [json](json.md); settings:"
        " [config](config.md).\n",
    ]
    for path, command, context in iter_commands():
        parts.append(f"## {path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def build_config_page() -> str:
    """Return config.md: every setting."""
    rows = [
        "| setting | default | variable | option | meaning |",
        "|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        choices = f" One of: {', '.join(setting.choices)}." if setting.choices else ""
        variables = ", ".join(f"`{variable}`" for variable in setting.variables)
        option = setting.option.replace("|", "\\|") or "-"
        rows.append(
            f"| `{setting.name}` | `{format_value(setting.default)}` | {variables} | {option}"
            f" | {setting.help}{choices} Example: `{setting.example}`. Since {setting.since}. |"
        )
    others = ", ".join(f"`{name}`" for name in OTHER_VARIABLES)
    return "\n".join(
        [
            "# Configuration\n",
            _NOTE,
            f"Later wins: defaults, `{SYSTEM_FILE}`, `$XDG_CONFIG_HOME/syscr/config.toml`"
            " (`~/.config/syscr/config.toml`), `SYSCR_*` variables, options. `--config FILE` or"
            " `SYSCR_CONFIG` replaces the user's file, never the system file. `syscr config show --origin`"
            " says where each value comes from, `syscr config check` what is wrong.\n",
            *rows,
            "",
            "Files are TOML; `[section]` and `key` are the two parts of a setting's name. Times are seconds,"
            ' or text with a unit (`"15m"`). A leading `~` is the home directory, `{user}` the user\'s name.'
            " An unknown key is an error; an empty variable counts as not set."
            f" Variables that are no settings: {others}.\n",
            "## What an administrator can lock\n",
            f"`{SYSTEM_FILE}` may hold names that users cannot change, by file, variable or option:\n",
            '```toml\n[policy]\nlocked = ["store.checkpoint_dir", "launcher.path"]\n```\n',
            "When syscr acts for another user (setuid, or root through sudo), the user's file and environment"
            " are not looked at.\n",
            "## Sample file\n",
            f"`syscr config show --sample` prints it:\n\n```toml\n{render_sample()}\n```\n",
        ]
    )


def build_errors_page() -> str:
    """Return errors.md: exit codes, and the tree of classes."""
    rows = ["| exit code | code | may go away by itself | meaning |", "|---|---|---|---|"]
    rows.append("| 0 | - | - | Done. |")
    rows.append("| 1 | `fault` | no | A fault in syscr; run it with `--debug` and report it. |")
    rows.append("| 2 | `usage` | no | The command line cannot be read. |")
    for exit_code, code, transient, meaning in error_table():
        if exit_code == 1:
            continue
        text = meaning.replace("``", "`").replace("|", "\\|")
        rows.append(f"| {exit_code} | `{code}` | {'yes' if transient else 'no'} | {text} |")
    rows.append(
        f"| {INTERRUPTED} | - | - | Interrupted (128 + signal 2); a word says what is true of the job. |"
    )
    rows.append(f"| {BROKEN_PIPE} | - | - | The reader of the output has gone (128 + signal 13). |")
    tree = []
    for cls in iter_errors():
        depth = len([base for base in cls.__mro__ if issubclass(base, Exception)]) - 3
        number = f"  {cls.exit_code}{' T' if cls.transient else ''}" if cls.exit_code > 1 else ""
        tree.append(f"{'  ' * max(depth + 1, 0)}{cls.__name__}{number}")
    return "\n".join(
        [
            "# Errors and exit codes\n",
            _NOTE,
            "`run`, `sbatch`, `srun` and `salloc` end with the status of what they ran; the codes below"
            " hold until it has started. Unknown codes mean failure; codes are never reused; scripts may try"
            " again where an error may go away by itself.\n",
            *rows,
            "",
            "## Classes in Python\n",
            "Catch the class that matches your reaction; `code`, `exit_code`, `transient`, `hint`,"
            " `details` and `to_dict()` are on each. T: may go away by itself.\n",
            "```text\n" + "\n".join(tree) + "\n```\n",
        ]
    )


def build_json_page() -> str:
    """Return json.md: every document and object."""
    schema = shapes.build_schema()
    parts = [
        "# JSON\n",
        _NOTE,
        "Each command of ours takes `--json` and prints one UTF-8 document with sorted keys:"
        " `schema_version`, `syscr_version`, `command`, `data` (below) and `warnings` (each with `code` and"
        " `message`). Units are in the names, times are UTC with `Z`, ids are text, unknown is `null`, no"
        " key is ever left out. Within a schema version keys are only added. The same as JSON Schema:"
        " [json-schema.json](json-schema.json).\n",
        "Progress and log go to standard error as JSON lines with `type` (`phase`, `progress`, `node`,"
        " `log`) and `time`. An error is one [Error](#error) on standard error; where there are several"
        " targets, each has its own in the document too.\n",
        "## Documents\n",
    ]
    for command, document in schema["documents"].items():
        data = document["properties"]["data"]
        parts.append(f"### {command}\n")
        parts.append(f"`data` is {shapes.type_words(data)}.\n" if "$ref" in data else _table(data))
    parts.append("## Objects\n")
    for name, definition in schema["$defs"].items():
        parts += [f"### {name}\n", definition.get("description", "") + "\n", _table(definition)]
    return "\n".join(parts)


def _table(schema: shapes.Schema) -> str:
    rows = ["| key | type | meaning |", "|---|---|---|"]
    for name, item in schema["properties"].items():
        meaning = item.get("description", "").replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{name}` | {shapes.type_words(item)} | {meaning} |")
    return "\n".join(rows) + "\n"


def build_schema_file() -> str:
    """Return json-schema.json."""
    return json.dumps(shapes.build_schema(), indent=2, sort_keys=True) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": build_cli_page,
    "config.md": build_config_page,
    "errors.md": build_errors_page,
    "json.md": build_json_page,
    "json-schema.json": build_schema_file,
}


def find_stale(directory: Path) -> tuple[str, ...]:
    """Return the pages that differ from what the code would write."""
    return tuple(
        name
        for name, build in PAGES.items()
        if not (directory / name).is_file()
        or (directory / name).read_text(encoding="utf-8") != build()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or with ``--check`` say which are stale."""
    words = list(sys.argv[1:] if argv is None else argv)
    names = [word for word in words if word != "--check"]
    directory = Path(names[0] if names else "docs/reference")
    if "--check" in words:
        stale = find_stale(directory)
        for name in stale:
            click.echo(
                f"{directory / name} is not what the code says; run python -m syscr.cli.docs"
            )
        return 1 if stale else 0
    directory.mkdir(parents=True, exist_ok=True)
    for name, build in PAGES.items():
        (directory / name).write_text(build(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
