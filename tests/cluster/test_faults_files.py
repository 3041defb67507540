"""Files that have changed since the image: refused with the reason, nothing touched, and curable."""

from __future__ import annotations

import pytest
from cluster_support import Work
from faults_support import CRIU, Patient


@pytest.fixture
def ended(work: Work) -> Patient:
    """A job that was dumped, went on for a while and was killed; it reads from a file, too."""
    work.backend = CRIU
    work.run("sh", "-c", "mkdir results && seq 1000 >input.txt")
    work.add_program("big.py")
    # the shell keeps the input open for the program
    script = "#!/bin/sh\n#SBATCH --output={0}/big.out\nexec 3<input.txt\nread line <&3\n"
    script += "exec python3 {0}/big.py {0}/big.stop {0}/results/big.txt 4 5\n"
    job_id = work.submit("--chdir", work.path, work.write("big.sh", script.format(work.path)))
    patient = Patient(work, job_id, 4, "big", results="results/big.txt")
    work.wait_for_lines("big.out", 3)
    patient.checkpoint()
    patient.check_alive()
    work.cancel(patient.job_id)
    return patient


CHANGES = {
    "output_file_deleted": ("mv results/big.txt x", "mv x results/big.txt", "results/big.txt'"),
    "output_file_cut": (
        "cp results/big.txt x; truncate -s 9 results/big.txt",
        "mv x results/big.txt",
        "9 bytes",
    ),
    "output_file_closed": (
        "chmod 400 results/big.txt",
        "chmod 600 results/big.txt",
        "Permission denied",
    ),
    "directory_moved": ("mv results x", "mv x results", "results/big.txt'"),
    "input_grown": ("cp -p input.txt x; echo more >>input.txt", "mv x input.txt", "has grown"),
    "input_changed": (
        "cp -p input.txt x; sed -i s/999/998/ input.txt",
        "mv x input.txt",
        "another content or time",
    ),
    "input_deleted": ("mv input.txt x", "mv x input.txt", "input.txt'"),
}


def test_changed_files_are_named_and_the_job_continues_when_they_are_back(ended: Patient) -> None:
    work, job_id = ended.work, ended.job_id
    sums = "find big.out results input.txt -type f | sort | xargs cksum"
    for name, (change, undo, cause) in CHANGES.items():
        work.run("sh", "-c", change)
        before = work.run("sh", "-c", "cd results 2>/dev/null && cksum big.txt", check=False).stdout
        answer = work.syscr("restart", job_id, check=False)
        assert answer.exit_code == 40, f"{name}: {answer}"
        assert cause in answer.error["message"], f"{name}: {answer}"
        assert "untouched" in answer.error["hint"], f"{name}: {answer}"
        work.cluster.wait_for_end(job_id)
        after = work.run("sh", "-c", "cd results 2>/dev/null && cksum big.txt", check=False).stdout
        assert after == before, f"{name}: a file was changed although the restart was refused"
        work.run("sh", "-c", undo)
    assert work.run("sh", "-c", sums).stdout
    work.restart(job_id)
    ended.finish()


def test_working_directory_that_is_gone_is_named(work: Work) -> None:
    work.backend = CRIU
    work.run("mkdir", "there")
    program = "while [ ! -e ../stop ]; do echo tick; sleep 0.1; done"
    work.write("job.sh", f"#!/bin/bash\ncd {work.path}/there\n{program}\n", mode="755")
    job_id = work.submit(f"--output={work.path}/out.txt", "job.sh")
    work.wait_for_lines("out.txt", 3)
    work.checkpoint(job_id)
    work.cancel(job_id)
    work.run("mv", "there", "away")
    answer = work.syscr("restart", job_id, check=False)
    assert answer.exit_code == 40, str(answer)
    assert f"{work.path}/there" in answer.error["message"], str(answer)
    work.run("mv", "away", "there")
    work.cluster.wait_for_end(job_id)
    work.restart(job_id)
    work.run("touch", "stop")
    assert work.cluster.wait_for_end(job_id).state == "COMPLETED"


def test_newest_image_is_still_good_after_a_restart_from_an_older_one(ended: Patient) -> None:
    work, job_id = ended.work, ended.job_id
    older = ended.list_images()[0]
    work.restart(job_id)
    ended.check_alive(steps=8)
    ended.checkpoint()
    newest = ended.list_images()[-1]
    work.cancel(job_id)
    work.restart("--image", older, job_id)
    work.cancel(job_id)
    answer = work.syscr("restart", job_id, check=False)
    assert answer.exit_code == 0, str(answer)
    assert answer.data["image"]["image_id"] == newest
    ended.finish()


def test_output_that_was_cut_is_refused_the_second_time_too(ended: Patient) -> None:
    work, job_id = ended.work, ended.job_id
    work.run("truncate", "-s", "9", "big.out")
    for _ in range(2):
        answer = work.syscr("restart", job_id, check=False)
        assert answer.exit_code == 40, str(answer)
        work.cluster.wait_for_end(job_id)
    assert work.read("big.out").count("\n") <= 1  # a line of ours would have filled it up
