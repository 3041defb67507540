"""However a job was submitted and wherever it lies, it can be checkpointed and comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cluster_support import Cluster, Work

STEPS = 400
COUNT = f"python3 count.py {STEPS} results.txt 7"


def interrupt_and_check(
    cluster: Cluster, work: Work, job: str, output: str, *, exit_code: str = "7:0"
) -> None:
    """Checkpoint, kill and restart a job that runs COUNT; compare with an uninterrupted run."""
    work.wait_for_lines(output, 10)
    work.checkpoint(job)
    work.wait_for_lines(output, work.count_lines(output) + 3)
    work.cancel(job)
    result = work.restart(job)
    assert (result["job_id"], result["method"]) == (job, "requeue")
    ended = work.finish(job)
    assert ended.exit_code == exit_code
    reference = work.run(*COUNT.replace("results", "reference").split(), "0", check=False)
    assert work.read(output) == reference.stdout
    assert work.read("results.txt") == work.read("reference.txt")


@pytest.mark.matrix
def test_script_on_standard_input_continues(cluster: Cluster, work: Work) -> None:
    work.add_program("count.py")
    job = work.submit("--output=out.txt", stdin=f"#!/bin/sh\n{COUNT}\n")
    interrupt_and_check(cluster, work, job, "out.txt")


def test_wrapped_command_continues(cluster: Cluster, work: Work) -> None:
    work.add_program("count.py")
    job = work.submit("--output=out.txt", f"--wrap={COUNT}")
    interrupt_and_check(cluster, work, job, "out.txt")


def test_script_that_is_the_program_continues(cluster: Cluster, work: Work) -> None:
    """No shell around it; Slurm's own copy of the script goes with the first life of the job."""
    program = work.read(work.add_program("count.py"))
    work.write("job.py", f"#!/usr/bin/env python3\n#SBATCH --output=out.txt\n{program}", mode="755")
    job = work.submit("job.py", str(STEPS), "results.txt", "7")
    interrupt_and_check(cluster, work, job, "out.txt")


def test_shell_in_the_middle_of_its_script_continues(cluster: Cluster, work: Work) -> None:
    """A shell reads its script as it goes: the copy that it has open must still be there."""
    work.add_program("count.py")
    script = f"#!/bin/bash\n#SBATCH --output=out.txt\nx=kept\n{COUNT}\ncode=$?\necho $x $code >end.txt\nexit $code\n"
    work.write("job.sh", script)
    job = work.submit("job.sh")
    work.run("rm", "job.sh")
    interrupt_and_check(cluster, work, job, "out.txt")
    assert work.read("end.txt") == "kept 7\n"


@pytest.mark.matrix
def test_array_element_continues_and_leaves_the_others_alone(cluster: Cluster, work: Work) -> None:
    work.add_program("count.py")
    command = f"python3 count.py {STEPS} results.$SLURM_ARRAY_TASK_ID $SLURM_ARRAY_TASK_ID"
    job = work.submit("--array=1-3", "--output=out.%a", f"--wrap={command}")
    for number in (1, 2, 3):
        work.wait_for_lines(f"out.{number}", 8)
    image = work.checkpoint(f"{job}_2")["image"]
    assert image["job_id"] == f"{job}_2"
    work.run("scancel", f"{job}_2")
    cluster.wait_for_end(f"{job}_2")
    result = work.restart(f"{job}_2")
    assert result["job_id"] == f"{job}_2"
    for number in (1, 2, 3):
        ended = work.finish(f"{job}_{number}")
        assert (ended.exit_code, ended.restarts) == (f"{number}:0", int(number == 2))
        reference = work.run(
            "python3", "count.py", str(STEPS), "reference", str(number), "0", check=False
        )
        assert work.read(f"out.{number}") == reference.stdout
        assert work.read(f"results.{number}") == work.read("reference")


@pytest.mark.parametrize(
    "name",
    [
        "with blanks",
        "quotes ' \" `touch pwned`",
        "$(touch pwned); *?[a]",
        "new\nline",
        "back\\slash %j",
        "gr\u00fc\u00dfe \u2713",
    ],
    ids=["blanks", "quotes", "shell", "newline", "backslash", "unicode"],
)
def test_directory_with_a_strange_name_continues(cluster: Cluster, work: Work, name: str) -> None:
    work.run("mkdir", name)
    strange = replace(work, path=f"{work.path}/{name}")
    strange.add_program("count.py")
    strange.write("a job.sh", f"#!/bin/bash\n{COUNT}\n", mode="755")
    # Slurm itself replaces % and drops backslashes in --output: a plain place for that
    job = strange.submit(f"--output={work.path}/out.txt", "a job.sh")
    work.run("ln", "-s", "../out.txt", f"{name}/out.txt")
    interrupt_and_check(cluster, strange, job, "out.txt")
    assert work.run("find", ".", "-name", "pwned").stdout == ""
