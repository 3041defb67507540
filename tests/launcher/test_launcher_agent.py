"""The agent is asked before SIGTERM is passed on, and how the program ended is written down."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from launcher_support import COUNTER, SLEEPER, WAIT_SECONDS, Laboratory, Launched, eventually

from syscr.errors import CheckpointError
from syscr.job.firewall import Firewall
from syscr.lives import End, parse_end


@dataclass
class Beside:
    """A launcher, and the agent's end of its socket."""

    launched: Launched
    link: socket.socket

    def hear(self) -> int:
        """Wait until the launcher asks; returns the signal."""
        return self.hear_times()[0]

    def hear_times(self) -> tuple[int, float, float]:
        """Also return when it was asked, and when the signal came."""
        packet = self.link.recv(64)
        asked_at, came_at = map(float, packet[1:].split())
        return packet[0], asked_at, came_at

    def say(self, word: bytes) -> None:
        self.link.send(word + bytes([signal.SIGTERM]))


def start(lab: Laboratory, script: str, *options: str) -> Beside:
    """Start a shell script beside an agent."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(WAIT_SECONDS)
    with theirs:
        number = theirs.fileno()
        launched = lab.start(
            "sh", "-c", script, options=["--agent-fd", str(number), *options], pass_fds=[number]
        )
    launched.expect("ready")
    return Beside(launched, ours)


@pytest.fixture
def end_file(tmp_path: Path) -> Path:
    tmp_path.chmod(0o777)
    return tmp_path / "end"


def read_end(path: Path) -> End:
    """Return what the launcher wrote."""
    eventually(path.exists, "a note of the end")
    found = parse_end(path.read_text())
    assert found is not None
    assert abs(found.at.timestamp() - time.time()) < 2 * WAIT_SECONDS
    return found


def test_signal_that_the_agent_keeps_back_never_arrives(lab: Laboratory) -> None:
    task = start(lab, COUNTER)
    task.launched.send(signal.SIGTERM)
    assert task.hear() == signal.SIGTERM
    task.say(b"h")
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 0")


def test_signal_that_the_agent_lets_pass_arrives_once(lab: Laboratory) -> None:
    task = start(lab, COUNTER)
    task.launched.send(signal.SIGTERM)
    task.hear()
    task.say(b"f")
    task.launched.expect("got")
    task.say(b"f")  # nobody has asked
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 1")


def test_signal_that_was_kept_back_may_be_passed_on_later(lab: Laboratory) -> None:
    task = start(lab, COUNTER)
    task.launched.send(signal.SIGTERM)
    task.hear()
    task.say(b"h")
    task.say(b"f")
    task.launched.expect("got")


def test_signal_that_a_dead_agent_kept_back_is_asked_about_again(lab: Laboratory) -> None:
    task = start(lab, COUNTER)
    task.link.send(b"d")  # nothing was kept back: nothing to ask
    before = time.monotonic()
    task.launched.send(signal.SIGTERM)
    number, asked_at, came_at = task.hear_times()
    assert number == signal.SIGTERM
    assert before <= came_at + 0.001
    assert came_at == asked_at <= time.monotonic() + 0.001
    task.say(b"h")
    task.link.send(b"d")
    number, asked_again_at, still_came_at = task.hear_times()
    assert number == signal.SIGTERM
    assert asked_again_at >= asked_at
    assert still_came_at == came_at
    task.say(b"f")
    task.launched.expect("got")
    task.link.send(b"d")
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 1")


def test_firewall_reads_the_times_that_the_launcher_writes(lab: Laboratory) -> None:
    task = start(lab, COUNTER, "--agent-signal", str(int(signal.SIGUSR1)))
    found: list[tuple[float, float]] = []
    own: list[bool] = []

    def decide(waited_seconds: float, told_seconds: float) -> bool:
        found.append((waited_seconds, told_seconds))
        return len(found) == 1

    Firewall(task.link, decide, lambda: own.append(True)).start()
    task.launched.send(signal.SIGTERM)
    eventually(lambda: len(found) == 1, "a question")
    task.launched.send(signal.SIGUSR1)
    eventually(lambda: len(own) == 1, "it has been answered before")
    task.link.send(b"d")
    task.launched.expect("got")
    (first, kept) = found
    assert -0.001 <= first[0] == first[1] < WAIT_SECONDS
    assert -0.001 <= kept[0] <= kept[1] < WAIT_SECONDS
    assert own == [True]


def test_next_agent_that_says_nothing_is_not_waited_for(hasty: Laboratory) -> None:
    task = start(hasty, COUNTER)
    task.launched.send(signal.SIGTERM)
    task.hear()
    task.say(b"h")
    task.link.send(b"d")
    task.launched.expect("got")


@pytest.mark.parametrize("word", [b"h", b""])
def test_agent_that_goes_keeps_nothing_back(lab: Laboratory, word: bytes) -> None:
    task = start(lab, COUNTER)
    task.launched.send(signal.SIGTERM)
    task.hear()
    if word:
        task.say(word)
    task.link.close()
    task.launched.expect("got")
    task.launched.send(signal.SIGTERM)
    task.launched.expect("got")


def test_agent_that_says_nothing_is_not_waited_for(hasty: Laboratory) -> None:
    task = start(hasty, COUNTER)
    task.launched.send(signal.SIGTERM)
    task.launched.expect("got")
    task.say(b"h")  # too late
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 1")


def test_job_is_told_once_that_it_has_no_agent_any_more(hasty: Laboratory, tmp_path: Path) -> None:
    gone = tmp_path / "agent.gone"
    task = start(hasty, COUNTER, "--agent-gone", str(gone))
    task.link.close()
    eventually(gone.exists, "a note that the agent has gone")
    assert abs(int(gone.read_text()) - time.time()) < 2 * WAIT_SECONDS
    task.launched.send(signal.SIGUSR2)
    status, _, errors = task.launched.end()
    assert status == 5
    assert errors.count("the agent of this job has gone") == 1


def test_agent_that_is_killed_with_the_job_is_not_missed(lab: Laboratory, tmp_path: Path) -> None:
    gone = tmp_path / "agent.gone"
    task = start(lab, COUNTER, "--agent-gone", str(gone))
    task.link.close()
    task.launched.send(signal.SIGUSR2)
    assert "agent" not in task.launched.end()[2]
    assert not gone.exists()


def test_storage_that_hangs_does_not_hold_the_jobs_end(hasty: Laboratory, end_file: Path) -> None:
    os.mkfifo(f"{end_file}.new")  # opening it for writing blocks
    task = start(hasty, "echo ready; exit 7", "--end", str(end_file))
    assert task.launched.end()[0] == 7


def test_line_of_the_agent_is_in_the_error_output(lab: Laboratory) -> None:
    task = start(lab, COUNTER)
    task.link.send(b"stime limit: no %s image")
    task.link.send(b"s" + b"x" * 2000)
    task.launched.send(signal.SIGUSR2)
    lines = task.launched.end()[2].splitlines()
    assert [line[:30] for line in lines] == ["syscr: time limit: no %s image", "syscr: " + "x" * 23]


def test_other_signals_are_none_of_the_agents_business(lab: Laboratory) -> None:
    task = start(lab, COUNTER)
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 0")
    assert task.launched.end()[0] == 5
    assert task.link.recv(16) == b""


def test_signal_of_the_agents_own_reaches_only_the_agent(lab: Laboratory) -> None:
    task = start(lab, COUNTER, "--agent-signal", str(int(signal.SIGUSR1)))
    task.launched.send(signal.SIGUSR1)  # COUNTER would die of it
    assert task.hear() == signal.SIGUSR1
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 0")


def test_signal_of_an_agent_that_has_gone_is_the_programs(lab: Laboratory) -> None:
    task = start(lab, COUNTER, "--agent-signal", str(int(signal.SIGUSR2)))
    task.link.close()
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 0")


def test_nonsense_of_the_agent_is_not_understood_as_an_answer(lab: Laboratory) -> None:
    task = start(lab, COUNTER)
    for packet in (b"x", b"f", b"fff", b"f\x09"):
        task.link.send(packet)
    task.launched.send(signal.SIGTERM)
    task.hear()
    task.link.send(b"f\x09")  # KILL is no answer to TERM
    task.say(b"h")
    task.launched.send(signal.SIGUSR2)
    task.launched.expect("total 0")


def test_program_does_not_have_the_agents_socket(lab: Laboratory) -> None:
    task = start(lab, "echo ready; ls -l /proc/$$/fd | grep -c socket; sleep 1000")
    task.launched.expect("0")


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", -9)])
def test_own_end_is_written_down(lab: Laboratory, end_file: Path, script: str, code: int) -> None:
    task = start(lab, f"echo ready; {script}", "--end", str(end_file))
    task.launched.end()
    found = read_end(end_file)
    assert (found.exit_code, found.how) == (code, "own")


def test_end_after_a_signal_is_told_from_an_own_one(lab: Laboratory, end_file: Path) -> None:
    task = start(lab, SLEEPER, "--end", str(end_file))
    task.launched.send(signal.SIGTERM)
    task.hear()
    task.say(b"f")
    assert task.launched.end()[0] == -signal.SIGTERM
    found = read_end(end_file)
    assert (found.exit_code, found.how) == (-signal.SIGTERM, "told")


def test_signal_kept_back_leaves_the_end_an_own_one(lab: Laboratory, end_file: Path) -> None:
    task = start(lab, COUNTER, "--end", str(end_file))
    task.launched.send(signal.SIGTERM)
    task.hear()
    task.say(b"h")
    task.launched.send(signal.SIGUSR2)
    task.launched.end()
    found = read_end(end_file)
    assert (found.exit_code, found.how) == (5, "own")


def test_program_that_was_ended_after_its_image_can_leave_with_a_code(
    lab: Laboratory, end_file: Path
) -> None:
    task = start(lab, SLEEPER, "--end", str(end_file))
    with pytest.raises(CheckpointError, match="has not been ended"):
        task.launched.control.leave(0)
    task.launched.control.kill()
    assert read_end(end_file).how == "image"
    with pytest.raises(CheckpointError, match="malformed"):
        task.launched.control.leave(256)
    task.launched.control.leave(75)
    assert task.launched.end()[0] == 75
    assert read_end(end_file).how == "image"
