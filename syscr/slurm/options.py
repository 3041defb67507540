"""Words of a command line or of ``#SBATCH`` lines -> options of Slurm; pure.

Which options there are is in ``grammar.py``, what is ours among them in ``own_options.py``, ``#SBATCH`` lines
in ``script.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from syscr.errors import RequestError
from syscr.slurm.grammar import OURS, Arity, get_table


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it was given.

    Attributes:
        name: Long name in full; an abbreviation that fits several options stays as it is.
        value: Its argument; None where it has none.
        words: The words it stood in; empty where it shares a bundle (``-vQ``) with the one before.
    """

    name: str
    value: str | None = None
    words: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether syscr takes it and Slurm never sees it."""
        return self.name in OURS


def parse_options(
    tool: str, words: Sequence[str], *, plugin_options: Mapping[str, Arity] | None = None
) -> tuple[tuple[Option, ...], tuple[str, ...]]:
    """Return the options at the beginning of ``words`` and what follows them; see ``split_command``."""
    longs, shorts = get_table(tool)
    longs = {**longs, **(plugin_options or {})}
    found: list[Option] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            position += 1
            break
        if not word.startswith("-") or word == "-":
            break
        following = words[position + 1] if position + 1 < len(words) else None
        if word.startswith("--"):
            options = [_read_long(tool, word, following, longs)]
        else:
            options = list(_iter_short(tool, word, following, shorts, longs))
        found.extend(options)
        position += sum(len(option.words) for option in options)
    return tuple(found), tuple(words[position:])


def find_option(options: Sequence[Option], name: str) -> str | None:
    """Return the value of an option by its long name, the last one wins.

    Returns:
        Its argument; "" where it was given without one; None where it was not given.
    """
    found = None
    for option in options:
        if option.name == name:
            found = option.value or ""
    return found


def _read_long(tool: str, word: str, following: str | None, longs: Mapping[str, Arity]) -> Option:
    given, equals, value = word[2:].partition("=")
    name, arity = _resolve(tool, given, bool(equals), longs)
    if equals:
        if arity is Arity.NONE:
            raise RequestError(f"{tool}: option '--{name}' takes no argument: '{word}'")
        return Option(name, value, (word,))
    if arity is not Arity.REQUIRED:
        return Option(name, None, (word,))
    if following is None:
        raise RequestError(f"{tool}: option '--{name}' needs an argument")
    return Option(name, following, (word, following))


def _resolve(
    tool: str, given: str, has_value: bool, longs: Mapping[str, Arity]
) -> tuple[str, Arity]:
    """Find an option by its name or an abbreviation, as getopt_long does."""
    if given in longs:
        return given, longs[given]
    candidates = [name for name in longs if name.startswith(given) and name not in OURS]
    arities = {longs[name] for name in candidates}
    if len(arities) == 1:
        return (candidates[0] if len(candidates) == 1 else given), arities.pop()
    if has_value:
        return given, Arity.OPTIONAL
    if candidates:
        names = ", ".join(f"--{name}" for name in candidates[:6])
        raise RequestError(
            f"{tool}: option '--{given}' is ambiguous: {names}", hint="write it in full"
        )
    raise RequestError(
        f"{tool}: unknown option '--{given}'",
        hint="look at its spelling; if this Slurm has it, write its argument as "
        f"'--{given}=VALUE', so that the program can be told from it",
        option=given,
    )


def _iter_short(
    tool: str,
    word: str,
    following: str | None,
    shorts: Mapping[str, str],
    longs: Mapping[str, Arity],
) -> Iterator[Option]:
    """Take a bundle apart: ``-vN2``, ``-N 2``, ``-vQ``; the first option carries the words."""
    words: tuple[str, ...] = (word,)
    for index, letter in enumerate(word[1:], start=1):
        name = shorts.get(letter)
        if name is None:
            raise RequestError(f"{tool}: unknown option '-{letter}' in '{word}'")
        rest = word[index + 1 :]
        if longs[name] is Arity.NONE:
            yield Option(name, None, words)
            words = ()
            continue
        if rest or longs[name] is Arity.OPTIONAL:
            yield Option(name, rest or None, words)
            return
        if following is None:
            raise RequestError(f"{tool}: option '-{letter}' needs an argument")
        # The argument is a word of its own; a flag before it in the bundle has the bundle.
        yield Option(name, following, (*words, following))
        return
