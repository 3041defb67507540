"""The agent of a job, and asking it from inside of the tree; real sockets, no Slurm."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from syscr.clock import SystemClock
from syscr.errors import (
    CheckpointTimeoutError,
    OperationUnsupportedError,
    PreflightError,
    RequestError,
    StoreFullError,
    SyscrError,
    ToolReplyError,
)
from syscr.job import inside
from syscr.job.agent import Agent
from syscr.job.agent_request import AgentRequest
from syscr.job.inside import ask_agent
from syscr.job.own_images import PERIODIC, OwnImages
from syscr.model import Image, Target, TaskSpec
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult
from syscr.testing.clock import FakeClock
from syscr.testing.images import sample_manifest

TARGET = Target.parse("12")


class Stop(BaseException):
    """Ends an agent, which has no end of its own."""


@dataclass
class World:
    """What the agent works on.

    Attributes:
        run_dir: Private folder of the task.
        stop_after: Ends the agent after so many checkpoints.
        failure: What a checkpoint raises; None: it succeeds.
        origin: Image that this life came from.
    """

    run_dir: Path
    stop_after: int = 1
    failure: Exception | None = None
    requests: list[CheckpointRequest] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    attempts: int = 0
    origin: str = ""

    def checkpoint(self, request: CheckpointRequest) -> CheckpointResult:
        self.attempts += 1
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        number = len(self.images)
        manifest = sample_manifest(
            image_id=f"20261124T0930{number:02d}Z-0000000{number}", tags=request.tags
        )
        self.images.append(Image(manifest, "/s/x", "/s"))
        return CheckpointResult(request.target, self.images[-1], "running")

    def agent(self, interval: float, keep: int = 2) -> Agent:
        request = AgentRequest("12", str(self.run_dir), interval)
        return Agent(
            request=request,
            images=OwnImages(
                keep,
                self.list_images,
                lambda image: self.removed.append(image.image_id),
                self.origin,
            ),
            max_wait_seconds=77.0,
            checkpoint=self.checkpoint,
            clock=_StoppingClock(self),
        )

    def list_images(self, _: Target) -> tuple[Image, ...]:
        return tuple(image for image in self.images if image.image_id not in self.removed)


class _StoppingClock(SystemClock):
    """Ends the agent where it looks at the time after its last checkpoint."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        if self._world.attempts >= self._world.stop_after:
            raise Stop
        return super().monotonic()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@contextmanager
def running(agent: Agent) -> Iterator[None]:
    def serve() -> None:
        with pytest.raises(Stop):
            agent.run()

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join(timeout=20)
    assert not thread.is_alive()


def spec(world: World) -> TaskSpec:
    return TaskSpec(12, "batch", 0, "c1", "12", "/s", "criu", run_dir=str(world.run_dir))


def wait_for_socket(world: World) -> None:
    deadline = SystemClock().monotonic() + 10
    while not (world.run_dir / "agent").exists():
        assert SystemClock().monotonic() < deadline
        SystemClock().sleep(0.005)


def test_agent_takes_checkpoints_at_the_interval_and_keeps_the_newest(world: World) -> None:
    world.stop_after = 4
    with running(world.agent(0.02)):
        pass
    assert [request.tags for request in world.requests] == [(PERIODIC,)] * 4
    assert [str(request.target) for request in world.requests] == ["12"] * 4
    assert {request.max_wait_seconds for request in world.requests} == {77.0}
    assert world.removed == [image.image_id for image in world.images[:2]]


def test_agent_that_keeps_all_removes_none(world: World) -> None:
    world.stop_after = 3
    with running(world.agent(0.01, keep=0)):
        pass
    assert world.removed == []


def test_agent_spares_the_image_that_this_life_came_from(world: World) -> None:
    first = Image(sample_manifest(image_id="20261124T080000Z-aaaaaaaa", tags=(PERIODIC,)), "", "")
    child = sample_manifest(image_id="20261124T080001Z-bbbbbbbb", tags=(PERIODIC,))
    world.images = [first, Image(child, "", "")]
    world.origin = first.image_id
    world.stop_after = 2
    with running(world.agent(0.01)):
        pass
    assert first.image_id not in world.removed
    assert child.image_id in world.removed


def test_agent_survives_a_failing_checkpoint_and_a_fault(world: World) -> None:
    world.stop_after = 2
    world.failure = PreflightError("cannot checkpoint 12: no")
    with running(world.agent(0.01)):
        pass
    world.attempts, world.failure = 0, ValueError("a fault of ours")
    with running(world.agent(0.01)):
        pass
    assert world.attempts == 2


def test_program_inside_asks_and_gets_its_image(world: World) -> None:
    with running(world.agent(3600.0)):
        wait_for_socket(world)
        request = CheckpointRequest(TARGET, image_dir="/other", max_wait_seconds=5.0)
        image_id = ask_agent(spec(world), request, SystemClock())
    assert image_id == world.images[0].image_id
    assert world.requests[0].image_dir == "/other"
    assert world.requests[0].max_wait_seconds == 5.0
    assert world.requests[0].tags == ()
    names = sorted(path.name.partition(".")[0] for path in world.run_dir.iterdir())
    assert names == ["agent", "reply"]  # it stays: a caller restored from that image reads it again


def test_program_inside_gets_the_reason_of_a_refusal(world: World) -> None:
    world.failure = PreflightError("cannot checkpoint 12: a socket; the job is still running")
    with running(world.agent(3600.0)):
        wait_for_socket(world)
        with pytest.raises(PreflightError, match="a socket"):
            ask_agent(spec(world), CheckpointRequest(TARGET), SystemClock())


def test_program_inside_hears_of_a_fault(world: World) -> None:
    world.failure = ValueError("a fault of ours")
    with running(world.agent(3600.0)):
        wait_for_socket(world)
        with pytest.raises(SyscrError, match=r"see agent\.log"):
            ask_agent(spec(world), CheckpointRequest(TARGET), SystemClock())


def test_job_without_agent_is_told_how_to_get_one(world: World) -> None:
    with pytest.raises(OperationUnsupportedError, match="it has no agent") as caught:
        ask_agent(spec(world), CheckpointRequest(TARGET), clock := FakeClock())
    assert "--checkpoint=INTERVAL" in caught.value.hint
    assert clock.sleeps == []


def test_agent_that_is_just_starting_is_waited_for(world: World) -> None:
    """It is started before the program, but may need longer until it listens."""
    agent = world.agent(3600.0)
    (world.run_dir / "agent.log").touch()
    threads: list[threading.Thread] = []

    class Clock(SystemClock):
        def sleep(self, seconds: float) -> None:
            if not threads:
                threads.append(threading.Thread(target=serve))
                threads[0].start()
            super().sleep(seconds)

    def serve() -> None:
        with pytest.raises(Stop):
            agent.run()

    assert ask_agent(spec(world), CheckpointRequest(TARGET), Clock()) == world.images[0].image_id
    threads[0].join(timeout=20)
    assert not threads[0].is_alive()


def test_agent_that_never_starts_is_not_waited_for_without_end(world: World) -> None:
    (world.run_dir / "agent.log").touch()
    clock = FakeClock()
    with pytest.raises(OperationUnsupportedError, match="it has no agent"):
        ask_agent(spec(world), CheckpointRequest(TARGET), clock)
    assert sum(clock.sleeps) == pytest.approx(15)


def test_agent_that_does_not_answer_is_not_waited_for_without_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "_MARGIN_SECONDS", 0.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(b"")
        (world.run_dir / "agent").write_bytes(deaf.getsockname()[1:])
        request = CheckpointRequest(TARGET, max_wait_seconds=0.05)
        with pytest.raises(CheckpointTimeoutError, match="no answer"):
            ask_agent(spec(world), request, SystemClock())


def test_answer_that_is_nothing_readable_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.urandom", lambda count: b"\0" * count)
    (world.run_dir / f"reply.{bytes(8).hex()}").write_text("{")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(b"")
        (world.run_dir / "agent").write_bytes(deaf.getsockname()[1:])
        with pytest.raises(ToolReplyError, match="nothing readable"):
            ask_agent(spec(world), CheckpointRequest(TARGET), SystemClock())


def test_garbage_and_a_reply_outside_of_the_folder_are_ignored(world: World) -> None:
    world.stop_after = 1
    with running(world.agent(3600.0)):
        wait_for_socket(world)
        address = b"\0" + (world.run_dir / "agent").read_bytes()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            for message in (b"", b"{", b"[1]", b"\xff" * 100):
                link.sendto(message, address)
            link.sendto(json.dumps({"reply": "../../escaped"}).encode(), address)
    assert world.attempts == 1
    assert [path.name for path in world.run_dir.iterdir()] == ["agent"]


@pytest.mark.parametrize("reply", [".", "..", "a\0b", "x" * 300])
def test_answer_that_cannot_be_written_ends_no_agent(world: World, reply: str) -> None:
    world.stop_after = 2
    with running(world.agent(3600.0)):
        wait_for_socket(world)
        address = b"\0" + (world.run_dir / "agent").read_bytes()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            for _ in range(2):
                link.sendto(json.dumps({"reply": reply}).encode(), address)
    assert world.attempts == 2


@dataclass
class BrokenWatch:
    """A watch with a fault, due at once; it asks for an image when it is called again.

    Attributes:
        take: Takes an image.
        wake: Wakes the agent.
    """

    take: Callable[[], bool]
    wake: Callable[[], None]
    acts: int = 0
    failures: list[str] = field(default_factory=list)

    def next_due(self) -> float:
        return 0.0

    def act(self) -> None:
        self.acts += 1
        if self.acts == 1:
            for _ in range(1000):
                self.wake()  # more than its queue holds
            raise ZeroDivisionError
        self.take()

    def choose_interval(self) -> float:
        return 3600.0

    def note_image(self, image: Image, took_seconds: float) -> None:
        pass

    def note_failure(self, message: str) -> None:
        self.failures.append(message)

    def note_next(self, at: datetime | None) -> None:
        pass


def test_fault_of_the_watch_and_a_full_queue_end_no_agent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syscr.job.agent._FAULT_SECONDS", 0.0)
    with running(replace(world.agent(3600.0), build_watch=BrokenWatch)):
        pass
    assert world.attempts == 1


def test_watch_hears_of_an_image_that_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syscr.job.agent._FAULT_SECONDS", 0.0)
    world.failure = StoreFullError("no space")
    watches: list[BrokenWatch] = []

    def build(take: Callable[[], bool], wake: Callable[[], None]) -> BrokenWatch:
        watches.append(BrokenWatch(take, wake))
        return watches[0]

    with running(replace(world.agent(3600.0), build_watch=build)):
        pass
    assert watches[0].failures == ["no space"]


def test_request_comes_back_as_it_was() -> None:
    request = AgentRequest("12.0", "/s/a b", 1.5)
    assert AgentRequest.decode(request.encode()) == request


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"target": 1}', "\0"])
def test_request_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="not a request"):
        AgentRequest.decode(text)


def test_own_task_is_found_only_below_pid_1_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inside.find_own_task() is None
    monkeypatch.setattr(inside, "_PID1_NAME", Path("/proc/1/comm").read_text().strip())
    wanted = replace(TaskSpec(12, "batch", 0, "c1", "12", "/s", "criu"), run_dir="/r")
    monkeypatch.setattr(inside, "read_spec", lambda pid: wanted if pid == 1 else None)
    assert inside.find_own_task() == wanted
