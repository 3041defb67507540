"""Batch scripts: reading their ``#SBATCH`` lines, and the wrapper that ``syscr sbatch`` submits; pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syscr.errors import RequestError
from syscr.slurm.options import Option, parse_options
from syscr.slurm.own_options import is_own_word

_WORDS = ("#SBATCH", "#SLURM")
_HET_WORDS = ("hetjob", "packjob")
_BLANKS = " \t\v\f\r"
# Characters that need no backslash in an #SBATCH line.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@[]^_~!*")


@dataclass(frozen=True, slots=True)
class SbatchLine:
    """One ``#SBATCH`` line of a script.

    Attributes:
        text: The line.
        words: Its words, quotes removed.
    """

    text: str
    words: tuple[str, ...]


def check_script(script: str) -> None:
    """Refuse what sbatch refuses, before it is hidden inside a wrapper.

    Raises:
        RequestError: No interpreter line, DOS line breaks or a NUL byte.

    Source: Slurm ``src/sbatch/sbatch.c``, _get_script_buffer, 20.11 to 26.05.
    """
    if not script.startswith("#!"):
        raise RequestError(
            "this is no batch script: its first line does not begin with '#!'",
            hint="begin it with '#!' and the path of an interpreter, as in '#!/bin/sh'",
        )
    if "\0" in script:
        raise RequestError("this is no batch script: it holds a NUL byte")
    if "\r\n" in script:
        raise RequestError(
            "the batch script has DOS line breaks (\\r\\n)", hint="convert it with 'dos2unix'"
        )


def read_sbatch_lines(script: str) -> tuple[SbatchLine, ...]:
    """Return the ``#SBATCH`` lines before the first command.

    Raises:
        RequestError: An unmatched quote, or a heterogeneous job.

    Source: Slurm ``src/sbatch/opt.c``, _opt_batch_script and get_argument, 20.11 to 26.05: any line that
    begins with the word counts, blank lines and comments are passed over, anything else ends it.
    """
    found = []
    for line in _iter_header(script):
        words = _read_words(line)
        if words and words[0].lower() in _HET_WORDS:
            raise RequestError(
                f"the batch script asks for a heterogeneous job: '{line}'",
                hint="syscr cannot checkpoint heterogeneous jobs; submit it with plain sbatch",
            )
        if words:
            found.append(SbatchLine(line, words))
    return tuple(found)


def read_sbatch_options(script: str) -> tuple[Option, ...]:
    """Return the options of the ``#SBATCH`` lines, ours included; later ones win.

    Raises:
        RequestError: A line that sbatch would refuse, too.
    """
    words = [word for line in read_sbatch_lines(script) for word in line.words]
    options, rest = parse_options("sbatch", words)
    if rest:
        raise RequestError(f"invalid directive in the batch script: '{rest[0]}'")
    return options


def build_wrap_script(command: str) -> str:
    """Return the script that ``sbatch --wrap=COMMAND`` would submit.

    Source: Slurm ``src/sbatch/sbatch.c``, _script_wrap, 24.11.
    """
    return f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{command}\n"


def build_wrapper(
    script: str,
    *,
    syscr: str,
    run_options: Sequence[str],
    copy_path: str,
    arguments: Sequence[str] = (),
) -> str:
    """Return the batch script that is submitted in place of the user's own.

    Contract: the same text for the first start, a requeue and a new job. On a node without syscr the
    job still runs, without checkpoints.

    Args:
        script: The user's script; its header goes into the wrapper, without our own options.
        syscr: Absolute path of the command on the nodes.
        run_options: Options of ``syscr run``.
        copy_path: Absolute path of the stored copy of ``script``, executable, on shared storage.
        arguments: The script's arguments.

    Raises:
        RequestError: What ``check_script`` and ``read_sbatch_options`` refuse.
    """
    check_script(script)
    header = [
        rewritten
        for line in list(_iter_header(script))[1:]
        if line.startswith("#") and (rewritten := _rewrite(line)) is not None
    ]
    read_sbatch_options(script)
    command = shlex.join([copy_path, *arguments])
    run = shlex.join([syscr, "run", *run_options, "--", copy_path, *arguments])
    return "\n".join(
        [
            "#!/bin/sh",
            *header,
            "# Submitted by 'syscr sbatch': starts the script above through 'syscr run', which makes it",
            "# checkpointable, and on a restart brings it back from its image instead.",
            f"if [ -x {shlex.quote(syscr)} ]; then",
            f"exec {run}",
            "fi",
            "echo 'syscr: not installed on this node; the job runs without checkpoints' >&2",
            f"exec {command}",
            "",
        ]
    )


def _iter_header(script: str) -> Iterator[str]:
    """Yield the lines before the first command."""
    for line in script.split("\n"):
        stripped = line.lstrip(_BLANKS)
        if stripped and not stripped.startswith("#"):
            return
        yield line


def _rewrite(line: str) -> str | None:
    """Take our own options out of a header line; None where nothing is left of it."""
    words = _read_words(line)
    if not any(is_own_word(word) for word in words):
        return line
    options, rest = parse_options("sbatch", words)
    kept = [word for option in options if not option.is_ours for word in option.words]
    kept.extend(rest)
    return "#SBATCH " + " ".join(map(_quote, kept)) if kept else None


def _read_words(line: str) -> tuple[str, ...]:
    """Return the words of an ``#SBATCH`` line; empty for any other line."""
    start = next((word for word in _WORDS if line.startswith(word)), None)
    return () if start is None else tuple(_iter_words(line, line[len(start) :]))


def _iter_words(line: str, text: str) -> Iterator[str]:
    """Yield the words of an ``#SBATCH`` line as Slurm's get_argument finds them."""
    position = 0
    while True:
        while position < len(text) and text[position] in _BLANKS:
            position += 1
        word, position = _read_word(line, text, position)
        if not word:  # Slurm takes an empty word for the end of the line.
            return
        yield word


def _read_word(line: str, text: str, position: int) -> tuple[str, int]:
    """Return the word that begins at ``position``, and where it ends.

    A backslash takes the next character literally, either quote groups, ``#`` begins a comment.
    """
    word = ""
    quote = ""
    while position < len(text) and (quote or text[position] not in _BLANKS):
        character = text[position]
        position += 1
        if character == "\\":
            word += text[position : position + 1]
            position += 1
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "\"'":
            quote = character
        elif character == "#":
            position = len(text)
        else:
            word += character
    if quote:
        raise RequestError(f"unmatched {quote} in the batch script: '{line}'")
    return word, position


def _quote(word: str) -> str:
    """Write a word so that ``_iter_words`` and Slurm read it back."""
    return "".join(
        letter if letter in _PLAIN or ord(letter) > 127 else f"\\{letter}" for letter in word
    )
