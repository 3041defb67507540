"""A vacate or requeue that is killed midway costs a pause at most, and never makes a job look finished."""

from __future__ import annotations

import pytest
from cluster_support import Work
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


def _check_goes_on(patient: Patient) -> None:
    """It goes on by itself within the hold; or it was ended, then there is an image, and it says so."""
    work, cluster = patient.work, patient.work.cluster
    count = work.count_lines(patient.output)

    def find_outcome() -> str:
        if work.count_lines(patient.output) > count + 2:
            return "goes on"
        return "ended" if cluster.job(patient.job_id).is_final else ""

    outcome = cluster.wait_for(find_outcome, "it goes on", _PARK_SECONDS + 30)
    if outcome == "ended":
        facts = cluster.job(patient.job_id)
        assert (facts.state, facts.exit_code) == ("FAILED", "75:0")  # COMPLETED would be a lie
        work.restart(patient.job_id)


@pytest.mark.timeout(400)
def test_vacate_and_requeue_killed_midway_cost_a_pause_at_most(work: Work) -> None:
    work.backend = CRIU
    patients = [
        start_patient(work, f"--nodelist=c{number}", name=f"big{number}", megabytes=60)
        for number in (1, 2, 3)
    ]
    first, second, third = patients

    def vacated_in_mid_dump() -> None:
        _kill(first, "vacate", "dumping:20")
        first.check_alive(within=_HOLD_SECONDS + 15)  # it cannot have come to its end

    def requeued_before_publishing() -> None:
        _kill(second, "requeue", "described")
        _check_goes_on(second)

    def requeued_after_the_end() -> None:
        _kill(third, "requeue", "ended")
        _check_goes_on(third)

    in_parallel(vacated_in_mid_dump, requeued_before_publishing, requeued_after_the_end)
    work.checkpoint(first.job_id, "vacate")
    work.restart(first.job_id)
    for patient in patients:
        patient.finish()
