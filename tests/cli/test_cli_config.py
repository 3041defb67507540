"""config, completion, and the hand-over to sbatch, srun, salloc, run and worker."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cli_support import Run, check_golden

from syscr import __main__ as entrance
from syscr.declared import SETTINGS

Passed = list[tuple[str, tuple[str, ...], Any]]


def test_show_prints_a_file_that_is_right(run: Run) -> None:
    table = tomllib.loads(run("config", "show").out)
    assert table["backends"]["dmtcp"]["prefix"] == "/opt/dmtcp"
    assert table["checkpoint"]["order"] == ["criu", "dmtcp"]


def test_show_origin_names_each_source(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[store]\ndigest = "sha256"\n')
    monkeypatch.setenv("SYSCR_MAX_WAIT", "5")
    outcome = run("--config", str(file), "config", "show", "--origin", "--log-format", "json")
    lines = {line.split(" = ")[0]: line for line in outcome.out.splitlines() if " = " in line}
    assert lines["digest"].endswith(f"# {file}")
    assert lines["max_wait"].endswith("# SYSCR_MAX_WAIT")
    assert lines["format"].endswith("# command line")
    assert lines["prefix"].endswith("# default")


def test_show_of_one_setting(run: Run) -> None:
    assert run("config", "show", "checkpoint.max_wait").out == "[checkpoint]\nmax_wait = 600\n"
    assert run("config", "show", "checkpoint.order", "-q").out == "criu,dmtcp\n"
    data = json.loads(run("config", "show", "store.digest", "--json").out)["data"]
    assert data == {"settings": [{"name": "store.digest", "origin": "default", "value": "blake3"}]}
    assert run("config", "show", "store.digst").status == 3


def test_show_sample_is_golden_and_right_when_uncommented(run: Run) -> None:
    sample = run("config", "show", "--sample").out
    check_golden("config-sample.toml", sample)
    lines = [line.removeprefix("#") for line in sample.splitlines() if not line.startswith("# ")]
    table = tomllib.loads("\n".join(lines))
    assert table["store"]["digest"] == "blake3"
    assert len([line for line in lines if " = " in line]) == len(SETTINGS)


def test_path_lists_files_strongest_last(run: Run, tmp_path: Path) -> None:
    (tmp_path / "syscr.toml").write_text("")
    lines = run("config", "path").out.splitlines()
    assert lines[0].split() == [str(tmp_path / "syscr.toml"), "system", "read"]
    assert lines[1].split()[1:] == ["user", "not", "there"]
    assert run("config", "path", "-q").out == f"{tmp_path / 'syscr.toml'}\n"


def test_check_names_file_line_and_key(run: Run, tmp_path: Path) -> None:
    (tmp_path / "syscr.toml").write_text("[store]\ndigset = 'x'\n")
    outcome = run("config", "check")
    assert outcome.status == 3
    assert outcome.err == (
        f"syscr: cannot use {tmp_path}/syscr.toml, line 2: unknown key 'store.digset'\n"
        "hint: did you mean 'store.digest'?\n"
    )


def test_check_warns_of_variables_that_mean_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSCR_MAXWAIT", "1")
    outcome = run("config", "check")
    assert outcome.status == 0
    assert outcome.out.startswith("the configuration is right: 0 of ")
    assert outcome.err == (
        "syscr: warning: variable SYSCR_MAXWAIT means nothing to syscr; did you mean SYSCR_MAX_WAIT?\n"
    )


def test_wrong_configuration_stops_every_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "syscr.toml").write_text("[store\n")
    for argv in (("status",), ("sbatch", "job.sh"), ("checkpoint", "1")):
        assert run(*argv).status == 3
    assert run("checkpoint", "--help").status == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shell == "bash":  # click asks bash for its version, which has no place in this test
        from click.shell_completion import BashComplete

        monkeypatch.setattr(BashComplete, "_check_version", staticmethod(lambda: None))
    outcome = run("completion", shell)
    assert outcome.status == 0
    assert f"_SYSCR_COMPLETE={shell}_complete" in outcome.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("syscr che", {"checkpoint"}),
        ("syscr image ver", {"verify"}),
        ("syscr checkpoint --max", {"--max-wait"}),
        ("syscr config ", {"show", "path", "check"}),
        ("syscr sbatch --time=3 --to", {"--total-time"}),
        ("syscr srun --on", {"--on-bad-image"}),
        ("syscr sbatch job.sh --to", {""}),
        ("syscr sbatch -- --to", {""}),
    ],
)
def test_completion_answers_the_shell(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: str, expected: set[str]
) -> None:
    monkeypatch.setenv("_SYSCR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    outcome = run()
    assert {line.partition(",")[2] for line in outcome.out.splitlines()} == expected
    assert outcome.err == ""


@pytest.mark.parametrize("verb", ["sbatch", "srun", "salloc"])
def test_pass_through_hands_everything_over(run: Run, passed: Passed, verb: str) -> None:
    words = ("-N2", "--json", "-q", "-h", "--checkpoint-dir=/d", "--", "job.sh", "--help", "a b")
    outcome = run("--log-format", "json", verb, *words)
    assert (outcome.status, outcome.out) == (7, "")
    ((got_verb, argv, settings),) = passed
    assert (got_verb, argv) == (verb, words)
    assert settings.origin("log.format") == "command line"


def test_pass_through_help_is_ours_only_as_first_word(run: Run, passed: Passed) -> None:
    outcome = run("sbatch", "--help")
    assert outcome.status == 0
    assert outcome.out.startswith("Usage: syscr sbatch [SLURM OPTIONS]")
    assert passed == []


def replace_wiring(monkeypatch: pytest.MonkeyPatch, name: str, calls: list[Any]) -> None:
    def act(argv: list[str]) -> int:
        calls.append((name, list(argv), os.environ.get("SYSCR_CONFIG")))
        return 9

    monkeypatch.setattr(f"syscr.wiring.{name.removeprefix('run_')}.{name}", act)


@pytest.mark.parametrize(("name", "verb"), [("run", "run_task"), ("worker", "run_worker")])
def test_run_and_worker_take_the_short_way(
    monkeypatch: pytest.MonkeyPatch, name: str, verb: str
) -> None:
    calls: list[Any] = []
    replace_wiring(monkeypatch, verb, calls)
    assert entrance.main([name, "--x", "--", "true", "--help"]) == 9
    assert calls == [(verb, ["--x", "--", "true", "--help"], None)]


def test_run_after_global_options_gets_the_configuration_file(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[Any] = []
    monkeypatch.setenv("SYSCR_CONFIG", "")
    replace_wiring(monkeypatch, "run_task", calls)
    assert run("--config", "c.toml", "run", "--", "true").status == 9
    assert calls == [("run_task", ["--", "true"], str(tmp_path / "c.toml"))]


def test_entrance_leads_to_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert entrance.main(["--version"]) == 0
    assert capsys.readouterr().out == "syscr 0.1.0\n"
