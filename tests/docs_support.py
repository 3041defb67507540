"""The pages of docs/ as data: their blocks, their links, and running them as a reader would.

In a ``console`` block a line that begins with ``$ `` is typed by alice on the login node, one with ``# ``
by root; what follows is output. ``console site`` is for a machine of the reader's own: shown, never run.
A block such as ``python count.py`` is the content of that file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)```$", re.M | re.S
)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)

_IMAGE = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"
# Lines that another machine, or none of its tools, makes different; and what the page leaves out.
_VARIES = re.compile(r"\.\.\.$|  (?:kernel|launcher|python|dmtcp|host) |    ")
# Job numbers in the pages have four digits, so that they cannot be taken for anything else.
_JOB = r"(?<![\w.-])[4-9][0-9]{3}(?=_[0-9]+\b|\.[0-9]+\b|\b)(?![\w-])"
_TOKEN = re.compile(
    rf"(?P<image>{_IMAGE})|(?P<job>{_JOB})|(?P<time>[0-9.]+ (?:ms|s)\b)|(?P<size>[0-9.]+ (?:B|[KMG]iB)\b)"
    r"|(?P<node>\bc[0-9]\b|\bc\[[0-9,-]+\])|(?P<number>[0-9]+(?:\.[0-9]+)*)|(?P<space>[ \t]+)"
)
_ANY = {
    "image": rf"({_IMAGE})",
    "job": "([0-9]+)",
    "time": r"[0-9][0-9. minsh]*?(?:ms|s|min|h)",
    "size": r"[0-9.]+ (?:B|[KMG]iB)",
    "node": r"c[0-9\[\],-]+",
    "number": r"[0-9.]+",
    "space": r"\s+",
}


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        user: ``alice`` or ``root``.
        text: What is typed; may have several lines.
        output: The lines that the page shows.
        line: Line of the page.
    """

    user: str
    text: str
    output: tuple[str, ...]
    line: int

    @property
    def may_fail(self) -> bool:
        """Whether the page shows an error of ours."""
        return any(line.startswith(("syscr: cannot", "hint: ")) for line in self.output)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: ``console``, ``python``, ``toml``, ...
        name: What follows the language: the name of a file, or ``site``.
        body: The text inside.
        line: Line of the page on which the body begins.
    """

    language: str
    name: str
    body: str
    line: int

    @property
    def is_run(self) -> bool:
        """Whether its commands are run on the test cluster."""
        return self.language == "console" and self.name != "site"

    @property
    def is_file(self) -> bool:
        """Whether it is a file that the reader makes."""
        return bool(self.name) and self.language != "console"


def find_pages() -> tuple[Path, ...]:
    """Return the README and all pages."""
    return (REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md")))


def read_blocks(text: str) -> tuple[Block, ...]:
    """Return the fenced blocks of a page, in order."""
    return tuple(
        Block(
            *_split_info(match["info"]), match["body"], text.count("\n", 0, match.start("body")) + 1
        )
        for match in _FENCE.finditer(text)
    )


def _split_info(info: str) -> tuple[str, str]:
    language, _, name = info.strip().partition(" ")
    return language, name.strip()


def read_commands(block: Block) -> tuple[Command, ...]:
    """Return the commands of a console block with the output shown for each."""
    found: list[Command] = []
    for number, line in enumerate(block.body.splitlines(), block.line):
        if line.startswith(("$ ", "# ")):
            user = "alice" if line[0] == "$" else "root"
            found.append(Command(user, line[2:], (), number))
        elif not found:
            raise ValueError(f"line {number}: output without a command")
        elif line.startswith("> "):
            found[-1] = replace(found[-1], text=f"{found[-1].text}\n{line[2:]}")
        else:
            found[-1] = replace(found[-1], output=(*found[-1].output, line))
    return tuple(found)


def find_links(text: str) -> Iterator[str]:
    """Yield the targets of links outside of blocks."""
    yield from _LINK.findall(_FENCE.sub("", text))


def find_anchors(text: str) -> frozenset[str]:
    """Return the anchors that a page has, as GitHub makes them of its headings."""
    titles = (match[1].lower() for match in _HEADING.finditer(_FENCE.sub("", text)))
    return frozenset(re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles)


def build_pattern(line: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return what a shown line must match when it is run again, and the ids in it, in order.

    Numbers, sizes, durations and nodes may differ; ids are groups, so that they can be learned.
    """
    ids: list[str] = []
    parts: list[str] = []
    end = 0
    for match in _TOKEN.finditer(line):
        kind = str(match.lastgroup)
        parts += [re.escape(line[end : match.start()]), _ANY[kind]]
        if kind in {"image", "job"}:
            ids.append(match[0])
        end = match.end()
    parts.append(re.escape(line[end:]))
    return re.compile("".join(parts).rstrip()), tuple(ids)


class Reader:
    """Does what a page says, on a cluster, and compares.

    Attributes:
        known: Ids in the page -> ids of this run.
    """

    def __init__(
        self, run: Callable[[str, str], tuple[int, str]], write: Callable[[str, str], None]
    ) -> None:
        """Keep what runs a command (user, text -> exit code, output) and what writes a file."""
        self._run = run
        self._write = write
        self.known: dict[str, str] = {}

    def follow(self, text: str) -> Iterator[tuple[Command, str]]:
        """Run all blocks of a page; yields each command with its real output, after comparing.

        Raises:
            AssertionError: A command failed, or printed something else than the page shows.
        """
        for block in read_blocks(text):
            if block.is_file and "/" not in block.name:
                self._write(block.name, block.body)
            elif block.is_run:
                for command in read_commands(block):
                    code, output = self._run(command.user, self.translate(command.text))
                    self._compare(command, code, output)
                    yield command, output

    def translate(self, text: str) -> str:
        """Put this run's ids in the place of the page's."""
        images = [name for name in self.known if re.fullmatch(_IMAGE, name)]
        # an id may be cut behind its T: the day of the page is not that of this run
        known = {name[:9]: self.known[name][:9] for name in images} | self.known
        for name in sorted(known, key=len, reverse=True):
            text = re.sub(
                rf"(?<![\w.-]){re.escape(name)}(?![A-Za-z0-9-]|_[A-Za-z])", known[name], text
            )
        return text

    def _compare(self, command: Command, code: int, output: str) -> None:
        said = f"line {command.line}: $ {command.text}\nexit code {code}\n{output}"
        assert code == 0 or command.may_fail, f"the command failed\n{said}"
        rest = output.splitlines()
        for line in command.output:
            if not line.strip() or _VARIES.match(line):
                continue
            pattern, ids = build_pattern(line)
            while rest and not (match := pattern.match(rest[0])):
                rest.pop(0)
            assert rest, f"the page shows a line that did not come:\n{line}\n{said}"
            assert match is not None
            rest.pop(0)
            self.known.update(
                (mine, theirs)
                for mine, theirs in zip(ids, match.groups(), strict=True)
                if mine not in self.known
            )
