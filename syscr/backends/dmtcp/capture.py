"""One attempt at a checkpoint: request, watch the generation grow, look at the files, judge the end.

DMTCP reports success for more than is one (measured on 4.2.0 and main 2bef5cf8, 2026-11): what counts is how many processes were
there before, how many image files there are, and that all processes run again afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from syscr.backends.dmtcp.coordinator import Coordinator
from syscr.backends.dmtcp.files import is_unchanged, list_task_files, select_known
from syscr.backends.dmtcp.generation import (
    Generation,
    discard_generation,
    list_generations,
    read_generation,
)
from syscr.errors import CheckpointError, CheckpointTimeoutError, CoordinatorError
from syscr.ports import Clock, TaskControl
from syscr.procfs.files import OpenFile

_POLL_SECONDS = 0.0005
_SLOW_POLL_SECONDS = 0.005
_FAST_POLLS_SECONDS = 0.25
_STATUS_SECONDS = 0.5
_SETTLE_SECONDS = 3.0
_RESUME_SECONDS = 10.0
_LOST_SECONDS = 10.0

FROZEN = (
    "the task stands still and DMTCP never lets it go on; end it with 'scancel' and restart it from its "
    "previous image"
)
UNFINISHED = (
    "DMTCP is still at it, and the task goes on by itself when that is done; should it stand still for "
    "minutes, end it with 'scancel' and restart it from its previous image"
)


@dataclass(frozen=True, slots=True)
class Captured:
    """One generation, left in the run directory.

    Attributes:
        generation: Its files on disk.
        peers: Processes that were there before.
        files: Regular files of the task.
        exact: Whether the sizes of ``files`` are those of the moment of the image.
        frozen_seconds: From the first sign of the generation until all processes ran again (until the
            generation was complete, where the task was stopped then).
        problem: Why this is no image, in words; empty: it is one. The task runs in either case.
    """

    generation: Generation
    peers: int
    files: tuple[OpenFile, ...]
    exact: bool
    frozen_seconds: float
    problem: str = ""


class Capture:
    """Takes one generation of one task.

    Attributes:
        name: The task in words for messages.
    """

    def __init__(
        self, task: TaskControl, coordinator: Coordinator, clock: Clock, deadline: float
    ) -> None:
        """Keep what is needed; ``deadline`` is a monotonic time."""
        self._task = task
        self._coordinator = coordinator
        self._clock = clock
        self._deadline = deadline
        self._run_dir = task.spec.run_dir
        self.name = f"step {task.spec.number}.{task.spec.step} task {task.spec.rank}"

    def take(self, hold_seconds: float) -> Captured:
        """Take a generation.

        Raises:
            CheckpointError: It failed; the message says what became of the task.
            CheckpointTimeoutError: The deadline passed.
            CoordinatorError: The coordinator does not answer; nothing was started.
        """
        peers = self._count_peers()
        for name in list_generations(
            self._run_dir
        ):  # of attempts that failed, or not asked for by us
            discard_generation(self._run_dir, name)
        pids = self._task.pids()
        before = list_task_files(pids)
        self._coordinator.request_checkpoint(self._settled())
        generation = self._wait_for(peers, complete=False)
        begun = self._clock.monotonic()
        files = list_task_files(pids)
        frozen = generation.is_frozen and self._read(generation.name).is_frozen
        exact = frozen and self._task.pids() == pids
        generation = self._wait_for(peers, complete=True)
        problem = find_problem(generation, peers)
        if hold_seconds and not problem:
            self._task.hold(hold_seconds)
        else:
            self._check_running()
        frozen_seconds = self._clock.monotonic() - begun
        after = list_task_files(self._task.pids())
        if exact:
            files = select_known(files, (*before, *after))
        else:
            files, exact = after, is_unchanged(before, after)
        return Captured(generation, peers, files, exact, frozen_seconds, problem)

    def _settled(self) -> float:
        """Return how long to wait for processes that come and go, or resume."""
        return min(self._deadline, self._clock.monotonic() + _SETTLE_SECONDS)

    def _count_peers(self) -> int:
        """Return the number of processes, all of which run."""
        settled = self._settled()
        while True:
            status = self._coordinator.get_status()
            if status.running and status.peers:
                return status.peers
            if self._clock.monotonic() >= settled:
                raise CoordinatorError(
                    f"cannot checkpoint {self.name}: its processes are not in the running state for "
                    f"{_SETTLE_SECONDS:g} s; nothing was dumped",
                    hint="is another checkpoint of this task going on, or is it still being restored?",
                )
            self._clock.sleep(_SLOW_POLL_SECONDS)

    def _read(self, name: str) -> Generation:
        return read_generation(self._run_dir, name)

    def _wait_for(self, peers: int, *, complete: bool) -> Generation:
        """Wait for the first sign of a generation, or for its end; quick at first, then patient."""
        started = asked = grown = self._clock.monotonic()
        size = -1
        while True:
            found = [self._read(name) for name in list_generations(self._run_dir)]
            if found and (not complete or found[-1].script is not None):
                return found[-1]
            now = self._clock.monotonic()
            if found and found[-1].size_bytes != size:
                size, grown = found[-1].size_bytes, now
            if now >= self._deadline:
                self._fail_late(peers)
            if now - asked >= _STATUS_SECONDS:
                lost = peers - self._get_peers()
                if lost > 0 and now - grown > _LOST_SECONDS:
                    self._fail_frozen(
                        f"{lost} of its {peers} processes ended during the checkpoint"
                    )
                asked = self._clock.monotonic()
            is_new = now - started < _FAST_POLLS_SECONDS
            self._clock.sleep(_POLL_SECONDS if is_new else _SLOW_POLL_SECONDS)

    def _get_peers(self) -> int:
        """Return the number of processes while a checkpoint is going on; raises if there are none."""
        try:
            return self._coordinator.get_status().peers
        except CoordinatorError as error:
            if self._task.pids():
                self._fail_frozen(error.message)
            raise CheckpointError(
                f"cannot checkpoint {self.name}: it ended during the checkpoint",
                hint="see its standard error; a full disk or io_uring ends a program under DMTCP",
                task_state="ended",
            ) from error

    def _fail_late(self, peers: int) -> NoReturn:
        """Raise that time is over, with what is known about the task."""
        left = self._get_peers()
        fate, state = UNFINISHED, "dumping"
        if self._coordinator.get_status().running:
            fate, state = "the task runs on", "running"
        elif left < peers:
            fate, state = f"{peers - left} of its {peers} processes ended; {FROZEN}", "frozen"
        raise CheckpointTimeoutError(
            f"cannot checkpoint {self.name}: the image was not complete in time; {fate}",
            task_state=state,
        )

    def _fail_frozen(self, cause: str) -> NoReturn:
        raise CheckpointError(
            f"cannot checkpoint {self.name}: {cause}; {FROZEN}", hint="", task_state="frozen"
        )

    def _check_running(self) -> None:
        """Raise unless all processes that are left run again."""
        limit = self._clock.monotonic() + _RESUME_SECONDS
        try:
            while not self._coordinator.get_status().running:
                if self._clock.monotonic() >= limit:
                    self._fail_frozen(
                        "one of its processes ended during the checkpoint, or does not go on since"
                    )
                self._clock.sleep(_SLOW_POLL_SECONDS)
        except CoordinatorError as error:
            if self._task.pids():  # else the program has ended by itself, after the image
                self._fail_frozen(error.message)


def find_problem(generation: Generation, peers: int) -> str:
    """Return why a complete generation is no image of ``peers`` processes; empty: it is one."""
    named = generation.script.images if generation.script is not None else ()
    names = {path.rpartition("/")[2] for path in named}
    if (
        len(generation.images) == peers
        and not generation.unfinished
        and names == set(generation.images)
    ):
        return ""
    return (
        f"there were {peers} processes, but there are {len(generation.images)} finished image files, and "
        f"{len(names)} in DMTCP's list"
    )
