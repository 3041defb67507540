"""What Slurm would do to a job that keeps itself alive, done now, so that people can try it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from syscr import preflight
from syscr.errors import ManifestError, OperationUnsupportedError, RestartTimeoutError
from syscr.lives import SOCKET_NOTE, LifeBook, read_end, run_folder
from syscr.locating import Locator
from syscr.model import Job, JobState, Life, StopReason, Target
from syscr.ports import Clock, Scheduler
from syscr.result import SimulationResult
from syscr.waiting import wait_until

CAUSES = ("preempt", "timeout", "node-failure")

_REASONS = {"preempt": StopReason.PREEMPTION, "timeout": StopReason.TIME_LIMIT}
_BELIEVED = timedelta(seconds=60)
# Source: slurm.conf manual, KillWait, 24.11: so long a program may take to end.
_KILL_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Simulator:
    """Stops jobs as Slurm does.

    Attributes:
        scheduler: Slurm.
        locator: Finds the record of the job's lives.
        clock: Time.
        uid: The caller.
        user_name: The caller's name.
    """

    scheduler: Scheduler
    locator: Locator
    clock: Clock
    uid: int
    user_name: str

    def simulate(self, target: Target, cause: str, *, wait_seconds: float) -> SimulationResult:
        """Stop a job and wait until its life has ended; see ``CheckpointManager.simulate``."""
        job = self.scheduler.get_job(target.job_id)
        preflight.check_owner(job, self.uid, self.user_name)
        preflight.check_state(job, "simulate")
        try:
            book = self._find_book(job, target)
            if cause != "node-failure":
                self._wait_for_agent(book, job, target, wait_seconds)
            before = book.read()[-1]
        except ManifestError as error:
            raise ManifestError(
                f"cannot simulate anything with job {target}: {error.message}; nothing was done to the job",
                hint="its agent begins a new record when it looks at Slurm next, in some minutes: try again then",
            ) from error
        if cause == "node-failure":
            self.scheduler.signal(job.job_id, "KILL")
            self.scheduler.requeue(job.job_id)
        else:
            until = self.clock.now() + _BELIEVED
            book.announce(before, _REASONS[cause], until)
            self.scheduler.signal(job.job_id, "TERM")
        wait_until(
            self.clock,
            lambda: self._has_ended(book, before, job),
            timeout_seconds=wait_seconds,
            on_timeout=lambda: RestartTimeoutError(
                f"job {target.job_id} was told to end {wait_seconds:g} s ago and has not done so; "
                f"it is {self.scheduler.get_job(job.job_id).raw_state}",
                hint=f"look with 'syscr status {target.job_id}', and into agent.log in "
                f"'{book.store.folder_path(book.key, run_folder(before.number, before.restart_count))}'",
            ),
        )
        if cause == "preempt":
            self._requeue_as_slurm(book, before, job)
        after = self.scheduler.get_job(job.job_id)
        return SimulationResult(target, cause, _find(book, before), after.raw_state)

    def _wait_for_agent(
        self, book: LifeBook, job: Job, target: Target, wait_seconds: float
    ) -> None:
        """Wait until somebody is there who answers the signal; before, the program would die of it."""

        def listens() -> bool:
            last = book.read()[-1]
            if last.restart_count != self.scheduler.get_job_details(job.job_id).restart_count:
                return False  # the life that Slurm has started has not come so far
            note = book.store.read_note(
                book.key, f"{run_folder(last.number, last.restart_count)}/{SOCKET_NOTE}"
            )
            return last.ended_at is None and bool(note)

        wait_until(
            self.clock,
            listens,
            timeout_seconds=wait_seconds,
            on_timeout=lambda: RestartTimeoutError(
                f"cannot simulate anything with job {target.job_id}: its agent does not listen yet; "
                "nothing was done to the job",
                hint=f"look with 'syscr status {target.job_id}', and try again",
            ),
        )

    def _requeue_as_slurm(self, book: LifeBook, before: Life, job: Job) -> None:
        """Requeue a job that has ended without a last image: a real preemption would do so itself.

        The agent may just have said that there is none, and the program be about to end.
        """
        wait_until(
            self.clock,
            lambda: not self._lives(before, job),
            timeout_seconds=_KILL_WAIT_SECONDS,
        )
        if self.scheduler.get_job(job.job_id).state is not JobState.FAILED:
            return
        ended = read_end(book.store, book.key, before)
        ended_by_itself = ended is not None and ended.how == "own"
        if not ended_by_itself and self.scheduler.get_job_details(job.job_id).can_requeue:
            self.scheduler.requeue(job.job_id)

    def _lives(self, life: Life, job: Job) -> bool:
        """Whether Slurm has not done with a life; it may have been told to end."""
        if self.scheduler.get_job(job.job_id).state not in {JobState.RUNNING, JobState.COMPLETING}:
            return False
        return self.scheduler.get_job_details(job.job_id).restart_count == life.restart_count

    def _find_book(self, job: Job, target: Target) -> LifeBook:
        book = self.locator.find_book(target, job.number)
        if book is None or target.step not in {None, "batch"}:
            raise OperationUnsupportedError(
                f"job {target} does not keep itself alive: it was not submitted with --checkpoint "
                "or --total-time; it runs on",
                hint="submit it with: syscr sbatch --checkpoint=INTERVAL SCRIPT",
            )
        return book

    def _has_ended(self, book: LifeBook, before: Life, job: Job) -> bool:
        state = self.scheduler.get_job(job.job_id).state
        if state is JobState.RUNNING:
            life = _find(book, before)
            is_noted = bool(life.note and life.noted_at != before.noted_at)
            return is_noted or (life.ended_at is not None and not book.is_current(life))
        return state is not JobState.COMPLETING


def _find(book: LifeBook, life: Life) -> Life:
    """Return what has become of a life; as it was where that cannot be read."""
    try:
        return book.find(life.number, life.restart_count) or life
    except ManifestError:
        return life
