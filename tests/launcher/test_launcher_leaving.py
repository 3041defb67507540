"""What is left of a task when its launcher has ended: nothing, as slurmstepd waits a second for any rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher_support import WAIT_SECONDS, Laboratory, eventually

ROUNDS = 10


@pytest.mark.parametrize("number", range(ROUNDS))
def test_ended_launcher_leaves_no_process_behind(lab: Laboratory, number: int) -> None:
    launched = lab.shell("sleep 1000 & echo ready; exec sleep 0.2")
    launched.expect("ready")
    eventually(lambda: any("sentinel" in one.comm for one in launched.tree()), "it has a sentinel")
    pids = [process.pid for process in launched.tree() if process.pid != launched.pid]
    assert launched.process.wait(WAIT_SECONDS) == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
