"""Help texts: one sentence, what happens to the job, grouped options, two examples, exit codes.

Written by hand instead of by click, so that they are the same under each version of click. The same
text goes into docs/reference/cli.md; ``tests/data/cli`` holds golden copies.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syscr.errors import SyscrError

Rows = Sequence[tuple[str, str]]
DEFAULT_WIDTH = 90
_GAP = 2
_INDENT = "  "
_MAX_TERM = 30


@dataclass(frozen=True)
class About:
    """What a command's help says beside its options.

    Attributes:
        summary: One sentence without a full stop; also the line in the list of commands.
        effect: What happens to the job, or what is read and written.
        examples: (command line, what it does), two of them.
        errors: Classes whose exit codes are worth a line; 0, 1 and 2 are always listed.
        exit_note: Replaces the list of exit codes (pass-through commands).
        extra: More (title, rows) sections, for options that are not parsed here.
    """

    summary: str
    effect: str
    examples: tuple[tuple[str, str], ...]
    errors: tuple[type[SyscrError], ...] = ()
    exit_note: str = ""
    extra: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


def format_help(
    usage: str, about: About, sections: Iterable[tuple[str, Rows]], *, footer: str, width: int
) -> str:
    """Put a help text together; pure.

    Args:
        usage: Usage line without ``Usage:``.
        about: The rest of the text.
        sections: (title, rows) of options or commands.
        footer: Last paragraph; empty: none.
        width: Columns.
    """
    blocks = [f"Usage: {usage}", _sentence(about.summary, width), _wrap(about.effect, width)]
    blocks += [f"{title}:\n{format_rows(rows, width)}" for title, rows in sections if rows]
    blocks += [f"{title}:\n{format_rows(rows, width)}" for title, rows in about.extra]
    if about.examples:
        blocks.append(
            "Examples:\n" + "\n".join(_format_example(*pair, width) for pair in about.examples)
        )
    if about.exit_note:
        blocks.append("Exit codes:\n" + _wrap(about.exit_note, width, _INDENT))
    else:
        blocks.append("Exit codes:\n" + format_rows(exit_rows(about.errors), width))
    if footer:
        blocks.append(_wrap(footer, width))
    return "\n\n".join(block for block in blocks if block) + "\n"


def exit_rows(errors: Iterable[type[SyscrError]]) -> Rows:
    """Return (code, meaning) rows: the common ones and those of the classes; pure."""
    rows = {0: "done", 1: "fault in syscr", 2: "usage error, or the request contradicts itself"}
    for cls in errors:
        text = (cls.__doc__ or "").split("\n", 1)[0].partition(";")[0].rstrip(".")
        rows[cls.exit_code] = text if text.startswith("Slurm") else text[:1].lower() + text[1:]
    return [(str(code), rows[code].replace("``", "")) for code in sorted(rows)]


def format_rows(rows: Rows, width: int) -> str:
    """Align two columns; a long first column gets a line of its own; pure."""
    term = min(max((len(row[0]) for row in rows), default=0), _MAX_TERM)
    pad = " " * (len(_INDENT) + term + _GAP)
    lines: list[str] = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(width - len(pad), 20)) or [""]
        if len(name) > term:
            lines.append(f"{_INDENT}{name}")
            lines += [f"{pad}{line}" for line in wrapped]
        else:
            lines.append(f"{_INDENT}{name:<{term + _GAP}}{wrapped[0]}".rstrip())
            lines += [f"{pad}{line}" for line in wrapped[1:]]
    return "\n".join(lines)


def _format_example(command: str, meaning: str, width: int) -> str:
    return f"{_INDENT}{command}\n" + _wrap(meaning, width, _INDENT * 3)


def _wrap(text: str, width: int, indent: str = "") -> str:
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(
        textwrap.fill(part, width, initial_indent=indent, subsequent_indent=indent)
        for part in paragraphs
        if part
    )


def _sentence(text: str, width: int) -> str:
    return _wrap(f"{text}.", width)
