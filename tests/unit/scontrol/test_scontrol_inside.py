"""Called by a program of the job that is meant: who waits, who ends the job, and what a copy does."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from core_support import HOME, JOB, KEY, OTHER, task
from scontrol_support import Restarted, Site, next_life

from syscr.errors import CheckpointError, OperationUnsupportedError
from syscr.model import JobState
from syscr.request import CheckpointRequest
from syscr.scontrol import inside as inside_module
from syscr.scontrol.inside import LIFE, REPLY, shell_words
from syscr.scontrol.texts import DONE, Answer
from syscr.selection import decision_name, read_decision

OWN = task(control="a0a0a", started_at="2026-11-24T10:00:00Z")


@pytest.fixture
def inside(site: Site) -> Site:
    """A caller in job 4711, with an image that its agent takes."""
    site.world.add_job(4711, OWN)
    site.own = OWN
    site.answer = site.world.add_image().image_id
    site.world.log.clear()
    return site


def request(site: Site) -> CheckpointRequest:
    found = site.asked[0][1]
    assert isinstance(found, CheckpointRequest)
    return found


def test_create_is_the_agents_work_and_never_srun(inside: Site) -> None:
    assert inside.scontrol("create", "4711", "MaxWait=9", f"ImageDir={HOME}") == DONE
    assert (request(inside).max_wait_seconds, request(inside).image_dir) == (9.0, HOME)
    assert inside.world.names() == []


def test_asking_costs_no_srun_either(inside: Site) -> None:
    assert inside.scontrol("disable", "4711") == DONE
    assert inside.scontrol("able", "4711") == Answer(("No",))
    assert inside.scontrol("enable", "4711") == DONE
    assert inside.scontrol("able", "4711") == Answer(("Yes",))
    assert inside.scontrol("error", "4711") == Answer(("error(0): ",))
    assert "inspect" not in inside.world.names()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "4711"),
        ({"SLURM_JOB_ID": "12"}, "12"),  # a restart in a new job left the script its old variables
        ({"SLURM_ARRAY_JOB_ID": "4700", "SLURM_ARRAY_TASK_ID": "11"}, "4700_11"),
    ],
)
def test_own_job_is_known_by_each_of_its_names(
    inside: Site, environ: dict[str, str], name: str
) -> None:
    inside.environ |= environ
    assert inside.scontrol("create", name) == DONE
    assert request(inside).target.job_id == JOB


def test_other_jobs_and_other_steps_are_not_ours(inside: Site) -> None:
    inside.world.add_job(9, task(number=9))
    assert inside.scontrol("create", "9") == DONE
    assert inside.scontrol("create", "4711.5").exit_code == 1
    assert inside.asked == []


def test_failure_of_the_agent_is_answered_and_kept(inside: Site) -> None:
    inside.answer = CheckpointError("it broke")
    assert inside.scontrol("create", "4711").err == ("scontrol_checkpoint error: it broke",)
    assert inside.scontrol("error", "4711") == Answer(("error(4027): it broke",))
    assert "inspect" not in inside.world.names()


def test_job_without_an_agent_is_not_supported(inside: Site) -> None:
    inside.answer = OperationUnsupportedError("it has no agent")
    answer = inside.scontrol("create", "4711")
    assert answer.err[1] == "syscr: it has no agent"


def test_first_start_becomes_a_shell_that_waits(inside: Site) -> None:
    inside.may_restart = True
    with pytest.raises(Restarted) as caught:
        inside.scontrol("vacate", "4711", "MaxWait=40")
    assert caught.value.arguments == ("/run/reply.1", "1", "77", "500")
    assert caught.value.env[REPLY] == "/run/reply.1"
    inside.environ |= caught.value.env
    assert "still runs" in inside.scontrol("vacate", "4711", "MaxWait=40").err[0]
    assert ("cancel", JOB, None) in inside.world.log
    assert inside.asked[-1] == ("/run/reply.1", 0.0)
    assert len(inside.asked) == 2, "it asked once"


def test_without_namespaces_the_process_waits_itself(inside: Site) -> None:
    inside.may_restart, inside.launcher_pid = True, 4321
    assert inside.scontrol("create", "4711", "MaxWait=40") == DONE
    assert inside.asked[-1] == ("/run/reply.1", 100.0)


def test_vacate_ends_the_job_and_waits_to_be_ended(inside: Site) -> None:
    answer = inside.scontrol("vacate", "4711")
    assert ("cancel", JOB, None) in inside.world.log
    assert "the image is written, but job 4711 still runs" in answer.err[0]


def test_vacate_in_a_restored_copy_does_not_end_the_job_again(inside: Site) -> None:
    inside.after = next_life(OWN)
    assert inside.scontrol("vacate", "4711") == DONE
    assert inside.world.names() == []


def test_second_start_in_a_later_life_does_not_end_the_job_either(inside: Site) -> None:
    inside.may_restart = True
    inside.environ |= {REPLY: "/run/reply.1", LIFE: "4711.0 2026-11-24T10:00:00Z other"}
    assert inside.scontrol("vacate", "4711") == DONE
    assert inside.world.names() == []


def test_vacate_of_a_step_ends_the_step(inside: Site) -> None:
    inside.own = task(step="0")
    inside.scontrol("vacate", "4711.0")
    assert ("cancel", JOB, "0") in inside.world.log


def test_requeue_lets_the_next_life_find_its_image(inside: Site) -> None:
    inside.scontrol("requeue", "4711")
    assert ("requeue", JOB, False) in inside.world.log
    assert inside.world.scheduler.get_job(JOB).state is JobState.PENDING
    assert inside.world.home.read_record(KEY, decision_name(4711, 1)) is None


def test_requeue_with_another_directory_writes_down_where_the_image_is(inside: Site) -> None:
    image = inside.world.add_image(directory=OTHER)
    inside.answer = image.image_id
    inside.scontrol("requeue", "4711", f"ImageDir={OTHER}")
    record = inside.world.home.read_record(KEY, decision_name(4711, 1))
    assert record is not None
    assert read_decision(record) == (image.image_id, OTHER)


def test_requeue_in_a_restored_copy_does_nothing(inside: Site) -> None:
    inside.after = next_life(OWN)
    assert inside.scontrol("requeue", "4711") == DONE
    assert inside.world.names() == []


def wait_in_shell(reply: Path, pid: int, born: str, tries: int = 100) -> subprocess.Popen[bytes]:
    script = inside_module._WAIT.format(seconds=0.02)
    words = shell_words(script, (str(reply), str(pid), born, str(tries)), ("/bin/echo", "again"))
    return subprocess.Popen(words, stdout=subprocess.PIPE)


def birth(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_shell_runs_the_command_again_when_there_is_an_answer(tmp_path: Path) -> None:
    reply = tmp_path / "a reply"
    shell = wait_in_shell(reply, os.getpid(), birth(os.getpid()))
    time.sleep(0.1)
    assert shell.poll() is None
    reply.write_text("{}")
    assert shell.communicate(timeout=5)[0] == b"again\n"


def test_shell_gives_up_and_lets_the_command_say_so(tmp_path: Path) -> None:
    shell = wait_in_shell(tmp_path / "none", os.getpid(), birth(os.getpid()), tries=3)
    assert shell.communicate(timeout=5)[0] == b"again\n"


@pytest.mark.parametrize("pid", [os.getpid(), 4_000_000], ids=["lives", "gone"])
def test_shell_ends_well_in_a_life_that_began_later(tmp_path: Path, pid: int) -> None:
    """Another process has the launcher's number, or none has it."""
    (tmp_path / "reply").write_text("{}")
    shell = wait_in_shell(tmp_path / "reply", pid, "1")
    assert shell.communicate(timeout=5)[0] == b""
    assert shell.returncode == 0
