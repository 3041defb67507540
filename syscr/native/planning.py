"""What speaks against a checkpoint by Slurm itself, found before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syscr import preflight
from syscr.dumping import Plan
from syscr.enabling import refuse_disabled
from syscr.errors import JobNotFoundError, RequestError, StoreLockedError
from syscr.model import Finding, Job, JobId, Severity, Target, TaskSpec
from syscr.native.naming import NAME, name_target
from syscr.ports import CheckpointController, DumpState, Scheduler, Store, StoreKey
from syscr.request import CheckpointRequest
from syscr.returning import build_requeue_error


@dataclass(frozen=True, slots=True)
class NativePlanner:
    """Judges jobs that Slurm itself is to dump.

    Attributes:
        controller: Slurm's checkpoint commands.
        scheduler: Slurm.
        open_store: Opens the store of a checkpoint directory.
        uid: The caller.
        user_name: The caller's name.
        checkpoint_dir: Where images go that are told nothing else.
        own_name: The job (in its batch script) or step that this process is itself a part of; empty: none.
    """

    controller: CheckpointController
    scheduler: Scheduler
    open_store: Callable[[str], Store]
    uid: int
    user_name: str
    checkpoint_dir: str
    own_name: str = ""

    def plan(self, request: CheckpointRequest, operation: str) -> Plan:
        """Find what is dumped and judge it; touches nothing.

        Raises:
            JobNotFoundError, JobStateError, SchedulerDeniedError, RequestError: As ``Dumper.plan``.
            PreflightError: Checkpoints are disabled, or nothing runs that could be dumped.
            OperationUnsupportedError: A step shall be requeued.
            StoreLockedError: Another checkpoint of it is going on.
        """
        job = self.scheduler.get_job(request.target.job_id)
        preflight.check_owner(job, self.uid, self.user_name)
        preflight.check_state(job, operation)
        steps = self.scheduler.find_steps(job.job_id)
        step = request.target.step or self._choose_step(job, steps)
        target = Target(request.target.job_id, step)
        if operation == "requeue" and step != "batch":
            error = build_requeue_error(request.target, target, has_script=False)
            if not self.controller.can_restart_steps():
                error.hint = (
                    "start the program in a batch script: this Slurm can bring back no other"
                )
            raise error
        self._refuse_ourselves(target, name_target(job.number, step))
        self._refuse_state(target, name_target(job.number, step))
        store = self.open_store(request.image_dir or self.checkpoint_dir)
        return Plan(
            target=target,
            job=job,
            key=StoreKey(str(job.number), step),
            store=store,
            findings=self._find_doubts(target, steps),
            tasks=(self._describe_task(job, step, store.checkpoint_dir),),
            resident_bytes=0,
            origin_dir=store.checkpoint_dir,
        )

    def _choose_step(self, job: Job, steps: Sequence[str]) -> str:
        """Return the batch script, or the only step of a job that has none."""
        try:
            if self.scheduler.get_batch_script(JobId(job.number)):
                return "batch"
        except JobNotFoundError:
            pass  # a job of salloc or srun
        if len(steps) > 1:
            names = ", ".join(f"{job.job_id}.{step}" for step in steps)
            raise RequestError(
                f"job {job.job_id} has no batch script and several steps: {names}",
                hint="name one of them",
            )
        if not steps:  # Slurm would say yes, and write nothing
            finding = Finding(
                "not_checkpointable",
                Severity.ERROR,
                f"job {job.job_id} has neither a batch script nor a step that runs",
                "wait until its program runs",
            )
            preflight.refuse_errors(Target(job.job_id), (finding,))
        return steps[0]

    def _refuse_ourselves(self, target: Target, name: str) -> None:
        """Refuse a dump that this process would itself be in, and in which it would wait for ever."""
        if name == self.own_name:
            finding = Finding(
                "caller_in_image",
                Severity.ERROR,
                f"this command runs inside {target} and would be in its own image",
                f"run it outside of the job, or order a dump with 'scontrol checkpoint create {name}'",
            )
            preflight.refuse_errors(target, (finding,))

    def _refuse_state(self, target: Target, name: str) -> None:
        state = self.controller.find_state(name)
        if state is DumpState.DISABLED:
            refuse_disabled(name)
        if state is DumpState.BUSY:
            raise StoreLockedError(
                f"cannot checkpoint {target}: Slurm is writing an image of it; the job is still running",
                hint="wait until it has finished, then try again",
            )

    def _find_doubts(self, target: Target, steps: Sequence[str]) -> tuple[Finding, ...]:
        """Return what speaks against the use of an image, but does not refuse it."""
        if target.step == "batch" and steps:
            names = ", ".join(f"{target.job_id}.{step}" for step in steps)
            return (
                Finding(
                    "steps_left_out",
                    Severity.WARNING,
                    f"Slurm dumps the batch script of job {target.job_id} without its steps: {names}",
                    f"dump a step by itself: 'syscr checkpoint {target.job_id}.{steps[0]}'",
                ),
            )
        if target.step != "batch" and not self.controller.can_restart_steps():
            return (
                Finding(
                    "step_not_restartable",
                    Severity.WARNING,
                    f"this Slurm can dump step {target}, but not restart it: srun has no --restart-dir",
                    "start the program in the batch script itself, and dump the job",
                ),
            )
        return ()

    def _describe_task(self, job: Job, step: str, checkpoint_dir: str) -> TaskSpec:
        """Return the first task, which stands for all that Slurm will dump."""
        count = 1
        if step != "batch":  # without a word from Slurm: one on each node at least
            count = self.controller.count_tasks(name_target(job.number, step)) or len(job.nodes)
        return TaskSpec(
            number=job.number,
            step=step,
            rank=0,
            node=job.batch_host or (job.nodes[0] if job.nodes else ""),
            lineage=str(job.number),
            checkpoint_dir=checkpoint_dir,
            backend=NAME,
            task_count=max(1, count),
        )
