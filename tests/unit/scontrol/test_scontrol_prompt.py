"""The prompt: which lines are ours, and what the others are run with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.scontrol.prompt import Prompt, split_line


@dataclass
class Session:
    """A prompt with lines, and what came of them."""

    codes: dict[str, int] = field(default_factory=dict)
    real: list[list[str]] = field(default_factory=list)
    ours: list[tuple[list[str], bool]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self, *lines: str, options: tuple[str, ...] = ()) -> int:
        left = list(lines)
        prompt = Prompt(
            lambda: left.pop(0) if left else None,
            self._call,
            self._answer,
            self.warnings.append,
            options,
        )
        return prompt.run()

    def _call(self, argv: Sequence[str]) -> int:
        self.real.append(list(argv))
        return self.codes.get(argv[-1], 0)

    def _answer(self, words: Sequence[str], is_quiet: bool) -> int:
        self.ours.append((list(words), is_quiet))
        return self.codes.get(words[-1], 0)


def test_keyword_is_ours_and_the_rest_is_the_real_ones() -> None:
    session = Session()
    assert session.run("CHECK able 12", "show job 12", "-o show job") == 0
    assert session.ours == [(["CHECK", "able", "12"], False)]
    assert session.real == [["--", "show", "job", "12"], ["--", "-o", "show", "job"]]


@pytest.mark.parametrize("end", ["exit", "quit", "ex", "EXIT now"])
def test_end_ends(end: str) -> None:
    session = Session()
    session.run(end, "show job")
    assert ["--", "show", "job"] not in session.real
    assert session.real == ([["--", "EXIT", "now"]] if " " in end else [])


def test_settings_become_options_of_later_calls() -> None:
    session = Session()
    session.run(
        "one", "al", "show x", "hide", "show x", "quiet", "ch a 1", "verb", "ch a 1", "show x"
    )
    assert session.real == [
        ["--oneliner", "--all", "--", "show", "x"],
        ["--oneliner", "--hide", "--", "show", "x"],
        ["--oneliner", "--hide", "--verbose", "--", "show", "x"],
    ]
    assert [is_quiet for _, is_quiet in session.ours] == [True, False]


def test_options_of_the_command_line_stay() -> None:
    session = Session()
    session.run("show x", options=("-M", "far"))
    assert session.real == [["-M", "far", "--", "show", "x"]]


def test_cluster_is_checked_by_the_real_one_and_taken_back() -> None:
    session = Session(codes={"nowhere": 1})
    code = session.run("cluster far", "show x", "cluster", "show x", "cluster nowhere", "show x")
    assert code == 1
    assert session.real[1] == ["--cluster=far", "--", "show", "x"]
    assert session.real[2] == ["--", "show", "x"]
    assert session.real[4] == ["--", "show", "x"]


def test_setting_with_too_many_words_lets_the_real_one_complain() -> None:
    session = Session(codes={"extra": 1})
    assert session.run("quiet extra", "\\q") == 1
    assert session.real == [["--quiet", "--", "quiet", "extra"]]


def test_two_exclamation_marks_repeat() -> None:
    session = Session()
    assert session.run("!!") == 1  # nothing to repeat is an empty line
    session.run("show x", "!!", "!!")
    assert session.real == [["--", "show", "x"]] * 3


def test_empty_line_has_a_word_only_if_verbose() -> None:
    session = Session()
    session.run("", "verbose", "", "quiet", " ")
    assert session.warnings == ["no input"]


def test_empty_line_is_an_error_and_the_last_error_stays() -> None:
    assert Session().run("", "show x") == 1
    assert Session(codes={"y": 3}).run("show y", "show x") == 3
    assert Session(codes={"12": 1}).run("ch able 12", "show x", "exit") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ()),
        (" \t ", ()),
        (" a  b ", ("a", "b")),
        ('a="b c" d', ('a="b c"', "d")),
        ("a='b \" c' d", ("a='b \" c' d",)),  # each kind is counted by itself
        ("'a b'", ("'a", "b'")),  # a quote at the start of a word does not count
        ('a"b c', ('a"b c',)),
    ],
)
def test_line_is_split_as_scontrol_splits(line: str, words: tuple[str, ...]) -> None:
    assert split_line(line) == words


@given(st.text(alphabet="ab \t\"'=", max_size=30))
def test_no_letter_of_a_line_is_lost(line: str) -> None:
    words = split_line(line)
    assert "".join("".join(words).split()) == "".join(line.split())
    assert all(words)
