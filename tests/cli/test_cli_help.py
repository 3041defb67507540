"""Help texts are golden, complete, and cost nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_support import Run, check_golden

from syscr.cli import docs
from syscr.cli.command import LazyGroup, PassThrough, SyscrCommand, SyscrOption
from syscr.cli.help import About, exit_rows, format_rows
from syscr.errors import RestartTimeoutError

COMMANDS = {path: (command, context) for path, command, context in docs.iter_commands()}
ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("path", COMMANDS)
def test_help_is_golden(path: str) -> None:
    command, context = COMMANDS[path]
    check_golden(f"help/{path.replace(' ', '-')}.txt", command.get_help(context) + "\n")


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_sentence_examples_and_exit_codes(path: str) -> None:
    command, context = COMMANDS[path]
    assert isinstance(command, SyscrCommand | PassThrough | LazyGroup)
    about: About = command.about
    text = command.get_help(context)
    assert not about.summary.endswith(".")
    assert about.effect.endswith(".")
    assert len(about.examples) >= 2
    assert "Exit codes:" in text
    assert all(len(line) <= docs.WIDTH for line in text.splitlines())


@pytest.mark.parametrize("path", COMMANDS)
def test_summary_in_the_list_is_that_of_the_command(path: str) -> None:
    command, _ = COMMANDS[path]
    if isinstance(command, LazyGroup):
        for family in command.families.values():
            for name, (_, summary) in family.items():
                child = COMMANDS[f"{path} {name}"][0]
                assert summary.split()[:2] == (child.short_help or "").split()[:2]


@pytest.mark.parametrize("path", COMMANDS)
def test_options_have_help_and_section_and_only_known_classes(path: str) -> None:
    command, _ = COMMANDS[path]
    for param in command.params:
        if isinstance(param, click.Option):
            assert isinstance(param, SyscrOption)
            assert (param.help or "").endswith(".")


def test_long_first_column_gets_a_line_of_its_own() -> None:
    rows = format_rows((("--a-very-long-option-name-indeed VALUE", "text"), ("-x", "short")), 60)
    assert rows.splitlines()[0] == "  --a-very-long-option-name-indeed VALUE"
    assert rows.splitlines()[1].strip() == "text"


def test_exit_rows_cut_meanings_at_the_semicolon() -> None:
    rows = dict(exit_rows([RestartTimeoutError]))
    assert rows["41"] == "the job was not running again in time"


def test_help_option_prints_help(run: Run) -> None:
    outcome = run("image", "prune", "--help")
    assert outcome.status == 0
    assert outcome.out.startswith("Usage: syscr image prune [OPTIONS] [JOB]\n")


def test_no_command_prints_help_and_fails(run: Run) -> None:
    outcome = run()
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("Usage: syscr [OPTIONS] COMMAND")
    assert run("image").status == 2


def test_version(run: Run) -> None:
    assert run("--version").out == "syscr 0.1.0\n"


def test_reference_pages_are_what_the_code_says() -> None:
    assert docs.find_stale(REFERENCE) == (), "run python -m syscr.cli.docs"


def test_docs_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check", str(tmp_path)]) == 1
    assert "cli.md is not what the code says" in capsys.readouterr().out
    assert docs.main([str(tmp_path / "new")]) == 0
    assert docs.main(["--check", str(tmp_path / "new")]) == 0


def loaded_by(*argv: str) -> set[str]:
    code = (
        "import sys, io; from syscr.__main__ import main\n"
        "out, sys.stdout = sys.stdout, io.StringIO()\n"
        f"main({list(argv)!r})\n"
        "print(*sys.modules, file=out)"
    )
    env = {**os.environ, "COLUMNS": "90"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_help_of_the_root_imports_no_command_and_no_adapter() -> None:
    loaded = loaded_by("--help")
    assert "click" in loaded
    for name in (
        "rich",
        "syscr.wiring",
        "syscr.cli.image",
        "syscr.cli.checkpoint",
        "tomllib",
        "blake3",
    ):
        assert name not in loaded


def test_import_of_the_package_is_light() -> None:
    code = "import sys, syscr; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert [name for name in done.stdout.split() if name.startswith("syscr")] == [
        "syscr._version",
        "syscr",
    ]
