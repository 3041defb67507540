"""Where the state of a job's checkpoints is kept: its tasks, its store, the record of ``enabling.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from syscr.enabling import CONTROL, Control, name_life
from syscr.errors import SyscrError
from syscr.model import Finding, Job, JobId, NodeReport, Severity, Target, TaskSpec
from syscr.ports import Store, StoreKey
from syscr.units import parse_time


class Inspector(Protocol):
    """What is needed of ``ports.Workers``."""

    def inspect(self, job: Job, *, step: str | None) -> tuple[NodeReport, ...]:
        """Find the checkpointable tasks of a job."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """One checkpointable step.

    Attributes:
        store: The job's own store.
        key: Line and step.
        life: This life of the job.
        obstacles: What speaks against a checkpoint now.
    """

    store: Store
    key: StoreKey
    life: str
    obstacles: tuple[Finding, ...] = ()

    def read(self) -> Control:
        """Return what is kept about it."""
        return Control.read(self.life, self.store.read_record(self.key, CONTROL))

    def write(self, control: Control) -> None:
        """Keep something about it."""
        self.store.write_record(self.key, CONTROL, control.to_record())


@dataclass(frozen=True, slots=True)
class Places:
    """Finds places.

    Attributes:
        workers: The nodes.
        open_store: Opens the store of a checkpoint directory.
        stores: Returns the stores that this user is known to use.
        find_own_task: Returns the task that this process is part of; None: it is part of none.
        environ: The environment; the variables of a restored program name the job that was dumped.
    """

    workers: Inspector
    open_store: Callable[[str], Store]
    stores: Callable[[], tuple[Store, ...]]
    find_own_task: Callable[[], TaskSpec | None]
    environ: Mapping[str, str]

    def find_own(self, target: Target) -> TaskSpec | None:
        """Return our own task if the target is what this process is a part of; None if it is not.

        After a restart in a new job the variables of a script still have the old number: that is
        ourselves, too.
        """
        own = self.find_own_task()
        if own is None or target.step not in {None, own.step}:
            return None
        names = {str(own.number), own.lineage, self.environ.get("SLURM_JOB_ID", "")}
        array, index = (self.environ.get(f"SLURM_ARRAY_{name}_ID", "") for name in ("JOB", "TASK"))
        return own if str(target.job_id) in {*names, f"{array}_{index}"} else None

    def find(self, job: Job, step: str | None) -> tuple[Place, ...]:
        """Return the checkpointable steps that are meant: the batch script, else each step."""
        reports = self.workers.inspect(job, step=step)
        tasks = [task for report in reports for task in report.tasks]
        steps = {task.step: task for task in tasks}
        if step is None and "batch" in steps:
            steps = {"batch": steps["batch"]}
        findings = [finding for report in reports for finding in report.findings]
        errors = tuple(one for one in findings if one.severity is Severity.ERROR)
        return tuple(self.at(task, errors if len(steps) == 1 else ()) for task in steps.values())

    def at(self, task: TaskSpec, obstacles: Sequence[Finding] = ()) -> Place:
        """Return the place of a task's step."""
        return Place(
            self.open_store(task.checkpoint_dir),
            StoreKey(task.lineage, task.step),
            name_life(task.number, task.restart_count),
            tuple(obstacles),
        )

    def find_began(self, place: Place, now: datetime) -> datetime | None:
        """Return since when a checkpoint of a step has been going on, in any known directory."""
        for store in {place.store.checkpoint_dir: place.store, **self._known()}.values():
            try:
                holder = store.find_holder(place.key)
            except SyscrError:
                continue  # a directory that is gone says nothing about the job
            if holder:
                return _read_since(holder) or now
        return None

    def _known(self) -> dict[str, Store]:
        return {store.checkpoint_dir: store for store in self.stores()}


def own_job(task: TaskSpec) -> JobId:
    """Return the job that a task is in now."""
    return JobId(task.number)


def _read_since(holder: str) -> datetime | None:
    """Return the time at the end of the holder's words; None if there is none."""
    try:
        return parse_time(holder.rpartition("since ")[2])
    except SyscrError:
        return None
