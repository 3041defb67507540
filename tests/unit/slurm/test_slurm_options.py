from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_replies import Read

from syscr.errors import RequestError
from syscr.slurm.command_line import split_command
from syscr.slurm.grammar import Arity, get_table, parse_help
from syscr.slurm.options import find_option, parse_options
from syscr.slurm.own_options import OwnOptions, is_own_word

SOURCE = json.loads(
    (Path(__file__).resolve().parents[2] / "data" / "slurm" / "options.json").read_text()
)
TOOLS = ("sbatch", "srun", "salloc")


@pytest.mark.parametrize("tool", TOOLS)
def test_table_is_what_slurms_source_says(tool: str) -> None:
    longs, shorts = get_table(tool)
    letters = {name: letter for letter, name in shorts.items()}
    table = {
        name: [arity.value, letters.get(name, "")]
        for name, arity in longs.items()
        if not is_own_word(f"--{name}")
    }
    assert table == SOURCE[tool]


@pytest.mark.parametrize("tool", ["sbatch", "srun"])
def test_table_knows_every_option_of_the_recorded_help(tool: str, reply: Read) -> None:
    longs, _ = get_table(tool)
    named = parse_help(reply(f"help_{tool}").completed.stdout)
    unknown = set(named) - set(longs)
    assert unknown <= {"compress-plugin", "begin-time"}
    assert len(named) > 50


@pytest.mark.parametrize(
    ("words", "options", "program"),
    [
        (["a.out"], [], ["a.out"]),
        (["-N2", "a.out", "-n", "3"], ["-N2"], ["a.out", "-n", "3"]),
        (["-N", "2", "a.out"], ["-N", "2"], ["a.out"]),
        (["--nodes", "2", "a.out"], ["--nodes", "2"], ["a.out"]),
        (["--nodes=2", "a.out"], ["--nodes=2"], ["a.out"]),
        (["--exclusive", "a.out"], ["--exclusive"], ["a.out"]),
        (["--exclusive=user", "a.out"], ["--exclusive=user"], ["a.out"]),
        (["-lvvN2", "a.out"], ["-lvvN2"], ["a.out"]),
        (["-lN", "2", "a.out"], ["-lN", "2"], ["a.out"]),
        (["-I", "a.out"], ["-I"], ["a.out"]),
        (["-I60", "a.out"], ["-I60"], ["a.out"]),
        (["-K", "-l", "a.out"], ["-K", "-l"], ["a.out"]),
        (["--ntasks-per-n", "2", "a.out"], ["--ntasks-per-n", "2"], ["a.out"]),
        (["--label", "--", "-x"], ["--label"], ["-x"]),
        (["--", "--nodes=2"], [], ["--nodes=2"]),
        (["-J", "--", "a.out"], ["-J", "--"], ["a.out"]),
        (["--job-name", "--nodes", "a.out"], ["--job-name", "--nodes"], ["a.out"]),
        (["-", "x"], [], ["-", "x"]),
        (["--pyxis=x", "a.out"], ["--pyxis=x"], ["a.out"]),
        (["-J", "", "a.out"], ["-J", ""], ["a.out"]),
        ([], [], []),
    ],
)
def test_srun_line_is_split(words: list[str], options: list[str], program: list[str]) -> None:
    split = split_command("srun", words)
    assert (list(split.options), list(split.program)) == (options, program)
    assert split.own == OwnOptions()


def test_own_options_are_taken_out_wherever_they_stand() -> None:
    words = ["--checkpoint", "30", "-N2", "--checkpoint-dir=/c", "--backend", "criu"]
    split = split_command("srun", [*words, "a.out", "--checkpoint=5"])
    assert split.options == ("-N2",)
    assert split.program == ("a.out", "--checkpoint=5")
    assert split.own == OwnOptions(1800.0, "/c", None, "criu")


def test_own_options_last_one_wins_and_stronger_source_wins() -> None:
    command = split_command("sbatch", ["--checkpoint-dir=/a", "--checkpoint-dir=/b", "x.sh"]).own
    script = OwnOptions(60.0, "/s", "/r", None)
    assert command.over(script) == OwnOptions(60.0, "/b", "/r", None)


@pytest.mark.parametrize(
    ("interval", "seconds"), [("30", 1800.0), ("1:30", 90.0), ("0", 0.0), ("UNLIMITED", 0.0)]
)
def test_checkpoint_interval_is_slurms_time(interval: str, seconds: float) -> None:
    assert split_command("sbatch", [f"--checkpoint={interval}"]).own.interval_seconds == seconds


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--nosuch", "a.out"], "unknown option '--nosuch'"),
        (["--n", "a.out"], "ambiguous"),
        (["--nodes"], "needs an argument"),
        (["-N"], "needs an argument"),
        (["-?", "a.out"], "unknown option '-\\?'"),
        (["--label=x", "a.out"], "takes no argument"),
        (["--checkpoint-dir=", "a.out"], "empty value"),
        (["--checkpoint=soon", "a.out"], "invalid checkpoint interval"),
        (["--check=/c", "--check", "a.out"], "unknown option '--check'"),
    ],
)
def test_line_that_cannot_be_split_is_refused(words: list[str], match: str) -> None:
    with pytest.raises(RequestError, match=match):
        split_command("srun", words)


def test_wait_takes_an_argument_in_srun_only() -> None:
    assert split_command("srun", ["-W", "5", "a.out"]).program == ("a.out",)
    assert split_command("sbatch", ["-W", "5"]).program == ("5",)


def test_plugin_options_are_known_when_given() -> None:
    split = split_command("srun", ["--image", "x", "a"], plugin_options={"image": Arity.REQUIRED})
    assert split.program == ("a",)


def test_find_option_last_wins_short_or_long() -> None:
    options, _ = parse_options("sbatch", ["-o", "a", "--output=b", "-vQ", "--exclusive"])
    assert find_option(options, "output") == "b"
    assert find_option(options, "exclusive") == ""
    assert find_option(options, "verbose") == ""
    assert find_option(options, "array") is None


def test_abbreviation_has_its_full_name() -> None:
    options, _ = parse_options("sbatch", ["--outp", "a", "--job-n=b"])
    assert [option.name for option in options] == ["output", "job-name"]


def test_wrap_is_an_option_and_can_be_left_out() -> None:
    split = split_command("sbatch", ["-N1", "--wrap", "sleep 5", "-J", "x"])
    assert find_option(split.parsed, "wrap") == "sleep 5"
    assert split.without("wrap") == ("-N1", "-J", "x")
    assert split.program == ()


def test_heterogeneous_line_is_recognised() -> None:
    assert split_command("sbatch", ["-N1", ":", "-N2", "x.sh"]).is_heterogeneous
    assert split_command("srun", ["-n1", "a", ":", "-n2", "b"]).is_heterogeneous
    assert not split_command("sbatch", ["x.sh", ":"]).is_heterogeneous


def test_help_is_read_with_arity() -> None:
    text = "  -x, --image=NAME   [plugin] x\n      --mount[=y]  y\n      --flag   z\n"
    assert parse_help(text) == {
        "image": Arity.REQUIRED,
        "mount": Arity.OPTIONAL,
        "flag": Arity.NONE,
    }


@given(st.sampled_from(TOOLS), st.data())
def test_any_options_come_back_word_by_word(tool: str, data: st.DataObject) -> None:
    longs, shorts = get_table(tool)
    words: list[str] = []
    for name in data.draw(st.lists(st.sampled_from(sorted(longs)), max_size=8)):
        value = data.draw(st.text(min_size=1, max_size=5))
        letter = next((letter for letter, long in shorts.items() if long == name), "")
        if is_own_word(f"--{name}"):
            continue
        if longs[name] is Arity.NONE:
            words.append(f"-{letter}" if letter else f"--{name}")
        elif longs[name] is Arity.OPTIONAL or data.draw(st.booleans()):
            words.append(f"--{name}={value}")
        else:
            words += [f"-{letter}" if letter else f"--{name}", value]
    split = split_command(tool, [*words, "--checkpoint-dir", "/c", "prog", "-x"])
    assert list(split.options) == words
    assert split.program == ("prog", "-x")
    assert split.own.checkpoint_dir == "/c"
