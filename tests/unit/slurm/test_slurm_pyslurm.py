"""pyslurm: tried in a process of its own, and every doubt goes to the command-line tools."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from syscr.errors import SyscrError, ToolMissingError, ToolUnsupportedError
from syscr.model import JobState
from syscr.ports import Completed
from syscr.process.runner import LocalRunner
from syscr.slurm.probe import build_probe, import_pyslurm, parse_probe
from syscr.slurm.pyslurm_client import read_job

GOOD = "__version__ = '24.11.0'\nclass RPCError(Exception): pass\nclass Job: load = None\nJobSteps = Job\n"


def try_import(folder: Path, text: str | None) -> str:
    """Try a module with this text in a real process."""
    if text is not None:
        (folder / "pyslurm.py").write_text(text)
    paths = [str(folder), *(path for path in sys.path if "site-packages" not in path)]
    return parse_probe(LocalRunner().run(build_probe(paths), timeout_seconds=20))


def test_good_module_tells_its_version(tmp_path: Path) -> None:
    assert try_import(tmp_path, GOOD) == "24.11.0"


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        (None, ToolMissingError, "it is not installed"),
        ("import os; os._exit(1)", ToolUnsupportedError, r"ended the process \(exit code 1\)"),
        (
            "raise ImportError('libslurm.so.42: cannot open')",
            ToolUnsupportedError,
            "libslurm.so.42",
        ),
        ("def job(): pass", ToolUnsupportedError, "older than 22.5"),
        (
            "import os; os.write(2, b'fatal: Could not establish a configuration source\\n'); os._exit(1)",
            ToolUnsupportedError,
            "fatal: Could not establish a configuration source",
        ),
    ],
)
def test_module_that_cannot_be_used_says_why_and_what_to_do(
    tmp_path: Path, text: str | None, error: type[SyscrError], reason: str
) -> None:
    with pytest.raises(error, match=reason) as caught:
        try_import(tmp_path, text)
    assert "'client = \"cli\"' under [slurm]" in caught.value.hint


def test_import_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyslurm.py").write_text("import signal; signal.pause()")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("syscr.slurm.probe.LIMIT_SECONDS", 0.5)
    with pytest.raises(ToolUnsupportedError, match=r"did not end within 0\.5 s"):
        import_pyslurm(LocalRunner())


def record(**changes: Any) -> SimpleNamespace:
    values: dict[str, Any] = {
        "id": 5, "array_id": None, "heterogeneous_id": 0, "user_id": 1000, "user_name": "alice",
        "state": "RUNNING", "state_reason": "None", "allocated_nodes": "c[1-2]", "batch_host": "c1",
        "partition": "debug", "time_limit": 60, "end_time": 1_790_000_000,
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def test_running_job_is_read() -> None:
    job = read_job(record())
    assert job is not None
    assert (job.nodes, job.batch_host, job.time_limit_seconds) == (("c1", "c2"), "c1", 3600.0)


def test_new_state_is_unknown_and_not_final() -> None:
    job = read_job(record(state="FROBNICATING"))
    assert job is not None
    assert (job.state, job.raw_state) == (JobState.UNKNOWN, "FROBNICATING")


@pytest.mark.parametrize("doubt", [{"array_id": 5}, {"heterogeneous_id": 5}, {"user_name": None}])
def test_doubtful_record_is_asked_for_otherwise(doubt: dict[str, object]) -> None:
    assert read_job(record(**doubt)) is None


def test_failure_without_a_word_has_its_exit_code() -> None:
    with pytest.raises(ToolUnsupportedError, match="exit code 3"):
        parse_probe(Completed(("python3",), 3))
