"""The control socket: what a worker may ask, and that nothing it does can harm the program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from launcher_support import (
    NOBODY,
    SLEEPER,
    Laboratory,
    Launched,
    eventually,
    find_by_argument,
    is_gone,
    laboratory,
    receive,
    run_request,
)

from syscr.errors import CheckpointError, CheckpointTimeoutError
from syscr.job.control import find_tasks

_T = TypeVar("_T")


class Later(threading.Thread):
    """Does something meanwhile; ``result`` waits for it."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self._outcome: object = None
        self.start()

    def run(self) -> None:
        try:
            self._outcome = self._act()
        except Exception as error:  # noqa: BLE001 - handed to the test
            self._outcome = error

    def result(self) -> object:
        self.join(20)
        assert not self.is_alive()
        return self._outcome


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A fifo: who reads it waits until ``open_gate``."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def open_gate(gate: Path) -> None:
    gate.write_text("go\n")


def start(lab: Laboratory, script: str = SLEEPER) -> Launched:
    launched = lab.shell(script)
    launched.expect("ready")
    if script is SLEEPER:  # says so before it becomes what it is
        eventually(lambda: launched.names() == {"sleep"}, "it sleeps")
    return launched


def test_state_of_a_running_task(lab: Laboratory) -> None:
    launched = start(lab)
    assert launched.control.state() == "running"
    assert [Path(f"/proc/{pid}/comm").read_text() for pid in launched.control.pids()] == ["sleep\n"]
    assert launched.control.stdio()[0] == "/dev/null"


def test_task_is_found_by_its_job_and_step(lab: Laboratory) -> None:
    launched = start(lab)
    pid, spec = launched.control.launcher_pid, launched.control.spec
    assert [task.launcher_pid for task in find_tasks(1, "0") if task.spec == spec] == [pid]
    assert pid not in {task.launcher_pid for task in find_tasks(2)}
    assert pid not in {task.launcher_pid for task in find_tasks(1, "batch")}


def test_root_is_init_in_namespaces_and_the_program_without(
    plain: Laboratory, inside: Laboratory
) -> None:
    def root_name(lab: Laboratory) -> str:
        return Path(f"/proc/{start(lab).control.root_pid()}/comm").read_text().strip()

    assert (root_name(plain), root_name(inside)) == ("sleep", "syscr-init")


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\n",
        b"dance\n",
        b"\xff\x00\xff\n",
        b"run\n",
        b"run 1 2\n",
        b"run x y z\n",
        b"run -1 0 5\ntrue\0",
        b"run 0 0 5\ntrue\0",
        b"run 1000 -1 5\ntrue\0",
        b"run 1000 0 0\n",
        b"run 1000 0 4\ntrue",
        b"run 1000 0 999999999\n" + b"x" * 1000,
        b"run 1000 0 -1\n",
        b"run 1000 0 512\n" + b"a\0" * 256,
        b"hold\n",
        b"hold 0\n",
        b"hold -5\n",
        b"hold soon\n",
        b"x" * 5000,
        b"state extra\n",
        b"states\n",
    ],
)
def test_malformed_request_is_refused_and_harms_nothing(plain: Laboratory, request_: bytes) -> None:
    launched = start(plain)
    with launched.connect() as link:
        link.sendall(request_)
        link.shutdown(1)
        answer = receive(link)
    assert answer.startswith(b"error ") or answer == b"", answer
    assert launched.control.state() == "running"
    assert launched.is_running()


def test_half_a_request_does_not_block_the_launcher_for_long(plain: Laboratory) -> None:
    launched = start(plain)
    with launched.connect() as link:
        link.sendall(b"run 1000 0 100\nhalf of")
        assert receive(link) == b"error malformed request\n"
    assert launched.control.state() == "running"


def test_connection_that_says_nothing_and_goes_is_no_matter(plain: Laboratory) -> None:
    launched = start(plain)
    for _ in range(10):
        launched.connect().close()
    assert launched.control.state() == "running"


def test_tools_status_and_output_come_back(lab: Laboratory) -> None:
    task = start(lab).control
    done = task.run_inside(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], timeout_seconds=10)
    assert (done.exit_code, done.signal, done.stderr) == (3, None, "out\nerr\n")
    done = task.run_inside(["/bin/sh", "-c", "kill -9 $$"], timeout_seconds=10)
    assert (done.exit_code, done.signal) == (None, 9)
    done = task.run_inside(["/no/such/tool"], timeout_seconds=10)
    assert done.exit_code == 127
    assert "/no/such/tool" in done.stderr


def test_tool_has_empty_input_and_bounded_output(lab: Laboratory) -> None:
    task = start(lab).control
    assert task.run_inside(["cat"], timeout_seconds=10).stderr == ""
    done = task.run_inside(["head", "-c", "200000", "/dev/zero"], timeout_seconds=10)
    assert (done.exit_code, len(done.stderr)) == (0, 64 << 10)


def test_tool_runs_in_the_namespaces_of_the_task(inside: Laboratory) -> None:
    launched = start(inside)
    done = launched.control.run_inside(["cat", "/proc/1/comm", "/proc/3/comm"], timeout_seconds=10)
    assert done.stderr == "syscr-pid1\nsleep\n"


def test_tool_gets_many_arguments_or_an_error_never_some(plain: Laboratory) -> None:
    task = start(plain).control
    script = ["/bin/sh", "-c", "echo $#", "name"]
    done = task.run_inside([*script, *["x"] * 251], timeout_seconds=10)
    assert done.stderr == "251\n"
    with pytest.raises(CheckpointError, match="malformed"):
        task.run_inside([*script, *["x"] * 252], timeout_seconds=10)


def test_tool_that_takes_too_long_is_made_to_fail_at_its_next_write(lab: Laboratory) -> None:
    launched = start(lab)
    tool = ["/bin/sh", "-c", "while echo data; do :; done 2>/dev/null"]
    with pytest.raises(CheckpointTimeoutError, match=r"did not end within 0\.05 s.*runs on"):
        launched.control.run_inside(tool, timeout_seconds=0.05)
    assert launched.control.state() == "running"
    assert launched.is_running()


def test_tool_that_neither_writes_nor_listens_is_killed(hasty: Laboratory) -> None:
    launched = start(hasty)
    mark = f"{os.getpid()}.125"
    tool = ["/bin/sh", "-c", f"trap '' TERM; while :; do sleep 86400 {mark}; done"]
    with pytest.raises(CheckpointTimeoutError, match="was stopped"):
        launched.control.run_inside(tool, timeout_seconds=0.05)
    assert launched.control.state() == "running"
    assert launched.is_running()


def test_parked_launcher_leaves_by_itself_in_the_end(hasty: Laboratory) -> None:
    launched = start(hasty)
    launched.control.kill()
    status, _, errors = launched.end()
    assert status == 75  # the job is not done
    assert "syscr restart" in errors


def test_tool_that_is_killed_from_outside_is_reported_and_the_tree_goes_on(lab: Laboratory) -> None:
    launched = start(lab)
    mark = f"{os.getpid()}.175"
    asked = Later(lambda: launched.control.run_inside(["sleep", "86400", mark], timeout_seconds=20))
    eventually(lambda: len(find_by_argument(mark)) == 1, "the tool runs")
    for pid in launched.control.pids():
        if pid not in find_by_argument(mark):
            os.kill(pid, signal.SIGSTOP)  # as a tool leaves it that dies in its work
    for pid in find_by_argument(mark):
        os.kill(pid, signal.SIGKILL)
    done = asked.result()
    assert getattr(done, "signal", done) == signal.SIGKILL
    eventually(launched.is_running, "the tree goes on")


def test_second_request_meanwhile_is_told_busy(lab: Laboratory, gate: Path) -> None:
    launched = start(lab)
    task = launched.control
    asked = Later(
        lambda: task.run_inside(["/bin/sh", "-c", f"read x < {gate}"], timeout_seconds=20)
    )
    eventually(lambda: task.state() == "busy", "the tool runs")
    for act in (
        lambda: task.run_inside(["true"], timeout_seconds=1),
        lambda: task.hold(1),
        task.resume,
        task.kill,
    ):
        with pytest.raises(CheckpointError, match="busy with another checkpoint"):
            act()
    open_gate(gate)
    assert getattr(asked.result(), "exit_code", None) == 0
    assert task.state() == "running"


def test_asker_that_goes_in_the_middle_leaves_a_running_task(lab: Laboratory, gate: Path) -> None:
    launched = start(lab)
    with launched.connect() as link:
        link.sendall(run_request(["/bin/sh", "-c", f"read x < {gate}"], hold_ms=60000))
        eventually(lambda: launched.control.state() == "busy", "the tool runs")
    for pid in launched.control.pids():
        if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
            os.kill(pid, signal.SIGSTOP)
    open_gate(gate)
    eventually(lambda: launched.control.state() == "running", "the tool has ended")
    eventually(launched.is_running, "nothing is held for somebody who has gone")


def test_successful_tool_may_leave_the_tree_held(lab: Laboratory) -> None:
    launched = start(lab)
    stop = ["/bin/sh", "-c", "exit 0"]
    for pid in launched.control.pids():
        os.kill(pid, signal.SIGSTOP)
    eventually(launched.is_stopped, "it stands still")  # on a busy machine it may just be starting
    assert launched.control.run_inside(stop, timeout_seconds=10, hold_seconds=60).is_ok
    assert launched.control.state() == "held"
    assert launched.is_stopped()
    launched.control.resume()
    assert launched.control.state() == "running"
    eventually(launched.is_running, "it goes on")


def test_failed_tool_never_leaves_the_tree_held(lab: Laboratory) -> None:
    launched = start(lab)
    for pid in launched.control.pids():
        os.kill(pid, signal.SIGSTOP)
    done = launched.control.run_inside(["false"], timeout_seconds=10, hold_seconds=60)
    assert done.exit_code == 1
    assert launched.control.state() == "running"
    eventually(launched.is_running, "it goes on")


def test_hold_stops_all_processes_until_resume(lab: Laboratory) -> None:
    launched = start(lab, "sleep 1000 & echo ready; wait")
    launched.control.hold(60)
    eventually(launched.is_stopped, "all stand still")
    launched.control.hold(60)  # renewed
    assert launched.control.state() == "held"
    launched.control.resume()
    eventually(launched.is_running, "all go on")
    launched.control.resume()  # harmless


def test_continue_signal_does_not_end_a_hold(lab: Laboratory) -> None:
    """Slurm sends CONT before TERM, and a held program must not run past its image."""
    launched = start(lab)
    launched.control.hold(60)
    eventually(launched.is_stopped, "the program is stopped")
    launched.send(signal.SIGCONT)
    launched.send(signal.SIGUSR1)  # it is passed on after the other one
    eventually(lambda: _has_pending(launched, signal.SIGUSR1), "the second signal is pending")
    assert launched.is_stopped()


def _has_pending(launched: Launched, number: int) -> bool:
    """Whether a process of the tree has a signal pending."""
    texts = [Path(f"/proc/{process.pid}/status").read_text() for process in launched.tree()]
    masks = [int(word, 16) for text in texts for word in re.findall(r"ShdPnd:\s*(\w+)", text)]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_hold_ends_by_itself(lab: Laboratory) -> None:
    launched = start(lab)
    launched.control.hold(0.1)
    eventually(lambda: launched.control.state() == "running", "the hold ends")
    eventually(launched.is_running, "it goes on")
    launched.send(signal.SIGTERM)
    _, _, errors = launched.end()
    assert "nobody ended the hold" in errors


def test_kill_ends_the_program_and_keeps_the_step(lab: Laboratory) -> None:
    launched = start(lab, "sleep 1000 & echo ready; wait")
    pids = launched.control.pids()
    launched.control.kill()
    assert all(map(is_gone, pids))
    assert launched.control.state() == "parked"
    assert launched.control.pids() == ()
    assert launched.process.poll() is None
    for request in (run_request(["true"]), b"hold 1000\n"):
        assert launched.ask(request) == b"error the program has ended\n"
    launched.send(signal.SIGTERM)  # Slurm ends the step
    assert launched.end()[0] == -signal.SIGTERM


def test_kill_ends_a_held_task_too(lab: Laboratory) -> None:
    launched = start(lab)
    launched.control.hold(60)
    pids = launched.control.pids()
    launched.control.kill()
    assert all(map(is_gone, pids))
    assert launched.control.state() == "parked"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGCONT])
def test_parked_launcher_waits_for_a_signal_that_ends(lab: Laboratory, number: int) -> None:
    """Slurm sends SIGCONT before SIGTERM; that nobody is left to get it is worth no word in the output."""
    launched = start(lab)
    launched.control.kill()
    launched.send(number)
    assert launched.control.state() == "parked"
    launched.send(signal.SIGTERM)
    assert launched.end()[2] == ""


def test_program_that_ends_during_a_dump_keeps_its_status(
    plain: Laboratory, gate: Path, tmp_path: Path
) -> None:
    launched = start(plain, f"echo ready; read x < {gate}; exit 9")
    (program,) = launched.control.pids()
    other = tmp_path / "other"
    os.mkfifo(other)
    tool = ["/bin/sh", "-c", f"read x < {other}"]
    asked = Later(lambda: launched.control.run_inside(tool, timeout_seconds=20))
    eventually(lambda: launched.control.state() == "busy", "the tool runs")
    open_gate(gate)
    eventually(lambda: is_gone(program), "the program has ended")
    assert launched.process.poll() is None  # not before the tool
    open_gate(other)
    assert getattr(asked.result(), "exit_code", None) == 0
    assert launched.end()[0] == 9


def test_namespace_that_ends_during_a_dump_takes_the_tool_with_it(
    inside: Laboratory, gate: Path, tmp_path: Path
) -> None:
    launched = start(inside, f"echo ready; read x < {gate}; exit 9")
    tool = ["sleep", "86400", f"{os.getpid()}.225"]
    asked = Later(lambda: launched.control.run_inside(tool, timeout_seconds=20))
    eventually(lambda: launched.control.state() == "busy", "the tool runs")
    open_gate(gate)
    assert getattr(asked.result(), "signal", None) == signal.SIGKILL
    assert launched.end()[0] == 9


def test_own_broken_pipe_never_reaches_the_program(lab: Laboratory) -> None:
    """The launcher's complaint about a hold goes to a pipe that nobody reads."""
    launched = lab.start("/bin/sh", "-c", SLEEPER, close_stderr=True)
    launched.expect("ready")
    launched.control.hold(0.05)
    eventually(lambda: launched.control.state() == "running", "the hold ends")
    launched.control.hold(0.05)
    eventually(lambda: launched.control.state() == "running", "the hold ends")
    launched.send(signal.SIGTERM)
    assert launched.end()[0] == -signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
def test_strangers_are_not_listened_to(binary: str) -> None:
    client = (
        "import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(20);"
        "s.connect(b'\\0'+sys.argv[1].encode());s.sendall(b'kill\\n');print(s.recv(100))"
    )
    with laboratory(binary, user=NOBODY) as lab:
        launched = start(lab)
        pythons = (os.path.realpath(sys.executable), "/usr/bin/python3")
        python = next((one for one in pythons if not one.startswith("/root/")), pythons[0])

        def ask(user: int) -> str:
            done = subprocess.run(
                [python, "-I", "-S", "-c", client, launched.name],
                capture_output=True,
                text=True,
                user=user,
                check=False,
            )
            return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

        if "Permission denied" in (answer := _try(lambda: ask(1234))):
            pytest.skip(f"other users cannot run {python}")
        assert answer == "b''" or "ConnectionReset" in answer or "BrokenPipe" in answer
        assert launched.control.state() == "running"


def _try(act: Callable[[], str]) -> str:
    try:
        return act()
    except OSError as error:
        return str(error)
