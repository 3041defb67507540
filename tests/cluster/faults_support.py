"""For tests that break things: a job whose end tells whether it came to harm, and what to break it with."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cluster_support import NODES, Backend, Cluster, Result, Work

CRIU = Backend("criu", "criu")
EXIT_CODE = 5
AGENT = {"SYSCR_AGENT_POLL": "1", "SYSCR_AGENT_FENCE": "1"}
"""Settings of jobs whose agents look often."""


@dataclass
class Patient:
    """A job with much memory that runs until ``finish``.

    Attributes:
        work: Where it lives.
        job_id: Its id.
        megabytes: Its memory.
        name: Name of its files.
        results: Its file of results; empty: named as the others.
        others: What lines in its output begin with that are not its own.
    """

    work: Work
    job_id: str
    megabytes: int
    name: str
    results: str = ""
    others: tuple[str, ...] = ("syscr: ",)

    @property
    def output(self) -> str:
        """Return the name of its standard output."""
        return f"{self.name}.out"

    def check_alive(self, within: float = 20, steps: int = 3) -> None:
        """Wait until it has made some more steps."""
        count = self.work.count_lines(self.output)
        self.work.wait_for_lines(self.output, count + steps, within)

    def checkpoint(self, *options: str, check: bool = True) -> Result:
        """Run ``syscr checkpoint`` on it."""
        return self.work.syscr("checkpoint", *options, self.job_id, check=check)

    def list_images(self) -> list[str]:
        """Return the ids of its images, oldest first; the newest verifies."""
        answer = self.work.syscr("image", "list", "--image-dir", self.work.images)
        ids = [image["image_id"] for image in answer.data["images"]]
        if ids:
            self.work.syscr("image", "verify", "--image-dir", self.work.images, ids[-1])
        return ids

    def list_leftovers(self) -> list[str]:
        """Return what lies in staging and locks."""
        script = 'for d in "$0"/*.ckpt/staging "$0"/*.ckpt/locks; do ls -A "$d"; done'
        return self.work.run("sh", "-c", script, self.work.images, check=False).stdout.split()

    def finish(self) -> None:
        """Let it end; its output and exit code must be those of a run that nobody has disturbed."""
        work = self.work
        work.run("touch", f"{self.name}.stop")
        facts = work.cluster.wait_for_end(self.job_id)
        output, results = work.read(self.output), work.read(self.results or f"{self.name}.txt")
        steps = results.count("\n") - 1
        expected = work.run(
            *("python3", "big.py", str(steps), "expected.txt", str(self.megabytes)),
            *(str(EXIT_CODE), "0"),
            check=False,
            timeout=200,
        )
        own = [line for line in output.splitlines() if line.startswith(self.others)]
        rest = "".join(f"{line}\n" for line in output.splitlines() if line not in own)
        assert rest == expected.stdout, f"output differs after {steps} steps; others: {own}"
        assert results == work.read("expected.txt"), "results differ"
        assert (facts.state, facts.exit_code) == ("FAILED", f"{EXIT_CODE}:0")


def start_patient(
    work: Work, *options: str, megabytes: int = 100, name: str = "big", pace: float = 0.05
) -> Patient:
    """Start a job and wait until it is in its stride."""
    program = work.add_program("big.py")
    script = work.write(
        f"{name}.sh",
        f"#!/bin/bash\n#SBATCH --output={work.path}/{name}.out\n"
        f"exec python3 {program} {work.path}/{name}.stop {work.path}/{name}.txt {megabytes} "
        f"{EXIT_CODE} {pace}\n",
    )
    patient = Patient(work, work.submit(*options, script), megabytes, name)
    work.wait_until_running(patient.job_id)
    work.wait_for_lines(patient.output, 2)
    return patient


def try_to_kill_when(patient: Patient, stage: str, *what: str, node: str = "login") -> bool:
    """Like ``kill_when``, but a stage that was over before it could be seen is no failure."""
    return bool(_kill_when(patient, stage, *what, node=node)["hit"])


def kill_when(patient: Patient, stage: str, *what: str, node: str = "login") -> dict[str, Any]:
    """Kill a command of ours, or a process on a node, at a stage of a checkpoint (``kill_when.py``)."""
    found = _kill_when(patient, stage, *what, node=node)
    assert found["hit"], f"stage '{stage}' was not seen: {found}"
    return found


def _kill_when(patient: Patient, stage: str, *what: str, node: str) -> dict[str, Any]:
    work = patient.work
    program, folder = work.add_program("kill_when.py"), f"{work.images}/{patient.job_id}"
    answer = work.run("python3", program, folder, stage, *what, node=node, timeout=90)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def in_parallel(*acts: Callable[[], object]) -> None:
    """Do several things at the same time; the first failure is raised."""
    failures: list[BaseException] = []

    def guarded(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it is raised below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Do something in the background while the block runs."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it is raised below, in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def paused(cluster: Cluster, service: str) -> Iterator[None]:
    """Let a container stand still, as a machine does that hangs."""
    argv = ["docker", "ps", "-q", "-f", f"label=com.docker.compose.project={cluster.name}"]
    argv += ["-f", f"label=com.docker.compose.service={service}"]
    container = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["docker", "pause", container], capture_output=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", container], capture_output=True, check=True)


@contextmanager
def killed(
    cluster: Cluster, service: str, kill: Callable[[], object] | None = None
) -> Iterator[None]:
    """Kill a container, as a machine goes whose power fails; afterwards it is there again, and healthy.

    Args:
        cluster: The cluster.
        service: What is killed.
        kill: Another way to kill it; None: as it is, now.
    """
    container = cluster.find_container(service)
    set_node = ["scontrol", "update", f"NodeName={service}"]
    if kill is None:
        subprocess.run(["docker", "kill", container], capture_output=True, check=True)
    else:
        kill()
        subprocess.run(["docker", "wait", container], capture_output=True, check=True, timeout=30)
    try:
        if service in NODES:  # Slurm itself would wait for SlurmdTimeout
            cluster.run("root", "login", [*set_node, "State=DOWN", "Reason=test"])
        yield
    finally:
        subprocess.run(["docker", "start", container], capture_output=True, check=True)
        if service in NODES:
            is_up = lambda: cluster.run("root", service, ["pgrep", "-x", "slurmd"]).stdout  # noqa: E731
            cluster.wait_for(is_up, f"slurmd of {service} is up")
            cluster.run("root", "login", [*set_node, "State=RESUME"])
        wait_until_idle(cluster)


def wait_until_idle(cluster: Cluster) -> None:
    """Wait until the controller answers and every node is there."""

    def answers() -> bool:
        ping = cluster.run("root", "login", ["scontrol", "ping"]).stdout
        nodes = cluster.run("root", "login", ["sinfo", "-hN", "-p", "debug", "-o", "%T"]).stdout
        return "is UP" in ping and not {"down", "down*", "idle*", "mixed*"} & set(nodes.split())

    cluster.wait_for(answers, "the cluster is whole again", 90)


def find_processes(cluster: Cluster, nodes: Sequence[str], user: str = "alice") -> list[str]:
    """Return the processes of a user's jobs on nodes: name of the job, then command."""
    script = (
        'for p in $(pgrep -u "$0"); do tr "\\0" "\\n" 2>/dev/null </proc/$p/environ | '
        'sed -n "s/^SLURM_JOB_NAME=//p"; ps -o comm=,args= -p $p; done | paste - -'
    )
    found = [cluster.run("root", node, ["sh", "-c", script, user]).stdout for node in nodes]
    return [line[:150] for line in "".join(found).splitlines()]
