"""``syscr run``'s command line and Slurm's variables, read without a library."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.errors import RequestError
from syscr.job.environment import TaskPlace, find_bypass, read_place
from syscr.job.options import GivenOptions, parse_run

WORDS = st.lists(
    st.text(st.characters(blacklist_characters="\0"), max_size=6)
    | st.sampled_from(["--", "-h", "--help", "--backend", "--truncate-output", "--task"]),
    max_size=6,
)


@pytest.mark.parametrize(
    ("argv", "given_options"),
    [
        (["prog"], GivenOptions(("prog",))),
        (["--", "prog", "--backend", "x"], GivenOptions(("prog", "--backend", "x"))),
        (["--", "--", "x"], GivenOptions(("--", "x"))),
        (["--", "-h"], GivenOptions(("-h",))),
        (["prog", "-h"], GivenOptions(("prog", "-h"))),
        (["--checkpoint-dir", "/d", "prog"], GivenOptions(("prog",), "/d")),
        (["--checkpoint-dir=/a=b/../c", "prog"], GivenOptions(("prog",), "/a=b/../c")),
        (
            ["--backend=dmtcp", "--truncate-output", "--", "p"],
            GivenOptions(("p",), None, "dmtcp", truncate_output=True),
        ),
        (["--keep-script", "--", "/spool/x"], GivenOptions(("/spool/x",), keep_script=True)),
        (["--backend", "a", "--backend", "b", "p"], GivenOptions(("p",), None, "b")),
        (["--backend", "--", "p"], GivenOptions(("p",), None, "--")),
        (["", "x"], GivenOptions(("", "x"))),
        (["--interval", "90.5", "p"], GivenOptions(("p",), interval_seconds=90.5)),
        (["--interval", "auto", "p"], GivenOptions(("p",), interval_seconds=-2.0)),
        (
            ["--total-time=60", "--on-bad-image=fail", "p"],
            GivenOptions(("p",), total_seconds=60.0, on_bad_image="fail"),
        ),
        (["--interval=0", "--restart-dir=/r", "p"], GivenOptions(("p",), restart_dir="/r")),
    ],
)
def test_command_line_is_read(argv: list[str], given_options: GivenOptions) -> None:
    parsed = parse_run(argv)
    assert parsed is not None
    directory = given_options.checkpoint_dir
    assert parsed == given_options._replace(
        checkpoint_dir=directory and os.path.normpath(directory)
    )


@pytest.mark.parametrize("argv", [["-h"], ["--help", "x"], ["--backend", "x", "--help"]])
def test_help_is_asked_for_before_the_command_only(argv: list[str]) -> None:
    assert parse_run(argv) is None


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ([], "no command"),
        (["--"], "no command"),
        (["--backend", "x"], "no command"),
        (["--backend"], "'--backend' needs a value"),
        (["--backend=", "p"], "'--backend' is empty"),
        (["--checkpoint-dir", "", "p"], "'--checkpoint-dir' is empty"),
        (["--truncate-output=x", "p"], "no option '--truncate-output'"),
        (["--back", "x", "p"], "no option '--back'"),
        (["-b", "p"], "no option '-b'"),
        (["-", "p"], "no option '-'"),
        (["--task", "{}", "p"], "no option '--task'"),
        (["--interval", "soon", "p"], "no number of seconds: 'soon'"),
        (["--interval=-1", "p"], "no number of seconds: '-1'"),
        (["--interval=nan", "p"], "no number of seconds: 'nan'"),
        (["--interval=1e12", "p"], "no number of seconds"),
        (["--restart-dir"], "'--restart-dir' needs a value"),
    ],
)
def test_wrong_command_line_is_refused_with_a_hint(argv: list[str], reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        parse_run(argv)
    assert "syscr run [--checkpoint-dir DIR]" in caught.value.hint


@given(WORDS)
def test_no_command_line_is_a_fault(argv: list[str]) -> None:
    try:
        parsed = parse_run(argv)
    except RequestError:
        return
    assert parsed is None or tuple(argv[-len(parsed.command) :]) == parsed.command


@given(WORDS, st.sampled_from(["/d", "--weird", "a b\n", "\udcff"]))
def test_what_follows_the_double_dash_is_never_touched(command: list[str], directory: str) -> None:
    if command:
        parsed = parse_run([f"--checkpoint-dir={directory}", "--", *command])
        assert parsed is not None
        assert parsed.command == tuple(command)
        assert parsed.checkpoint_dir == os.path.abspath(directory)


def test_relative_directory_in_a_directory_that_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(RequestError, match="cannot tell where 'here' is"):
        parse_run(["--checkpoint-dir", "here", "p"])
    assert parse_run(["--checkpoint-dir", "/there", "p"])


def test_only_what_was_given_overrides_the_configuration() -> None:
    assert GivenOptions(("p",)).overrides() == {}
    assert GivenOptions(("p",), "/d", "criu").overrides() == {
        "store.checkpoint_dir": "/d",
        "checkpoint.backend": "criu",
    }


BATCH = {"SLURM_JOB_ID": "12", "SLURMD_NODENAME": "c1", "SLURM_PROCID": "0"}
STEP = {
    **BATCH,
    "SLURM_STEP_ID": "3",
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_NTASKS": "16",
    "SLURM_RESTART_COUNT": "2",
}


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        (BATCH, TaskPlace(12, "batch", 0, 1, "c1", 0)),
        ({**BATCH, "SLURM_NTASKS": "8"}, TaskPlace(12, "batch", 0, 1, "c1", 0)),
        (STEP, TaskPlace(12, "3", 5, 8, "c1", 2)),
        ({"SLURM_JOBID": "12", "SLURM_STEPID": "0"}, TaskPlace(12, "0", 0, 1, "host", 0)),
        ({**STEP, "SLURM_STEP_ID": "4294967291"}, TaskPlace(12, "batch", 0, 1, "c1", 2)),
        ({**STEP, "SLURM_STEP_ID": "4294967290"}, TaskPlace(12, "batch", 0, 1, "c1", 2)),
        ({**BATCH, "SLURM_RESTART_COUNT": ""}, TaskPlace(12, "batch", 0, 1, "c1", 0)),
        ({**STEP, "SLURM_PROCID": "x"}, TaskPlace(12, "3", 0, 8, "c1", 2)),
        ({}, None),
        ({"SLURM_JOB_ID": ""}, None),
        ({"SLURM_JOB_ID": "x"}, None),
        ({"SLURM_JOB_ID": "-1"}, None),
        ({"SLURM_JOB_ID": "\u0663"}, None),
        ({"SLURM_STEP_ID": "3"}, None),
    ],
)
def test_place_of_a_task_is_read(environ: dict[str, str], place: TaskPlace | None) -> None:
    assert read_place(environ, "host") == place


@pytest.mark.parametrize(
    ("environ", "is_terminal", "reason"),
    [
        ({}, True, "on a terminal"),
        ({"PMI_FD": "9"}, False, "step of MPI"),
        ({"PMIX_NAMESPACE": "x"}, False, "step of MPI"),
        (STEP, False, ""),
    ],
)
def test_task_that_must_be_left_alone_is_named(
    environ: dict[str, str], is_terminal: bool, reason: str
) -> None:
    assert reason in find_bypass(environ, is_terminal)
    assert bool(find_bypass(environ, is_terminal)) == bool(reason)
