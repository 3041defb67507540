"""Whether a task leaves Slurm's tree: by its cgroup, and by Slurm's configuration where it can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from syscr.job import tracking


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tracking, "is_own_process_kept_by_cgroup", lambda: True)
    monkeypatch.setattr(tracking, "CONFIGURATIONS", [str(tmp_path / "none"), str(tmp_path / "c")])
    return tmp_path / "c"


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("ProctrackType=proctrack/linuxproc\n", True),
        ("ClusterName=x\n  PROCTRACKTYPE = proctrack/linuxproc  # on purpose\n", True),
        ("ProctrackType=proctrack/cgroup\n", False),
        ("#ProctrackType=proctrack/linuxproc\n", False),
        ("", False),
    ],
)
def test_configuration_decides_for_a_task_in_a_cgroup(conf: Path, text: str, leaves: bool) -> None:
    conf.write_text(text)
    assert tracking.must_leave_tree({}) is leaves


def test_task_stays_where_nothing_can_be_read(conf: Path) -> None:
    assert not conf.exists()
    assert not tracking.must_leave_tree({"SLURM_CONF": str(conf)})


def test_configuration_of_the_job_goes_before_that_of_the_node(conf: Path) -> None:
    conf.write_text("ProctrackType=proctrack/cgroup\n")
    own = conf.with_name("own")
    own.write_bytes(b"\xff\nProctrackType=proctrack/linuxproc\n")
    assert tracking.must_leave_tree({"SLURM_CONF": str(own)})


def test_task_without_a_cgroup_leaves_whatever_is_configured(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.write_text("ProctrackType=proctrack/cgroup\n")
    monkeypatch.setattr(tracking, "is_own_process_kept_by_cgroup", lambda: False)
    assert tracking.must_leave_tree({})
