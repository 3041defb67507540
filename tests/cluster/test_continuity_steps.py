"""A step of four tasks on two nodes goes on exactly where it was, its tasks wherever Slurm puts them."""

from __future__ import annotations

import pytest
from cluster_support import Backend, Cluster, Work

STEPS = 400
TASKS = 4
COUNT = ["python3", "count.py", str(STEPS), "results.%r", "0"]


def build_srun(work: Work, *options: str) -> list[str]:
    backend = [f"--backend={work.backend.name}"] if work.backend else []
    return [
        "syscr",
        "srun",
        f"--checkpoint-dir={work.images}",
        *backend,
        *options,
        "--output=out.%t",
        *COUNT,
    ]


def wait_for_tasks(work: Work, lines: int) -> None:
    for rank in range(TASKS):
        work.wait_for_lines(f"out.{rank}", lines)


def count_tasks(work: Work) -> int:
    return min(work.count_lines(f"out.{rank}") for rank in range(TASKS))


def check_tasks(work: Work) -> None:
    """Compare output and results of each rank with those of an uninterrupted run."""
    command = [*COUNT, "0"]
    command[3] = "reference.%r"
    for rank in range(TASKS):
        reference = work.run(*command, env={"SLURM_PROCID": str(rank)})
        assert work.read(f"out.{rank}") == reference.stdout, f"output of rank {rank}"
        assert work.read(f"results.{rank}") == work.read(f"reference.{rank}"), (
            f"results of rank {rank}"
        )


@pytest.mark.matrix
def test_step_of_a_batch_script_moves_and_continues(
    cluster: Cluster, work: Work, backend: Backend
) -> None:
    work.add_program("count.py")
    command = " ".join(build_srun(work))
    script = (
        f"#!/bin/bash\n#SBATCH -N2 -n{TASKS} --output=job.txt\n{command}\necho step ended with $?\n"
    )
    work.write("job.sh", script, mode="755")
    job = work.run("sbatch", "--parsable", "job.sh").stdout.strip()
    first = work.wait_until_running(job).nodes
    wait_for_tasks(work, 8)
    image = work.checkpoint(f"{job}.0")["image"]
    assert (image["step"], image["task_count"], image["backend"]) == ("0", TASKS, backend.name)
    wait_for_tasks(work, count_tasks(work) + 4)
    work.cancel(job)
    # in place, then elsewhere
    result = work.restart(f"{job}.0", "--stick-to-nodes")
    assert set(result["nodes"]) == set(first)
    job = result["job_id"]
    wait_for_tasks(work, 25)
    work.checkpoint(f"{job}.0")
    wait_for_tasks(work, count_tasks(work) + 3)
    work.cancel(job)
    with cluster.drained(first[0]):
        result = work.restart(f"{job}.0")
        assert first[0] not in result["nodes"]
    ended = work.finish(result["job_id"])
    assert (ended.state, ended.exit_code) == ("COMPLETED", "0:0")
    assert work.read("job.txt").endswith("step ended with 0\n")
    check_tasks(work)


@pytest.mark.matrix
def test_step_from_the_login_node_moves_and_continues(
    cluster: Cluster, work: Work, backend: Backend
) -> None:
    work.add_program("count.py")
    command = build_srun(work, "-N2", f"-n{TASKS}")
    work.run("sh", "-c", 'nohup "$@" >srun.log 2>&1 </dev/null &', "sh", *command)
    (job,) = cluster.wait_for(work.list_jobs, "srun has its job")
    first = work.wait_until_running(job).nodes
    wait_for_tasks(work, 10)
    work.checkpoint(f"{job}.0")
    wait_for_tasks(work, count_tasks(work) + 4)
    work.cancel(job)
    with cluster.drained(first[0]):
        result = work.restart(f"{job}.0")
        assert len(result["nodes"]) == 2
        assert first[0] not in result["nodes"]
    ended = work.finish(result["job_id"])
    assert (ended.state, ended.exit_code) == ("COMPLETED", "0:0")
    check_tasks(work)


def test_vacated_step_leaves_its_job_and_restarts(cluster: Cluster, work: Work) -> None:
    """The rest of a job is not ours to end: the script goes on after the step."""
    work.add_program("count.py")
    command = " ".join(build_srun(work))
    script = (
        f"#!/bin/bash\n#SBATCH -N2 -n{TASKS} --output=job.txt\n{command}\necho step ended with $?\n"
    )
    work.write("job.sh", script, mode="755")
    job = work.run("sbatch", "--parsable", "job.sh").stdout.strip()
    wait_for_tasks(work, 10)
    result = work.checkpoint(f"{job}.0", "vacate")
    assert result["job_state"] == "ended"
    cluster.wait_for_end(job)
    assert "step ended with" in work.read("job.txt")
    result = work.restart(f"{job}.0")
    work.finish(result["job_id"])
    assert work.read("job.txt").endswith("step ended with 0\n")
    check_tasks(work)


def test_tasks_that_append_to_one_file_leave_no_gap_and_no_repeat(work: Work) -> None:
    """Each task knows what it has written: none may find its lines cut off, or write them again."""
    work.add_program("append.py")
    command = ["python3", "append.py", "2000", "shared.txt"]
    srun = " ".join([*build_srun(work)[: -len(COUNT)], *command])
    work.write(
        "job.sh", f"#!/bin/bash\n#SBATCH -N2 -n{TASKS} --output=job.txt\n{srun}\n", mode="755"
    )
    job = work.run("sbatch", "--parsable", "job.sh").stdout.strip()
    for count, verb in ((40, "vacate"), (160, "checkpoint"), (400, "checkpoint")):
        work.wait_for_lines("shared.txt", count)
        work.checkpoint(f"{job}.0", verb)
        if verb == "checkpoint":  # they write at once what must not be there twice
            work.wait_for_lines("shared.txt", work.count_lines("shared.txt") + 20)
            work.cancel(job)
        work.cluster.wait_for_end(job)
        job = work.restart(f"{job}.0")["job_id"]
    work.finish(job)
    lines = work.read("shared.txt").splitlines()
    for rank in map(str, range(TASKS)):
        own = [int(line.split()[1]) for line in lines if line.split()[0] == rank]
        assert own == list(range(1, 2001)), f"rank {rank}"
