"""Bytes of the command line's answers: JSON envelope, error texts, safe text; pure but for the writers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence

import click

from syscr import __version__
from syscr.cli import encode
from syscr.errors import SyscrError

SCHEMA_VERSION = 1
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_TOOL_LINES = 20
_TOOL_KEYS = ("tool_output", "output", "log_tail")


def printable(text: str) -> str:
    r"""Return text that cannot disturb a terminal; names of jobs and files are users' text.

    Example:
        >>> printable("a\x1b[31m\udcff")
        'a\\x1b[31m\\xff'
    """
    return _UNPRINTABLE.sub(_show, text)


def _show(match: re.Match[str]) -> str:
    number = ord(match[0])
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        match[0], f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
    )


def build_envelope(command: str, data: object, warnings: Sequence[str]) -> dict[str, object]:
    """Return the JSON document of one command; pure."""
    return {
        "schema_version": SCHEMA_VERSION,
        "syscr_version": __version__,
        "command": command,
        "data": encode.to_json(data),
        "warnings": [{"code": "remark", "message": encode.to_json(text)} for text in warnings],
    }


def write_json(command: str, data: object, warnings: Sequence[str]) -> None:
    """Write one document to standard output, indented on a terminal."""
    document = build_envelope(command, data, warnings)
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(document, ensure_ascii=False, sort_keys=True, indent=indent))


def write_error(error: Exception, *, as_json: bool) -> None:
    """Write an error to standard error."""
    if as_json:
        text = json.dumps(encode.to_json(describe(error)), ensure_ascii=False, sort_keys=True)
    else:
        text = format_error(error)
    click.echo(text, err=True)


def describe(error: Exception) -> dict[str, object]:
    """Return the JSON object of any error; pure."""
    if isinstance(error, SyscrError):
        return error.to_dict()
    if isinstance(error, click.ClickException):
        return {
            "code": "usage",
            "exit_code": 2,
            "message": usage_message(error),
            "hint": usage_hint(error),
            "transient": False,
            "details": {},
        }
    return {
        "code": "fault",
        "exit_code": 1,
        "message": f"fault in syscr: {type(error).__name__}: {error}",
        "hint": "run it again with --debug and report what it prints",
        "transient": False,
        "details": {},
    }


def format_error(error: Exception) -> str:
    """Return the text for people: message, details, hint; pure."""
    facts = describe(error)
    first, *more = str(facts["message"]).split("\n")
    lines = [f"syscr: {printable(first)}"]
    lines += [f"  {printable(line)}" for line in more]
    details = facts["details"]
    if isinstance(details, Mapping):
        lines += _detail_lines(details, said=str(facts["message"]), hint=str(facts["hint"]))
    lines += [f"  note: {printable(note)}" for note in getattr(error, "__notes__", ())]
    if facts["hint"]:
        lines.append(f"hint: {printable(str(facts['hint']))}")
    return "\n".join(lines)


def format_warning(warning: str) -> str:
    """Return the text for people; lines after the first are what a tool said. Pure."""
    first, *more = warning.split("\n")
    return "\n".join(
        (f"syscr: warning: {printable(first)}", *(f"  {printable(line)}" for line in more))
    )


def _detail_lines(details: Mapping[str, object], *, said: str, hint: str) -> list[str]:
    """Return findings and the end of a tool's output; other facts are for machines.

    A finding that the message or the hint has said already is not said again.
    """
    lines: list[str] = []
    findings = details.get("findings", ())
    for finding in findings if isinstance(findings, list | tuple) else ():
        first, *more = finding_lines(encode.to_json(finding))
        if not _is_said(finding, said):
            lines.append(first)
        lines += [line for line in more if line.strip() != printable(hint)]
    for key in _TOOL_KEYS:
        value = details.get(key)
        if not value:
            continue
        rows = value.splitlines() if isinstance(value, str) else [str(row) for row in _items(value)]
        lines += [f"| {printable(row)}" for row in rows[-_TOOL_LINES:]]
    if details.get("log_path"):
        lines.append(f"  full log: {printable(str(details['log_path']))}")
    return lines


def _is_said(finding: object, said: str) -> bool:
    facts = encode.to_json(finding)
    return isinstance(facts, Mapping) and str(facts.get("message")) in said


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value]


def finding_lines(finding: object) -> list[str]:
    """Return the lines for one finding as JSON object: weight, message, place, hint; pure."""
    if not isinstance(finding, Mapping):
        return [f"  {printable(str(finding))}"]
    place = [f"node {finding['node']}"] if finding.get("node") else []
    place += [f"pid {finding['pid']}"] if finding.get("pid") is not None else []
    where = f" ({', '.join(place)})" if place else ""
    lines = [f"  {finding.get('severity')}: {printable(str(finding.get('message')))}{where}"]
    if finding.get("hint"):
        lines.append(f"    {printable(str(finding['hint']))}")
    return lines


def usage_message(error: click.ClickException) -> str:
    """Return click's complaint in our form; pure."""
    if isinstance(error, click.NoSuchOption):  # click names what is near in the same sentence
        return f"cannot read the command line: no such option: {error.option_name}"
    text = error.format_message().strip().rstrip(".")
    return f"cannot read the command line: {text[:1].lower()}{text[1:]}"


def usage_hint(error: click.ClickException) -> str:
    """Return which help to look at; pure."""
    own = getattr(error, "syscr_hint", "")
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        names = " or ".join(f"'{name}'" for name in sorted(error.possibilities))
        return f"did you mean {names}?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "syscr"
    return str(own) or f"see '{path} --help'"


def align(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Return rows as columns two blanks apart, each cell made printable; pure."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        (
            indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
