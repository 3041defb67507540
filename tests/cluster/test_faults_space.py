"""A disk that is full before or during a dump: the job runs on, nothing is left behind."""

from __future__ import annotations

import pytest
from cluster_support import BACKENDS, Backend, Work
from faults_support import Patient

PROGRAMS = {
    "memory": "m = bytearray(b'x') * (150 << 20)",
    # what the estimate does not count
    "deleted_file": "f = open('gone', 'w+b'); f.write(b'y' * (150 << 20)); f.flush(); os.unlink('gone')",
    "local_file": "f = open('/tmp/syscr-test-big', 'w+b'); f.write(b'y' * (150 << 20)); f.flush()",
}


@pytest.mark.parametrize("backend", BACKENDS[:2], indirect=True, ids=lambda backend: backend.label)
@pytest.mark.parametrize("kind", PROGRAMS)
def test_full_disk_leaves_the_job_running_and_nothing_behind(
    backend: Backend, work: Work, small: str, kind: str
) -> None:
    program = f"import os, time\n{PROGRAMS[kind]}\nn = 0\n"
    program += "while not os.path.exists('stop'):\n    n += 1\n    print('step', n, flush=True)\n    time.sleep(0.05)\n"
    work.write("p.py", program)
    work.write("job.sh", f"#!/bin/sh\nexec python3 {work.path}/p.py\n")
    job_id = work.submit(f"--output={work.path}/big.out", "--nodelist=c1", "job.sh")
    patient = Patient(work, job_id, 0, "big")
    work.wait_for_lines("big.out", 2)
    answer = work.run(
        "syscr", "--json", "checkpoint", "--image-dir", small, job_id, node="c1", check=False
    )
    assert answer.exit_code == 56, str(answer)
    message = answer.error["message"]
    assert "space" in message, message
    assert "still running" in message, message
    patient.check_alive()
    left = work.run("find", small, "-type", "f", node="c1").stdout
    assert left == ""
    patient.checkpoint()
    work.run("touch", "stop")
    facts = work.cluster.wait_for_end(job_id)
    assert facts.state == "COMPLETED"
    steps = work.read("big.out").splitlines()
    assert steps == [f"step {number}" for number in range(1, len(steps) + 1)]
