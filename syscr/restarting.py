"""Bringing a job back: by requeue under its own id while Slurm knows it, else as a new job.

In both cases the store says which image the next life continues from before that life can begin: all
ranks read that one decision, and none chooses alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from syscr.awaiting import NextLife, Waiter
from syscr.dumping import Progress
from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    RestartError,
    SchedulerDeniedError,
    SchedulerUnavailableError,
    SyscrError,
)
from syscr.model import Image, Job, JobDetails, JobId, JobState
from syscr.ports import Clock, Scheduler, Store, StoreKey, SubmitOptions
from syscr.request import RestartRequest
from syscr.result import RestartResult
from syscr.returning import build_alive_error
from syscr.selection import (
    CONTINUES,
    CURRENT,
    SUBMISSION,
    Selection,
    build_decision,
    decision_name,
    home_dir,
)
from syscr.units import parse_version_numbers
from syscr.waiting import wait_until

log = logging.getLogger(__name__)

# slurmd refuses a job whose credential is as old as its own end on that node, to the second ("already
# killed, do not launch batch job", FAILED 1:0; 24.11.5, 2026-11): let the next second begin first.
_SAME_SECOND_SECONDS = 2.0
_ENDING_SECONDS = 60.0
_REQUEUE_SECONDS = 120.0
# From here on the steps of a requeued job are numbered from 0 again, and so find their images. 20.11.4 goes
# on where the last life ended; 22.05.8, 24.11.5 and 26.05.5 begin anew (each seen, 2026-11); between: unknown.
_STEPS_ANEW_VERSION = (22, 5)


@dataclass(frozen=True, slots=True)
class Restarter:
    """Restarts jobs.

    Attributes:
        scheduler: Slurm.
        open_store: Opens the store of a checkpoint directory.
        clock: Time.
        build_step_script: Batch script for a step that had none of its own (a job of ``syscr srun``).
        build_batch_script: Batch script of a job that had one: the same, with us in front where the SPANK
            plugin had put us there.
    """

    scheduler: Scheduler
    open_store: Callable[[str], Store]
    clock: Clock
    build_step_script: Callable[[Image], str]
    build_batch_script: Callable[[Image], str]

    def restart(
        self, selection: Selection, request: RestartRequest, progress: Progress
    ) -> RestartResult:
        """Continue from a chosen image.

        Raises:
            JobStateError: The job still runs or waits; two copies of one job must never live.
        """
        image = selection.image
        home = self.open_store(home_dir(image))
        key = StoreKey(image.manifest.lineage, image.manifest.step)
        job = self._find_current(home, image)
        if job is not None and job.state is JobState.COMPLETING and not request.dry_run:
            job = self._wait_until_ended(job, progress)
        if job is not None:
            _refuse_alive(job, image)
        warnings = list(selection.unreadable)
        by_requeue = job is not None and _can_requeue(image) and not request.new_job
        if by_requeue and not self._would_find_its_step(image):
            warnings.append(
                f"Slurm {self.scheduler.version()} goes on counting the steps of a requeued job, so step "
                f"{image.manifest.step} would not be found again: a new job takes its place"
            )
            by_requeue = False
        if request.dry_run:
            return self._result(
                selection, request, job if by_requeue else None, "planned", warnings
            )
        started = self.clock.monotonic()
        if by_requeue and job is not None:
            try:
                restart_count = self.requeue(job, selection, request.stick_to_nodes, home)
            except (JobStateError, SchedulerDeniedError, JobNotFoundError) as error:
                warnings.append(f"{error.message}; a new job was submitted instead")
                by_requeue = False
        if not by_requeue or job is None:
            job_id, restart_count = self._submit(selection, request, home), 0
        else:
            job_id = job.job_id
        how = "requeued" if by_requeue else "submitted"
        life = NextLife(job_id, key, restart_count, home, image, how)
        result = Waiter(self.scheduler, self.clock, life).wait(request.wait_seconds, progress)
        return replace(
            result,
            method="requeue" if by_requeue else "submit",
            skipped=selection.skipped,
            warnings=(*warnings, *result.warnings),
            wait_seconds=self.clock.monotonic() - started,
        )

    def _would_find_its_step(self, image: Image) -> bool:
        """Whether the task has its old step number in the next life of a job that is requeued."""
        if image.manifest.step == "batch":
            return True
        numbers = parse_version_numbers(self.scheduler.version())
        return numbers is not None and numbers >= _STEPS_ANEW_VERSION

    def requeue(self, job: Job, selection: Selection, stick_to_nodes: bool, home: Store) -> int:
        """Put a job back into the queue so that its next life continues from an image.

        What that life continues from is written down before it can begin, so whoever is killed in
        between leaves a job that continues by itself. Only nodes can be demanded of a waiting job alone,
        so with ``stick_to_nodes`` it is held for a moment.

        Returns:
            The restart count of that life.

        Raises:
            JobStateError, SchedulerDeniedError, JobNotFoundError: It was not requeued.
            RestartError, SchedulerUnavailableError: It was; never a reason to submit another copy.
        """
        restart_count = self.scheduler.get_job_details(job.job_id).restart_count + 1
        self._decide(job, selection, home, restart_count)
        self.scheduler.requeue(job.job_id, hold=stick_to_nodes)
        try:
            return self._let_start(job, selection, stick_to_nodes, home, restart_count)
        except RestartError:
            raise
        except SyscrError as error:
            raise _stuck(job.job_id, error, held=stick_to_nodes) from error

    def _decide(self, job: Job, selection: Selection, home: Store, restart_count: int) -> None:
        """Write down which image a life continues from."""
        image = selection.image
        home.write_record(
            StoreKey(image.manifest.lineage, image.manifest.step),
            decision_name(job.number, restart_count),
            build_decision(selection, image.checkpoint_dir),
        )

    def _let_start(
        self, job: Job, selection: Selection, stick_to_nodes: bool, home: Store, expected: int
    ) -> int:
        """Let a requeued job start at once; returns its restart count."""
        self._wait_until_requeued(job.job_id, expected, held=stick_to_nodes)
        details = self.scheduler.get_job_details(job.job_id)
        restart_count = details.restart_count
        if restart_count != expected:  # somebody else has requeued it as well
            self._decide(job, selection, home, restart_count)
        if not self.scheduler.get_job(job.job_id).state.is_waiting:
            return restart_count
        nodes = selection.image.manifest.nodes if stick_to_nodes else ()
        self.scheduler.require_nodes(
            job.job_id, nodes
        )  # none: an earlier restart may have demanded some
        if stick_to_nodes:
            self.scheduler.release(job.job_id)
        if not _ended_long_ago(job, details):
            self.clock.sleep(_SAME_SECOND_SECONDS)
        self.scheduler.start_now(job.job_id)
        return restart_count

    def _wait_until_ended(self, job: Job, progress: Progress) -> Job | None:
        """Give a job that is just ending the time to do so; None if Slurm has forgotten it then."""
        current: Job | None = job

        def has_ended() -> bool:
            nonlocal current
            try:
                current = self.scheduler.get_job(job.job_id)
            except JobNotFoundError:
                current = None
            progress({"type": "phase", "phase": "locate", "message": f"job {job.job_id} is ending"})
            return current is None or current.state is not JobState.COMPLETING

        wait_until(self.clock, has_ended, timeout_seconds=_ENDING_SECONDS)
        return current

    def _wait_until_requeued(self, job_id: JobId, restart_count: int, *, held: bool) -> None:
        """Wait until a job is in the queue again, or even runs again."""

        def is_requeued() -> bool:
            if self.scheduler.get_job(job_id).state.is_waiting:
                return True
            found = self.scheduler.get_job_details(job_id).restart_count
            return (
                found >= restart_count and self.scheduler.get_job(job_id).state is JobState.RUNNING
            )

        wait_until(
            self.clock,
            is_requeued,
            timeout_seconds=_REQUEUE_SECONDS,
            on_timeout=lambda: _stuck(
                job_id,
                RestartError(f"it is not PENDING after {_REQUEUE_SECONDS:g} s"),
                held=held,
            ),
        )

    def _find_current(self, home: Store, image: Image) -> Job | None:
        """Return the newest job of the line as Slurm knows it; None if it has forgotten it."""
        record = home.read_record(StoreKey(image.manifest.lineage), CURRENT)
        number = record.get("number") if record else None
        job_id = JobId(int(str(number))) if number else JobId.parse(image.manifest.job_id)
        try:
            return self.scheduler.get_job(job_id)
        except JobNotFoundError:
            return None

    def _submit(self, selection: Selection, request: RestartRequest, home: Store) -> JobId:
        """Submit a new job that continues the line; held until the store knows of it."""
        image = selection.image
        manifest = image.manifest
        submission = manifest.submission
        script = self.build_batch_script(image) or self.build_step_script(image)
        is_same = submission.command == "sbatch" and script == submission.script
        program = submission.program if is_same or submission.command != "sbatch" else ()
        job_id = self.scheduler.submit(
            SubmitOptions(
                script=script,
                options=(*_options(image, request.stick_to_nodes), *request.options, "--hold"),
                arguments=submission.program if is_same else (),
                working_dir=submission.working_dir or None,
            )
        )
        try:
            job = self.scheduler.get_job(job_id)
            key = StoreKey(manifest.lineage, manifest.step)
            own = StoreKey(str(job.number))
            home.write_record(
                own, CONTINUES, {"lineage": manifest.lineage, "from": manifest.job_id}
            )
            home.write_record(
                own,
                SUBMISSION,
                {"command": submission.command, "options": list(_slurm_options(image))}
                | {"program": list(program)},
            )
            home.write_record(
                key, decision_name(job.number, 0), build_decision(selection, image.checkpoint_dir)
            )
            home.write_record(StoreKey(manifest.lineage), CURRENT, {"number": job.number})
            self.scheduler.release(job_id)
        except BaseException as error:
            try:
                self.scheduler.cancel(job_id)
            except SyscrError as second:  # the first reason counts; the job is held
                error.add_note(f"job {job_id} is left in the queue, held: {second.message}")
            raise
        return job_id

    def _result(
        self,
        selection: Selection,
        request: RestartRequest,
        job: Job | None,
        state: str,
        warnings: list[str],
    ) -> RestartResult:
        return RestartResult(
            image=selection.image,
            job_id=job.job_id if job else None,
            method="requeue" if job else "submit",
            job_state=state,
            nodes=selection.image.manifest.nodes if request.stick_to_nodes else (),
            skipped=selection.skipped,
            warnings=tuple(warnings),
        )


def _ended_long_ago(job: Job, requeued: JobDetails) -> bool:
    """Whether a job had ended long before it was requeued, both by the clock of slurmctld."""
    if not job.state.is_final or job.end_at is None or requeued.submitted_at is None:
        return False
    return (requeued.submitted_at - job.end_at).total_seconds() > _SAME_SECOND_SECONDS


def _stuck(
    job_id: JobId, error: SyscrError, *, held: bool
) -> RestartError | SchedulerUnavailableError:
    """Return the error of a job that was requeued, but may not start by itself soon."""
    is_silent = isinstance(error, SchedulerUnavailableError)
    cls = SchedulerUnavailableError if is_silent else RestartError
    if held:
        return cls(
            f"job {job_id} was requeued and is held: {error.message}",
            hint=f"let it go on with 'scontrol release {job_id}'",
            requeued=True,
        )
    return cls(
        f"job {job_id} was requeued, but: {error.message}",
        hint="it continues from its image when Slurm starts it; look at it with "
        f"'scontrol show job {job_id}'",
        requeued=True,
    )


def _can_requeue(image: Image) -> bool:
    """Whether Slurm can requeue the job: only jobs with a batch script are."""
    return bool(image.manifest.submission.script)


def _refuse_alive(job: Job, image: Image) -> None:
    if job.state.is_final:
        return
    hint = ""
    if job.is_held:
        hint = f"it is held and continues by itself after 'scontrol release {job.job_id}'; to use another "
        hint += f"image 'scancel {job.job_id}' first"
    elif job.state.is_waiting:
        hint = f"it continues by itself when it starts; to use another image 'scancel {job.job_id}' first"
    elif job.state is JobState.COMPLETING:
        hint = "it is just ending; try again in a few seconds"
    raise build_alive_error(job, image, hint)


def _options(image: Image, stick_to_nodes: bool) -> tuple[str, ...]:
    """Return sbatch options of the new job: those of the old one, its output files, its nodes."""
    submission = image.manifest.submission
    options = list(_slurm_options(image))
    output, error = _outputs(image)
    if output:
        options += [f"--output={output}", "--open-mode=append"]
    if error and error != output:
        options.append(f"--error={error}")
    if submission.working_dir:
        options.append(f"--chdir={submission.working_dir}")
    if stick_to_nodes:
        nodes = image.manifest.nodes
        options += [f"--nodelist={','.join(nodes)}", f"--nodes={len(nodes)}"]
    return tuple(options)


def _slurm_options(image: Image) -> tuple[str, ...]:
    """Return what Slurm knew of a job's options; those of the SPANK plugin are in the script then."""
    from syscr.slurm.own_options import is_own_word  # only a new job needs it

    return tuple(word for word in image.manifest.submission.options if not is_own_word(word))


def _outputs(image: Image) -> tuple[str, str]:
    """Return output and error file of the job; of a batch task they are what it had open."""
    submission = image.manifest.submission
    for task in image.manifest.tasks:
        if image.manifest.step == "batch" and task.stdio[1].startswith("/"):
            error = task.stdio[2] if task.stdio[2].startswith("/") else ""
            return task.stdio[1], error
    return submission.stdout_path, submission.stderr_path
