"""The command line in front of a keyword, split as scontrol itself splits it; pure.

scontrol reads its options with GNU ``getopt_long``, wherever they stand, and takes what is left over as
the command. What follows the keyword ``checkpoint`` is read in ``grammar.py``.

Source: Slurm ``src/scontrol/scontrol.c``, 20.11 to 26.11 (main of 2026-08), ``main``; checked 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KEYWORD = "checkpoint"
_LEAST_LETTERS = 2  # `ch`; no keyword of 20.02 to 26.11 begins with these
_SHORT = {"a": 0, "d": 0, "F": 0, "h": 0, "M": 1, "o": 0, "Q": 0, "u": 1, "v": 0, "V": 0}
_LONG = {
    "all": "a",
    "autocomplete": "autocomplete",
    "cluster": "M",
    "clusters": "M",
    "details": "d",
    "federation": "federation",
    "future": "F",
    "help": "h",
    "hide": "hide",
    "json": "json",
    "local": "local",
    "oneliner": "o",
    "quiet": "Q",
    "sibling": "sibling",
    "uid": "u",
    "usage": "h",
    "verbose": "v",
    "version": "V",
    "yaml": "yaml",
}
_WITH_ARGUMENT = frozenset({"M", "u", "autocomplete"})
_MAY_HAVE_ARGUMENT = frozenset({"json", "yaml"})
_ANSWERED_AT_ONCE = frozenset({"h", "V", "autocomplete"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line of scontrol.

    Attributes:
        options: Its options, as they were typed.
        words: The command; empty: scontrol asks for commands.
        is_plain: False: an option that scontrol answers at once or refuses, whatever the command is.
        is_quiet: ``-Q``: no messages about failures.
        cluster: ``-M``; empty: this cluster.
    """

    options: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_plain: bool = True
    is_quiet: bool = False
    cluster: str = ""


def split_options(argv: Sequence[str], *, permute: bool = True) -> Invocation:
    """Split a command line into options and command.

    Args:
        argv: Arguments of scontrol.
        permute: Options count wherever they stand; False (POSIXLY_CORRECT): only before the command.

    Example:
        >>> split_options(["-o", "checkpoint", "able", "12", "-Q"]).words
        ('checkpoint', 'able', '12')
    """
    reader = _Reader(list(argv))
    while reader.left:
        word = reader.take()
        if word == "--":
            reader.words += reader.take_all()
        elif word.startswith("--"):
            reader.read_long(word)
        elif word.startswith("-") and word != "-":
            reader.read_short(word)
        else:
            reader.words.append(word)
            if not permute:
                reader.words += reader.take_all()
    return Invocation(
        options=tuple(reader.options),
        words=tuple(reader.words),
        is_plain=reader.is_plain,
        is_quiet=reader.is_quiet,
        cluster=reader.cluster,
    )


def is_keyword(word: str) -> bool:
    """Whether a word is ``checkpoint`` or an abbreviation of it.

    Example:
        >>> is_keyword("CHECK"), is_keyword("ch"), is_keyword("c"), is_keyword("checkpoints")
        (True, True, False, False)
    """
    return begins(word, KEYWORD, _LEAST_LETTERS)


def begins(word: str, full: str, least: int) -> bool:
    """Whether ``word`` abbreviates ``full``, in either case, with at least ``least`` letters."""
    return len(word) >= least and word.isascii() and full.startswith(word.lower())


class _Reader:
    """Takes words from the front of a command line."""

    def __init__(self, left: list[str]) -> None:
        self.left = left
        self.options: list[str] = []
        self.words: list[str] = []
        self.is_plain = True
        self.is_quiet = False
        self.cluster = ""

    def take(self) -> str:
        return self.left.pop(0)

    def take_all(self) -> list[str]:
        taken, self.left = self.left, []
        return taken

    def read_long(self, word: str) -> None:
        self.options.append(word)
        name, equals, value = word[2:].partition("=")
        meant = {name} if name in _LONG else {one for one in _LONG if one.startswith(name)}
        letters = {_LONG[one] for one in meant}
        if len(letters) != 1:
            self.is_plain = False
            return
        letter = letters.pop()
        if letter in _WITH_ARGUMENT:
            self._set(letter, value if equals else self._take_argument())
        else:
            self._set(letter, value)
            self.is_plain &= not equals or letter in _MAY_HAVE_ARGUMENT

    def read_short(self, word: str) -> None:
        self.options.append(word)
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter not in _SHORT:
                self.is_plain = False
            elif not _SHORT[letter]:
                self._set(letter, "")
            else:
                self._set(letter, letters or self._take_argument())
                return

    def _take_argument(self) -> str:
        if not self.left:
            self.is_plain = False
            return ""
        word = self.take()
        self.options.append(word)
        return word

    def _set(self, letter: str, value: str) -> None:
        if letter in _ANSWERED_AT_ONCE:
            self.is_plain = False
        elif letter in "Qv":  # the last one counts, as in scontrol
            self.is_quiet = letter == "Q"
        elif letter == "M":
            self.cluster = value
