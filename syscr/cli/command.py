"""Our click classes: commands with our help and global options in both places, lazy groups, options.

A command is declared with ``command(about=...)``; its options with ``option(..., section=...)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from syscr import log
from syscr.cli.app import App
from syscr.cli.help import DEFAULT_WIDTH, About, Rows, format_help

Function = Callable[..., Any]
_FOOTER = "The global options (--json, -v, -q, --debug, --config, --log-format) may stand here too."


class SyscrOption(click.Option):
    """An option that belongs to a section of the help.

    Attributes:
        section: Title of the section.
    """

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        """Keep the section; the rest is click's."""
        super().__init__(*args, **kwargs)
        self.section = section

    def help_row(self) -> tuple[str, str]:
        """Return the two columns of this option in the help."""
        names = ", ".join((*self.opts, *self.secondary_opts))
        return (f"{names} {self.metavar}" if self.metavar else names), self.help or ""


def option(*names: str, section: str = "Options", **kwargs: Any) -> Callable[[Function], Function]:
    """Declare an option; see click, plus ``section``."""
    return click.option(*names, cls=SyscrOption, section=section, **kwargs)


def _set_flag(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback that stores a global option, wherever it stands."""

    def store(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value in (None, False, 0):
            return
        flags = ctx.ensure_object(App).flags
        setattr(flags, name, value + flags.verbosity if name == "verbosity" else value)

    return store


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Return the global options; eager, so that they count while the rest is read."""

    def make(names: list[str], flag: str, text: str, **kwargs: Any) -> SyscrOption:
        return SyscrOption(
            [*names, f"_{flag}"],
            section="Global options",
            help=text,
            hidden=hidden,
            expose_value=False,
            is_eager=True,
            callback=_set_flag(flag),
            **kwargs,
        )

    forms = click.Choice(["text", "json"])
    return [
        make(
            ["--json"],
            "json",
            "One JSON document on standard output, errors as JSON.",
            is_flag=True,
        ),
        make(["-v", "--verbose"], "verbosity", "Log what is done; -vv: everything.", count=True),
        make(
            ["-q", "--quiet"],
            "quiet",
            "No progress, no remarks; results as bare ids.",
            is_flag=True,
        ),
        make(["--debug"], "debug", "A traceback with each error.", is_flag=True),
        make(
            ["--config"],
            "config_file",
            "Read this file instead of the user's own (SYSCR_CONFIG).",
            metavar="FILE",
        ),
        make(
            ["--log-format"],
            "log_format",
            "Form of the log on standard error: text or json (SYSCR_LOG_FORMAT).",
            type=forms,
            metavar="FORM",
        ),
    ]


class _HelpMixin:
    """Our help text for commands and groups."""

    about: About

    def help_text(
        self, ctx: click.Context, sections: Sequence[tuple[str, Rows]], footer: str
    ) -> str:
        """Return the help for the width at hand."""
        pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
        width = min(ctx.terminal_width or _terminal_width(), DEFAULT_WIDTH)
        return format_help(
            f"{ctx.command_path} {pieces}", self.about, sections, footer=footer, width=width
        )


def _terminal_width() -> int:
    import shutil

    return max(shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns, 60)


def _option_sections(params: Sequence[click.Parameter]) -> list[tuple[str, Rows]]:
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        if isinstance(param, SyscrOption) and not param.hidden:
            sections.setdefault(param.section, []).append(param.help_row())
    return list(sections.items())


class SyscrCommand(_HelpMixin, click.Command):
    """A command of ours.

    Attributes:
        about: Text of its help.
    """

    def __init__(self, *args: Any, about: About, **kwargs: Any) -> None:
        """Add the global options, hidden."""
        kwargs.update(help=about.summary, short_help=about.summary)
        super().__init__(*args, **kwargs)
        self.about = about
        self.params.extend(global_options(hidden=True))

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text."""
        return self.help_text(ctx, _option_sections(self.params), _FOOTER).rstrip("\n")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; a complaint of click's knows whose it is."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Install the log, bind the command's name and run."""
        app = ctx.ensure_object(App)
        app.start_log()
        with log.bound(command=command_name(ctx)):
            return super().invoke(ctx)


class PassThrough(_HelpMixin, click.Command):
    """A command whose arguments are not ours to read; ``--help`` alone is answered here."""

    def __init__(self, *args: Any, about: About, metavar: str, **kwargs: Any) -> None:
        """Take everything after the verb as it stands."""
        kwargs.update(help=about.summary, short_help=about.summary)
        super().__init__(*args, **kwargs)
        self.about = about
        self.metavar = metavar

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return what follows the verb."""
        return [self.metavar]

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text."""
        return self.help_text(ctx, (), "").rstrip("\n")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments; show our help only where ``--help`` is the first."""
        if args[:1] == ["--help"]:
            click.echo(self.get_help(ctx))
            ctx.exit()
        ctx.args = list(args)
        return ctx.args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer our own options, as far as no program, script or bare value stands before."""
        items = super().shell_complete(ctx, incomplete)
        is_ours = all(word.startswith("-") and word != "--" for word in ctx.args)
        if not incomplete.startswith("-") or not is_ours:
            return items
        rows = [row for _, section in self.about.extra for row in section]
        names = [(name.split()[0], text) for name, text in rows if name.startswith("--")]
        found = [
            CompletionItem(name, help=text) for name, text in names if name.startswith(incomplete)
        ]
        return [*found, *items]


class NoCommandError(click.UsageError):
    """A group stands alone; its help is the answer."""


class LazyGroup(_HelpMixin, click.Group):
    """A group that imports a command's module when the command is used.

    Attributes:
        families: Title -> (name -> (``module:attribute``, summary)); the order is the help's.
    """

    def __init__(
        self,
        *args: Any,
        about: About,
        families: Mapping[str, Mapping[str, tuple[str, str]]],
        **kwargs: Any,
    ) -> None:
        """Keep the table; commands are found in it."""
        kwargs.update(help=about.summary, short_help=about.summary)
        super().__init__(*args, **kwargs)
        self.about = about
        self.families = families
        self.subcommand_metavar = "COMMAND ..."

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the order of the help."""
        return [name for family in self.families.values() for name in family]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        for family in self.families.values():
            if cmd_name in family:
                module, _, attribute = family[cmd_name][0].partition(":")
                found: click.Command = getattr(importlib.import_module(module), attribute)
                return found
        return None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse a command line without a command, in the same way under each version of click."""
        if not args and not ctx.resilient_parsing:
            raise NoCommandError("no command is named", ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or complain with the nearest name."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            _refuse_command(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text without importing any command."""
        sections: list[tuple[str, Rows]] = [
            (title, [(name, summary) for name, (_, summary) in family.items()])
            for title, family in self.families.items()
        ]
        sections += _option_sections(self.params)
        footer = f"'{ctx.command_path} COMMAND --help' says more about a command."
        return self.help_text(ctx, sections, footer).rstrip("\n")


def _refuse_command(ctx: click.Context, name: str, known: Sequence[str]) -> NoReturn:
    import difflib

    error = click.UsageError(f"no such command '{name}'", ctx)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        error.syscr_hint = f"did you mean '{ctx.command_path} {near[0]}'?"  # type: ignore[attr-defined]
    raise error


def command(name: str, *, about: About) -> Callable[[Function], click.Command]:
    """Declare a command of ours."""
    return click.command(name, cls=SyscrCommand, about=about)


def command_name(ctx: click.Context) -> str:
    """Return the command without ``syscr``: ``image list``."""
    return ctx.command_path.partition(" ")[2]


def pass_app(function: Function) -> Function:
    """Give the call's ``App`` to a function as its first argument."""
    return click.make_pass_decorator(App, ensure=True)(function)
