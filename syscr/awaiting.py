"""Waiting for a job that was put back into the queue, until every rank says that it runs again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from syscr.errors import RestartError, SchedulerUnavailableError
from syscr.lives import run_folder
from syscr.model import Image, Job, JobId
from syscr.ports import Clock, Scheduler, Store, StoreKey
from syscr.result import RestartResult
from syscr.returning import describe_waiting
from syscr.waiting import wait_until

# ``StartTime=now`` is the time of this node, and scontrol lets none be earlier (``src/scontrol/update_job.c``).
# Where our clock is ahead of slurmctld's each order puts the start off by as much, so they come ever more rarely.
_FIRST_KICK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class NextLife:
    """One life of a job that continues from an image.

    Attributes:
        job_id: The job.
        key: Line and step of the image.
        restart_count: Which life it is.
        home: Store in which the ranks leave their notes.
        image: What it continues from.
        how: ``requeued`` or ``submitted``.
    """

    job_id: JobId
    key: StoreKey
    restart_count: int
    home: Store
    image: Image
    how: str


@dataclass(slots=True)
class Waiter:
    """Waits for one life of a job.

    Attributes:
        scheduler: Slurm.
        clock: Time.
        life: What is waited for.
    """

    scheduler: Scheduler
    clock: Clock
    life: NextLife
    _ready: set[int] = field(default_factory=set)
    _job: Job | None = None
    _silence: SchedulerUnavailableError | None = None
    _kick_seconds: float = _FIRST_KICK_SECONDS
    _next_kick: float = 0.0

    def wait(
        self, seconds: float, progress: Callable[[Mapping[str, object]], None]
    ) -> RestartResult:
        """Wait until all ranks run; a controller that is silent for a while is no end.

        Raises:
            RestartError: A rank was not restored, or the job has ended.
            SchedulerUnavailableError: The controller is silent at the end.
        """
        self._next_kick = self.clock.monotonic() + self._kick_seconds

        def is_back() -> bool:
            try:
                back, self._silence = self._look(), None
            except SchedulerUnavailableError as error:
                back, self._silence = False, error
            state = self._job.raw_state if self._job else "out of sight"
            if not back:
                message = f"job {self.life.job_id} is {state}"
                progress({"type": "phase", "phase": "start", "message": message})
            return back

        back = wait_until(self.clock, is_back, timeout_seconds=seconds)
        if self._silence is not None or self._job is None:
            raise self._build_silence() from self._silence
        is_late = not back and seconds > 0
        return RestartResult(
            image=self.life.image,
            job_id=self.life.job_id,
            method="",
            job_state="running" if back else "pending",
            nodes=self._job.nodes,
            warnings=(describe_waiting(self._job, seconds),) if is_late else (),
        )

    def _look(self) -> bool:
        """Look once; returns whether all ranks run."""
        job_id = self.life.job_id
        # first: what a job has told, it told before its end
        self._job = job = self.scheduler.get_job(job_id)
        ranks = {task.rank for task in self.life.image.manifest.tasks}
        self._ready |= {rank for rank in sorted(ranks - self._ready) if self._is_ready(job, rank)}
        if self._ready == ranks:
            self._job = self.scheduler.get_job(job_id)
            return True
        if job.state.is_final:
            raise self._build_failure(f"it ended ({job.raw_state}) before it was restored")
        if job.state.is_waiting and self.clock.monotonic() >= self._next_kick:
            self.scheduler.start_now(job_id)
            self._kick_seconds *= 2
            self._next_kick = self.clock.monotonic() + self._kick_seconds
        return False

    def _is_ready(self, job: Job, rank: int) -> bool:
        name = f"{run_folder(job.number, self.life.restart_count, rank)}/ready"
        note = self.life.home.read_note(self.life.key, name)
        if note is not None and note.startswith("failed"):
            reason = note.partition(":")[2].strip()
            raise self._build_failure(reason or f"task {rank} could not be restored")
        return note is not None

    def _build_failure(self, reason: str) -> RestartError:
        image_id = self.life.image.image_id
        return RestartError(
            f"cannot restart job {self.life.job_id} from image '{image_id}': {reason}",
            hint="the reason is at the end of the job's output; the image is untouched: try again, or an "
            "older one with 'syscr restart --image ID'",
        )

    def _build_silence(self) -> SchedulerUnavailableError:
        cause = f": {self._silence.message}" if self._silence else ""
        return SchedulerUnavailableError(
            f"job {self.life.job_id} was {self.life.how}, but whether it runs again is not known{cause}",
            hint="it continues from the image as soon as it starts; see 'squeue --me' when Slurm answers",
        )
