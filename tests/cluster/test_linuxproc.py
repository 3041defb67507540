"""Where Slurm knows the processes of a job by their parent links, and signals them all (proctrack/linuxproc)."""

from __future__ import annotations

import pytest
from alive_support import start
from cluster_support import Cluster, Work
from faults_support import CRIU, find_processes


@pytest.mark.timeout(400)  # another cluster comes up
def test_job_lives_on_and_obeys_slurm(linuxproc: Cluster, linuxproc_work: Work) -> None:
    """One test, since each worker of pytest would bring up a cluster of its own for a second one."""
    work = linuxproc_work
    work.backend = CRIU
    patient = start(work, "--time=10")
    (node,) = patient.outlive_three_stops().nodes

    linuxproc.run("root", "login", ["scontrol", "suspend", patient.job_id], check=True)
    steps = f"{patient.name}.out"

    def stands_still() -> bool:
        states = linuxproc.run("root", node, ["ps", "-C", "python3", "-o", "stat="], check=True)
        return {state[0] for state in states.stdout.split()} == {"T"}

    linuxproc.wait_for(stands_still, "the program is stopped, the agent too")
    count = work.count_lines(steps)
    linuxproc.run("root", "login", ["scontrol", "resume", patient.job_id], check=True)
    work.wait_for_lines(steps, count + 2)

    patient.finish()
    assert patient.reasons() == ["time limit", "preemption", "requeue", "own end"]
    assert patient.status()["lost_seconds"] < 3
    assert find_processes(linuxproc, [node]) == []
