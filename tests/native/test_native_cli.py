"""Whole ways through the command line on an old Slurm: checkpoint, vacate, requeue, restart, and each fault."""

from __future__ import annotations

import json

import pytest
from native_support import Site


def fail(site: Site, *words: str, exit_code: int, **variables: str) -> dict[str, object]:
    """Run a command that must fail; return its error."""
    done = site.run("--json", *words, **variables)
    assert done.returncode == exit_code, done.stdout + done.stderr
    error: dict[str, object] = json.loads(done.stderr.strip().splitlines()[-1])
    return error.get("error", error)  # type: ignore[return-value]


def test_checkpoint_returns_when_the_image_is_published(site: Site) -> None:
    site.add_job(2)
    done = site.run("-q", "checkpoint", "2")
    (image,) = site.images()
    assert (done.returncode, done.stdout) == (0, f"{image.name}\n")
    assert site.files(image) == ["data/2/script.ckpt"]
    manifest = json.loads((image / "manifest.json").read_text())
    assert (manifest["backend"], manifest["tool_version"]) == (
        "native",
        f"checkpoint/blcr of Slurm {manifest['slurm_version']}",
    )
    job = site.job(2)
    assert job is not None
    assert job["state"] == "RUNNING"
    assert site.run("image", "verify", image.name).returncode == 0


def test_two_checkpoints_in_one_second_are_two_images(old: Site) -> None:
    old.set(dump_seconds=0.05)
    old.add_job(2)
    for _ in range(2):
        assert old.run("checkpoint", "2").returncode == 0
    first, second = old.images()
    assert (first / "data/2/script.ckpt").read_text() != (second / "data/2/script.ckpt").read_text()
    assert not list(old.store.glob("*.ckpt/staging/*"))


def test_vacate_ends_the_job_and_restart_waits_until_slurm_forgets_it(site: Site) -> None:
    site.set(purge_seconds=1e6, refusals=2)
    site.add_job(2)
    vacated = site.read("vacate", "2")
    assert vacated["job_state"] == "ended"
    job = site.job(2)
    assert job is not None
    assert job["state"] in {"COMPLETING", "CANCELLED"}
    result = site.read("restart", "2")
    assert (result["method"], result["job_id"], result["job_state"]) == ("native", "2", "running")
    (image,) = site.images()
    restarts = [words for words in site.asked() if words[0] == "restart"]
    assert len(restarts) == 3  # "Duplicate job id" twice, until the record was purged
    assert set(map(tuple, restarts)) == {("restart", "2", f"ImageDir={image / 'data'}")}


def test_requeue_brings_the_job_back_under_its_number(old: Site) -> None:
    old.add_job(2)
    result = old.read("requeue", "2")
    assert result["job_state"] == "requeued"
    job = old.job(2)
    assert job is not None
    assert job["state"] == "RUNNING"
    operations = {words[0] for words in old.asked()}
    assert operations == {"able", "create", "error", "restart"}  # never Slurm's own requeue


def test_restart_on_the_same_nodes_says_so_to_slurm(old: Site) -> None:
    old.add_job(2)
    old.read("vacate", "2")
    old.set(busy_nodes=True)
    result = old.read("restart", "2", "--stick-to-nodes", "--wait", "1")
    assert result["job_state"] == "pending"
    assert "Resources" in result["warnings"][0]
    assert old.asked()[-1][-1] == "StickToNodes"


def test_failed_dump_is_told_and_nothing_is_published(old: Site) -> None:
    old.add_job(2)
    old.set(fail=[4027])
    error = fail(old, "vacate", "2", exit_code=30)
    assert "Slurm says error(4027): Job step not running; the job is still running" in str(
        error["message"]
    )
    assert not old.images()
    job = old.job(2)
    assert job is not None
    assert job["state"] == "RUNNING"
    assert old.run("checkpoint", "2").returncode == 0


def test_step_is_dumped_whole_and_comes_back_where_slurm_can(site: Site) -> None:
    site.add_job(2, batch=False, steps={"0": 2}, nodes=["n1", "n2"])
    result = site.read("checkpoint", "2")
    (image,) = site.images()
    assert site.files(image) == ["data/2.0/task.0.ckpt", "data/2.0/task.1.ckpt"]
    can_restart = "18.08" in json.loads((image / "manifest.json").read_text())["slurm_version"]
    codes = [finding["code"] for finding in result["findings"]]
    assert codes == ([] if can_restart else ["step_not_restartable"])
    site.read("vacate", "2")
    if can_restart:
        back = site.read("restart", "2.0")
        assert (back["method"], back["job_id"]) == ("submit", "100")
    else:
        error = fail(site, "restart", "2.0", exit_code=23)
        assert "has no --restart-dir" in str(error["message"])


def test_array_task_is_named_by_its_own_number_to_slurm(old: Site) -> None:
    old.add_job(14, array="13_0")
    result = old.read("checkpoint", "13_0")
    assert result["image"]["job_id"] == "13_0"
    assert {words[1] for words in old.asked()} == {"14"}


def test_restart_that_fails_at_once_is_an_error(old: Site) -> None:
    old.add_job(2)
    old.read("vacate", "2")
    old.set(blind=True)
    error = fail(old, "restart", "2", exit_code=40)
    assert "it was started and ended at once (FAILED)" in str(error["message"])


def test_restart_that_may_not_wait_says_when_it_can(old: Site) -> None:
    old.set(min_job_age=300, purge_seconds=300)
    old.add_job(2)
    old.read("vacate", "2")
    error = fail(old, "restart", "2", "--wait", "0", exit_code=41)
    assert "nothing was started" in str(error["message"])
    assert "MinJobAge=300 s" in str(error["hint"])


def test_altered_image_is_never_offered(old: Site) -> None:
    old.add_job(2)
    old.read("checkpoint", "2")
    old.read("vacate", "2")
    first, second = old.images()
    (second / "data/2/script.ckpt").write_text("image of 2 at 1234567890.123456\n")
    result = old.read("restart", "2")
    assert result["image"]["image_id"] == first.name
    assert result["skipped"][0]["image_id"] == second.name


def test_controller_that_is_down_is_not_an_unknown_job(old: Site) -> None:
    old.add_job(2)
    old.set(down=True)
    assert fail(old, "checkpoint", "2", exit_code=10)["transient"] is True


def test_plugin_none_is_no_native_backend(old: Site) -> None:
    old.set(plugin="checkpoint/none")
    old.add_job(2)
    done = old.run("doctor")
    assert "native: does not work" in done.stdout
    assert "configured with CheckpointType=checkpoint/none" in done.stdout


def test_doctor_shows_what_slurm_can_do(site: Site) -> None:
    done = site.run("doctor")
    assert "native checkpoint/blcr of Slurm" in done.stdout
    assert ("without restart of steps" in done.stdout) == ("19.05" in done.stdout)


def test_status_says_that_a_checkpoint_is_possible(old: Site) -> None:
    old.add_job(2)
    assert "possible (1 task of step batch, native)" in old.run("status", "2").stdout
    assert "possible" in old.run("status").stdout  # all of one's own, by a squeue without --me


def test_old_command_of_a_job_that_is_slurms_is_answered_by_slurm(site: Site) -> None:
    site.add_job(2)
    done = site.run("scontrol", "checkpoint", "able", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Yes\n", "")
    folder = site.folder / "mine"
    create = ("scontrol", "checkpoint", "create", "2", "MaxWait=5", f"ImageDir={folder}")
    assert site.run(*create).returncode == 0  # accepted, as ever: nothing is there yet
    assert site.asked()[-1] == list(create[2:])
    assert not site.images()
    done = site.run("scontrol", "-Q", "checkpoint", "vacate", "99")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_old_command_is_slurms_too_where_its_plugin_can_do_nothing(site: Site) -> None:
    site.set(plugin="checkpoint/none")
    site.add_job(2)
    done = site.run("scontrol", "checkpoint", "create", "2", f"ImageDir={site.folder}", "MaxWait=5")
    text = "scontrol_checkpoint error: Requested operation not supported on this system\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", text)
    assert [words[0] for words in site.asked()] == ["create"]


def test_checkpoint_that_is_killed_leaves_the_job_and_the_next_one_well(old: Site) -> None:
    old.set(dump_seconds=1)
    old.add_job(2)
    killed = old.start("checkpoint", "2")
    try:
        old.wait_for(lambda: "create" in {words[0] for words in old.asked()})
    finally:
        killed.kill()
        killed.wait()
    old.wait_for(
        lambda: old.run("checkpoint", "2").returncode == 0
    )  # Slurm's dump goes on till its end
    (image,) = old.images()
    assert old.run("image", "verify", image.name).returncode == 0
    assert not list(old.store.glob("*.ckpt/staging/*"))
    job = old.job(2)
    assert job is not None
    assert job["state"] == "RUNNING"


def test_submission_is_left_to_slurm_where_slurm_itself_checkpoints(site: Site) -> None:
    script = site.folder / "job.sh"
    script.write_text("#!/bin/sh\n./count\n")
    done = site.run("sbatch", "--checkpoint=1", "-n2", str(script), "--backend=x")
    assert (done.returncode, done.stdout) == (0, "Submitted batch job 100\n")
    assert "left to Slurm's own sbatch and checkpoint/blcr" in done.stderr
    assert site.ran("sbatch") == [["--checkpoint=1", "-n2", str(script), "--backend=x"]]
    site.wait_for(lambda: (site.job(100) or {}).get("state") == "RUNNING")
    assert site.read("checkpoint", "100")["image"]["job_id"] == "100"  # it is one of Slurm's


def test_directory_options_go_to_slurm_and_its_answer_is_the_answer(site: Site) -> None:
    words = ["--checkpoint=1", f"--checkpoint-dir={site.store}", "--", "hostname"]
    done = site.run("srun", "--backend=auto", *words)
    assert site.ran("srun") == [words]
    if site.version.startswith("18"):
        assert (done.returncode, done.stdout) == (0, "n1\n")
    else:
        assert (done.returncode, done.stdout) == (255, "")
        assert "unrecognized option '--checkpoint-dir=" in done.stderr


@pytest.mark.parametrize("word", ["--total-time=60", "--on-bad-image=fail", "--checkpoint=auto"])
def test_what_slurm_never_had_is_refused_and_nothing_is_submitted(old: Site, word: str) -> None:
    error = fail(old, "sbatch", word, "--wrap=true", exit_code=23)
    assert f"cannot sbatch with {word.partition('=')[0]}" in str(error["message"])
    assert not old.ran("sbatch")


@pytest.mark.parametrize("how", ["option", "setting", "switched off", "no plugin"])
def test_submission_stays_with_syscr_where_it_is_told_so(old: Site, how: str) -> None:
    variables = {}
    if how == "setting":
        variables["SYSCR_BACKEND"] = "dmtcp"
    if how == "switched off":
        variables["SYSCR_NATIVE__USE"] = "never"
    if how == "no plugin":
        old.set(plugin="checkpoint/none")
    own = ["--backend=criu"] if how == "option" else []
    done = old.run("sbatch", *own, "--wrap=true", **variables)
    assert done.returncode == 0, done.stderr
    (words,) = old.ran("sbatch")
    assert "--open-mode=append" in words  # that of syscr's wrapper


def test_job_that_is_cancelled_during_its_dump_is_not_said_to_run(site: Site) -> None:
    site.set(dump_seconds=30, ending_seconds=60)
    site.add_job(2)
    vacate = site.start("vacate", "2", log=True)
    site.wait_for(lambda: "create" in {words[0] for words in site.asked()})
    with site.slurm() as slurm:
        slurm.answer(["scancel", "2"])
    _, text = vacate.communicate(timeout=60)
    assert vacate.returncode == 12
    assert b"cannot checkpoint 2.batch: Job/step already completing or completed;" in text
    assert b"the job is COMPLETING" in text
    assert not site.images()


def test_vacated_step_comes_back_while_its_allocation_lives(old: Site) -> None:
    old.add_job(2, batch=False, steps={"0": 2, "1": 1}, nodes=["n1", "n2"])
    old.read("checkpoint", "2.0")
    assert "two live copies" in str(fail(old, "restart", "2.0", exit_code=12)["message"])
    old.read("vacate", "2.0")
    back = old.read("restart", "2.0")
    assert (back["method"], back["job_state"]) == ("submit", "running")


def test_good_dump_that_the_plugin_calls_failed_is_ordered_again(old: Site) -> None:
    old.set(mistaken=[True])
    old.add_job(2)
    assert old.run("checkpoint", "2").returncode == 0
    (image,) = old.images()
    assert old.files(image) == ["data/2/script.ckpt"]
    assert old.run("image", "verify", image.name).returncode == 0
    assert [words[0] for words in old.asked()].count("create") == 3  # two that are called good
