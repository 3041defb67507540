"""A batch job goes on exactly where it was: killed, vacated, requeued, moved, again and again."""

from __future__ import annotations

import pytest
from cluster_support import NODES, Backend, Cluster, Work

STEPS = 400
SCRIPT = f"""#!/bin/bash
#SBATCH --job-name=count
#SBATCH --ntasks=1
echo "started with $# arguments: $1"
python3 count.py {STEPS} results.txt 7
code=$?
echo "count ended with $code"
exit $code
"""


@pytest.fixture
def script(work: Work) -> str:
    """The job script; its program is beside it."""
    work.add_program("count.py")
    return work.write("job.sh", SCRIPT, mode="755")


def check_result(work: Work, output: str, *, results: str = "results.txt") -> None:
    """Compare output and results with those of a run that was never interrupted, byte by byte."""
    work.run("mkdir", "-p", "reference")
    command = 'sed "s/ results.txt 7/ reference\\/results.txt 7 0/" job.sh >reference/job.sh && bash reference/job.sh "$@"'
    reference = work.run("sh", "-c", command, "sh", "an argument", check=False)
    assert reference.exit_code == 7, str(reference)
    assert work.read(output) == reference.stdout
    assert work.read(results) == work.read("reference/results.txt")


@pytest.mark.matrix
def test_batch_job_after_three_restarts_equals_uninterrupted(
    cluster: Cluster, work: Work, backend: Backend, script: str
) -> None:
    job = work.submit("--output=out.txt", script, "an argument")
    first = work.wait_until_running(job).nodes
    for lines in (10, 25):
        work.wait_for_lines("out.txt", lines)
        image = work.checkpoint(job)["image"]
        assert image["backend"] == backend.name
        work.wait_for_lines("out.txt", work.count_lines("out.txt") + 3)
        work.cancel(job)
        result = work.restart(job, "--stick-to-nodes")
        assert (result["job_id"], result["method"]) == (job, "requeue")
        assert result["image"]["image_id"] == image["image_id"]
        assert tuple(result["nodes"]) == first
    work.wait_for_lines("out.txt", 45)
    work.checkpoint(job)
    work.cancel(job)
    with cluster.drained(*first):
        result = work.restart(job)
        assert result["job_id"] == job
        assert tuple(result["nodes"]) != first
    ended = work.finish(job)
    assert (ended.state, ended.exit_code) == ("FAILED", "7:0")
    check_result(work, "out.txt")


def test_vacated_job_repeats_nothing(
    cluster: Cluster, work: Work, backend: Backend, script: str
) -> None:
    job = work.submit("--output=out.txt", script, "an argument")
    work.wait_for_lines("out.txt", 15)
    result = work.checkpoint(job, "vacate")
    assert result["job_state"] == "ended"
    cluster.wait_for_end(job)
    kept = work.read("out.txt")
    restarted = work.restart(job)
    assert restarted["job_id"] == job
    work.finish(job)
    # the program did not run on after the image: all it had printed is still there, nothing was cut
    steps = [line for line in kept.splitlines() if line.startswith("step ")]
    assert work.read("out.txt").startswith("\n".join(kept.splitlines()[: len(steps) + 1]))
    check_result(work, "out.txt")


@pytest.mark.matrix
def test_requeued_job_continues_under_its_id(
    cluster: Cluster, work: Work, backend: Backend, script: str
) -> None:
    job = work.submit("--output=out.txt", script, "an argument")
    work.wait_for_lines("out.txt", 15)
    for round_number in (1, 2):
        result = work.checkpoint(job, "requeue")
        assert result["job_state"] == "requeued"
        work.wait_until_running(job, restarts=round_number)
        work.wait_for_lines("out.txt", work.count_lines("out.txt") + 5)
    ended = work.finish(job)
    assert (ended.state, ended.exit_code) == ("FAILED", "7:0")
    check_result(work, "out.txt")


@pytest.mark.matrix
def test_slurm_requeues_by_itself_and_the_job_continues(
    cluster: Cluster, work: Work, script: str
) -> None:
    """What a preemption or a lost node does: nobody calls ``syscr restart``."""
    job = work.submit("--output=out.txt", script, "an argument")
    work.wait_for_lines("out.txt", 15)
    work.checkpoint(job)
    work.wait_for_lines("out.txt", work.count_lines("out.txt") + 4)
    work.run("scontrol", "requeue", job)
    cluster.wait_for(lambda: cluster.job(job).state == "PENDING", f"job {job} waits in the queue")
    work.run(
        "scontrol", "update", f"JobId={job}", "StartTime=now+2"
    )  # Slurm would wait two minutes
    ended = work.finish(job)
    assert (ended.restarts, ended.exit_code) == (1, "7:0")
    check_result(work, "out.txt")


@pytest.mark.parametrize(
    "forgotten",
    [
        pytest.param(False, marks=pytest.mark.matrix, id="asked-for"),
        pytest.param(True, id="forgotten"),
    ],
)
def test_new_job_continues_where_the_old_one_was(
    cluster: Cluster, work: Work, script: str, forgotten: bool
) -> None:
    job = work.submit("--output=out-%j.txt", script, "an argument")
    work.wait_for_lines(f"out-{job}.txt", 15)
    work.checkpoint(job)
    work.cancel(job)
    if forgotten:
        forget_ended_jobs(cluster, job)
    result = work.restart(job, *([] if forgotten else ["--new-job"]))
    assert result["method"] == "submit"
    new_job = result["job_id"]
    assert new_job != job
    # the line of jobs goes on: by the first id as by the new one
    work.wait_for_lines(f"out-{job}.txt", 35)
    image = work.checkpoint(new_job)["image"]
    assert image["lineage"] == job
    work.cancel(new_job)
    again = work.restart(job)
    assert again["image"]["image_id"] == image["image_id"]
    ended = work.finish(again["job_id"])
    assert ended.exit_code == "7:0"
    check_result(work, f"out-{job}.txt")


def forget_ended_jobs(cluster: Cluster, job: str) -> None:
    """Make slurmctld forget a job that has ended, as it does after MinJobAge."""
    edit = "sed -i s/^MinJobAge=.*/MinJobAge={0}/ /etc/slurm/slurm.conf && scontrol reconfigure"
    cluster.run("root", "slurmctld", ["sh", "-c", edit.format(2)], check=True)
    try:
        cluster.wait_for(
            lambda: cluster.job(job).state == "UNKNOWN",
            f"slurmctld has forgotten job {job}",
            timeout=120,
        )
    finally:
        cluster.run("root", "slurmctld", ["sh", "-c", edit.format(300)], check=True)


def test_restart_without_room_waits_in_the_queue(cluster: Cluster, work: Work, script: str) -> None:
    """The job comes back as soon as a node is free, long after the command has returned."""
    job = work.submit("--output=out.txt", script, "an argument")
    work.wait_for_lines("out.txt", 10)
    work.checkpoint(job)
    work.cancel(job)
    with cluster.drained(*NODES):
        answer = work.syscr("restart", job, "--no-wait")
        assert answer.data["job_state"] == "pending", str(answer)
        assert answer.seconds < 20
    cluster.wait_for(
        lambda: cluster.job(job).state == "RUNNING", f"job {job} runs again", timeout=90
    )
    assert work.finish(job).exit_code == "7:0"
    check_result(work, "out.txt")
