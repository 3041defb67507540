"""Pre-flight: what speaks against a checkpoint, found before anything is touched; pure.

The nodes report what their tasks look like (``Backend.check``); here the job as a whole is judged and
the step is chosen that is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from syscr.errors import JobStateError, PreflightError, RequestError, SchedulerDeniedError
from syscr.model import Finding, Job, JobState, NodeReport, Severity, Target, TaskSpec

THROUGH_SRUN = "output_through_srun"
"""Code of a finding that does not matter where nothing is printed after the image."""

_CHECKPOINTABLE = frozenset({JobState.RUNNING, JobState.SIGNALING})

_HOW_TO_START = (
    "submit it with 'syscr sbatch job.sh', or start its steps with 'syscr srun' "
    "(see 'syscr sbatch --help')"
)


def check_owner(job: Job, uid: int, user_name: str) -> None:
    """Refuse another user's job.

    Raises:
        SchedulerDeniedError: ``uid`` is not the owner; for root with the command to use instead.
    """
    if job.uid == uid:
        return
    hint = "ask its owner"
    if uid == 0:
        hint = f"act as its owner: runuser -u {job.user_name} -- syscr ..."
    raise SchedulerDeniedError(
        f"job {job.job_id} belongs to '{job.user_name}', not to '{user_name}'; it was not touched",
        hint=hint,
        owner=job.user_name,
    )


def check_state(job: Job, operation: str) -> None:
    """Refuse a job that does not run.

    Raises:
        JobStateError: Names the state and what to do.
    """
    if job.state in _CHECKPOINTABLE:
        return
    hint = f"wait until it runs: 'squeue -j {job.job_id}'"
    if job.state.is_final or job.state is JobState.COMPLETING:
        hint = f"if it has an image, 'syscr restart {job.job_id}' brings it back from that"
    elif job.is_held:
        hint = f"it is held; let it go with 'scontrol release {job.job_id}'"
    elif job.state is JobState.SUSPENDED:
        hint = f"resume it first: 'scontrol resume {job.job_id}'"
    raise JobStateError(
        f"cannot {operation} job {job.job_id}: it is {job.raw_state or job.state}, not RUNNING",
        hint=hint,
        state=job.raw_state or job.state.value,
        allowed=["RUNNING"],
    )


def choose_step(
    target: Target, tasks: Sequence[TaskSpec], running: Sequence[str] | None = None
) -> str:
    """Return the step that a target means.

    A job means its batch script where that is checkpointable, else its only checkpointable step.

    Args:
        target: A job or a step.
        tasks: Tasks of the job that were started through syscr.
        running: Numbered steps of the job; None: not asked.

    Raises:
        PreflightError: Nothing of the job (or the step) can be dumped.
        RequestError: Several steps could be meant.
    """
    steps = sorted({task.step for task in tasks}, key=_step_order)
    if target.step is not None:
        if target.step in steps:
            return target.step
        if running is not None and target.step.isdigit() and target.step not in running:
            raise _refuse(target, _describe_missing(target, steps))
        others = _name_others(target, steps)
        raise _refuse(
            target,
            Finding(
                "not_checkpointable",
                Severity.ERROR,
                f"step {target} was not started through syscr{others}",
                _HOW_TO_START,
            ),
        )
    if not steps:
        raise _refuse(
            target,
            Finding(
                "not_checkpointable",
                Severity.ERROR,
                f"job {target.job_id} was not started through syscr, so nothing of it can be dumped",
                _HOW_TO_START,
            ),
        )
    if "batch" in steps:
        return "batch"
    if len(steps) > 1:
        names = ", ".join(f"{target.job_id}.{step}" for step in steps)
        raise RequestError(
            f"job {target.job_id} has several checkpointable steps: {names}",
            hint="name one of them",
        )
    return steps[0]


def _describe_missing(target: Target, steps: Sequence[str]) -> Finding:
    # of those that run, some are workers of syscr, under the name that a step of 'syscr srun' has as well
    return Finding(
        "no_such_step",
        Severity.ERROR,
        f"job {target.job_id} has no step {target} now{_name_others(target, steps)}",
        f"see 'squeue --steps --jobs={target.job_id}'",
    )


def _name_others(target: Target, steps: Sequence[str]) -> str:
    names = ", ".join(f"{target.job_id}.{step}" for step in steps)
    return f"; these can be checkpointed: {names}" if names else ""


def _step_order(step: str) -> tuple[int, str]:
    return (int(step), "") if step.isdigit() else (-1, step)


def check_tasks(
    target: Target, step: str, reports: Sequence[NodeReport], *, ends: bool = False
) -> tuple[Finding, ...]:
    """Judge the tasks that the nodes reported for one step.

    Args:
        target: What is to be dumped.
        step: The step that is meant.
        reports: What the nodes say.
        ends: Whether the tasks stand still from the image to their end.

    Returns:
        All findings of the step, errors first.
    """
    tasks = [task for report in reports for task in report.tasks if task.step == step]
    said = dict.fromkeys(finding for report in reports for finding in report.findings)
    findings = [finding for finding in said if not (ends and finding.code == THROUGH_SRUN)]
    ranks = [task.rank for task in tasks]
    expected = max((task.task_count for task in tasks), default=0)
    missing = sorted(set(range(expected)) - set(ranks))
    if missing:
        shown = ", ".join(map(str, missing[:8])) + (" ..." if len(missing) > 8 else "")
        findings.append(
            Finding(
                "tasks_missing",
                Severity.ERROR,
                f"step {target.job_id}.{step} has {expected} tasks, but {shown} "
                "ended already or did not start through syscr",
                "a step can be dumped only while all of its tasks run",
            )
        )
    if len(set(ranks)) < len(ranks):
        findings.append(
            Finding(
                "several_launchers",
                Severity.ERROR,
                f"step {target.job_id}.{step} runs 'syscr run' more than once at the same time",
                "let the script start one program through 'syscr run' at a time, "
                "or use 'syscr srun' for each",
            )
        )
    if len({(task.backend, task.lineage, task.checkpoint_dir) for task in tasks}) > 1:
        findings.append(
            Finding(
                "tasks_differ",
                Severity.ERROR,
                f"the tasks of step {target.job_id}.{step} were started with different backends or "
                "checkpoint directories",
            )
        )
    order = (Severity.ERROR, Severity.WARNING, Severity.NOTE)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def refuse_errors(target: Target, findings: Sequence[Finding]) -> None:
    """Raise PreflightError if a finding refuses the checkpoint."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise _refuse(target, *errors)


def _refuse(target: Target, *findings: Finding) -> PreflightError:
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return PreflightError(
        f"cannot checkpoint {target}: {first.message}{more}; the job is still running",
        hint=first.hint or None,
        findings=findings,
    )
