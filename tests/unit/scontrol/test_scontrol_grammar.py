"""What is taken for ``scontrol checkpoint``, word by word, against the table of 19.05."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.model import JobId, Target
from syscr.scontrol.grammar import Operation, Refusal, Request, find_operation, parse_request
from syscr.scontrol.options import Invocation, is_keyword, split_options

OPERATIONS = {
    Operation.ABLE: ("a", "ab", "able", "ABLE"),
    Operation.COMPLETE: ("co", "comp", "complete"),
    Operation.DISABLE: ("d", "dis", "disable"),
    Operation.ENABLE: ("en", "enable", "EnAbLe"),
    Operation.CREATE: ("cr", "create", "CREA"),
    Operation.REQUEUE: ("re", "req", "requeue"),
    Operation.VACATE: ("va", "vacate"),
    Operation.RESTART: ("res", "restart"),
    Operation.ERROR: ("er", "error"),
}


def read(*words: str) -> Request:
    request = parse_request(["checkpoint", *words])
    assert isinstance(request, Request), request
    return request


def refuse(*words: str) -> Refusal:
    refusal = parse_request(["checkpoint", *words])
    assert isinstance(refusal, Refusal), refusal
    return refusal


@pytest.mark.parametrize(
    ("operation", "word"),
    [(operation, word) for operation, words in OPERATIONS.items() for word in words],
)
def test_operation_abbreviated_is_found(operation: Operation, word: str) -> None:
    assert find_operation(word) is operation


@pytest.mark.parametrize(
    "word",
    ["", "c", "e", "r", "v", "creates", "bogus", "ables", "x", "-", "cre ate", "cre\u0430te"],
)
def test_operation_too_short_or_unknown_is_refused_with_exit_0(word: str) -> None:
    assert refuse(word, "12") == Refusal((f"Invalid checkpoint operation: {word}",), 0)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("12", Target(JobId(12))),
        ("12.3", Target(JobId(12), "3")),
        (" 12", Target(JobId(12))),
        ("\t\v+12", Target(JobId(12))),
        ("012", Target(JobId(12))),
        ("12.", Target(JobId(12), "0")),
        ("12. 3", Target(JobId(12), "3")),
        ("12.007", Target(JobId(12), "7")),
        ("13_0", Target(JobId(13, 0))),  # 19.05 refused array tasks
        ("13_7.2", Target(JobId(13, 7), "2")),
        ("", None),  # job 0
        ("0", None),
        (".3", None),
        ("-5", None),
        ("4294967298", None),  # was job 2
        ("99999999999999999999999", None),
        ("0" * 5000, None),
        ("1" + "0" * 5000, None),
        ("12.-1", None),
        ("12.4294967294", None),  # was the whole job
        ("0_1", None),
        ("13_99999999999999999999", None),
    ],
)
def test_id_is_read_as_strtol_reads_it(text: str, target: Target | None) -> None:
    assert read("able", text).target == target


@pytest.mark.parametrize(
    "text",
    [
        "abc", "12_", "_1", "12_[1-3]", "12+1", "12,13", "12.batch", "12.extern", "12.0.1", "12 ",
        "12.3x", " ", "+", "-", "0x10", "1e3", "12.0_1", "\u0661\u0662", "12\n13",
    ],
)  # fmt: skip
def test_id_that_is_none_is_refused_with_exit_0(text: str) -> None:
    assert refuse("able", text) == Refusal(("Invalid job step name",), 0)
    assert refuse("bogus", text).lines == ("Invalid job step name",), "the id is looked at first"


@pytest.mark.parametrize("words", [(), ("create",)])
def test_too_few_words(words: tuple[str, ...]) -> None:
    refusal = parse_request(["CHE", *words])
    assert refusal == Refusal(("too few arguments for keyword:CHE",), 1, hushed=True)


def test_too_many_words_are_counted_before_anything_is_read() -> None:
    refusal = refuse("bogus", "abc", "ImageDir=/tmp/x", "MaxWait=5", "More=1")
    assert refusal == Refusal(("too many arguments for keyword:checkpoint",), 1, hushed=True)


@pytest.mark.parametrize("operation", ["create", "vacate", "requeue"])
def test_keys_of_writing(operation: str) -> None:
    request = read(operation, "12", "maxwait=30", "IMAGEDIR=/a b")
    assert (request.max_wait_seconds, request.image_dir) == (30.0, "/a b")
    assert read(operation, "12", "MaxWait=1", "MaxWait=2").max_wait_seconds == 2.0
    assert read(operation, "12", "ImageDir=a", "ImageDir=").image_dir is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("65541", 65541.0),  # was 5: cut to 16 bits
        ("0", None),
        ("", None),
        ("abc", None),
        ("-3", None),
        ("7s", 7.0),
        (" 8", 8.0),
    ],
)
def test_max_wait_is_seconds_and_nonsense_means_the_default(
    value: str, seconds: float | None
) -> None:
    assert read("create", "12", f"MaxWait={value}").max_wait_seconds == seconds


@pytest.mark.parametrize("word", ["stick", "Sticky", "StickToNodes", "STICKTONODES=no"])
def test_stick_is_five_letters(word: str) -> None:
    assert read("restart", "12", word, "ImageDir=/x").stick_to_nodes


@pytest.mark.parametrize(
    ("operation", "word"),
    [
        ("create", "Foo=1"),
        ("create", "MaxWai=3"),
        ("create", "MaxWait"),
        ("create", "Image=/x"),
        ("create", "StickToNodes"),
        ("requeue", "StickToNodes"),
        ("restart", "MaxWait=3"),
        ("restart", "stic"),
        ("restart", ""),
        ("vacate", "=x"),
    ],
)
def test_bad_key_aborts(operation: str, word: str) -> None:
    lines = (f"scontrol: error: Invalid input: {word}", "scontrol: error: Request aborted")
    assert refuse(operation, "12", word) == Refusal(lines, 1)


@pytest.mark.parametrize("operation", ["able", "complete", "disable", "enable", "error"])
def test_more_words_are_ignored_where_no_keys_belong(operation: str) -> None:
    assert read(operation, "12", "Foo=1", "MaxWait=3") == Request(
        Operation(operation), Target(JobId(12))
    )


def test_requeue_drops_the_step() -> None:
    assert read("requeue", "12.3") == Request(Operation.REQUEUE, Target(JobId(12)))


@pytest.mark.parametrize("word", ["ch", "CH", "che", "Check", "checkpoint", "CHECKPOINT"])
def test_keyword_abbreviated_is_found(word: str) -> None:
    assert is_keyword(word)


@pytest.mark.parametrize(
    "word", ["", "c", "checkpoints", "chec ", "create", "cluster", "co", "chx"]
)
def test_other_words_are_not_the_keyword(word: str) -> None:
    assert not is_keyword(word)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], Invocation()),
        (["-o"], Invocation(("-o",))),
        (["-Q", "ch", "a", "1"], Invocation(("-Q",), ("ch", "a", "1"), is_quiet=True)),
        (["ch", "a", "1", "--quiet"], Invocation(("--quiet",), ("ch", "a", "1"), is_quiet=True)),
        (["-Qv", "ch"], Invocation(("-Qv",), ("ch",))),
        (["-vQ", "ch"], Invocation(("-vQ",), ("ch",), is_quiet=True)),
        (["-M", "ch", "show"], Invocation(("-M", "ch"), ("show",), cluster="ch")),
        (["-dMx", "ch"], Invocation(("-dMx",), ("ch",), cluster="x")),
        (["--clus=x", "ch"], Invocation(("--clus=x",), ("ch",), cluster="x")),
        (["--cluster", "x", "ch"], Invocation(("--cluster", "x"), ("ch",), cluster="x")),
        (["-u", "bob", "ch"], Invocation(("-u", "bob"), ("ch",))),
        (["--json", "ch"], Invocation(("--json",), ("ch",))),
        (["--json=list"], Invocation(("--json=list",))),
        (["--", "ch", "-Q"], Invocation((), ("ch", "-Q"))),
        (["ch", "-"], Invocation((), ("ch", "-"))),
    ],
)
def test_options_are_split_as_getopt_does(argv: list[str], expected: Invocation) -> None:
    assert split_options(argv) == expected


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"], ["-h", "ch"], ["-V"], ["--usage"], ["--version"], ["--autocomplete", "x"],
        ["--foo", "ch"], ["-x", "ch"], ["--h"], ["--ver"], ["--u"], ["-M"], ["--uid"], ["--all=1"],
        ["ch", "a", "1", "--bogus"], ["ch", "a", "-5"],
    ],
)  # fmt: skip
def test_what_scontrol_answers_or_refuses_itself_is_left_to_it(argv: list[str]) -> None:
    assert not split_options(argv).is_plain


def test_options_after_the_command_are_words_under_posix() -> None:
    assert split_options(["-o", "ch", "-Q"], permute=False) == Invocation(("-o",), ("ch", "-Q"))


WORDS = st.lists(st.text(max_size=30), max_size=7)


@given(WORDS)
def test_random_words_never_raise(words: list[str]) -> None:
    parse_request(["checkpoint", *words])
    split = split_options(words)
    assert sorted([*split.options, *split.words]) == sorted(split.options + split.words)


@given(
    st.sampled_from(["create", "vacate", "requeue", "restart", "able"]),
    st.from_regex(r"[ +-]?[0-9]{0,25}([._+][0-9]{0,25})?", fullmatch=True),
    st.lists(st.sampled_from(["MaxWait=", "ImageDir=", "Stick", "x"]).flatmap(
        lambda key: st.text(max_size=8).map(lambda value: key + value)
    ), max_size=2),
)  # fmt: skip
def test_a_request_that_is_read_names_a_job_that_can_be(
    operation: str, text: str, keys: list[str]
) -> None:
    request = parse_request(["checkpoint", operation, text, *keys])
    if isinstance(request, Request):
        assert request.target is None or 0 < request.target.job_id.number < 1 << 32
        assert request.max_wait_seconds is None or request.max_wait_seconds > 0
        assert request.image_dir != ""
    else:
        assert request.lines
        assert request.exit_code in {0, 1}


@given(st.lists(st.text(alphabet="-=abcdFhMoQuvV x", max_size=6), max_size=6))
def test_no_word_is_lost_or_made_up(argv: list[str]) -> None:
    split = split_options(argv)
    kept = [word for word in argv if word != "--"]
    assert sorted(w for w in (*split.options, *split.words) if w != "--") == sorted(kept)
