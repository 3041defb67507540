"""What is killed while a checkpoint goes on: the job comes to no harm, the store stays whole."""

from __future__ import annotations

from cluster_support import Cluster, Work
from faults_support import (
    CRIU,
    Patient,
    find_processes,
    kill_when,
    meanwhile,
    start_patient,
    try_to_kill_when,
)

STAGES = ("planned", "staged", "dumping:1", "dumping:50", "dumped", "described", "publishing")
_TRIES = 5


def _checkpoint_soon(patient: Patient) -> list[str]:
    """Take a checkpoint; what a killed one has left running may be in the way for a moment."""

    def succeeds() -> dict[str, object] | None:
        answer = patient.checkpoint(check=False)
        assert answer.exit_code in {0, 5, 57}, str(answer)
        return None if answer.exit_code else answer.data["results"][0]["result"]

    result = patient.work.cluster.wait_for(succeeds, "a checkpoint works again", 30)
    assert result is not None
    return [str(warning) for warning in result["warnings"]]  # type: ignore[attr-defined]


def test_checkpoint_killed_at_any_stage_leaves_job_and_store_whole(work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work)
    before: list[str] = []
    for stage in STAGES:
        before = _kill_at(patient, stage, before)
        patient.check_alive()
        assert patient.list_images() == before, f"killed at '{stage}'"
        warnings = _checkpoint_soon(patient)
        after = patient.list_images()
        assert after[:-1] == before, f"killed at '{stage}'"
        before = after
        if stage != "planned":
            assert "took over the lock" in warnings[0], f"killed at '{stage}': {warnings}"
        assert patient.list_leftovers() == [], f"killed at '{stage}'"
    patient.finish()


def _kill_at(patient: Patient, stage: str, before: list[str]) -> list[str]:
    """Kill a checkpoint at a stage; one that was too quick for that is complete, so try again.

    Returns:
        The images that were there before the checkpoint that was killed.
    """
    for _ in range(_TRIES):
        is_hit = try_to_kill_when(patient, stage, "--", "syscr", "checkpoint", patient.job_id)
        after = patient.list_images()
        if is_hit and after == before:
            return before
        assert after[:-1] == before, f"'{stage}' was over, so the checkpoint is complete"
        patient.work.syscr("image", "verify", after[-1])
        before = after
    raise AssertionError(f"stage '{stage}' was not seen in {_TRIES} checkpoints")


def test_killed_helpers_on_the_node_leave_job_and_store_whole(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work, "--nodelist=c1", megabytes=200)

    def check(message: str) -> None:
        patient.check_alive()
        assert message in answer.error["message"], str(answer)
        assert patient.list_images() == []
        assert patient.list_leftovers() == []

    with meanwhile(lambda: kill_when(patient, "dumping:1", "worker --request", node="c1")):
        answer = patient.checkpoint(check=False)
    check("node 'c1' did not answer (Killed); the job is still running")

    with meanwhile(lambda: kill_when(patient, "dumping:50", "criu", node="c1")):
        answer = patient.checkpoint(check=False)
    check("CRIU was ended by signal 9 (Killed); the job is still running")

    def cancel_helper() -> None:
        script = (
            'until ls "$0"/*/staging/*/data/0/pages* >/dev/null 2>&1; do :; done; '
            'scancel $(squeue -hs -j $1 -o "%i %j" | sed -n "s/ syscr$//p")'
        )
        work.run("sh", "-c", script, work.images, patient.job_id, timeout=20, check=False)

    with meanwhile(cancel_helper):
        answer = patient.checkpoint(check=False)
    if answer.exit_code:  # else it was done before the cancel came
        check("; the job is still running")
    _checkpoint_soon(patient)
    patient.finish()


def test_program_that_is_killed_during_its_dump_is_said_to_have_ended(work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work, "--nodelist=c1", megabytes=200)
    with meanwhile(lambda: kill_when(patient, "dumping:20", "python3", node="c1")):
        answer = patient.checkpoint(check=False)
    assert answer.exit_code == 30, str(answer)
    said = answer.error["message"].partition("\n")[0]
    assert said.endswith("; the job has ended (FAILED, exit code 0:9)"), str(answer)
    assert (patient.list_images(), patient.list_leftovers()) == ([], [])


def test_limit_that_passes_at_any_moment_harms_nothing(work: Work) -> None:
    """CRIU must not be killed while its code is in the program: see ``stop_tool_writing``."""
    work.backend = CRIU
    patient = start_patient(work)
    in_time = 0
    for milliseconds in (1, 10, 20, 30, 40, 50, 60, 70, 80, 100, 120):
        limit = f"{milliseconds / 1000}"
        answer = patient.checkpoint("--max-wait", limit, check=False)
        assert answer.exit_code in {0, 31}, str(answer)
        if answer.exit_code:
            assert "--max-wait" in answer.error["hint"]
        else:  # a fast machine is done by then
            in_time += 1
            seconds = answer.data["results"][0]["result"]["image"]["timings"]["dump_seconds"]
            assert seconds <= float(limit)
        assert in_time < _TRIES, "the limits are too long for this machine to say anything"
    patient.check_alive()
    assert len(patient.list_images()) == in_time
    assert patient.list_leftovers() == []
    patient.checkpoint()
    patient.finish()


def test_limits_of_the_user_do_not_reach_the_dump(work: Work) -> None:
    work.backend = CRIU
    work.add_program("big.py")
    script = f"#!/bin/sh\nexec python3 {work.path}/big.py {work.path}/big.stop {work.path}/big.txt 100 5\n"
    work.write("big.sh", script)
    submit = f"ulimit -S -f 20480; syscr sbatch --parsable --checkpoint-dir={work.images} "
    answer = work.run("bash", "-c", f"{submit} --output={work.path}/big.out big.sh")
    patient = Patient(work, answer.stdout.strip(), 100, "big")
    work.wait_for_lines("big.out", 2)
    patient.checkpoint()
    patient.finish()


def test_killed_launcher_takes_its_task_along(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work, "--nodelist=c1", megabytes=20)
    work.run("pkill", "-KILL", "-x", "syscr-launcher", node="c1")
    facts = cluster.wait_for_end(patient.job_id)
    assert (facts.state, facts.exit_code) == ("FAILED", "0:9")
    assert find_processes(cluster, ["c1"]) == []
