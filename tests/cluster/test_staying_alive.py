"""A job with ``--checkpoint`` lives on: past its limit, a preemption, a requeue, and the loss of its node."""

from __future__ import annotations

import pytest
from alive_support import cut_off, start
from cluster_support import BACKENDS, Backend, Cluster, Work
from faults_support import AGENT, CRIU, EXIT_CODE, find_processes, paused, wait_until_idle


@pytest.mark.parametrize("backend", BACKENDS[:2], ids=lambda one: one.label, indirect=True)
@pytest.mark.timeout(300)
def test_job_outlives_limit_preemption_and_requeue(work: Work, backend: Backend) -> None:
    work.backend = backend
    patient = start(work, "--time=10")
    patient.outlive_three_stops()
    patient.finish()
    assert patient.reasons() == ["time limit", "preemption", "requeue", "own end"]
    status = patient.status()
    assert status["lost_seconds"] < 3
    assert [bool(life["image_id"]) for life in status["lives"]] == [True, True, True, False]


@pytest.mark.timeout(200)
def test_job_whose_node_is_cut_off_never_lives_twice(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10")
    patient.checkpoint()
    patient.check_alive()
    (node,) = cluster.job(patient.job_id).nodes
    with cut_off(cluster, node):
        patient.come_back(1, avoid=node)
        assert find_processes(cluster, [node]) == []  # the old copy has ended itself
    patient.finish()  # and wrote nothing beside the new one
    assert patient.reasons()[0] == "newer life"


@pytest.mark.timeout(200)
def test_task_on_a_node_that_is_cut_off_never_lives_twice(cluster: Cluster, work: Work) -> None:
    """There is no agent on that node, and the first task of the step has ended as it should."""
    work.backend = CRIU
    work.settings.update(AGENT)
    work.add_program("count.py")
    run = ["syscr", "srun", "--checkpoint=60", f"--checkpoint-dir={work.images}", "--backend=criu"]
    program = ["python3", "count.py", "300", "results.%r", "0"]
    script = f"#!/bin/bash\n{' '.join([*run, '--output=out.%t', *program])}\n"
    work.write("job.sh", script, mode="755")
    submit = ["sbatch", "--parsable", "--output=job.txt", "--nodes=2", "--ntasks=2", "job.sh"]
    job = work.run(*submit).stdout.strip()
    node = work.wait_until_running(job).nodes[1]
    work.wait_for_lines("out.1", 8)
    work.checkpoint(f"{job}.0")
    work.wait_for_lines("out.1", work.count_lines("out.1") + 4)
    with cut_off(cluster, node):
        cluster.wait_for(lambda: cluster.job(job).state == "PENDING", "it is in the queue")
        assert any("count.py" in line for line in find_processes(cluster, [node]))
        change = ["scontrol", "update", f"JobId={job}", "StartTime=now+2", f"ExcNodeList={node}"]
        work.run(*change)
        work.wait_until_running(job, restarts=1)
        ready = f"{work.images}/{job}.0.ckpt/run/{job}.1.1/ready"
        cluster.wait_for(lambda: work.read(ready), "the other task is restored")
        assert find_processes(cluster, [node]) == []  # the old copy has ended itself
    assert " fenced " in work.read(f"{work.images}/{job}.0.ckpt/run/{job}.0.ended/1")
    ended = work.finish(job)
    assert (ended.state, ended.exit_code) == ("COMPLETED", "0:0")
    for rank in range(2):
        reference = work.run(*program[:3], "reference", "0", "0", env={"SLURM_PROCID": str(rank)})
        assert work.read(f"out.{rank}") == reference.stdout
        assert work.read(f"results.{rank}") == work.read("reference")


@pytest.mark.timeout(200)
def test_silent_controller_ends_nothing(cluster: Cluster, work: Work) -> None:
    """The last image is taken, the requeue fails, and the program goes on until Slurm answers again."""
    work.backend = CRIU
    work.settings["SYSCR_SLURM_TIMEOUT"] = "3"
    patient = start(work, "--time=10")
    patient.reach_limit(14)
    patient.check_alive(steps=40)  # 2 s: the agent has heard of the limit
    with paused(cluster, "slurmctld"):
        log = f"{work.images}/{patient.job_id}.ckpt/run/{patient.job_id}.0.0/agent.log"
        cluster.wait_for(lambda: "no last image" in work.read(log), "the requeue has failed")
        patient.check_alive()
    wait_until_idle(cluster)
    patient.come_back(1)
    patient.finish()
    # "requeue" where the order was only late, and came when Slurm went on
    assert patient.reasons()[0] in {"time limit", "requeue"}


@pytest.mark.timeout(200)
def test_older_image_is_taken_where_the_newest_is_damaged(work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10")
    patient.checkpoint()
    patient.check_alive()
    older = patient.list_images()[-1]
    work.syscr("simulate", patient.job_id, "--timeout")
    newest = patient.list_images()[-1]
    assert newest != older
    pages = f"{work.images}/{patient.job_id}.ckpt/{newest}/data/0/pages-1.img"
    work.run("dd", "if=/dev/zero", f"of={pages}", "bs=4096", "seek=9", "count=1", "conv=notrunc")
    patient.come_back(1)
    assert patient.lives()[-1]["restored_from"] == older
    patient.finish()


@pytest.mark.timeout(200)
def test_task_of_an_array_lives_on_alone(cluster: Cluster, work: Work) -> None:
    """The number of an array's last task is that of the array, so it is the one to be careful with."""
    work.backend = CRIU
    work.settings.update(AGENT)
    program = work.add_program("count.py")
    script = work.write(
        "array.sh",
        f"#!/bin/bash\n#SBATCH --output={work.path}/%a.out\n"
        f"exec python3 {program} 40 {work.path}/%r.$SLURM_ARRAY_TASK_ID 3\n",
    )
    array = work.submit("--time=10", "--array=1-2", "--checkpoint=60", script)
    for index in (1, 2):
        work.wait_until_running(f"{array}_{index}")
        work.wait_for_lines(f"{index}.out", 3)
    work.syscr("simulate", f"{array}_2", "--preempt")
    assert cluster.job(f"{array}_2").state == "PENDING"
    assert (cluster.job(f"{array}_1").state, cluster.job(f"{array}_1").restarts) == ("RUNNING", 0)
    work.run("scontrol", "update", f"JobId={array}_2", "StartTime=now+2")
    work.wait_until_running(f"{array}_2", restarts=1)
    work.run("touch", "finish")
    facts = [cluster.wait_for_end(f"{array}_{index}") for index in (1, 2)]
    assert [(one.state, one.exit_code) for one in facts] == [("FAILED", "3:0")] * 2
    outputs = [
        [line for line in work.read(f"{index}.out").splitlines() if "slurmstepd" not in line]
        for index in (1, 2)
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 41


@pytest.mark.timeout(200)
def test_preemption_with_a_grace_is_survived(cluster: Cluster, work: Work) -> None:
    """Slurm tells a batch job nothing when the grace begins; and it starts it once more after its end."""
    work.backend = CRIU
    patient = start(work, "--time=10")
    set_grace = ["scontrol", "update", "PartitionName=debug"]
    cluster.run("root", "login", [*set_grace, "GraceTime=6"], check=True)
    try:
        patient.preempt()
        patient.come_back(1)
    finally:
        cluster.run("root", "login", [*set_grace, "GraceTime=0"], check=True)
    work.run("touch", f"{patient.name}.stop")
    ended = cluster.wait_for(
        lambda: cluster.job(patient.job_id).state in {"PENDING", "FAILED"} and patient.job_id,
        "the program has ended",
    )
    if cluster.job(str(ended)).state == "PENDING":  # 24.11: PreemptTime has stayed set
        work.run("scontrol", "update", f"JobId={ended}", "StartTime=now+2")
    patient.finish()
    assert patient.reasons() == ["preemption", "own end"]
    assert patient.status()["lost_seconds"] < 3


def test_job_that_waits_for_this_one_waits_through_its_requeues(
    cluster: Cluster, work: Work
) -> None:
    work.backend = CRIU
    work.settings.update(AGENT)
    program = work.add_program("count.py")
    script = work.write(
        "first.sh",
        f"#!/bin/bash\n#SBATCH --output={work.path}/first.out\n"
        f"exec python3 {program} 40 {work.path}/first.txt\n",
    )
    first = work.submit("--time=10", "--checkpoint=60", script)
    words = ["sbatch", "--parsable", f"--dependency=afterok:{first}", "--output=/dev/null"]
    second = work.run(*words, "--wrap=true").stdout.strip()
    work.wait_until_running(first)
    work.wait_for_lines("first.out", 3)
    work.syscr("simulate", first, "--timeout")
    assert (cluster.job(second).state, cluster.job(second).reason) == ("PENDING", "Dependency")
    work.run("scontrol", "update", f"JobId={first}", "StartTime=now+2")
    work.wait_until_running(first, restarts=1)
    assert cluster.job(second).state == "PENDING"
    assert work.finish(first).state == "COMPLETED"
    assert cluster.wait_for_end(second).state == "COMPLETED"


@pytest.mark.timeout(200)
def test_total_time_ends_the_job_with_an_image(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10", "--total-time=0:08")
    facts = cluster.wait_for_end(patient.job_id)
    assert (facts.state, facts.exit_code) == ("FAILED", "75:0")
    assert patient.reasons() == ["total time"]
    assert 7 <= patient.status()["kept_seconds"] <= 12
    assert len(patient.list_images()) == 1


def test_drain_of_the_node_brings_an_image(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10")
    (node,) = cluster.job(patient.job_id).nodes
    with cluster.drained(node):
        cluster.wait_for(patient.list_images, "there is an image")
    patient.check_alive()
    assert cluster.job(patient.job_id).restarts == 0


def test_job_that_may_not_be_requeued_has_an_image(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10", "--no-requeue")
    answer = work.syscr("simulate", patient.job_id, "--timeout")
    assert "cannot be requeued" in answer.data["result"]["life"]["note"]
    facts = cluster.wait_for_end(patient.job_id)
    assert facts.restarts == 0
    assert len(patient.list_images()) == 1


def test_program_gets_the_signal_where_the_agent_has_died(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10")
    (node,) = cluster.job(patient.job_id).nodes
    work.run("pkill", "-KILL", "-f", "[s]yscr agent", node=node)  # and what would start it again
    patient.check_alive()
    cluster.wait_for(lambda: "has gone" in work.read(patient.output), "the job is told")
    (life,) = patient.lives()
    assert (life["note"][:8], life["next_at"]) == ("no agent", None)
    patient.checkpoint()  # from outside it can still be done
    work.run("scancel", "--batch", "--signal=TERM", patient.job_id)
    facts = cluster.wait_for_end(patient.job_id)
    assert (facts.state, facts.exit_code) == ("FAILED", "0:15")


def test_agent_that_dies_is_started_again(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10")
    (node,) = cluster.job(patient.job_id).nodes
    note = f"{work.images}/{patient.job_id}.ckpt/run/{patient.job_id}.0.0/agent"
    before = work.read(note)
    work.run("pkill", "-KILL", "-f", "^[^ ]*python[^ ]* [^ ]*syscr agent --request", node=node)
    cluster.wait_for(lambda: work.read(note) not in {"", before}, "another agent listens")
    work.syscr("simulate", patient.job_id, "--preempt")
    patient.come_back(1)
    patient.finish()


@pytest.mark.timeout(200)
def test_finished_job_that_is_started_again_gives_its_end_back(
    cluster: Cluster, work: Work
) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10")
    work.syscr("simulate", patient.job_id, "--preempt")
    patient.come_back(1)
    patient.finish()
    output = work.read(patient.output)
    work.run("scontrol", "requeue", patient.job_id)
    cluster.wait_for(lambda: cluster.job(patient.job_id).state == "PENDING", "it is in the queue")
    work.run("scontrol", "update", f"JobId={patient.job_id}", "StartTime=now+2")
    facts = cluster.wait_for_end(patient.job_id)
    assert (facts.restarts, facts.exit_code) == (2, f"{EXIT_CODE}:0")
    said = work.read(patient.output).removeprefix(output)
    assert "has ended by itself already, with exit code 5" in said
