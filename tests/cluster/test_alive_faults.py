"""A job with ``--checkpoint`` lives on although its node, the controller or the space for its images goes."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from alive_support import LongLived, find_death, save_state, start
from cluster_support import Cluster, Work
from faults_support import CRIU, in_parallel, killed

from syscr.job.remembered import HASTE_SECONDS
from syscr.units import format_time

pytestmark = pytest.mark.timeout(200)

LARGE = 200
"""Megabytes: a dump of it is long enough to be hit."""


def test_job_whose_node_is_killed_loses_one_interval_at_most(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    interval = 3
    patient = start(work, "--time=10", f"--checkpoint=0:0{interval}")
    cluster.wait_for(lambda: len(patient.list_images()) >= 2, "there are two images")
    patient.check_alive(steps=20)  # a second
    (node,) = cluster.job(patient.job_id).nodes
    with killed(cluster, node):
        killed_at = datetime.now(UTC)
        newest = patient.show_images()[-1]
        facts = patient.come_back(1, avoid=node)
        assert facts.nodes != (node,)
    patient.finish()
    first, second = patient.lives()
    assert first["reason"] == "lost"
    assert second["restored_from"] == newest["image_id"]
    lost = killed_at - datetime.fromisoformat(newest["created_at"])
    # one that was being taken is lost, too
    assert lost.total_seconds() < interval + newest["timings"]["total_seconds"] + 1


def test_controller_killed_during_a_checkpoint_costs_nothing(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10", "--checkpoint=0:05", megabytes=LARGE)
    save_state(cluster, patient.job_id)
    with killed(cluster, "slurmctld", patient.kill_controller_in_a_dump):
        died_at = find_death(cluster, "slurmctld")
        cluster.wait_for(
            lambda: any(
                image["created_at"] > format_time(died_at) for image in patient.show_images()
            ),
            "another image is there",
            HASTE_SECONDS + 25,
        )
        patient.check_alive()
    hit = patient.show_images()[-2]
    took = timedelta(seconds=hit["timings"]["total_seconds"])
    began_at = datetime.fromisoformat(hit["created_at"])
    assert began_at < died_at < began_at + took, "the dump was over before the controller was dead"
    facts = cluster.job(patient.job_id)
    assert (facts.state, facts.restarts) == ("RUNNING", 0)
    patient.finish()
    assert patient.reasons() == ["own end"]


# Before and after a requeue it waits for a file.
HELD_SCONTROL = """#!/bin/sh
hold() {{ touch {path}/$1; until [ -e {path}/$2 ]; do sleep 0.05; done; }}
[ "$1" = requeue ] || exec /usr/bin/scontrol "$@"
hold asked armed
/usr/bin/scontrol "$@"
status=$?
hold requeued go
exit $status
"""


def start_held(work: Work) -> LongLived:
    """Start a job whose agent has that ``scontrol``."""
    work.run("mkdir", "bin")
    work.write("bin/scontrol", HELD_SCONTROL.format(path=work.path), mode="755")
    work.settings["PATH"] = f"{work.path}/bin:/usr/local/bin:/usr/bin:/bin"
    patient = start(work, "--time=10")
    del work.settings["PATH"]
    return patient


def wait_for_file(work: Work, name: str) -> None:
    work.cluster.wait_for(
        lambda: work.run("test", "-e", name, check=False).exit_code == 0, f"there is '{name}'"
    )


def test_controller_killed_during_a_requeue_puts_it_off(cluster: Cluster, work: Work) -> None:
    """It is dead when the last image is there; the program goes on, and is requeued when Slurm answers."""
    work.backend = CRIU
    work.settings["SYSCR_SLURM_TIMEOUT"] = "8"
    patient = start_held(work)
    patient.reach_limit(16)
    wait_for_file(work, "asked")
    work.run("touch", "go")
    save_state(cluster, patient.job_id)
    with killed(cluster, "slurmctld"):
        work.run("touch", "armed")
        cluster.wait_for(lambda: "no last image" in patient.read_log(), "the requeue has failed")
        patient.check_alive()
    patient.come_back(1)
    patient.finish()
    assert patient.reasons() == ["time limit", "own end"]


def test_requeue_that_a_killed_controller_forgets_is_not_taken_for_the_end(
    cluster: Cluster, work: Work
) -> None:
    """It writes down what has happened every 5 s; what the job ended with reaches the next one."""
    work.backend = CRIU
    patient = start_held(work)
    patient.reach_limit()
    wait_for_file(work, "asked")
    save_state(cluster, patient.job_id)
    work.run("touch", "armed")
    wait_for_file(work, "requeued")
    with killed(cluster, "slurmctld"):
        work.run("touch", "go")
        end = f"{work.images}/{patient.job_id}.ckpt/run/{patient.job_id}.0.0/end"
        cluster.wait_for(lambda: work.read(end), "the program has ended")
    facts = cluster.wait_for_end(patient.job_id)
    assert (facts.state, facts.exit_code) == ("FAILED", "75:0")
    work.restart(patient.job_id)
    patient.finish()
    assert patient.reasons() == ["time limit", "own end"]


def test_scancel_during_a_checkpoint_of_the_agent_ends_the_job(
    cluster: Cluster, work: Work
) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10", "--checkpoint=0:05", megabytes=LARGE)
    patient.wait_for_dump()
    work.run("scancel", patient.job_id)
    facts = cluster.wait_for_end(patient.job_id)
    assert (facts.state, facts.restarts) == ("CANCELLED", 0)
    # nobody can write it down where the dump outlasts KillWait
    assert patient.reasons() in (["user"], [None])
    assert len(patient.list_images()) <= 1


def test_full_disk_costs_images_only(cluster: Cluster, work: Work, small: str) -> None:
    work.backend, work.node, work.checkpoint_dir = CRIU, "c1", f"{small}/images"
    cluster.run("root", "c1", ["mount", "-o", "remount,size=300m", small], check=True)
    patient = start(work, "--time=10", "--checkpoint=0:02", "--nodelist=c1")
    cluster.wait_for(patient.list_images, "there is an image")
    fill = 'head -c $(($(stat -f -c "%a * %S" "$0") - $1)) /dev/zero >>"$0/ballast"'
    work.run("sh", "-c", fill, small, str(1 << 20))
    cluster.wait_for(lambda: "space" in (patient.lives()[-1]["note"] or ""), "it is said")
    work.run("sh", "-c", fill, small, "0", check=False)  # now nothing can be written down, either
    patient.check_alive()
    before = patient.list_images()  # the newest one is verified
    assert before
    work.run("rm", f"{small}/ballast")
    cluster.wait_for(lambda: patient.list_images()[-1] != before[-1], "there is a new image")
    assert not patient.lives()[-1]["note"]
    work.run("scontrol", "requeue", patient.job_id)
    patient.come_back(1)
    patient.finish()
    assert patient.reasons() == ["requeue", "own end"]


@pytest.mark.parametrize("cause", ["time limit", "requeue"])
def test_drain_and_another_cause_at_once_are_one_stop(
    cluster: Cluster, work: Work, cause: str
) -> None:
    work.backend = CRIU
    work.settings["SYSCR_AGENT_ON_DRAIN"] = "requeue"
    patient = start(work, "--time=10")
    (node,) = cluster.job(patient.job_id).nodes
    acts = {
        "time limit": lambda: patient.reach_limit(1),
        "requeue": lambda: work.run("scontrol", "requeue", patient.job_id),
    }
    drain = ExitStack()
    with drain:
        in_parallel(acts[cause], lambda: drain.enter_context(cluster.drained(node)))
        assert patient.come_back(1).nodes != (node,)
    patient.finish()
    assert patient.reasons() in (["drain", "own end"], [cause, "own end"])


def test_preemption_and_a_checkpoint_on_demand_at_once(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    patient = start(work, "--time=10", megabytes=50)
    in_parallel(patient.preempt, lambda: patient.checkpoint(check=False))
    patient.come_back(1)
    patient.finish()
    assert patient.reasons() == ["preemption", "own end"]
