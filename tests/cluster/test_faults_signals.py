"""However a job is told to end: with us, and restored, it ends as the same job under plain sbatch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cluster_support import BACKENDS, NODES, Backend, Cluster, Work
from faults_support import find_processes, in_parallel

ENDING = ("exit255", "signal11", "background")
CANCELLED = ("term", "children")
STEPS = 120


def _run(work: Work, way: str, how: str) -> tuple[str, str, list[str]]:
    """Return state, exit code and what it printed beside its steps, which are checked."""
    name = f"{way}-{how}"
    program = f"exec python3 {work.path}/signals.py {way} {STEPS}"
    work.write(f"{name}.sh", f"#!/bin/sh\n{program}\n")
    options = [f"--output={work.path}/{name}.out", f"--job-name={name}"]
    if how == "plain":
        job_id = work.run("sbatch", "--parsable", *options, f"{name}.sh").stdout.strip()
    else:
        job_id = work.submit(*options, f"{name}.sh")
    work.wait_for_lines(f"{name}.out", 2)
    if how == "restored":
        work.checkpoint(job_id)
        work.cancel(job_id)
        work.restart(job_id)
    if way in CANCELLED:
        work.wait_for_lines(f"{name}.out", STEPS)
        work.run("scancel", "--signal=USR1", job_id)
        work.run("scancel", "--signal=USR1", "--batch", job_id)
        work.cluster.wait_for(lambda: work.read(f"{name}.out").count("USR1") == 1, "USR1 has come")
        work.run("scancel", job_id)
    facts = work.cluster.wait_for_end(job_id)
    lines = work.read(f"{name}.out").splitlines()
    steps = [line for line in lines if line.startswith("step ")]
    assert steps == [f"step {number}" for number in range(STEPS)], f"{name}: {lines}"
    rest = [line for line in lines if not line.startswith(("step ", "slurmstepd"))]
    return facts.state, facts.exit_code, rest


@pytest.mark.parametrize("backend", BACKENDS[:2], indirect=True, ids=lambda backend: backend.label)
def test_ends_are_those_of_plain_sbatch(cluster: Cluster, backend: Backend, work: Work) -> None:
    work.add_program("signals.py")
    found: dict[tuple[str, str], tuple[str, str, list[str]]] = {}

    def act(way: str, how: str) -> Callable[[], None]:
        return lambda: found.update({(way, how): _run(work, way, how)})

    for ways in (ENDING, CANCELLED):
        in_parallel(*(act(way, how) for way in ways for how in ("plain", "fresh", "restored")))
    for way in (*ENDING, *CANCELLED):
        plain = found[way, "plain"]
        assert found[way, "fresh"] == plain, way
        assert found[way, "restored"] == plain, way
    assert found["exit255", "plain"][:2] == ("FAILED", "255:0")
    assert found["signal11", "plain"][:2] == ("FAILED", "0:11")
    assert found["term", "plain"] == ("CANCELLED", "9:0", ["got USR1", "got TERM", "saved"])
    assert found["children", "plain"][:2] == ("CANCELLED", "0:15")

    def is_clean() -> bool:  # proctrack/linuxproc loses orphans of plain jobs; we must not
        found = find_processes(cluster, NODES)
        return all(line.startswith(tuple(f"{way}-plain" for way in ENDING)) for line in found)

    cluster.wait_for(is_clean, "no process is left over", 10)
