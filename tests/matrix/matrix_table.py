"""The results of all versions as a Markdown table; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from matrix_results import Group, SuiteResult

_BLOCK = re.compile(r"(?<=<!-- matrix -->\n).*?(?=<!-- matrix:end -->)", re.DOTALL)

# file of tests/cluster -> what it shows
SUBJECTS = {
    "continuity_batch": "batch job: killed, requeued by syscr and by Slurm, moved, as a new job",
    "continuity_steps": "step of four tasks on two nodes, in a script and from the login node",
    "continuity_forms": "script on standard input, and one task of an array",
    "scontrol_surface": "`syscr scontrol`: the answers of 18.08 and 19.05, the prompt, the shim",
    "spank": "Slurm's own commands with the SPANK plugin; syscr missing or broken",
    "documented_forms": "each option and command that Slurm's page on checkpoints named",
    "scheduler_real": "syscr's Slurm commands and parsers, against the live controller",
    "security": "another user's jobs and images, forged job names",
}


def format_table(results: Mapping[str, SuiteResult]) -> str:
    """Return table and notes; a column for each Debian suite, in the order given."""
    notes: list[str] = []
    columns = list(results.values())
    names = [name for name in SUBJECTS if any(name in one.groups for one in columns)]
    names += sorted({name for one in columns for name in one.groups} - set(names))
    rows = [
        ("", *(f"Slurm {one.versions['slurm']}" for one in columns)),
        ("Debian", *results),
        *((title, *_versions(columns, key)) for title, key in _ROWS),
        *((SUBJECTS.get(name, name), *_cells(columns, name, notes)) for name in names),
        ("all", *(_sum(one) for one in columns)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns) + 1)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*lines, *_list_notes(notes)])


_ROWS = (("Python", "python"), ("CRIU", "criu"), ("DMTCP", "dmtcp"), ("run on", "date"))


def _versions(columns: Sequence[SuiteResult], key: str) -> tuple[str, ...]:
    return tuple(one.versions.get(key) or "none" for one in columns)


def _cells(columns: Sequence[SuiteResult], name: str, notes: list[str]) -> tuple[str, ...]:
    return tuple(_cell(one.groups.get(name), notes) for one in columns)


def _cell(group: Group | None, notes: list[str]) -> str:
    """Return ``12`` where all passed, else ``10 of 12`` and what the rest is."""
    if group is None:
        return "not run"
    if group.passed == group.total:
        return str(group.passed)
    marks = [
        f"{len(names)} not run{_mark(reason, notes)}" for reason, names in group.skipped.items()
    ]
    if group.failed:
        marks.append(f"**{len(group.failed)} failed**{_mark(_failed(group.failed), notes)}")
    return f"{group.passed} of {group.total}; {', '.join(marks)}"


def _failed(names: Sequence[str]) -> str:
    return "failed: " + ", ".join(f"`{name}`" for name in sorted(names))


def _mark(text: str, notes: list[str]) -> str:
    if text not in notes:
        notes.append(text)
    return f" ({notes.index(text) + 1})"


def _list_notes(notes: Sequence[str]) -> list[str]:
    return ["", *(f"{number}. {text}" for number, text in enumerate(notes, 1))] if notes else []


def _sum(result: SuiteResult) -> str:
    passed = sum(group.passed for group in result.groups.values())
    total = sum(group.total for group in result.groups.values())
    return f"{passed} of {total}, {result.seconds:.0f} s"


def replace_block(page: str, text: str) -> str:
    """Put the table between the marks of a page.

    Raises:
        ValueError: It has no such marks.
    """
    if not _BLOCK.search(page):
        raise ValueError("the page has no block for the table of versions")
    return _BLOCK.sub(lambda _: f"{text}\n", page)
