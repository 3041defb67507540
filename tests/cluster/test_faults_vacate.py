"""A vacate or requeue that is killed midway costs a pause at most, and never makes a job look finished."""

from __future__ import annotations

import pytest
from cluster_support import Cluster, Work
from faults_support import CRIU, Patient, in_parallel, start_patient, try_to_kill_when

_TRIES = 4
_HOLD_SECONDS = 30
_PARK_SECONDS = 60


def _kill(patient: Patient, verb: str, stage: str) -> None:
    """Kill a command at a stage; one that was too quick has done its work, so bring the job back."""
    for _ in range(_TRIES):
        if try_to_kill_when(patient, stage, "--", "syscr", verb, patient.job_id):
            return
        if verb == "vacate":
            patient.work.restart(patient.job_id)
        patient.check_alive(within=60)
    raise AssertionError(f"stage '{stage}' was not seen in {_TRIES} attempts")


@pytest.mark.timeout(400)
def test_vacate_and_requeue_killed_midway_cost_a_pause_at_most(
    cluster: Cluster, work: Work
) -> None:
    work.backend = CRIU
    patients = [
        start_patient(work, f"--nodelist=c{number}", name=f"big{number}", megabytes=60)
        for number in (1, 2, 3)
    ]
    first, second, third = patients

    def vacated_in_mid_dump() -> None:
        _kill(first, "vacate", "dumping:20")
        first.check_alive(within=_HOLD_SECONDS + 15)

    def requeued_before_publishing() -> None:
        _kill(second, "requeue", "described")
        second.check_alive(within=_HOLD_SECONDS + 15)

    def requeued_after_the_end() -> None:
        _kill(third, "requeue", "ended")
        facts = cluster.wait_for_end(third.job_id, timeout=_PARK_SECONDS + 30)
        assert (facts.state, facts.exit_code) == ("FAILED", "75:0")  # COMPLETED would be a lie
        work.restart(third.job_id)

    in_parallel(vacated_in_mid_dump, requeued_before_publishing, requeued_after_the_end)
    work.checkpoint(first.job_id, "vacate")
    work.restart(first.job_id)
    for patient in patients:
        patient.finish()
