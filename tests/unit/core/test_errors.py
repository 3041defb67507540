"""The error tree: one class for each reaction, stable ids, unique exit codes, a row in the docs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from syscr import errors
from syscr.errors import PreflightError, SyscrError, error_table, iter_errors
from syscr.model import Finding, Severity

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"
RAISED = [cls for cls in iter_errors() if cls.exit_code]
IDS = [cls.__name__ for cls in RAISED]

# Ranges that scripts may rely on, by group.
RANGES = {
    errors.SchedulerError: range(10, 20),
    errors.BackendError: range(20, 30),
    errors.CheckpointError: range(30, 40),
    errors.RestartError: range(40, 50),
    errors.StoreError: range(50, 60),
}


def test_exit_codes_and_ids_are_unique() -> None:
    codes = [cls.exit_code for cls in RAISED]
    assert len(set(codes)) == len(codes)
    assert len({cls.code for cls in iter_errors()}) == len(list(iter_errors()))


def test_groups_are_never_raised_themselves() -> None:
    groups = [cls for cls in iter_errors() if not cls.exit_code]
    assert groups == [errors.SchedulerError, errors.BackendError, errors.StoreError]


@pytest.mark.parametrize("cls", RAISED, ids=IDS)
def test_class_declares_itself_completely(cls: type[SyscrError]) -> None:
    assert re.fullmatch("[a-z]+(_[a-z]+)*", cls.code)
    assert (cls.__doc__ or "").split("\n")[0].endswith(".")
    assert 0 < cls.exit_code < 126
    for group, codes in RANGES.items():
        assert (cls.exit_code in codes) == issubclass(cls, group)


@pytest.mark.parametrize("cls", RAISED, ids=IDS)
def test_class_stands_in_the_tree_of_the_module(cls: type[SyscrError]) -> None:
    mark = f"{cls.exit_code}{'T' if cls.transient else ''}"
    if cls is not SyscrError:
        assert re.search(rf"\b{cls.__name__} +{mark}\b", errors.__doc__ or "")


@pytest.mark.parametrize("cls", RAISED[1:], ids=IDS[1:])
def test_class_has_a_row_in_the_documentation(cls: type[SyscrError]) -> None:
    if not PAGE.exists():
        pytest.skip(f"{PAGE} is not written yet")
    transient = "yes" if cls.transient else "no"
    assert f"| {cls.exit_code} | `{cls.code}` | {transient} |" in PAGE.read_text()


def test_only_what_may_go_away_by_itself_is_transient() -> None:
    assert {cls.exit_code for cls in RAISED if cls.transient} == {10, 25, 57}


def test_table_is_sorted_and_says_what_each_means() -> None:
    table = error_table()
    assert [row[0] for row in table] == sorted(cls.exit_code for cls in RAISED)
    assert (11, "job_not_found", False, "Slurm answers, and knows no such job.") in table


def test_error_becomes_one_json_object() -> None:
    error = errors.JobStateError("cannot do it", hint="wait", state="PENDING", allowed=["RUNNING"])
    assert json.loads(json.dumps(error.to_dict())) == {
        "code": "job_state",
        "exit_code": 12,
        "message": "cannot do it",
        "hint": "wait",
        "transient": False,
        "details": {"state": "PENDING", "allowed": ["RUNNING"]},
    }
    assert str(error) == "cannot do it"


def test_hint_is_the_classs_own_unless_one_is_given() -> None:
    assert "squeue" in errors.JobNotFoundError("x").hint
    assert errors.JobNotFoundError("x", hint="").hint == ""
    assert errors.JobNotFoundError("x", hint="").to_dict()["hint"] is None


def test_preflight_error_keeps_findings_as_values_and_as_json() -> None:
    finding = Finding("io_uring", Severity.ERROR, "uses io_uring")
    error = PreflightError("refused", findings=[finding], job_id="7")
    assert error.findings == (finding,)
    assert error.details == {"findings": [finding.to_dict()], "job_id": "7"}
    again = PreflightError("refused", findings=[finding.to_dict()])  # as it comes from a node
    assert (again.findings, again.details) == ((), {"findings": [finding.to_dict()]})
    assert PreflightError("refused").details == {}
