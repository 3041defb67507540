"""A controller that does not answer, a node that hangs or lacks a tool: clear errors, jobs unharmed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from cluster_support import Cluster, Work
from faults_support import CRIU, meanwhile, paused, start_patient, wait_until_idle

QUICK = {"SYSCR_SLURM_TIMEOUT": "4s"}


@contextmanager
def _paused_when(cluster: Cluster, work: Work, script: str) -> Iterator[None]:
    """Pause the controller as soon as a script on the login node has ended, until the block ends."""
    over = Event()

    def act() -> None:
        work.run("sh", "-c", script, work.images, timeout=30)
        with paused(cluster, "slurmctld"):
            over.wait(120)

    with meanwhile(act):
        try:
            yield
        finally:
            over.set()


@pytest.fixture(autouse=True)
def _whole_again(cluster: Cluster) -> Iterator[None]:
    """Leave the cluster as it was found."""
    yield
    wait_until_idle(cluster)


def test_silent_controller_is_said_and_changes_nothing(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work, megabytes=20)
    patient.checkpoint()
    with paused(cluster, "slurmctld"):
        for verb in ("checkpoint", "vacate", "requeue", "restart"):
            answer = work.run("syscr", "--json", verb, patient.job_id, check=False, env=QUICK)
            assert answer.exit_code == 10, str(answer)
            assert answer.error["transient"], str(answer)
            assert "scontrol ping" in answer.error["hint"], str(answer)
        assert len(patient.list_images()) == 1
        patient.check_alive()
    wait_until_idle(cluster)
    patient.checkpoint()
    patient.finish()


def test_controller_that_falls_silent_during_the_dump_costs_the_image_only(
    cluster: Cluster, work: Work
) -> None:
    work.backend = CRIU
    patient = start_patient(work, megabytes=200)
    script = 'until ls "$0"/*/staging/*/data/0/pages* >/dev/null 2>&1; do :; done'
    with _paused_when(cluster, work, script):
        answer = work.run(
            "syscr", "--json", "checkpoint", patient.job_id, check=False, env=QUICK, timeout=120
        )
        if answer.exit_code:  # else the dump was over before
            assert answer.exit_code in {10, 30}, str(answer)
            assert "still running" in answer.error["message"] or "run on" in answer.error["message"]
            assert patient.list_images() == []
        patient.check_alive()
    wait_until_idle(cluster)
    assert patient.list_leftovers() == []
    cluster.wait_for(lambda: patient.checkpoint(check=False).exit_code == 0, "it works again", 60)
    patient.finish()


@pytest.fixture
def step(work: Work) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A step of four tasks on two nodes; its id and nodes."""
    work.backend = CRIU
    work.add_program("count.py")
    srun = (
        f"syscr srun --checkpoint-dir={work.images} --backend=criu --output={work.path}/rank%t.out"
    )
    command = f"python3 {work.path}/count.py 400 {work.path}/result%r.txt"
    work.write("job.sh", f"#!/bin/sh\n{srun} {command}\n")
    options = ["-N2", "-n4", "--output=/dev/null", f"--chdir={work.path}"]
    job_id = work.run("sbatch", "--parsable", *options, "job.sh").stdout.strip()
    nodes = work.wait_until_running(job_id).nodes
    for rank in range(4):
        work.wait_for_lines(f"rank{rank}.out", 2)
    yield f"{job_id}.0", nodes
    assert work.finish(job_id).state == "COMPLETED"
    for rank in range(4):
        lines = work.read(f"rank{rank}.out").splitlines()
        assert [line.split()[1] for line in lines[:-1]] == [str(number) for number in range(1, 401)]


def _check_all_alive(work: Work, within: float = 15) -> None:
    counts = [work.count_lines(f"rank{rank}.out") for rank in range(4)]
    for rank, count in enumerate(counts):
        work.wait_for_lines(f"rank{rank}.out", count + 2, within)


def test_tool_missing_on_one_node_stops_the_checkpoint_and_no_task(
    cluster: Cluster, work: Work, step: tuple[str, tuple[str, ...]]
) -> None:
    """The other node's dump succeeds; with ``vacate`` its tasks stand still until they are told."""
    step_id, nodes = step
    path = cluster.run("root", nodes[1], ["sh", "-c", "command -v criu"], check=True).stdout.strip()
    cluster.run("root", nodes[1], ["mv", path, f"{path}.aside"], check=True)
    try:
        for verb in ("checkpoint", "vacate"):
            answer = work.syscr(verb, step_id, check=False)
            _check_all_alive(work, within=10)
            assert answer.exit_code == 21, str(answer)
            for word in ("criu", f"'{nodes[1]}'", "still running"):
                assert word in answer.error["message"], str(answer)
            assert "syscr doctor" in answer.error["hint"], str(answer)
            images = work.syscr("image", "list", "--image-dir", work.images).data["images"]
            assert images == []
    finally:
        cluster.run("root", nodes[1], ["mv", f"{path}.aside", path], check=True)
    work.checkpoint(step_id)
