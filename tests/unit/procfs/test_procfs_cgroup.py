"""Whether Slurm keeps a task by its cgroup, by the text that real nodes have there."""

from __future__ import annotations

from pathlib import Path

import pytest

from syscr.procfs import cgroup

V1 = "13:pids:/\n9:freezer:{freezer}\n8:cpu,cpuacct:/\n5:memory:{memory}\n1:name=systemd:/system.slice\n0::/\n"
JOB_V1 = "/slurm/uid_1000/job_17/step_batch/task_0"
JOB_V2 = "/system.slice/c1_slurmstepd.scope/job_17/step_0/user/task_0"


@pytest.mark.parametrize(
    "text",
    [
        V1.format(freezer=JOB_V1, memory=JOB_V1),
        V1.format(freezer="/slurm_c1/uid_0/job_17/step_0", memory="/"),
        f"0::{JOB_V2}\n",
        "0::/../../job_17/step_extern\n",
    ],
    ids=["v1", "v1, several slurmd", "v2", "v2, seen from another cgroup namespace"],
)
def test_task_in_a_cgroup_of_its_job_is_kept_by_it(text: str) -> None:
    assert cgroup.is_kept_by_cgroup(text)


@pytest.mark.parametrize(
    "text",
    [
        V1.format(freezer="/", memory="/"),
        V1.format(freezer="/docker/1", memory=JOB_V1),
        "0::/system.slice/slurmd.service\n",
        "0::/system.slice/job_x/nojob_1\n",
        "0::/\n",
        "nonsense\n1:freezer\n",
        "",
    ],
    ids=["v1", "v1 with task/cgroup", "v2", "another job_", "container", "nonsense", "empty"],
)
def test_task_elsewhere_is_kept_by_parent_links(text: str) -> None:
    assert not cgroup.is_kept_by_cgroup(text)


def test_own_process_is_judged_by_what_proc_says() -> None:
    text = Path("/proc/self/cgroup").read_text()
    assert cgroup.is_own_process_kept_by_cgroup() == cgroup.is_kept_by_cgroup(text)
