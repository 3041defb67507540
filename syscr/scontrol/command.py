"""``scontrol checkpoint``: runs one request against the manager and gives the old answers.

The words are read in ``grammar.py``, the job is judged in ``judging.py``, images are written in
``writing.py``; the answers are in ``texts.py``. What differs from 19.05 on purpose stands in
docs/reference/compatibility.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from syscr.errors import SyscrError
from syscr.model import Target, TaskSpec
from syscr.ports import Clock
from syscr.request import CheckpointRequest, RestartRequest
from syscr.result import CheckpointResult, RestartResult
from syscr.scontrol import texts
from syscr.scontrol.grammar import Operation, Refusal, Request, parse_request
from syscr.scontrol.inside import InsideJob
from syscr.scontrol.judging import Judge, Refused
from syscr.scontrol.places import Place, Places, own_job
from syscr.scontrol.texts import DONE, Answer, Code, fail
from syscr.scontrol.writing import Act, Writer

RESTART_WAIT_SECONDS = 30.0
"""How long ``restart`` waits for the job; one that still waits in the queue then is a success, as ever."""


class Manager(Protocol):
    """What is needed of ``manager.CheckpointManager``; its contract stands there."""

    def checkpoint(self, request: CheckpointRequest) -> CheckpointResult:
        """Write an image; the job keeps running."""
        ...

    def vacate(self, request: CheckpointRequest) -> CheckpointResult:
        """Write an image, then end the job or step."""
        ...

    def requeue(self, request: CheckpointRequest) -> CheckpointResult:
        """Write an image, then put the job back into the queue."""
        ...

    def restart(self, request: RestartRequest) -> RestartResult:
        """Bring a job or step back."""
        ...


@dataclass(frozen=True, slots=True)
class ScontrolCommand:
    """Answers ``scontrol checkpoint``.

    Attributes:
        manager: Does the work.
        judge: Finds the job that is meant.
        places: Where the state is kept.
        inside: The same for the job that this process is itself a part of.
        clock: Time.
        remember: Takes note of a checkpoint directory if it can be used.
        max_wait_seconds: Limit where ``MaxWait=`` is not given.
        time_format: ``SLURM_TIME_FORMAT``.
        cluster: ``-M``; empty: this cluster.
    """

    manager: Manager
    judge: Judge
    places: Places
    inside: InsideJob
    clock: Clock
    remember: Callable[[str], None]
    max_wait_seconds: float
    time_format: str
    cluster: str = ""

    def run(self, words: Sequence[str], *, quiet: bool = False) -> Answer:
        """Answer one command that begins with the keyword; never raises a SyscrError."""
        request = parse_request(words)
        if isinstance(request, Refusal):
            return texts.answer_refusal(request, quiet=quiet)
        if self.cluster:
            remark = f"syscr: ask on cluster '{self.cluster}' itself: its nodes do the work"
            return texts.answer_failure(fail(Code.NOT_SUPPORTED, remark), quiet=quiet)
        operations = {
            Operation.ABLE: self._able,
            Operation.COMPLETE: self._complete,
            Operation.DISABLE: self._switch,
            Operation.ENABLE: self._switch,
            Operation.ERROR: self._error,
            Operation.RESTART: self._restart,
        }
        try:
            answer = operations.get(request.operation, self._write)(request)
        except Refused as refused:
            return texts.answer_failure(refused.failure, quiet=quiet)
        except SyscrError as error:
            return texts.answer_failure(texts.translate(error, request.operation), quiet=quiet)
        return replace(answer, err=()) if quiet else answer

    def _able(self, request: Request) -> Answer:
        """Whether a checkpoint is allowed and possible now, or since when one is going on."""
        try:
            places = self._find_places(request)
        except Refused as refused:
            if refused.failure.code is Code.DISABLED:
                return Answer(("No",))
            raise
        if any(place.read().disabled for place in places):
            return Answer(("No",))
        now = self.clock.now()
        for place in places:
            began = self.places.find_began(place, now)
            if began is not None:
                local = began.astimezone()
                return Answer((texts.format_began(local, self.time_format, now.astimezone()),))
        obstacles = [finding for place in places for finding in place.obstacles]
        if obstacles:
            return Answer(("No",), tuple(f"syscr: {finding.message}" for finding in obstacles))
        return Answer(("Yes",))

    def _complete(self, request: Request) -> Answer:
        """An undocumented test of the old plugins' callback; there is nothing left to call."""
        raise Refused(
            fail(Code.NOT_SUPPORTED, f"syscr: '{request.operation}' tested Slurm's own plugins")
        )

    def _switch(self, request: Request) -> Answer:
        """Forbid checkpoints once more, or once less."""
        for place in self._find_places(request):
            control = place.read()
            is_enable = request.operation is Operation.ENABLE
            place.write(control.enable() if is_enable else control.disable())
        return DONE

    def _error(self, request: Request) -> Answer:
        """Say how the last checkpoint ended; of several steps the largest number."""
        controls = [place.read() for place in self._find_places(request)]
        worst = max(controls, key=lambda control: control.error_code)
        return Answer((texts.format_error(worst.error_code, worst.error_text),))

    def _find_places(self, request: Request) -> tuple[Place, ...]:
        """Return the steps that are meant, at least one."""
        own = self._find_own(request)
        if own is not None:
            return (self.places.at(own),)
        job = self.judge.find_running(request)
        step = request.target.step if request.target else None
        places = self.places.find(job, step)
        if not places:
            name = f"{job.job_id}" if step is None else f"{job.job_id}.{step}"
            raise Refused(
                fail(
                    Code.NOT_SUPPORTED,
                    f"syscr: {name} was not started through syscr, so nothing of it can be dumped",
                    "hint: submit it with 'syscr sbatch job.sh', or start its steps with 'syscr srun'",
                )
            )
        return places

    def _find_own(self, request: Request) -> TaskSpec | None:
        return None if request.target is None else self.places.find_own(request.target)

    def _write(self, request: Request) -> Answer:
        """Create, vacate or requeue."""
        own = self._find_own(request)
        job_id = own_job(own) if own is not None else self.judge.find_running(request).job_id
        doer: Manager | InsideJob = self.manager if own is None else self.inside
        acts: dict[Operation, Act] = {
            Operation.CREATE: doer.checkpoint,
            Operation.VACATE: doer.vacate,
            Operation.REQUEUE: doer.requeue,
        }
        image_dir = self.judge.complete(request.image_dir, job_id)
        if image_dir is not None:
            self.remember(image_dir)  # so that `able` sees the checkpoint while it is going on
        order = CheckpointRequest(
            Target(job_id, request.target.step if request.target else None),
            image_dir=image_dir,
            max_wait_seconds=request.max_wait_seconds or self.max_wait_seconds,
        )
        failures = Writer(self.judge.jobs, self.places).write(acts[request.operation], order)
        if failures:
            raise Refused(max(failures, key=lambda failure: failure.code))
        return DONE

    def _restart(self, request: Request) -> Answer:
        """Bring a job back, under its old number where Slurm still knows it."""
        job = self.judge.find_ended(request)
        result = self.manager.restart(
            RestartRequest(
                target=request.target,
                image_dir=self.judge.complete(request.image_dir, job.job_id if job else None),
                stick_to_nodes=request.stick_to_nodes,
                wait_seconds=RESTART_WAIT_SECONDS,
            )
        )
        return _answer_restart(result)


def _answer_restart(result: RestartResult) -> Answer:
    """Say nothing, as ever, but for a new number and for images that were passed over."""
    out = (f"Submitted batch job {result.job_id}",) if result.method == "submit" else ()
    err = [f"syscr: {warning}" for warning in result.warnings if result.job_state == "running"]
    for skipped in result.skipped:
        err.append(
            f"syscr: image '{skipped.image_id}' was passed over: {'; '.join(skipped.reasons)}"
        )
    return Answer(out, tuple(err))
