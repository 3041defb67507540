"""Names that shells, parsers and forgers like: directories, scripts, arguments and job names."""

from __future__ import annotations

from cluster_support import FINAL, Work
from faults_support import CRIU, in_parallel

NAMES = (
    "with blank and 'quote\"",
    "$(touch x);`touch x`",
    "new\nline UserId=root(0) JobState=COMPLETED",
    "caf\udce9\udcff",
    "-rf",
    "a:b,c=d[1-2]*?{}#!~&|<>",
)
STEPS = 60


def _run(work: Work, name: str) -> None:
    folder, images = f"{work.path}/{name}", f"{work.path}/{name}.images"
    work.run("sh", "-c", 'mkdir -- "$0" && cp count.py "$0/"', folder)

    def run(*argv: str, stdin: str = "", check: bool = True) -> str:
        answer = work.cluster.run(
            work.user, "login", argv, stdin=stdin, cwd=folder, check=check, timeout=120
        )
        return answer.stdout

    script = f'#!/bin/bash\nexec python3 "$PWD/count.py" {STEPS} "$PWD/$1" 7 0.1\n'
    run("sh", "-c", 'cat >"./$0"', f"{name}.sh", stdin=script)
    submit = ["syscr", "sbatch", "--parsable", f"--checkpoint-dir={images}", "--backend=criu"]
    submit += [f"--job-name={name}", "--output=out.txt"]
    job_id = run(*submit, f"./{name}.sh", f"{name}.result").strip()
    steps = 'test "$(grep -c step out.txt)" -ge 4'
    work.cluster.wait_for(
        lambda: not work.cluster.run(work.user, "login", ["sh", "-c", steps], cwd=folder).exit_code,
        f"{name!r} has made some steps",
    )
    run("syscr", "checkpoint", job_id)
    run("scancel", job_id)
    assert _wait_for_end(work, job_id)[0] == "CANCELLED"
    image_id = run("syscr", "-q", "image", "list", "--image-dir", images, job_id).split()[0]
    run("syscr", "image", "verify", "--image-dir", images, image_id)
    assert image_id in run("syscr", "image", "show", "--image-dir", images, image_id)
    run("syscr", "restart", job_id)
    run("touch", "finish")
    assert _wait_for_end(work, job_id) == ["FAILED", "7:0"], f"{name!r}"
    _check_output(run("cat", "out.txt"), run("cat", "--", f"./{name}.result"))

    answer = run("syscr", "-q", "restart", "--new-job", "--image-dir", images, image_id)
    new_id = answer.strip()
    assert new_id != job_id
    assert _wait_for_end(work, new_id) == ["FAILED", "7:0"], f"{name!r}"
    _check_output(run("cat", "out.txt"), run("cat", "--", f"./{name}.result"))


def _wait_for_end(work: Work, job_id: str) -> list[str]:
    """Return state and exit code of a job that has ended; no name can forge these."""
    ask = ["squeue", "-h", "-a", "-t", "all", "-j", job_id, "-O", "state:20,exit_code:10"]

    def ended() -> list[str]:
        words = work.cluster.run("root", "login", ask).stdout.split()
        return words if words and words[0] in FINAL else []

    return work.cluster.wait_for(ended, f"job {job_id} has ended")


def _check_output(output: str, result: str) -> None:
    steps = [line.split()[1] for line in output.splitlines() if line.startswith("step ")]
    assert steps == [str(number) for number in range(1, STEPS + 1)]
    assert result.count("\n") == STEPS


def test_hostile_names_go_through_every_command(work: Work) -> None:
    work.backend = CRIU
    work.add_program("count.py")
    for group in (NAMES[:3], NAMES[3:]):
        in_parallel(*(lambda name=name: _run(work, name) for name in group))
    found = work.run("find", work.path, "-name", "x").stdout
    assert found == "", "a name was taken for a command"
