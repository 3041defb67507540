"""Knowing what task one is part of where there are no namespaces: the launcher among the ancestors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from syscr import wire
from syscr.errors import CheckpointTimeoutError
from syscr.job import inside
from syscr.model import TaskSpec
from syscr.testing.clock import FakeClock

SPEC = TaskSpec(4711, "batch", 0, "c1", "4711", "/shared/alice", "dmtcp", control="a0a0a")
ASK = "from syscr.job.inside import find_own_task as f; t = f(); print(t and t.control)"
REPOSITORY = Path(__file__).parents[3]


def ask(launcher: Path, *options: str, command: str = '"$@"') -> str:
    """Let a launcher of straw run a process that asks; behind ``--`` is what it runs."""
    launcher.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\n{command} &\nwait $!\n'
    )
    launcher.chmod(0o755)
    task = ("--task", wire.encode_task_spec(SPEC))
    argv = [str(launcher), "run", *options, *task, "--", sys.executable, "-c", ASK]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, cwd=REPOSITORY).stdout


def test_descendant_of_a_launcher_knows_its_task(tmp_path: Path) -> None:
    assert ask(tmp_path / "syscr-launcher") == "a0a0a\n"
    assert ask(tmp_path / "syscr-launcher", command='sh -c \'"$@"; true\' sh "$@"') == "a0a0a\n"


def test_helper_of_a_launcher_is_no_part_of_the_task(tmp_path: Path) -> None:
    """The agent is the launcher's child, too; it must not ask itself."""
    launcher = tmp_path / "syscr-launcher"
    program = (
        "import os, sys, subprocess\n"
        "read, write = os.pipe()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os.read(read, 1)\n"
        f"    os.execv(sys.executable, [sys.executable, '-c', {ASK!r}])\n"
        "os.set_inheritable(write, True)\n"
        f"os.execv({str(launcher)!r}, [{str(launcher)!r}, 'run', '--sidecar', str(pid), '--task',"
        f" {wire.encode_task_spec(SPEC)!r}, '--', str(write)])\n"
    )
    launcher.write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\n'
        f"{sys.executable} -c \"import os; os.write($2, b'x')\"\nsleep 1\n"
    )
    launcher.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, cwd=REPOSITORY
    )
    assert done.stdout == "None\n", done.stderr


@pytest.mark.parametrize("name", ["launcher", "syscr-launcher2"])
def test_other_ancestors_do_not_count(tmp_path: Path, name: str) -> None:
    assert ask(tmp_path / name) == "None\n"


def test_caller_that_another_checkpoint_caught_waiting_reports_that_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own request died with the old life; waiting on would be for ever."""
    later = replace(SPEC, restored_from="20261124T100000Z-00000000", control="b0b0b")
    lives = iter([SPEC, SPEC])
    monkeypatch.setattr(inside, "find_own_task", lambda: next(lives, later))
    clock = FakeClock()
    reply = tmp_path / "reply"
    found = inside.wait_for_answer(SPEC, reply, clock, timeout_seconds=100)
    assert found == later.restored_from
    monkeypatch.setattr(inside, "find_own_task", lambda: SPEC)
    with pytest.raises(CheckpointTimeoutError, match="no answer in time"):
        inside.wait_for_answer(SPEC, reply, clock, timeout_seconds=0)
