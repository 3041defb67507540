"""The cluster as the benchmark uses it: timed commands, programs under syscr, the bare tools on their nodes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_figures import find_largest_gap
from cluster_support import Backend, Cluster, Work

PROGRAMS = Path(__file__).resolve().parent / "programs"
PYTHON = "/shared/opt/syscr/bin/python"
NODE = "c1"
_LIMIT_SECONDS = 300


class BenchError(Exception):
    """A measurement could not be made."""


@dataclass
class Site:
    """One private directory on the cluster of the benchmark.

    Attributes:
        work: The directory, alice's.
        rounds: How often each measurement is made.
        megabytes: Memory of the large program.
    """

    work: Work
    rounds: int
    megabytes: int

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a command on the login node; returns its output."""
        done = self.work.run(*argv, stdin=stdin, timeout=_LIMIT_SECONDS)
        return done.stdout

    def time(self, *argv: str) -> dict[str, Any]:
        """Run one command on the login node, with nothing left to be written; returns what ``timed.py`` says."""
        self.run("sync")
        request = json.dumps({"commands": [argv]})
        [[found]] = json.loads(self.run(PYTHON, "timed.py", stdin=request))
        if found["status"] != 0:
            words = found["errors"] + found["output"]
            raise BenchError(f"{argv} ended with {found['status']}: {words}")
        return dict(found)

    def on_node(self, job_id: str, *argv: str) -> dict[str, Any]:
        """Call ``bare.py`` in a step of the job."""
        step = ["srun", "--overlap", f"--jobid={job_id}", "--mem=0", "--quiet"]
        lines = self.run(*step, PYTHON, "bare.py", *argv).splitlines()
        return dict(json.loads(lines[-1]))

    def read_gap(self, name: str, times: dict[str, Any]) -> float:
        """Return how long the program stood still within the times of a measurement."""
        lines = self.work.read(f"{name}.gaps").splitlines()
        gap = find_largest_gap(lines, times["started"], times["ended"] + 0.5)
        if gap == 0.0:
            raise BenchError(f"the program did not notice that it was dumped ({name})")
        return gap

    @contextmanager
    def program(self, name: str, megabytes: int, backend: Backend) -> Iterator[str]:
        """Run ``steady.py`` as a job under syscr; yields its id once it goes round its loop."""
        work = Work(self.work.cluster, self.work.path, backend)
        script = f"#!/bin/sh\nexec python3 steady.py {megabytes} {name}.gaps\n"
        path = work.write(f"{name}.sh", script, mode="755")
        job_id = work.submit("-w", NODE, f"--output={name}.out", path)
        try:
            work.wait_for_lines(f"{name}.out", 1, timeout=120)
            yield job_id
        finally:
            work.cancel(job_id)

    def remove_images(self, job_id: str) -> None:
        """Remove all images of a job, so that the next dump finds the same disk."""
        self.run("sh", "-c", 'rm -rf -- "$0"/2*', f"{self.work.images}/{job_id}.ckpt")


def turn(number: int, *acts: Callable[[], None]) -> None:
    """Do a round's measurements; every second round backwards, so that none always comes first."""
    for act in reversed(acts) if number % 2 else acts:
        act()


def say(text: str) -> None:
    """Tell on standard error what goes on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@contextmanager
def open_site(name: str, *, rounds: int, megabytes: int, keep: bool) -> Iterator[Site]:
    """Bring a cluster up with this checkout's syscr; it goes at the end, unless it is to be kept."""
    cluster = Cluster(name, os.environ)
    try:
        if not keep:
            cluster.drive("down")
        say("bringing the cluster up")
        cluster.drive("up", timeout=1800)
        cluster.drive("deploy")
        made = cluster.run("alice", "login", ["mktemp", "-d", "/shared/bench.XXXX"], check=True)
        path = made.stdout.strip()
        work = Work(cluster, path)
        for program in sorted(PROGRAMS.glob("*.py")):
            work.write(program.name, program.read_bytes())
        try:
            yield Site(work, rounds, megabytes)
        finally:
            work.clean_up()
            cluster.run("alice", "login", ["rm", "-rf", path])
    finally:
        if not keep:
            cluster.drive("down")


def list_values(found: Sequence[dict[str, Any]], key: str = "seconds") -> tuple[float, ...]:
    """Return one figure of each measurement."""
    return tuple(float(one[key]) for one in found)
