"""What is left of a task when its launcher has ended: nothing, as slurmstepd waits a second for any rest."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from launcher_support import WAIT_SECONDS, Laboratory, eventually, find_by_argument, is_gone

ROUNDS = 10


@pytest.mark.parametrize("number", range(ROUNDS))
def test_ended_launcher_leaves_no_process_behind(lab: Laboratory, number: int) -> None:
    launched = lab.shell("sleep 1000 & trap 'exit 0' USR2; echo ready; wait")
    launched.expect("ready")
    eventually(launched.is_watched, "it passes signals on")
    launcher = launched.control.launcher_pid
    pids = [process.pid for process in launched.tree() if process.pid != launcher]
    launched.send(signal.SIGUSR2)
    assert launched.process.wait(WAIT_SECONDS) == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    eventually(lambda: is_gone(launcher), "the launcher is gone, too")  # it may be init's to reap


def test_what_a_helper_has_started_ends_with_it(binary: str) -> None:
    """A helper may wait for a Slurm that does not answer when its task ends."""
    seconds = f"1000.{os.getpid()}"
    script = f'(sleep {seconds}; :) & exec "$0" run --sidecar $! --task "{{}}" -- "$@"'
    waits = 'until pgrep -fx "sleep $0" >/dev/null; do :; done'
    done = subprocess.run(
        ["sh", "-c", script, binary, "sh", "-c", waits, seconds], timeout=WAIT_SECONDS
    )
    assert done.returncode == 0
    assert find_by_argument(seconds) == ()
