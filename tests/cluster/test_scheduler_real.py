"""The contract of Scheduler against real Slurm; see ``tests/contract/scheduler_suite.py``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from cluster_support import Cluster

sys.path.append(str(Path(__file__).resolve().parents[1] / "contract"))
pytest.register_assert_rewrite("scheduler_suite")

from scheduler_suite import SchedulerSuite, World  # noqa: E402 - its folder is put on the path first

from syscr.model import JobId, JobState  # noqa: E402
from syscr.ports import Completed, SubmitOptions  # noqa: E402
from syscr.slurm.scheduler import SlurmScheduler  # noqa: E402
from syscr.testing.clock import FakeClock  # noqa: E402

SLEEPER = "#!/bin/sh\nsleep 300\n"
NOBODY_THERE = """ClusterName=x
SlurmctldHost=login
SlurmctldPort=1
MessageTimeout=2
NodeName=c1
PartitionName=debug Nodes=c1
"""


class ClusterRunner:
    """Runs commands as alice on the login node."""

    def __init__(self, cluster: Cluster, extra: Mapping[str, str] | None = None) -> None:
        self._cluster = cluster
        self._extra = dict(extra or {})

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        variables = {**(env or {}), **self._extra}
        done = self._cluster.run(
            "alice", "login", argv, stdin=stdin or "", cwd=cwd or "/shared", env=variables
        )
        return Completed(tuple(argv), done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def world(cluster: Cluster) -> Iterator[World]:
    scheduler = SlurmScheduler(ClusterRunner(cluster), FakeClock())
    jobs: list[JobId] = []

    def submit(*options: str, script: str = SLEEPER) -> JobId:
        words = ("-n1", "-o", "/dev/null", *options)
        jobs.append(scheduler.submit(SubmitOptions(script, words)))
        return jobs[-1]

    def wait(job_id: JobId, state: JobState) -> JobId:
        cluster.wait_for(
            lambda: scheduler.get_job(job_id).state is state,
            f"job {job_id} is {state}",
        )
        return job_id

    conf = "/tmp/syscr-contract.conf"
    cluster.run("alice", "login", ["tee", conf], stdin=NOBODY_THERE, check=True)
    try:
        yield World(
            scheduler,
            SlurmScheduler(ClusterRunner(cluster, {"SLURM_CONF": conf}), FakeClock()),
            running=wait(submit("-N2", "-n2"), JobState.RUNNING),
            held=submit("--hold"),
            fixed=wait(submit("--no-requeue"), JobState.RUNNING),
            ended=wait(submit(script="#!/bin/sh\ntrue\n"), JobState.COMPLETED),
            task=wait(JobId(submit("--array=0-1").number, 0), JobState.RUNNING),
        )
    finally:
        for job_id in jobs:
            scheduler.cancel(job_id)


@pytest.mark.matrix
class TestRealScheduler(SchedulerSuite):
    """Slurm's own commands, now."""
