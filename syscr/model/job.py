"""What Slurm says of a job, and how it was submitted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from syscr.model.ids import JobId


class JobState(StrEnum):
    """State of a job as Slurm names it; UNKNOWN for a name that this version does not know."""

    PENDING = "PENDING"
    CONFIGURING = "CONFIGURING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    STOPPED = "STOPPED"
    SIGNALING = "SIGNALING"
    STAGE_OUT = "STAGE_OUT"
    RESIZING = "RESIZING"
    COMPLETING = "COMPLETING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    BOOT_FAIL = "BOOT_FAIL"
    DEADLINE = "DEADLINE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    REVOKED = "REVOKED"
    REQUEUED = "REQUEUED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    REQUEUE_FED = "REQUEUE_FED"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, text: str) -> JobState:
        """Read a state as Slurm prints it; UNKNOWN for any other text."""
        try:
            return cls(text)
        except ValueError:
            return cls.UNKNOWN

    @property
    def is_final(self) -> bool:
        """Whether the job has ended; False for UNKNOWN: unknown is not finished."""
        return self in _FINAL_STATES

    @property
    def is_waiting(self) -> bool:
        """Whether the job waits in the queue."""
        return self in {
            JobState.PENDING,
            JobState.REQUEUED,
            JobState.REQUEUE_HOLD,
            JobState.SPECIAL_EXIT,
        }


_FINAL_STATES = frozenset(
    {
        JobState.COMPLETED,
        JobState.CANCELLED,
        JobState.FAILED,
        JobState.TIMEOUT,
        JobState.NODE_FAIL,
        JobState.PREEMPTED,
        JobState.BOOT_FAIL,
        JobState.DEADLINE,
        JobState.OUT_OF_MEMORY,
        JobState.REVOKED,
    }
)


@dataclass(frozen=True, slots=True)
class Job:
    """What Slurm says of one job, from fields that no user text can forge.

    Attributes:
        job_id: Canonical id (``12_3`` for an array task).
        number: The job's own plain number; differs from ``job_id.number`` for array tasks.
        user_name: Owner.
        uid: Owner's numeric id.
        state: State; UNKNOWN keeps ``raw_state``.
        raw_state: State in Slurm's words.
        reason: Slurm's reason field, "None" where there is none.
        node_list: Folded node list (``c[1-2]``), empty while pending.
        nodes: The same, expanded, in Slurm's order.
        batch_host: Node of the batch script; empty where there is none.
        partition: Partition.
        time_limit_seconds: None for unlimited.
        end_at: End time, or expected end; None if unknown.
    """

    job_id: JobId
    number: int
    user_name: str
    uid: int
    state: JobState
    raw_state: str
    reason: str = "None"
    node_list: str = ""
    nodes: tuple[str, ...] = ()
    batch_host: str = ""
    partition: str = ""
    time_limit_seconds: float | None = None
    end_at: datetime | None = None

    @property
    def is_held(self) -> bool:
        """Whether it waits until somebody releases it: JobHeldUser, JobHeldAdmin, job requeued in held state."""
        return self.state.is_waiting and "held" in self.reason.lower()


@dataclass(frozen=True, slots=True)
class JobDetails:
    """What a new job needs to resemble an old one; contains user text, so never owner or state.

    Attributes:
        name: Job name.
        account: Account; empty if none.
        qos: Quality of service; empty if none.
        working_dir: Directory in which the job was submitted.
        stdout_path: Output file, expanded where Slurm does so; may hold ``%`` patterns.
        stderr_path: The same for standard error; empty: as standard output.
        node_count: Number of nodes.
        task_count: Number of tasks.
        cpus_per_task: CPUs of each task.
        restart_count: How often Slurm has requeued the job.
        can_requeue: Whether Slurm may requeue it (``--requeue``).
        features: Constraint; empty if none.
        submitted_at: When it came into the queue, by the clock of slurmctld; a requeue counts. None where
            this version of Slurm does not say.
        exit_code: How it ended, as Slurm prints it (``0:9``: by signal 9); empty where that is not known.
    """

    name: str = ""
    account: str = ""
    qos: str = ""
    working_dir: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    node_count: int = 1
    task_count: int = 1
    cpus_per_task: int = 1
    restart_count: int = 0
    can_requeue: bool = True
    features: str = ""
    submitted_at: datetime | None = None
    exit_code: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """How the job was submitted: enough to submit it again.

    Attributes:
        command: ``sbatch``, or ``srun`` for a job that has no batch script.
        options: Options for sbatch: the user's own, or derived from the job where they are not known.
        program: sbatch: arguments of the script; srun: the user's srun options and program.
        script: Text of the batch script as Slurm got it; empty if none.
        stdout_path: Output file, absolute; empty if unknown.
        stderr_path: The same for standard error; empty: as standard output.
        working_dir: Directory of submission.
    """

    command: str = ""
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    script: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    working_dir: str = ""
