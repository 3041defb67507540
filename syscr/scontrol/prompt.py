"""``scontrol`` without a command: a prompt at which ``checkpoint`` works, too.

Each line is either ours or one call of the real scontrol, so what its prompt keeps from line to line
(``all``, ``oneliner``, ``cluster`` ...) is turned into the option that its manual calls equivalent.
Prompt, echo, end of input and exit status are scontrol's own.

Source: Slurm ``src/scontrol/scontrol.c``, ``_get_command`` and ``_process_command``, 24.11 and main of
2026-08; compared with 24.11.5 by tests/cluster/test_scontrol_surface.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from syscr.scontrol.options import begins, is_keyword

PROMPT = "scontrol: "
_BLANKS = " \t\n\v\f\r"
_SETTINGS = (
    ("all", 2, "--all"),
    ("cluster", 2, "--cluster"),
    ("details", 1, "--details"),
    ("oneliner", 1, "--oneliner"),
    ("hide", 2, "--hide"),
    ("quiet", 4, "--quiet"),
    ("verbose", 4, "--verbose"),
)
_ENDS = (("exit", 2), ("quit", 4))

Call = Callable[[Sequence[str]], int]


@dataclass
class Prompt:
    """One session.

    Attributes:
        read_line: Returns the next line without its end; None: there are no more.
        call_real: Runs the real scontrol with these arguments; returns its exit status.
        call_checkpoint: Runs a ``checkpoint`` command; returns its exit status.
        warn: Writes a line to standard error.
        options: Options of scontrol that were on the command line.
        settings: What lines have set: option -> its words.
        exit_code: Status of the last line that failed.
    """

    read_line: Callable[[], str | None]
    call_real: Call
    call_checkpoint: Callable[[Sequence[str], bool], int]
    warn: Callable[[str], None]
    options: tuple[str, ...] = ()
    is_quiet: bool = False
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    exit_code: int = 0

    def run(self) -> int:
        """Serve until the end of input, ``exit`` or ``quit``; returns the exit status."""
        last = ""
        while (line := self.read_line()) is not None:
            line = last if line == "!!" else line
            last = line
            words = split_line(line)
            self.exit_code = self._serve(words) or self.exit_code
            if words and any(begins(words[0], name, least) for name, least in _ENDS):
                break
        return self.exit_code

    def _serve(self, words: Sequence[str]) -> int:
        """Do one line; an empty one is an error, as in scontrol."""
        if not words:
            if "--verbose" in self.settings:
                self.warn("no input")
            return 1
        if is_keyword(words[0]):
            return self.call_checkpoint(words, self.is_quiet)
        option = _find_setting(words[0])
        if option == "--cluster":
            return self._choose_cluster(words)
        if option:
            self._set(option)
            return self._call(words) if len(words) > 1 else 0  # it says that this is too much
        if any(begins(words[0], name, least) for name, least in _ENDS) and len(words) == 1:
            return 0
        return self._call(words)

    def _set(self, option: str) -> None:
        if option in {"--quiet", "--verbose"}:
            self.is_quiet = option == "--quiet"
            self.settings.pop("--verbose", None)
            self.settings.pop("--quiet", None)
        if option == "--hide":
            self.settings.pop("--all", None)
            self.settings.pop("--details", None)
        self.settings.pop(option, None)  # the order counts
        self.settings[option] = (option,)

    def _choose_cluster(self, words: Sequence[str]) -> int:
        if len(words) < 2:
            self.settings.pop("--cluster", None)
            return 0
        code = self._call(words)
        if code == 0:
            self.settings["--cluster"] = (f"--cluster={words[1]}",)
        return code

    def _call(self, words: Sequence[str]) -> int:
        kept = [word for setting in self.settings.values() for word in setting]
        return self.call_real([*self.options, *kept, "--", *words])


def _find_setting(word: str) -> str:
    if word.lower().startswith("\\q"):
        return "--quiet"
    return next((option for name, least, option in _SETTINGS if begins(word, name, least)), "")


def split_line(line: str) -> tuple[str, ...]:
    r"""Split a line as scontrol does: quotes keep blanks together and stay where they are.

    A quote that begins a word is not counted; that, too, is scontrol's way.

    Example:
        >>> split_line('update jobid=7 comment="a b"')
        ('update', 'jobid=7', 'comment="a b"')
    """
    words: list[str] = []
    position = 0
    while position < len(line):
        if line[position] in _BLANKS:
            position += 1
            continue
        end = _find_end(line, position + 1)
        words.append(line[position:end])
        position = end
    return tuple(words)


def _find_end(line: str, position: int) -> int:
    inside = {'"': False, "'": False}
    while position < len(line):
        letter = line[position]
        if letter in inside:
            inside[letter] = not inside[letter]
        elif letter in _BLANKS and not any(inside.values()):
            break
        position += 1
    return position
