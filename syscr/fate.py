"""What became of a job whose checkpoint failed: looked at, never assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    SchedulerUnavailableError,
    StoreError,
    SyscrError,
)
from syscr.model import Job, JobState, Target
from syscr.ports import Clock, JobSource, Workers
from syscr.waiting import wait_until

RUNS = "the job is still running"

# What those say who have looked at one task, at the moment of the failure.
_CLAIMS = (RUNS, "the program runs on", "the task runs on", "the program has ended")
# What DMTCP has done to a task (``details['task_state']``); it holds unless the task has ended since.
_STANDING = frozenset({"frozen", "dumping"})
# Slurm hears of the end of a task a moment later than its node knows it.
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Fates:
    """Looks at jobs.

    Attributes:
        scheduler: Slurm.
        workers: The nodes.
        clock: Time.
    """

    scheduler: JobSource
    workers: Workers
    clock: Clock

    def say(self, error: SyscrError, job: Job, target: Target, ranks: Sequence[int]) -> SyscrError:
        """Return the error of a failed dump with what became of the job in its message.

        Args:
            error: What failed.
            job: The job as it was before.
            target: The step that was dumped.
            ranks: Its tasks.
        """
        if isinstance(error, (JobStateError, JobNotFoundError)) or "missing" in error.details:
            return error  # it says so already
        message = set_fate(error, self.find(job, target.step or "batch", ranks))
        is_foreign = isinstance(error, (StoreError, SchedulerUnavailableError))
        if is_foreign and not message.startswith("cannot checkpoint"):
            message = f"cannot checkpoint {target}: {message}"
        if message == error.message:
            return error
        said = type(error)(message, hint=error.hint, **error.details)
        for note in getattr(error, "__notes__", ()):
            said.add_note(note)
        return said

    def find(self, job: Job, step: str, ranks: Sequence[int]) -> str:
        """Return what became of the tasks of a step, in words."""
        try:
            reports = self.workers.inspect(job, step=step)
        except SyscrError:
            gone = None
        else:
            left = {task.rank for report in reports for task in report.tasks}
            gone = sorted(set(ranks) - left)
        if gone == []:
            return RUNS
        is_over = gone is not None and len(gone) == len(ranks) and step == "batch"
        try:
            now = self._look(job, is_over=is_over)
            if now.state.is_final or now.state is JobState.COMPLETING:
                code = self.scheduler.get_job_details(job.job_id).exit_code
                return f"the job has ended ({now.raw_state}{code and f', exit code {code}'})"
        except JobNotFoundError:
            return "the job has ended"
        except SyscrError:
            return "what became of the job is not known"
        if gone is None:
            return f"the job is {now.raw_state}, what became of its tasks is not known"
        return f"{name_tasks(gone)} of step {job.job_id}.{step} ended"

    def _look(self, job: Job, *, is_over: bool) -> Job:
        """Return the job as it is now; one that is ending, or must be, is given the time to end."""
        now = job

        def has_ended() -> bool:
            nonlocal now
            now = self.scheduler.get_job(job.job_id)
            is_going_on = now.state is JobState.RUNNING and is_over
            return not is_going_on and now.state is not JobState.COMPLETING

        wait_until(self.clock, has_ended, timeout_seconds=_END_SECONDS)
        return now


def set_fate(error: SyscrError, fate: str) -> str:
    """Return the message of an error with ``fate`` in the place of what it claims; pure.

    Example:
        >>> set_fate(SyscrError("it failed; the program runs on"), "task 0 ended")
        'it failed; task 0 ended'
    """
    head, newline, lines = error.message.partition("\n")
    claim = next((text for text in _CLAIMS if text in head), "")
    is_standing = error.details.get("task_state") in _STANDING
    if fate == RUNS and (is_standing or (claim and claim != "the program has ended")):
        return error.message
    if claim:
        head = head.replace(claim, fate)
    else:
        head = f"{head}; {'by now ' if is_standing else ''}{fate}"
    return f"{head}{newline}{lines}"


def name_tasks(ranks: Sequence[int]) -> str:
    """Name tasks by rank, as in ``tasks 3, 4``.

    Example:
        >>> name_tasks([3]), name_tasks([3, 4])
        ('task 3', 'tasks 3, 4')
    """
    noun = "task" if len(ranks) == 1 else "tasks"
    return f"{noun} {', '.join(map(str, ranks))}"
