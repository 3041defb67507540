"""The launcher's role that keeps the agent running, with shell scripts as agents."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launcher_support import WAIT_SECONDS, eventually, find_by_argument, is_gone

from syscr.job.agent_request import SOCKET_FD
from syscr.procfs.tree import list_tree

Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def tender(hasty_binary: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a tender in a folder of its own; all end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str) -> subprocess.Popen[str]:
        words = [hasty_binary, "agent", "--", "sh", "-c", script]
        process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def count_lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def test_signals_to_the_whole_tree_end_nothing_that_an_agent_runs(
    tender: Start, tmp_path: Path
) -> None:
    """A shell script unblocks signals, so that they are blocked is not enough."""
    process = tender(
        "sh -c 'sleep 0 & wait $!; kill $$; kill -USR1 $$; touch lived'; exec sleep 1000"
    )
    eventually((tmp_path / "lived").exists, "the script has survived")
    assert process.poll() is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo >> starts; exit 3", "the agent ended with 3"),
        ("echo >> starts; kill -9 $$", "the agent was killed by signal 9"),
        ("echo >> starts; exit 0", "the agent ended with 0"),
    ],
)
def test_agent_that_always_dies_is_given_up(
    tender: Start, tmp_path: Path, script: str, said: str
) -> None:
    process = tender(script)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 1
    assert count_lines(tmp_path / "starts") == 4
    assert errors.count(said) == 4
    assert "started again, 3 of 3" in errors
    assert errors.splitlines()[-1] == "syscr: it is not started any more"


def test_agent_that_cannot_be_run_is_given_up(hasty_binary: str) -> None:
    words = [hasty_binary, "agent", "--", "/nonexistent/syscr", "agent"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    assert ended.returncode == 1
    assert "cannot run '/nonexistent/syscr'" in ended.stderr


def test_agent_is_started_again_with_the_same_socket(hasty_binary: str, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(WAIT_SECONDS)
    # the first dies before it answers; the question waits for the second
    script = (
        "test -e second && exec python3 -c 'import os; os.write(3, os.read(3, 1) * 2)'; "
        "touch second; exit 1"
    )
    with theirs:
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), SOCKET_FD)]
        words = [hasty_binary, "agent", "--agent-fd", str(SOCKET_FD)]
        words += ["--", "sh", "-c", f"cd {tmp_path}; {script}"]
        ours.send(b"x")
        pid = os.posix_spawn(words[0], words, dict(os.environ), file_actions=actions)
    assert ours.recv(16) == b"d"  # the launcher may have asked the dead one
    assert ours.recv(16) == b"xx"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert ours.recv(16) == b""  # nobody else holds it


def test_what_a_dead_agent_leaves_is_ended(tender: Start, tmp_path: Path) -> None:
    mark = f"98765{os.getpid()}"
    tender(f"test -e second && exec sleep 1000; touch second; (sleep {mark} &) ; exit 1")
    eventually((tmp_path / "second").exists, "the first agent")
    eventually(lambda: not find_by_argument(mark), "its helper is gone")


def test_agent_ends_with_its_tender(tender: Start, tmp_path: Path) -> None:
    process = tender("echo >> starts; exec sleep 1000")
    eventually((tmp_path / "starts").exists, "the agent")
    (agent,) = (one.pid for one in list_tree(process.pid) if one.pid != process.pid)
    process.kill()
    eventually(lambda: is_gone(agent), "the agent is gone, too")


def test_agent_ends_with_its_launcher(hasty_binary: str, tmp_path: Path) -> None:
    """A launcher that is killed alone cannot end it; 'scancel --batch -s KILL' does that under linuxproc."""
    note = tmp_path / "pids"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        words = [hasty_binary, "agent", "--agent-fd", str(number), "--", "sh", "-c"]
        script = f"sleep 1000 & echo $$ $! >{note}.new; mv {note}.new {note}; wait"
        process = subprocess.Popen([*words, script], pass_fds=[number])
    eventually(note.exists, "the agent")
    ours.close()
    assert process.wait(WAIT_SECONDS) == 0
    assert all(is_gone(int(pid)) for pid in note.read_text().split())
