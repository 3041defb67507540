"""The page on checkpoints that users of Slurm up to 18.08 learned the options from, form by form.

Each form that the page names stands in ``SHOWN``, with the test that does it on this cluster: through
Slurm's own srun and sbatch with the SPANK plugin, and through the shim of scontrol. Here are the tests of
what no other file shows. Where syscr differs from the page the difference is named in ``DIFFERENT``, and has
a row in docs/reference/compatibility.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cluster_support import REPOSITORY, Cluster, Work
from test_spank import Plugin, plugin, sbatch, srun

__all__ = ["plugin"]  # the fixture
pytestmark = pytest.mark.matrix

PAGE = "test_documented_forms"
# form -> file and test
SHOWN = {
    "srun --checkpoint: not given, none is taken": "test_spank.test_job_that_asks_for_nothing_is_as_without_the_plugin",
    "srun --checkpoint=minutes": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "srun --checkpoint=minutes:seconds": f"{PAGE}.test_step_takes_checkpoints_and_goes_on_by_variable",
    "srun --checkpoint=hours:minutes:seconds": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "srun --checkpoint=days-hours": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "srun --checkpoint=days-hours:minutes": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "srun --checkpoint=days-hours:minutes:seconds": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "srun --checkpoint-dir": f"{PAGE}.test_step_takes_checkpoints_and_goes_on_by_variable",
    "srun: JOB.STEP.ckpt": f"{PAGE}.test_step_takes_checkpoints_and_goes_on_by_variable",
    "srun --restart-dir": "test_spank.test_step_goes_on_from_restart_dir",
    "srun: SLURM_CHECKPOINT": "test_spank.test_step_asks_by_each_option_and_each_variable",
    "srun: SLURM_CHECKPOINT_DIR": "test_spank.test_step_asks_by_each_option_and_each_variable",
    "srun: SLURM_RESTART_DIR": f"{PAGE}.test_step_takes_checkpoints_and_goes_on_by_variable",
    "sbatch --checkpoint: not given, none is taken": "test_spank.test_job_that_asks_for_nothing_is_as_without_the_plugin",
    "sbatch --checkpoint=minutes": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "sbatch --checkpoint=minutes:seconds": f"{PAGE}.test_job_takes_checkpoints_as_often_as_it_can",
    "sbatch --checkpoint=hours:minutes:seconds": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "sbatch --checkpoint=days-hours": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "sbatch --checkpoint=days-hours:minutes": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "sbatch --checkpoint=days-hours:minutes:seconds": f"{PAGE}.test_interval_reaches_syscr_in_each_form",
    "sbatch --checkpoint-dir": "test_spank.test_job_goes_on_where_it_was",
    "sbatch: JOB.ckpt": f"{PAGE}.test_job_takes_checkpoints_as_often_as_it_can",
    "sbatch: SLURM_CHECKPOINT": f"{PAGE}.test_job_takes_checkpoints_as_often_as_it_can",
    "sbatch: SLURM_CHECKPOINT_DIR": f"{PAGE}.test_job_takes_checkpoints_as_often_as_it_can",
    "scontrol checkpoint create JOB, a batch job": "test_spank.test_script_of_2018_survives_scancel",
    "scontrol checkpoint create JOB, all of its steps": f"{PAGE}.test_create_means_the_steps_or_one_of_them",
    "scontrol checkpoint create JOB.STEP": f"{PAGE}.test_create_means_the_steps_or_one_of_them",
    "scontrol checkpoint create ImageDir=": f"{PAGE}.test_create_means_the_steps_or_one_of_them",
    "scontrol checkpoint create MaxWait=": "test_scontrol_surface.test_able_says_since_when_while_a_checkpoint_goes_on",
    "scontrol checkpoint restart JOB": "test_spank.test_script_of_2018_survives_scancel",
    "scontrol checkpoint restart ImageDir=": f"{PAGE}.test_job_comes_back_from_another_directory_on_its_node",
    "scontrol checkpoint restart StickToNodes": f"{PAGE}.test_job_comes_back_from_another_directory_on_its_node",
}
# form -> row of docs/reference/compatibility.md
DIFFERENT = {
    "srun, sbatch --checkpoint-dir: not given, the working directory": "default-dir",
    "srun: SLURM_SRUN_CR_SOCKET": "srun-cr",
    "sbatch: JOB.STEP.ckpt of the job's steps": "script-and-steps",
    "scontrol checkpoint create JOB: script and steps in one": "script-and-steps",
}
FORMS = {
    "7": 420,
    "7:05": 425,
    "1:02:03": 3723,
    "2-03": 183_600,
    "2-03:04": 183_840,
    "2-03:04:05": 183_845,
}
PROBE = '#!/bin/sh\nfor word; do [ "$last" = --interval ] && echo "$word"; last=$word; done\n'


@pytest.fixture
def shim(work: Work) -> dict[str, str]:
    """Return an environment in which ``scontrol`` is the shim."""
    work.run("syscr", "scontrol", "--install-shim", f"{work.path}/bin")
    return {"PATH": f"{work.path}/bin:/usr/local/bin:/usr/bin:/bin"}


def list_images(work: Work, folder: str) -> list[dict[str, Any]]:
    """Return the images in one checkpoint directory; none where it is not there yet."""
    answer = work.syscr("image", "list", f"--image-dir={work.path}/{folder}", check=False)
    return [dict(image) for image in answer.data["images"]] if answer.exit_code == 0 else []


def read_results(work: Work, name: str = "results.txt") -> list[str]:
    return [line.split()[0] for line in work.read(name).splitlines()]


def count_to(last: int) -> list[str]:
    return [str(number) for number in range(1, last + 1)]


def test_each_form_of_the_page_has_its_test_or_its_row() -> None:
    for place in SHOWN.values():
        file, _, name = place.partition(".")
        source = Path(__file__).with_name(f"{file}.py").read_text()
        assert re.search(rf"^def {name}\(", source, re.MULTILINE), place
    rows = (REPOSITORY / "docs" / "reference" / "compatibility.md").read_text()
    for row in DIFFERENT.values():
        assert f"\n| {row} |" in rows, row


@pytest.mark.parametrize("tool", ["srun", "sbatch"])
def test_interval_reaches_syscr_in_each_form(work: Work, plugin: Plugin, tool: str) -> None:
    """Seen by a program in syscr's place, since nobody waits for two days."""
    probe = work.write("probe", PROBE, mode="755")
    with plugin.changed(f"optional {plugin.line.split()[1]} syscr={probe}", "c1"):
        if tool == "srun":
            found = [srun(work, "-w", "c1", f"--checkpoint={form}", "true") for form in FORMS]
        else:
            for position, form in enumerate(FORMS):
                script = f"#!/bin/sh\n#SBATCH --checkpoint={form}\n"
                sbatch(work, "-w", "c1", f"--output={position}.out", stdin=script)
            for position in range(len(FORMS)):
                work.wait_for_lines(f"{position}.out", 1)
            texts = [work.read(f"{position}.out") for position in range(len(FORMS))]
            found = [text[: text.index("\n") + 1] for text in texts]  # then: it is no whole syscr
    assert found == [f"{seconds}\n" for seconds in FORMS.values()]


def test_step_takes_checkpoints_and_goes_on_by_variable(
    cluster: Cluster, work: Work, plugin: Plugin
) -> None:
    work.add_program("count.py")
    step = "srun --checkpoint=0:02 --checkpoint-dir=ours python3 count.py 60 results.txt"
    job = sbatch(work, "-o", "out.txt", stdin=f"#!/bin/sh\n{step}\n")
    cluster.wait_for(lambda: list_images(work, "ours"), "the step has taken a checkpoint")
    work.cancel(job)
    assert work.run("ls", "ours").stdout == f"{job}.0.ckpt\n"
    assert {(image["step"], *image["tags"]) for image in list_images(work, "ours")} == {
        ("0", "periodic")
    }
    done = work.count_lines("results.txt")
    work.run("touch", "finish")
    variables = {"SLURM_RESTART_DIR": f"{work.path}/ours/{job}.0.ckpt", "SLURM_CHECKPOINT": "0"}
    output = srun(work, "true", **variables)
    assert read_results(work) == count_to(60)
    first = int(output.split()[1])
    assert 1 < first <= done + 1, "it went on, and did not begin"


def test_job_takes_checkpoints_as_often_as_it_can(
    cluster: Cluster, work: Work, plugin: Plugin, shim: dict[str, str]
) -> None:
    """By the variables of the page; a second is less than what makes sense, and does no harm."""
    work.add_program("count.py")
    work.write("job.sh", "#!/bin/sh\nexec python3 count.py 60 results.txt 7\n")
    variables = {"SLURM_CHECKPOINT": "0:01", "SLURM_CHECKPOINT_DIR": f"{work.path}/ours"}
    job = sbatch(work, "-o", "out.txt", "job.sh", env=variables)

    def newest() -> str:
        return max((str(image["image_id"]) for image in list_images(work, "ours")), default="")

    first = cluster.wait_for(newest, "it has taken a checkpoint")
    cluster.wait_for(lambda: newest() > first, "it has taken another one")
    assert work.run("ls", "ours").stdout == f"{job}.ckpt\n"
    assert len(list_images(work, "ours")) <= 3, "older ones go"
    work.cancel(job)
    work.run("touch", "finish")
    assert work.run("scontrol", "checkpoint", "restart", job, env=shim).stderr == ""
    assert cluster.wait_for_end(job).exit_code == "7:0"
    assert read_results(work) == count_to(60)
    # the same variables with `syscr sbatch`: asked for once
    work.write("inner.sh", "#!/bin/sh\npgrep -c syscr-pid1\nexec sleep 60\n")
    work.run("syscr", "sbatch", "-o", "once.txt", "inner.sh", env=variables)
    work.wait_for_lines("once.txt", 1)
    assert work.read("once.txt") == "1\n"


def test_create_means_the_steps_or_one_of_them(
    cluster: Cluster, work: Work, plugin: Plugin, shim: dict[str, str]
) -> None:
    """Of a script that does not ask itself; ImageDir= wins over --checkpoint-dir."""
    steps = [f"srun -n1 --overlap --checkpoint-dir=given sh loop.sh {n} &" for n in "01"]
    work.write("job.sh", "\n".join(["#!/bin/sh", *steps, "wait", ""]))
    work.write("loop.sh", 'while sleep 0.1; do echo $1; done >"loop.$1"\n')
    job = sbatch(work, "-n2", "-o", "out.txt", "job.sh")
    for n in "01":
        work.wait_for_lines(f"loop.{n}", 1)
    for target, folder, names in (
        (f"{job}.1", "one", [f"{job}.1.ckpt"]),
        (job, "all", [f"{job}.0.ckpt", f"{job}.1.ckpt"]),
    ):
        words = ("create", target, f"ImageDir={work.path}/{folder}", "MaxWait=50")
        answer = work.run("scontrol", "checkpoint", *words, env=shim, check=False)
        assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")
        assert sorted(work.run("ls", folder).stdout.split()) == names
    assert cluster.job(job).state == "RUNNING"
    assert list_images(work, "given") == []


def test_job_comes_back_from_another_directory_on_its_node(
    cluster: Cluster, work: Work, plugin: Plugin, shim: dict[str, str]
) -> None:
    work.add_program("count.py")
    work.write("job.sh", "#!/bin/sh\nexec python3 count.py 60 results.txt 7\n")
    job = sbatch(work, "-w", "c3", "-o", "out.txt", "--checkpoint-dir=given", "job.sh")
    work.wait_for_lines("out.txt", 5)
    place = f"ImageDir={work.path}/other"
    for words in (("vacate", job, place), ("restart", job, place, "StickToNodes")):
        if words[0] == "restart":
            cluster.wait_for_end(job)
            work.run("touch", "finish")
        answer = work.run("scontrol", "checkpoint", *words, env=shim, check=False)
        assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")
    facts = cluster.wait_for_end(job)
    assert (facts.exit_code, facts.nodes) == ("7:0", ("c3",))
    assert read_results(work) == count_to(60)
