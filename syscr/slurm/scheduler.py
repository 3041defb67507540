"""``SlurmScheduler``: the Scheduler port over Slurm's command-line tools.

Only sequences commands (``commands.py``) and replies (``parse.py``); a call takes 2 to 5 ms. Owner, state
and nodes come from squeue fields that no user text can forge, never from ``scontrol show job -o``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    SchedulerError,
    SchedulerReplyError,
    SchedulerUnavailableError,
)
from syscr.model import Job, JobDetails, JobId, JobState
from syscr.ports import Clock, CommandTimeout, Completed, Runner, SubmitOptions
from syscr.slurm import commands, parse
from syscr.slurm.failure import is_worth_repeating
from syscr.slurm.hostlist import fold_hostlist
from syscr.units import parse_version_numbers

log = logging.getLogger(__name__)

# Measured with 24.11.5, 2026-11: with a hung controller squeue gives up after 10 s, scontrol after 20 s.
DEFAULT_TIMEOUT_SECONDS = 30.0
# sbatch itself repeats for a while where the controller is busy.
_SUBMIT_TIMEOUT_SECONDS = 150.0
# First version whose `scontrol show job --json` was checked.
_JSON_VERSION = (24, 11)
_UNKNOWN_VERSION = (0, 0)
# Slurm refuses a second act on a job for a moment (error 2020) and does nothing then.
_REPEATS = 4
_REPEAT_SECONDS = 1.0


class SlurmScheduler:
    """Jobs of one cluster, as the calling user may see and change them.

    Attributes:
        timeout_seconds: Limit for each command.
    """

    def __init__(
        self,
        runner: Runner,
        clock: Clock,
        *,
        job_environment: Mapping[str, str] | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        """Keep the tools of the trade.

        Args:
            runner: Runs the commands.
            clock: Waits between the repeats of an act that Slurm refused for the moment.
            job_environment: Variables that a submitted job shall have although the runner takes them
                away or changes them (the user's ``LC_ALL``, ``SBATCH_*``); None: none.
            timeout_seconds: Limit for each command.
        """
        self._runner = runner
        self._clock = clock
        self._job_environment = dict(job_environment or {})
        self._version = ""
        self.timeout_seconds = timeout_seconds

    def version(self) -> str:
        """Return the version of the commands; asked for once."""
        if not self._version:
            self._version = parse.parse_version(self._run(commands.build_version()))
        return self._version

    def get_job(self, job_id: JobId) -> Job:
        """Return one job; see ``ports.Scheduler.get_job``."""
        with self._explain(f"look up job {job_id}"):
            return parse.select_job(self._run(commands.build_get_jobs([job_id])), job_id)

    def get_jobs(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]:
        """Return the jobs that Slurm knows, with one command for all."""
        if not job_ids:
            return {}
        found: dict[JobId, Job] = {}
        with self._explain("look up jobs"):
            completed = self._run(commands.build_get_jobs(job_ids))
            for job_id in job_ids:
                try:
                    found[job_id] = parse.select_job(completed, job_id)
                except JobNotFoundError:
                    log.debug("job %s is not known to Slurm", job_id)
        return found

    def find_own_jobs(self) -> tuple[JobId, ...]:
        """Return the caller's jobs that run or wait, in Slurm's order.

        Of an array those tasks that have started; the rest is no job yet.
        """
        with self._explain("list your jobs"):
            completed = self._run(commands.build_find_own_jobs())
            if parse.is_unknown_option(completed):
                completed = self._run(commands.build_find_own_jobs(os.getuid()))
            jobs = parse.parse_jobs(completed, "list your jobs")
        return tuple(job.job_id for job in jobs)

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return what a new job needs; JSON where this version has it, else field by field."""
        with self._explain(f"look up job {job_id}"):
            if (parse_version_numbers(self.version()) or _UNKNOWN_VERSION) >= _JSON_VERSION:
                return self._show_job(job_id)
            details = parse.parse_geometry(self._run(commands.build_get_geometry(job_id)))
            texts = {
                field: parse.parse_text(self._run(commands.build_get_text(job_id, field)))
                for field in commands.TEXT_FORMATS
            }
            paths = {
                field: parse.parse_path(self._run(commands.build_get_path(job_id, field)))
                for field in commands.PATH_FIELDS
            }
            return replace(details, **texts, **paths)  # type: ignore[arg-type]

    def _show_job(self, job_id: JobId) -> JobDetails:
        try:
            return parse.parse_details(self._run(commands.build_show_job(job_id)), job_id)
        except JobNotFoundError as error:
            # 24.11.5 says the same, exit code 0 included, where the controller does not answer; squeue
            # tells the two apart. Seen with a paused and with a stopped slurmctld, 2026-11.
            self.get_job(job_id)
            raise SchedulerUnavailableError(
                f"cannot look up job {job_id}: the controller did not answer 'scontrol'"
            ) from error

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return the numbered steps that run now."""
        with self._explain(f"look up the steps of job {job_id}"):
            return parse.parse_steps(self._run(commands.build_find_steps(job_id)))

    def submit(self, submission: SubmitOptions) -> JobId:
        """Submit a batch job; after a time-out it may have been submitted all the same."""
        argv = commands.build_submit(
            submission.options, submission.arguments, self._job_environment
        )
        with self._explain("submit the job", after_timeout="it may have been submitted"):
            completed = self._runner.run(
                argv,
                timeout_seconds=max(self.timeout_seconds, _SUBMIT_TIMEOUT_SECONDS),
                cwd=submission.working_dir,
                stdin=submission.script,
            )
            return parse.parse_submit(completed)

    def requeue(self, job_id: JobId, *, hold: bool = False) -> None:
        """Put the job back into the queue; works on a job that has just ended, too."""
        with self._explain(f"requeue job {job_id}", after_timeout="it may be requeued"):
            parse.parse_requeue(self._act(commands.build_requeue(job_id, hold=hold)), job_id)

    def release(self, job_id: JobId) -> None:
        """Release a held job."""
        what = f"release job {job_id}"
        with self._explain(what):
            parse.parse_act(self._act(commands.build_release(job_id)), what)

    def start_now(self, job_id: JobId) -> None:
        """Drop the delay of a requeued job; see ``ports.Scheduler.start_now``."""
        self._update(job_id, "StartTime", "now", f"drop the delay of job {job_id}")

    def require_nodes(self, job_id: JobId, nodes: Sequence[str]) -> None:
        """Let a pending job run on these nodes only.

        Looks first whether it still waits: with the same command Slurm shrinks a running job to the
        nodes, without a word. Measured with 24.11.5, 2026-11.
        """
        job = self.get_job(job_id)
        if not job.state.is_waiting:
            raise JobStateError(
                f"cannot set the nodes of job {job_id}: the job is {job.raw_state}",
                job_id=str(job_id),
                state=job.raw_state,
                allowed_states=[JobState.PENDING.value],
            )
        self._update(job_id, "ReqNodeList", fold_hostlist(nodes), f"set the nodes of job {job_id}")

    def cancel(self, job_id: JobId, *, step: str | None = None) -> None:
        """Cancel a job or one step."""
        what = f"cancel job {job_id}" if step is None else f"cancel step {job_id}.{step}"
        with self._explain(what, after_timeout="it may be cancelled"):
            parse.parse_cancel(self._act(commands.build_cancel(job_id, step)), what)

    def signal(self, job_id: JobId, name: str) -> None:
        """Signal the batch script of a job."""
        what = f"send {name} to job {job_id}"
        with self._explain(what, after_timeout="it may have got it"):
            parse.parse_cancel(self._act(commands.build_signal(job_id, name)), what)

    def get_batch_script(self, job_id: JobId) -> str:
        """Return the batch script of a job; its owner and Slurm's administrators may read it."""
        with self._explain(f"read the batch script of job {job_id}"):
            completed = self._run(commands.build_get_batch_script(job_id))
            return parse.parse_batch_script(completed, job_id)

    def _update(self, job_id: JobId, key: str, value: str, what: str) -> None:
        with self._explain(what):
            parse.parse_act(self._act(commands.build_update(job_id, key, value)), what)

    def _run(self, argv: Sequence[str]) -> Completed:
        return self._runner.run(
            argv, timeout_seconds=self.timeout_seconds, env=commands.TIME_ENVIRONMENT
        )

    def _act(self, argv: Sequence[str]) -> Completed:
        """Run a command that changes something; repeat it only where Slurm says it did nothing."""
        completed = self._run(argv)
        for _ in range(_REPEATS):
            if not is_worth_repeating(completed):
                break
            self._clock.sleep(_REPEAT_SECONDS)
            completed = self._run(argv)
        return completed

    @contextmanager
    def _explain(self, what: str, *, after_timeout: str = "") -> Iterator[None]:
        """Translate a time-out; add the version to a reply that was not understood."""
        try:
            yield
        except CommandTimeout as timeout:
            rest = f"; {after_timeout}" if after_timeout else ""
            raise SchedulerUnavailableError(
                f"cannot {what}: {timeout}{rest}",
                hint="see what Slurm says with 'squeue --me' before you try again"
                if after_timeout
                else None,
                timeout_seconds=timeout.timeout_seconds,
            ) from timeout
        except SchedulerReplyError as error:
            error.details = {**error.details, "version": self._find_version()}
            raise

    def _find_version(self) -> str:
        if not self._version:
            try:
                self.version()
            except (SchedulerError, CommandTimeout):
                log.debug("the version of Slurm cannot be read")
        return self._version
