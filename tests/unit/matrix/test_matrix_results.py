"""Only what a run has shown gets into the table of versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matrix_results import Group, SuiteResult, parse_junit, read_result
from matrix_table import SUBJECTS, format_table, replace_block

ROOT = Path(__file__).resolve().parents[3]
RUN = """<?xml version="1.0"?><testsuites><testsuite name="pytest" time="61.4">
<properties><property name="slurm" value="20.11.4"/><property name="python" value="3.11.2"/></properties>
<testcase classname="tests.cluster.test_security" name="test_a" time="1"/>
<testcase classname="tests.cluster.test_security" name="test_b" time="1"><failure message="x">y</failure></testcase>
<testcase classname="tests.cluster.test_security" name="test_c" time="1"><error message="x">y</error></testcase>
<testcase classname="tests.cluster.test_scheduler_real.TestRealScheduler" name="test_d" time="1">
<skipped message="no JSON\n before 22.05">z</skipped></testcase></testsuite></testsuites>"""


def test_each_outcome_is_counted_for_its_file() -> None:
    result = parse_junit(RUN)
    assert result.groups == {
        "security": Group(1, ("test_b", "test_c")),
        "scheduler_real": Group(0, (), {"no JSON before 22.05": ("test_d",)}),
    }
    assert result.versions["slurm"] == "20.11.4"
    assert result.seconds == 61


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JUnit document"),
        (RUN.replace("slurm", "other"), "which Slurm"),
        (RUN[: RUN.index("<testcase")] + "</testsuite></testsuites>", "no test ran"),
    ],
)
def test_run_that_shows_nothing_is_no_result(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_junit(text)


def test_result_is_the_same_after_it_was_kept() -> None:
    result = parse_junit(RUN)
    assert read_result(json.loads(json.dumps(result.to_dict()))) == result


def test_what_did_not_pass_is_said_with_its_reason() -> None:
    table = format_table({"bullseye": parse_junit(RUN)})
    assert "1 of 3; **2 failed** (2)" in table
    assert "0 of 1; 1 not run (1)" in table
    assert "1. no JSON before 22.05\n2. failed: `test_b`, `test_c`" in table
    assert "1 of 4, 61 s" in table
    assert "none" in table, "a tool that is not there"


def test_group_that_one_version_lacks_is_not_run_there() -> None:
    other = SuiteResult({"slurm": "26.05.5"}, {"security": Group(3)}, 5)
    table = format_table({"bullseye": parse_junit(RUN), "sid": other})
    (row,) = [
        line for line in table.splitlines() if line.startswith(f"| {SUBJECTS['scheduler_real']}")
    ]
    assert row.rstrip(" |").endswith("not run")


def test_page_holds_the_table_of_the_kept_results() -> None:
    kept = json.loads((ROOT / "tests/matrix/results.json").read_text())
    table = format_table({suite: read_result(values) for suite, values in kept.items()})
    page = (ROOT / "docs/explanation/slurm-versions.md").read_text()
    assert replace_block(page, table) == page, "make test-matrix MATRIX='--table --write'"


def test_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no block"):
        replace_block("# Slurm versions\n", "table")
