"""Every case that CRIU takes or refuses, with the real CRIU on a node of the cluster.

What it takes is dumped and restored twice in a row and goes on without gap or repeat; what it cannot
take is found before anything is touched, and the program runs on.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cluster_support import Cluster

SCRIPT = Path(__file__).with_name("criu_cases.py")
PYTHON = "/shared/opt/syscr/bin/python"

REFUSED = {
    "semaphore": "deleted_mapping",
    "tcp": "tcp_connection",
    "tcp_to_slurm": "socket_to_outside",
    "munge": "socket_to_outside",
    "inotify": "file_watch",
    "io_uring": "io_uring",
    "terminal": "terminal",
    "hard_link": "deleted_file_with_links",
    "system_v": "sysv_shared_memory",
    "container": "nested_namespace",
    "traced": "traced",
}
TAKEN = (
    "counter",
    "threads",
    "fork_and_pipe",
    "numpy",
    "named_shared_memory",
    "memory_file",
    "temporary_file",
    "deleted_file",
    "flock",
    "listening",
    "socketpair",
    "event_descriptors",
    "zombie",
)

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def results(cluster: Cluster) -> dict[str, dict[str, object]]:
    """Run all cases once, on node c1, as alice."""
    argv = [PYTHON, "-", *TAKEN, *REFUSED]
    answer = cluster.run("alice", "c1", argv, stdin=SCRIPT.read_text(), timeout=280, check=True)
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    return {line["case"]: line for line in lines}


@pytest.mark.parametrize("name", TAKEN)
def test_program_comes_back_twice_without_gap(
    results: dict[str, dict[str, object]], name: str
) -> None:
    result = results[name]
    assert result.get("error") is None
    assert result["codes"] == []
    assert result["running"]
    assert result["restored"]
    assert result["continuous"]


@pytest.mark.parametrize("name", REFUSED)
def test_program_that_criu_cannot_take_is_refused_and_runs_on(
    results: dict[str, dict[str, object]], name: str
) -> None:
    result = results[name]
    assert result["codes"] == [REFUSED[name]]
    assert result["running"]
