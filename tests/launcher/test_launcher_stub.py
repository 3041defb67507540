"""A task that has left Slurm's tree: what Slurm does to the stub there is done to the task, and no more."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from launcher_support import (
    COUNTER,
    SLEEPER,
    WAIT_SECONDS,
    Laboratory,
    eventually,
    is_gone,
    receive,
    run_request,
    wait_for_wakes,
)

from syscr.procfs.tree import list_tree


def test_nothing_but_the_stub_is_in_the_tree(detached: Laboratory) -> None:
    launched = detached.shell(SLEEPER)
    launched.expect("ready")
    assert [process.comm for process in list_tree(launched.pid)] == ["syscr-stub"]
    assert os.getpgid(launched.control.launcher_pid) != os.getpgid(launched.pid)


@pytest.mark.parametrize("status", [0, 7])
def test_stub_ends_as_the_program_does(detached: Laboratory, status: int) -> None:
    assert detached.run("/bin/sh", "-c", f"exit {status}") == (status, "", "")


def test_stub_ends_by_the_signal_that_ended_the_program(detached: Laboratory) -> None:
    assert detached.run("/bin/sh", "-c", "kill -SEGV $$") == (-signal.SIGSEGV, "", "")


def test_killed_stub_takes_the_whole_task_along(detached: Laboratory) -> None:
    launched = detached.shell(f"trap '' TERM; {SLEEPER}")
    launched.expect("ready")
    pids = [process.pid for process in launched.tree()]
    assert len(pids) > 1
    launched.send(signal.SIGKILL)
    eventually(lambda: all(map(is_gone, pids)), "nothing is left of the task")


def test_storage_that_hangs_does_not_keep_a_killed_task_alive(
    hasty: Laboratory, tmp_path: Path
) -> None:
    hasty.detached = True
    ready = tmp_path / "ready"
    os.mkfifo(f"{ready}.new")  # opening it for writing blocks
    launched = hasty.start("/bin/sh", "-c", SLEEPER, options=["--ready", str(ready)])
    launched.expect("ready")
    pids = [process.pid for process in launched.tree()]
    launched.send(signal.SIGKILL)
    eventually(lambda: all(map(is_gone, pids)), "nothing is left of the task")


def test_killed_launcher_ends_the_stub(detached: Laboratory) -> None:
    launched = detached.shell(SLEEPER)
    launched.expect("ready")
    os.kill(launched.control.launcher_pid, signal.SIGKILL)
    assert launched.process.wait(WAIT_SECONDS) == -signal.SIGKILL


def test_end_of_a_task_that_is_being_killed_is_not_its_own(
    detached: Laboratory, tmp_path: Path
) -> None:
    """Slurm kills helpers first, and a program under DMTCP ends with its coordinator."""
    note = tmp_path / "end"
    tmp_path.chmod(0o777)
    launched = detached.start("/bin/sh", "-c", SLEEPER, options=["--end", str(note)])
    launched.expect("ready")
    launched.send(signal.SIGSTOP)  # it is about to die, and does nothing any more
    (program,) = launched.control.pids()
    os.kill(program, signal.SIGKILL)
    eventually(lambda: is_gone(program), "the program has ended")
    launched.send(signal.SIGKILL)
    eventually(lambda: is_gone(launched.control.launcher_pid), "the launcher is gone")
    assert not note.exists()


def test_stopped_stub_stops_the_task_until_it_goes_on(detached: Laboratory) -> None:
    launched = detached.shell(SLEEPER)
    launched.expect("ready")
    launched.send(signal.SIGSTOP)
    eventually(launched.is_stopped, "the task stands still")
    launched.send(signal.SIGCONT)
    eventually(launched.is_running, "the task goes on")


def test_dump_is_over_before_the_task_is_stopped(detached: Laboratory, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tmp_path.chmod(0o777)
    os.mkfifo(gate)
    launched = detached.shell(SLEEPER)
    launched.expect("ready")
    with launched.connect() as link:
        link.sendall(run_request(["/bin/sh", "-c", f"read line <{gate}"]))
        eventually(lambda: launched.control.state() == "busy", "the tool runs")
        launched.send(signal.SIGSTOP)
        wait_for_wakes(launched.control.launcher_pid)
        assert launched.is_running()
        gate.write_text("go\n")
        assert receive(link).startswith(b"ended 0 ")
    eventually(launched.is_stopped, "the task stands still")
    launched.send(signal.SIGCONT)
    eventually(launched.is_running, "the task goes on")


def test_end_of_a_hold_does_not_wake_a_task_that_slurm_has_stopped(detached: Laboratory) -> None:
    launched = detached.shell(SLEEPER)
    launched.expect("ready")
    launched.control.hold(WAIT_SECONDS)
    launched.send(signal.SIGSTOP)
    stub = Path(f"/proc/{launched.pid}/stat")
    eventually(lambda: stub.read_text().split()[2] == "T", "the stub is stopped")
    wait_for_wakes(launched.control.launcher_pid)
    launched.control.resume()
    assert launched.is_stopped()
    launched.send(signal.SIGCONT)
    eventually(launched.is_running, "the task goes on")


def test_each_signal_arrives_once(detached: Laboratory) -> None:
    launched = detached.shell(COUNTER)
    launched.expect("ready")
    for _ in range(3):
        launched.send_tree(signal.SIGTERM)
        launched.expect("got")
    launched.send_tree(signal.SIGUSR2)
    launched.expect("total 3")
    assert launched.end()[0] == 5


def start_with_helper(lab: Laboratory, note: Path, program: str) -> subprocess.Popen[str]:
    """Start a helper, as ``syscr run`` does, and then the launcher; the helper writes down its own and its child's pid."""
    note.parent.chmod(0o777)
    helper = f"sh -c 'sleep 1000 & echo $$ $! >{note}; wait' <&- >&- 2>&- &"
    mode = "--namespaces" if lab.namespaces else ""
    launcher = f'exec "$0" run --detach {mode} --sidecar $! --task "{{}}" -- sh -c "$1"'
    words = ["sh", "-c", f"{helper} {launcher}", lab.binary, program]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_helpers_end_with_the_stub(detached: Laboratory, tmp_path: Path) -> None:
    """Those that ``syscr run`` has started are the stub's children."""
    note = tmp_path / "pids"
    with start_with_helper(detached, note, f"until test -s {note}; do :; done") as stub:
        assert stub.wait(WAIT_SECONDS) == 0
    assert all(is_gone(int(pid)) for pid in note.read_text().split())


def test_what_a_dead_helper_has_left_ends_with_the_stub(
    detached: Laboratory, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    with start_with_helper(detached, note, COUNTER) as stub:
        assert stub.stdout is not None
        assert stub.stdout.readline() == "ready\n"
        stub.send_signal(signal.SIGTERM)
        assert stub.stdout.readline() == "got\n"  # so the stub has begun
        helper, left = map(int, note.read_text().split())
        os.kill(helper, signal.SIGKILL)
        eventually(lambda: is_gone(helper), "the helper is dead")
        stub.send_signal(signal.SIGUSR2)
        assert stub.wait(WAIT_SECONDS) == 5
    assert is_gone(left)


def test_task_that_stays_in_the_tree_gets_each_signal_once(detached: Laboratory) -> None:
    """Another launcher adopts it, as any subreaper between it and slurmstepd would."""
    inner = (detached.binary, "run", "--detach", "--task", "{}", "--", "/bin/sh", "-c", COUNTER)
    launched = detached.start(*inner)
    launched.expect("ready")

    def count_sentinels() -> int:
        return [process.comm for process in launched.tree()].count("syscr-sentinel")

    eventually(lambda: count_sentinels() == 2, "both launchers are watched")
    for process in launched.tree():
        os.kill(process.pid, signal.SIGTERM)
    launched.expect("got")
    for process in launched.tree():
        os.kill(process.pid, signal.SIGUSR2)
    launched.expect("total 1")
    assert launched.end()[0] == 5
