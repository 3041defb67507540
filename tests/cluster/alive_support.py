"""For tests of jobs that keep themselves alive: such a job, and what is done to it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cluster_support import Cluster, JobFacts, Work
from faults_support import AGENT, Patient, start_patient, wait_until_idle
from times_support import Spent

# A limit comes by ``scontrol update EndTime``, so that no test waits for a minute.
MEGABYTES = 20
DUMPING = 'until set -- "$0"/*/staging/*/data/0/pages*; [ -e "$1" ]; do sleep 0.01; done'
"""Ends when an image is being written in a checkpoint directory."""


@dataclass
class LongLived(Patient):
    """A patient that keeps itself alive."""

    def lives(self) -> list[dict[str, Any]]:
        """Return what ``syscr status`` says of its lives."""
        found: list[dict[str, Any]] = self.status()["lives"]
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.work.syscr("status", self.job_id).data["jobs"][0]
        return found

    def reasons(self) -> list[str | None]:
        """Return why its lives ended, once the last one is written down."""
        return [life["reason"] for life in self.lives()]

    def finish(self) -> None:
        """Let it end, undisturbed as it must seem; and note what became of its time."""
        super().finish()
        self.work.cluster.on_spent(find_spent(self.work, self.job_id, self.work.title))

    def show_images(self) -> list[dict[str, Any]]:
        """Return what ``syscr image list`` says of its images, oldest first."""
        answer = self.work.syscr("image", "list", "--image-dir", self.work.images)
        found: list[dict[str, Any]] = answer.data["images"]
        return found

    def read_log(self, life: int = 0) -> str:
        """Return what the agent of a life has said."""
        return self.work.read(
            f"{self.work.images}/{self.job_id}.ckpt/run/{self.job_id}.{life}.0/agent.log"
        )

    def wait_for_dump(self) -> None:
        """Wait until an image is being written; the first pages are there."""
        self.work.run("sh", "-c", DUMPING, self.work.images, timeout=30)

    def kill_controller_in_a_dump(self) -> None:
        """Kill the controller at the first pages of the next image: by a pipe, since a dump does not wait."""
        cluster = self.work.cluster
        exec_on = ["docker", "exec", "-i", cluster.find_container("login")]
        watch = [*exec_on, "timeout", "30", "sh", "-c", f"{DUMPING}; echo now", self.work.images]
        kill = ["sh", "-c", "read -r word && pkill -KILL -x slurmctld"]
        with subprocess.Popen(watch, stdout=subprocess.PIPE) as watcher:
            argv = [*exec_on[:3], cluster.find_container("slurmctld"), *kill]
            subprocess.run(argv, stdin=watcher.stdout, check=True, timeout=40)

    def reach_limit(self, seconds: int = 5) -> None:
        """Let its time limit come soon; the last image is due some seconds before."""
        self.work.run("scontrol", "update", f"JobId={self.job_id}", f"EndTime=now+{seconds}")

    def preempt(self) -> None:
        """Let a job of the partition that goes before ours take its node for a moment."""
        node = self.work.cluster.job(self.job_id).nodes[0]
        self.work.run(
            *("sbatch", "--partition=high", f"--nodelist={node}", "--exclusive", "--time=1"),
            *("--output=/dev/null", "--wrap=true"),
        )

    def come_back(self, restarts: int, *, avoid: str = "") -> JobFacts:
        """Wait until its program goes on in the next life; Slurm's wait of two minutes is cut short."""
        work, cluster = self.work, self.work.cluster
        cluster.wait_for(lambda: cluster.job(self.job_id).state == "PENDING", "it is in the queue")
        # not in the second in which the last life ended: Slurm would refuse to start it
        excluded = [f"ExcNodeList={avoid}"] if avoid else []
        work.run("scontrol", "update", f"JobId={self.job_id}", "StartTime=now+2", *excluded)
        facts = work.wait_until_running(self.job_id, restarts=restarts)
        ready = f"{work.images}/{self.job_id}.ckpt/run/{self.job_id}.{restarts}.0/ready"
        cluster.wait_for(lambda: work.read(ready), "it is restored")
        self.check_alive()
        return facts

    def outlive_three_stops(self) -> JobFacts:
        """Let it go through its time limit, a preemption and a requeue; returns its fourth life."""
        self.reach_limit()
        self.come_back(1)
        self.preempt()
        self.come_back(2)
        self.work.run("scontrol", "requeue", self.job_id)
        return self.come_back(3)


def start(work: Work, *options: str, megabytes: int = MEGABYTES) -> LongLived:
    """Start a job that keeps itself alive, and wait until its agent knows what Slurm has in mind."""
    work.settings.update(AGENT)
    patient = start_patient(work, "--checkpoint=60", *options, megabytes=megabytes)
    found = LongLived(**{**vars(patient), "others": ("syscr: ", "slurmstepd-")})
    agent = f"{work.images}/{found.job_id}.ckpt/run/{found.job_id}.0.0/agent"
    work.cluster.wait_for(lambda: work.read(agent), "the agent listens")
    return found


def find_spent(work: Work, job_id: str, title: str) -> Spent:
    """Return how the time that Slurm gave a job was spent."""
    status = work.syscr("status", job_id).data["jobs"][0]
    script = (
        'cd "$0" 2>/dev/null && stat -c "%n %.3Y" *.ckpt/run/"$1".*.0/ready 2>/dev/null; '
        'sacct -X -n -P -D -j "$2" -o ElapsedRaw'
    )
    number = str(status["job"]["number"])
    said = work.run("sh", "-c", script, work.images, number, job_id).stdout.splitlines()
    ready = dict(line.split() for line in said if " " in line)
    restored_at = {int(name.split(".")[-2]): float(at) for name, at in ready.items()}
    given = sum(int(line) for line in said if line.isdecimal())
    return Spent.of(title, status, restored_at, float(given))


@contextmanager
def cut_off(cluster: Cluster, node: str) -> Iterator[None]:
    """Take a node off the network; its processes and the shared storage go on."""
    container = cluster.find_container(node)
    network = f"{cluster.name}_default"
    subprocess.run(["docker", "network", "disconnect", network, container], check=True)
    try:
        cluster.run(
            "root", "login", ["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"]
        )
        yield
    finally:
        subprocess.run(
            ["docker", "network", "connect", "--alias", node, network, container], check=True
        )
        cluster.run("root", "login", ["scontrol", "update", f"NodeName={node}", "State=RESUME"])
        wait_until_idle(cluster)


def find_death(cluster: Cluster, service: str) -> datetime:
    """Return when a container ended."""
    argv = ["docker", "inspect", "-f", "{{.State.FinishedAt}}", cluster.find_container(service)]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True)
    return datetime.fromisoformat(answer.stdout.strip())


def save_state(cluster: Cluster, job_id: str) -> None:
    """Wait until the controller has written down what it knows of a job; for 5 s it writes nothing more."""
    word = f"saved-{job_id}-{time.monotonic_ns()}"
    cluster.run(
        "root", "login", ["scontrol", "update", f"JobId={job_id}", f"Comment={word}"], check=True
    )
    grep = ["grep", "-q", word, "/var/spool/slurmctld/job_state"]
    cluster.wait_for(
        lambda: cluster.run("root", "slurmctld", grep).exit_code == 0, "the state is saved"
    )
