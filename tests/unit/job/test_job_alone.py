"""What an agent needs to do without Slurm: answers from memory, and nodes without steps."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

import pytest

from syscr.errors import CheckpointError, JobNotFoundError, SchedulerUnavailableError
from syscr.job.firewall import Firewall
from syscr.job.local import LocalWorkers
from syscr.job.remembered import RememberedScheduler
from syscr.model import Job, JobDetails, JobId, JobState, NodeReport
from syscr.testing.scheduler import FakeScheduler
from syscr.wire import WorkerRequest

WAIT_SECONDS = 10.0


@pytest.fixture
def slurm() -> FakeScheduler:
    scheduler = FakeScheduler()
    scheduler.add_job(12, details=JobDetails(name="first"))
    scheduler.steps[JobId(12)] = ("0",)
    return scheduler


@dataclass
class Hasty:
    """The same Slurm; counts what it is asked."""

    slurm: FakeScheduler
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self.slurm, name)


def ask_all(scheduler: RememberedScheduler) -> list[object]:
    return [
        scheduler.version(),
        scheduler.get_job(JobId(12)),
        scheduler.get_job_details(JobId(12)),
        scheduler.get_batch_script(JobId(12)),
        scheduler.find_steps(JobId(12)),
    ]


def test_slurm_that_is_silent_is_answered_for(slurm: FakeScheduler) -> None:
    scheduler = RememberedScheduler(slurm)
    known = ask_all(scheduler)
    slurm.is_available = False
    assert ask_all(scheduler) == known


def test_silent_slurm_is_asked_once_a_minute_and_not_for_long(slurm: FakeScheduler) -> None:
    """Each question costs its limit, and a checkpoint has four."""
    now = [100.0]
    hasty = Hasty(slurm)
    scheduler = RememberedScheduler(slurm, hasty, monotonic=lambda: now[0])
    known = ask_all(scheduler)
    assert hasty.asked == 0  # what is not known may take its time
    slurm.is_available = False
    assert ask_all(scheduler) == known
    assert ask_all(scheduler) == known
    assert hasty.asked == 1
    now[0] += 61
    assert ask_all(scheduler) == known
    assert hasty.asked == 2
    now[0] += 61
    slurm.is_available = True
    slurm.set_state(JobId(12), JobState.SUSPENDED)
    assert scheduler.get_job(JobId(12)).state is JobState.SUSPENDED


def test_slurm_that_speaks_is_believed(slurm: FakeScheduler) -> None:
    scheduler = RememberedScheduler(slurm)
    scheduler.get_job(JobId(12))
    slurm.set_state(JobId(12), JobState.SUSPENDED)
    assert scheduler.get_job(JobId(12)).state is JobState.SUSPENDED
    with pytest.raises(JobNotFoundError):
        scheduler.get_job(JobId(13))


def test_ending_job_is_still_running_to_its_agent(slurm: FakeScheduler) -> None:
    scheduler = RememberedScheduler(slurm)
    scheduler.get_job(JobId(12))
    slurm.set_state(JobId(12), JobState.COMPLETING)
    scheduler.is_offline = True
    assert scheduler.get_job(JobId(12)).state is JobState.RUNNING
    assert scheduler.version() == "24.11.5"  # what is not known is asked


def test_job_that_was_asked_for_only_when_it_was_ending_is_running_too(
    slurm: FakeScheduler,
) -> None:
    """A job can be preempted in its first seconds, before its agent has looked."""
    scheduler = RememberedScheduler(slurm)
    slurm.set_state(JobId(12), JobState.COMPLETING)
    assert scheduler.get_job(JobId(12)).state is JobState.COMPLETING
    scheduler.is_offline = True
    job = scheduler.get_job(JobId(12))
    assert (job.state, job.raw_state) == (JobState.RUNNING, "RUNNING")


def test_nothing_is_made_up(slurm: FakeScheduler) -> None:
    slurm.is_available = False
    with pytest.raises(SchedulerUnavailableError):
        RememberedScheduler(slurm).get_job(JobId(12))


@dataclass
class FakeWorker:
    """A worker of this node."""

    requests: list[WorkerRequest] = field(default_factory=list)
    report: NodeReport = field(default_factory=lambda: NodeReport("c1"))

    def run(self, request: WorkerRequest) -> NodeReport:
        self.requests.append(request)
        return self.report


JOB = Job(JobId(100, 3), 103, "alice", 1000, JobState.RUNNING, "RUNNING", nodes=("c1",))


def test_requests_go_to_the_worker_of_this_process_for_the_jobs_own_number() -> None:
    worker = FakeWorker()
    workers = LocalWorkers(worker, 60.0)  # type: ignore[arg-type]
    workers.inspect(JOB, step=None, keep_seconds=90.0)
    workers.dump(
        JOB,
        step="batch",
        staging_dir="/s",
        hold_seconds=30.0,
        timeout_seconds=7.0,
        progress=lambda _: None,
        together=True,
    )
    assert workers.finish(JOB, step="batch", action="resume") == (worker.report,)
    workers.release(JOB)
    assert [(one.action, one.number, one.step) for one in worker.requests] == [
        ("inspect", 103, None),
        ("dump", 103, "batch"),
        ("finish", 103, "batch"),
    ]
    dump = worker.requests[1]
    assert (dump.staging_dir, dump.hold_seconds, dump.timeout_seconds) == ("/s", 30.0, 7.0)
    assert (dump.node_count, dump.together) == (1, True)
    assert worker.requests[0].keep_seconds == 0  # nobody would answer


def test_fault_of_the_worker_is_raised_as_it_is() -> None:
    error = CheckpointError("CRIU failed").to_dict()
    worker = FakeWorker(report=NodeReport("c1", error=error))
    with pytest.raises(CheckpointError, match="CRIU failed"):
        LocalWorkers(worker, 60.0).inspect(JOB, step=None)  # type: ignore[arg-type]


def connect() -> tuple[socket.socket, socket.socket]:
    """Return the launcher's end and the agent's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(WAIT_SECONDS)
    return ours, theirs


def unexpected() -> None:
    raise AssertionError("no such signal was sent")


def test_signal_of_the_agents_own_is_not_answered() -> None:
    launcher, agent = connect()
    signals: list[int] = []
    with launcher, agent:
        Firewall(agent, lambda *_: True, lambda: signals.append(1)).start()
        launcher.send(b"\x0a")
        launcher.send(b"\x0f")
        assert launcher.recv(16) == b"h\x0f"
        assert signals == [1]


@pytest.mark.parametrize(("keeps", "answer"), [(True, b"h\x0f"), (False, b"f\x0f")])
def test_question_of_the_launcher_is_answered(keeps: bool, answer: bytes) -> None:
    launcher, agent = connect()
    with launcher, agent:
        Firewall(agent, lambda *_: keeps, unexpected).start()
        launcher.send(b"\x0f")
        assert launcher.recv(16) == answer


@pytest.mark.parametrize(
    ("times", "heard"),
    [("-6.5 -20.25", (6.5, 20.25)), ("", (0.0, 0.0)), ("nonsense", (0.0, 0.0))],
    ids=["waited", "launcher of an older release", "nonsense"],
)
def test_how_long_a_question_has_waited_is_known(times: str, heard: tuple[float, float]) -> None:
    launcher, agent = connect()
    found: list[tuple[float, float]] = []

    def decide(waited_seconds: float, told_seconds: float) -> bool:
        found.append((waited_seconds, told_seconds))
        return False

    with launcher, agent:
        Firewall(agent, decide, unexpected, monotonic=lambda: 0.0).start()
        launcher.send(b"\x0f" + times.encode())
        assert launcher.recv(16) == b"f\x0f"
    assert found == [heard]


def test_fault_while_deciding_keeps_nothing_back() -> None:
    def decide(*_: float) -> bool:
        raise ZeroDivisionError

    launcher, agent = connect()
    with launcher, agent:
        Firewall(agent, decide, unexpected).start()
        launcher.send(b"\x0f")
        assert launcher.recv(16) == b"f\x0f"
        launcher.send(b"\x0f")  # and the next one is answered as well
        assert launcher.recv(16) == b"f\x0f"


def test_fault_at_a_signal_of_its_own_leaves_the_next_question_answered() -> None:
    launcher, agent = connect()
    with launcher, agent:
        Firewall(agent, lambda *_: True, unexpected).start()
        launcher.send(b"\x0a")
        launcher.send(b"\x0f")
        assert launcher.recv(16) == b"h\x0f"


def test_line_for_the_job_is_one_line() -> None:
    launcher, agent = connect()
    with launcher, agent:
        Firewall(agent, lambda *_: True, unexpected).say("no\nimage\x1b[31m" + "x" * 1000)
        packet = launcher.recv(4096)
        assert packet.startswith(b"sno image [31mxxx")
        assert len(packet) == 501


def test_launcher_that_goes_ends_the_thread_and_nothing_else() -> None:
    launcher, agent = connect()
    with agent:
        firewall = Firewall(agent, lambda *_: True, unexpected)
        thread = firewall.start()
        launcher.close()
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
        firewall.pass_on()  # nobody hears it
