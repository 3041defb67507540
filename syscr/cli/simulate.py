"""``syscr simulate``: stop a job as Slurm would, to see how it goes on."""

from __future__ import annotations

import click

from syscr import errors
from syscr.cli.app import App
from syscr.cli.command import SyscrOption, command, pass_app
from syscr.cli.help import About
from syscr.cli.params import DURATION, TARGET
from syscr.model import Target
from syscr.result import SimulationResult
from syscr.units import format_duration

ABOUT = About(
    summary="Stop a job as Slurm would, to see how it goes on",
    effect="For jobs that keep themselves alive (--checkpoint). --preempt and --timeout send SIGTERM, and the"
    " job takes it for the real thing: last image, requeue. --node-failure kills it without a warning and"
    " requeues it: what it did after its newest image is done once more.",
    examples=(
        ("syscr simulate 4711 --preempt", "a job that needs the node more has come"),
        ("syscr simulate 4711 --timeout", "the time limit has come"),
        ("syscr simulate 4711 --node-failure", "its node is gone"),
    ),
    errors=(
        errors.ConfigError,
        errors.OperationUnsupportedError,
        errors.SchedulerUnavailableError,
        errors.JobNotFoundError,
        errors.JobStateError,
        errors.SchedulerDeniedError,
        errors.RestartTimeoutError,
        errors.ManifestError,
    ),
)


@command("simulate", about=ABOUT)
@click.argument("target", type=TARGET, metavar="JOB")
@click.option("--preempt", cls=SyscrOption, is_flag=True, help="A preemption.")
@click.option("--timeout", cls=SyscrOption, is_flag=True, help="The time limit.")
@click.option("--node-failure", cls=SyscrOption, is_flag=True, help="The loss of the node.")
@click.option(
    "--wait",
    "wait_seconds",
    cls=SyscrOption,
    type=DURATION,
    metavar="TIME",
    default=60.0,
    help="Wait this long for the end of the life: 90s, 5m; a minute otherwise.",
)
@pass_app
def simulate(app: App, target: Target, wait_seconds: float, **causes: bool) -> None:
    """Stop one job."""
    cause, *others = [name.replace("_", "-") for name, is_given in causes.items() if is_given] or [
        ""
    ]
    if not cause or others:
        raise errors.RequestError(
            "more than one thing is to be simulated"
            if others
            else "what is to be simulated is not said",
            hint="give one of --preempt, --timeout and --node-failure",
        )
    app.act_for([target])
    app.interrupt_note = "the job may have been told to end"
    result = app.manager.simulate(target, cause, wait_seconds=wait_seconds)
    app.emit(
        "simulate",
        data=lambda: {"result": result},
        text=lambda: render(result),
        quiet=lambda: str(result.target),
        warnings=[],
    )


def render(result: SimulationResult) -> str:
    """Return what became of the job, and where to look next."""
    job, life = result.target.job_id, result.life
    lines = [f"job {job}: its life on {life.node} has ended; the job is {result.job_state} now"]
    if life.ended_at is None and life.note:
        lines = [f"job {job} runs on: {life.note}"]
    elif life.image_id:
        ran = ((life.ended_at or life.started_at) - life.started_at).total_seconds()
        lines.append(f"  image  {life.image_id}, after {format_duration(max(0.0, ran))}")
    lines.append(f"watch it with: syscr status {job}")
    return "\n".join(lines)
