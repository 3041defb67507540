"""Requests that cannot be met: each is refused with its reason, and nothing happens to any job."""

from __future__ import annotations

import pytest
from cluster_support import Cluster, Result, Work
from faults_support import CRIU, in_parallel, start_patient


def _refused(answer: Result, exit_code: int, *words: str) -> None:
    assert answer.exit_code == exit_code, str(answer)
    error = answer.error
    for word in words:
        assert word in f"{error['message']} {error['hint']}", str(answer)


def test_jobs_that_cannot_be_dumped_are_named_with_the_reason(cluster: Cluster, work: Work) -> None:
    def submit(user: str, *options: str) -> str:
        argv = ["sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", "sleep 100"]
        return cluster.run(user, "login", argv, check=True).stdout.strip()

    waiting, plain, foreign = submit("alice", "--hold"), submit("alice"), submit("bob")
    for job_id in (plain, foreign):
        work.wait_until_running(job_id)

    def try_on(target: str, verb: str = "checkpoint") -> Result:
        return work.syscr(verb, target, check=False)

    try:
        _refused(try_on("999999"), 11, "999999", "squeue --me")
        _refused(try_on("12x"), 2, "12x")
        _refused(try_on("12_[1-3]"), 2, "name each task")
        _refused(try_on(waiting), 12, f"job {waiting}", "PENDING")
        _refused(
            try_on(plain), 5, plain, "not started through syscr", "still running", "syscr sbatch"
        )
        for verb in ("checkpoint", "vacate", "requeue"):
            _refused(try_on(foreign, verb), 13, f"job {foreign} belongs to 'bob'", "not touched")
        assert cluster.job(foreign).state == "RUNNING"
    finally:
        cluster.run("root", "login", ["scancel", waiting, plain, foreign])
    cluster.wait_for_end(plain)
    _refused(try_on(plain), 12, f"job {plain}", "CANCELLED")
    _refused(try_on(plain, "restart"), 51, f"no image of job {plain}", "--image-dir")


def test_directories_and_ids_that_will_not_do_are_refused(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work, megabytes=20)
    job_id = patient.job_id
    work.run("sh", "-c", "mkdir closed && chmod 500 closed && echo x >file")

    def into(path: str) -> Result:
        return patient.checkpoint("--image-dir", path, check=False)

    for path in (f"{work.path}/closed/x", f"{work.path}/file", "/root/x", "/proc/x"):
        _refused(into(path), 50, path, "still running")
    _refused(into("/tmp/not-shared"), 30, "not on a shared file system", "still running")
    _refused(work.syscr("image", "list", "--image-dir", "/nowhere", check=False), 51, "/nowhere")
    _refused(work.syscr("image", "list", "--image-dir", "/root/x", check=False), 50, "/root/x")

    patient.checkpoint()
    image_id = patient.list_images()[0]
    _refused(work.syscr("restart", job_id, check=False), 12, image_id, "RUNNING", "two live copies")
    _refused(work.syscr("restart", "--image", "nonsense", job_id, check=False), 2, "nonsense")
    missing = "20200101T000000Z-00000000"
    _refused(work.syscr("restart", "--image", missing, job_id, check=False), 52, missing)
    assert work.syscr("image", "show", image_id[:-2]).data["image"]["image_id"] == image_id
    patient.checkpoint()
    first, second = patient.list_images()
    common = first[: next(n for n in range(99) if first[n] != second[n])]
    if "T" in common:
        _refused(work.syscr("image", "show", common, check=False), 52, first, second)
    patient.finish()


def test_suspended_job_is_refused_and_goes_on_when_resumed(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work, megabytes=20)
    cluster.run("root", "login", ["scontrol", "suspend", patient.job_id], check=True)
    try:
        cluster.wait_for(
            lambda: cluster.job(patient.job_id).state == "SUSPENDED", "it is suspended"
        )
        _refused(
            patient.checkpoint(check=False), 12, "SUSPENDED", f"scontrol resume {patient.job_id}"
        )
        assert "scontrol resume" in work.run("syscr", "status", patient.job_id).stdout
    finally:
        cluster.run("root", "login", ["scontrol", "resume", patient.job_id], check=True)
    patient.checkpoint()
    patient.finish()


def test_of_two_checkpoints_at_the_same_time_one_is_refused(work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work)
    answers: list[Result] = []

    def run() -> None:
        answers.append(patient.checkpoint(check=False))

    in_parallel(run, run)
    codes = sorted(answer.exit_code for answer in answers)
    assert codes[0] == 0, "\n".join(map(str, answers))
    for answer in answers:
        if answer.exit_code == 57:
            _refused(answer, 57, patient.job_id, "by process", "still running")
        elif answer.exit_code == 5:  # it looked while the other was dumping
            _refused(answer, 5, "is being dumped already", "still running")
        else:
            assert answer.exit_code == 0, str(answer)
    assert len(patient.list_images()) == codes.count(0)
    patient.finish()


@pytest.mark.parametrize("act", ["end", "cancel"])
def test_job_that_ends_during_its_checkpoint_leaves_the_store_clean(
    cluster: Cluster, work: Work, act: str
) -> None:
    work.backend = CRIU
    patient = start_patient(work, megabytes=200)
    script = 'until ls "$0"/*/staging/*/data/0/pages* >/dev/null 2>&1; do :; done; '
    script += "touch big.stop" if act == "end" else f"scancel {patient.job_id}"
    answers: list[Result] = []
    in_parallel(
        lambda: work.run("sh", "-c", script, work.images, timeout=30),
        lambda: answers.append(patient.checkpoint(check=False)),
    )
    facts = cluster.wait_for_end(patient.job_id)
    assert answers[0].exit_code in {0, 30}, str(answers[0])
    assert len(patient.list_images()) == (answers[0].exit_code == 0)
    assert patient.list_leftovers() == []
    if act == "end":
        assert (facts.state, facts.exit_code) == ("FAILED", "5:0")
        patient.finish()
