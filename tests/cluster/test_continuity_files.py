"""Files come back as they were when the image was taken: grown, shared, local to a node, without a name."""

from __future__ import annotations

import pytest
from cluster_support import BACKENDS, Backend, Cluster, Work

STEPS = 400
DMTCP = [backend for backend in BACKENDS if backend.name == "dmtcp"]


@pytest.fixture
def job(work: Work) -> str:
    """A running job of ``programs/files.py``, past its first steps."""
    return start(work)


def start(work: Work, hidden: str = "") -> str:
    hidden = hidden or ("unlinked" if work.backend and work.backend.name == "dmtcp" else "unnamed")
    work.add_program("files.py")
    for name in ("log", "reference"):
        work.write(f"{name}.input", "".join(f"input {number}\n" for number in range(STEPS)))
        work.write(name, "there before the job\n")
    work.write(
        "job.sh",
        f"#!/bin/bash\nexport HIDDEN={hidden} NAME=$SLURM_JOB_ID\nexec python3 files.py {STEPS} log\n",
        mode="755",
    )
    job_id = work.submit("--output=out.txt", "job.sh")
    work.wait_for_lines("out.txt", 15)
    return job_id


def check_files(work: Work) -> None:
    reference = work.run("python3", "files.py", str(STEPS), "reference", "0")
    assert work.read("out.txt") == reference.stdout
    for name in ("", ".record"):
        same = work.run("cmp", f"log{name}", f"reference{name}", check=False)
        assert same.exit_code == 0, str(same)


def test_files_of_many_kinds_on_another_node_continue(
    cluster: Cluster, work: Work, backend: Backend, job: str
) -> None:
    first = cluster.job(job).nodes
    assert work.checkpoint(job)["findings"] == []
    # they grow, and change in the middle, after the image
    work.wait_for_lines("out.txt", work.count_lines("out.txt") + 6)
    work.cancel(job)
    with cluster.drained(*first):
        result = work.restart(job)
        assert tuple(result["nodes"]) != first
    assert work.finish(job).exit_code == "0:0"
    check_files(work)


def test_files_on_the_same_node_continue(cluster: Cluster, work: Work, job: str) -> None:
    """The node-local files are still there, and newer than the image."""
    work.checkpoint(job)
    work.wait_for_lines("out.txt", work.count_lines("out.txt") + 6)
    work.cancel(job)
    work.restart(job, "--stick-to-nodes")
    assert work.finish(job).exit_code == "0:0"
    check_files(work)


@pytest.mark.parametrize("loss", ["truncate -s 100", "rm"])
def test_file_that_shrank_or_vanished_refuses_restart_and_is_left_alone(
    cluster: Cluster, work: Work, job: str, loss: str
) -> None:
    work.checkpoint(job)
    work.cancel(job)
    kept = work.read("log.record")
    work.run("cp", "-p", "log.record", "aside")
    work.run("sh", "-c", f"{loss} log.record")
    refused = work.syscr("restart", job, check=False)
    assert refused.exit_code == 40, str(refused)
    cluster.wait_for_end(job)
    assert "log.record" in work.read("out.txt")
    # put back, as the message says, it works
    work.run("mv", "aside", "log.record")
    assert work.read("log.record") == kept
    work.restart(job)
    assert work.finish(job).exit_code == "0:0"
    check_files(work)


@pytest.mark.parametrize("backend", DMTCP, indirect=True, ids=lambda backend: backend.label)
def test_file_that_never_had_a_name_is_refused_by_dmtcp(
    cluster: Cluster, work: Work, backend: Backend
) -> None:
    """Its image would be useless: DMTCP takes the directory for the file's name."""
    job = start(work, hidden="unnamed")
    refused = work.syscr("checkpoint", job, check=False)
    assert refused.exit_code == 5, str(refused)
    assert "never had a name" in refused.stderr
    assert work.finish(job).exit_code == "0:0"
    check_files(work)
