"""Frozen values that everything else talks about: ids, jobs, tasks, images, manifests, findings.

No I/O here. What is asked for is in ``request.py``, what can be done in ``ports.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from syscr.errors import RequestError

_JOB_ID = re.compile(r"(?P<number>\d+)(?:_(?P<index>\d+)|\+(?P<offset>\d+))?")
_STEP_NAMES = ("batch", "extern", "interactive")

NOT_STORED: Mapping[str, bool] = {"stored": False}
"""Metadata of a field that manifests do not have: it is known only once they are written."""


@dataclass(frozen=True, order=True, slots=True)
class JobId:
    """Identifier of one job in a form that Slurm prints: ``1234``, ``1234_7`` or ``1234+1``.

    Attributes:
        number: The number before ``_`` or ``+`` (of an array: the array's own number).
        array_index: Index within a job array; 0 is a real index; None: no array task.
        het_offset: Component of a heterogeneous job; None: no such job.
    """

    number: int
    array_index: int | None = None
    het_offset: int | None = None

    @classmethod
    def parse(cls, text: str) -> JobId:
        """Read a job id.

        Raises:
            RequestError: No job id; a pending range such as ``1234_[0-9]`` is named as such.
        """
        match = _JOB_ID.fullmatch(text.strip())
        if match is None:
            hint = "write 1234, or 1234_7 for one task of a job array"
            if "[" in text:
                hint = "a range of array tasks is not one job; name each task, as in 1234_7"
            raise RequestError(f"not a job id: '{text}'", hint=hint)
        index, offset = match["index"], match["offset"]
        return cls(
            int(match["number"]),
            None if index is None else int(index),
            None if offset is None else int(offset),
        )

    def __str__(self) -> str:
        """Return the form that Slurm prints."""
        if self.array_index is not None:
            return f"{self.number}_{self.array_index}"
        if self.het_offset is not None:
            return f"{self.number}+{self.het_offset}"
        return str(self.number)


@dataclass(frozen=True, order=True, slots=True)
class StepId:
    """One step of a job: ``1234.0``, ``1234.batch``.

    Attributes:
        job_id: The job.
        step: Step number as text, or ``batch``, ``extern``, ``interactive``.
    """

    job_id: JobId
    step: str

    def __str__(self) -> str:
        """Return the form that Slurm prints."""
        return f"{self.job_id}.{self.step}"

    @property
    def is_batch(self) -> bool:
        """Whether this is the batch script of the job."""
        return self.step == "batch"


@dataclass(frozen=True, slots=True)
class Target:
    """What a user names: a job, or one step of it.

    Attributes:
        job_id: The job.
        step: The step, or None for the job as a whole.
    """

    job_id: JobId
    step: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``JOB`` or ``JOB.STEP``.

        Raises:
            RequestError: Neither.
        """
        job_text, dot, step = text.strip().partition(".")
        if not dot:
            return cls(JobId.parse(job_text))
        if not (step.isdigit() or step in _STEP_NAMES):
            raise RequestError(
                f"not a step id: '{text}'", hint="write JOB.STEP, as in 1234.0 or 1234.batch"
            )
        return cls(JobId.parse(job_text), step if not step.isdigit() else str(int(step)))

    def __str__(self) -> str:
        """Return the form that was named."""
        return str(self.job_id) if self.step is None else f"{self.job_id}.{self.step}"


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
class Outlook:
    """What Slurm has in mind for a running job; no user text in it.

    Attributes:
        state: State.
        raw_state: State in Slurm's words.
        reason: Slurm's reason field, "None" where there is none.
        end_at: When the job is to end (time limit, or the end of a preemption's grace); None: never.
        preempted_at: When Slurm decided to preempt it; None: never. Slurm keeps it in later lives.
        restart_count: How often the job has been requeued; counted as soon as a requeue is asked for.
    """

    state: JobState
    raw_state: str = ""
    reason: str = "None"
    end_at: datetime | None = None
    preempted_at: datetime | None = None
    restart_count: int = 0


@dataclass(frozen=True, slots=True)
class SiteTimes:
    """What the site's configuration gives a job that has to end.

    Attributes:
        kill_wait_seconds: Between SIGTERM and SIGKILL (``KillWait``).
        grace_seconds: Between the decision to preempt a job of the partition and SIGTERM (``GraceTime``).
    """

    kill_wait_seconds: float = 30.0
    grace_seconds: float = 0.0


class StopReason(StrEnum):
    """Why a life of a job ended."""

    TIME_LIMIT = "time limit"
    PREEMPTION = "preemption"
    REQUEUE = "requeue"
    VACATE = "vacate or requeue by syscr"
    DRAIN = "drain"
    BUDGET = "total time"
    USER = "user"
    OWN_END = "own end"
    FENCED = "newer life"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a job: from a start of its program to the end of that process tree.

    Attributes:
        number: Plain job number.
        restart_count: How often that job had been requeued.
        node: Where it ran.
        started_at: When.
        restored_from: Image that it continued from; empty: it began afresh.
        ended_at: When it ended; None: it runs, or nobody could write it down.
        reason: Why it ended; None as before.
        image_id: Newest image of this life; empty: none.
        image_at: When that was taken.
        next_at: When the next checkpoint is due; None: none is planned.
        exit_code: Of the program, where it ended by itself; minus the signal where that ended it.
        note: Remark for people.
        fence_seconds: How often it looks whether there is a newer life; 0: not known.
    """

    number: int
    restart_count: int
    node: str
    started_at: datetime
    restored_from: str = ""
    ended_at: datetime | None = None
    reason: StopReason | None = None
    image_id: str = ""
    image_at: datetime | None = None
    next_at: datetime | None = None
    exit_code: int | None = None
    note: str = ""
    fence_seconds: float = 0.0


class Severity(StrEnum):
    """Weight of a finding."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of pre-flight.

    Attributes:
        code: Stable identifier, snake case (``socket_to_outside``).
        severity: ERROR refuses the checkpoint.
        message: What is the matter, naming the object.
        hint: What to do about it; empty if nothing.
        node: Node; empty: concerns the job as a whole.
        pid: Process on the node; None: no single process.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    node: str = ""
    pid: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the finding as JSON object."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint or None,
            "node": self.node or None,
            "pid": self.pid,
        }


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """How one task is (or was) started; everything a launcher needs, and what discovery reads back.

    Travels as JSON in the launcher's argument ``--task``, so that the worker finds the tasks of a job
    by looking at the processes of the job's owner, with no registry to go stale.

    Attributes:
        number: Plain job number (``SLURM_JOB_ID``).
        step: Step (``batch``, ``0``, ...).
        rank: Rank within the step (``SLURM_PROCID``); 0 for a batch script.
        node: Node name.
        lineage: Key of the ``.ckpt`` folder: the first job of the line (plain number as text).
        checkpoint_dir: Absolute checkpoint directory.
        backend: Backend that launched it.
        restart_count: ``SLURM_RESTART_COUNT``.
        task_count: Number of tasks of the step.
        run_dir: Private directory of this task below the lineage folder (logs, tool's own files).
        control: Name of the launcher's control socket, abstract, without the leading NUL.
        restored_from: Image id this life was restored from; empty: fresh start.
        argv: The user's command.
        started_at: RFC 3339.
    """

    number: int
    step: str
    rank: int
    node: str
    lineage: str
    checkpoint_dir: str
    backend: str
    restart_count: int = 0
    task_count: int = 1
    run_dir: str = ""
    control: str = ""
    restored_from: str = ""
    argv: tuple[str, ...] = ()
    started_at: str = ""


@dataclass(frozen=True, slots=True)
class FileState:
    """One regular file that a task had open when its image was taken.

    Attributes:
        path: Absolute path, surrogate-escaped where it is not Unicode.
        size_bytes: Size while the task was frozen.
        writable: Whether it was open for writing.
        append: Whether it was open with O_APPEND.
        copy: Name of the copy inside the image's data folder for a node-local file; empty if none.
        mode: Permission bits.
        modified_ns: Time of its last change then, nanoseconds since 1970, by the file system's clock; 0:
            not recorded.
    """

    path: str
    size_bytes: int
    writable: bool
    append: bool = False
    copy: str = ""
    mode: int = 0o600
    modified_ns: int = 0


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One stored file of an image.

    Attributes:
        path: Relative to the image folder, without ``..``.
        size_bytes: Size as stored.
        digest: Hexadecimal digest of the bytes as stored.
        node: Node that wrote it; empty: the manager.
        rank: Rank it belongs to; None: none.
    """

    path: str
    size_bytes: int
    digest: str
    node: str = ""
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class TaskImage:
    """One task inside an image.

    Attributes:
        rank: Rank within the step.
        node: Node it ran on.
        data_dir: Its folder, relative to the image folder.
        working_dir: Its working directory.
        argv: The user's command.
        stdio: What descriptors 0, 1 and 2 of the launcher pointed to (``/path``, ``pipe:[123]``).
        open_files: Regular files it had open.
        process_count: Processes in the tree.
        resident_bytes: Resident memory of the tree.
        state: Facts that its backend needs for the restore, JSON-serialisable.
    """

    rank: int
    node: str
    data_dir: str
    working_dir: str = "/"
    argv: tuple[str, ...] = ()
    stdio: tuple[str, str, str] = ("", "", "")
    open_files: tuple[FileState, ...] = ()
    process_count: int = 1
    resident_bytes: int = 0
    state: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations of one checkpoint; the longest over the nodes.

    Attributes:
        frozen_us: How long the program stood still, microseconds, as the tool measured it; None if it
            does not say.
        dump_seconds: Freeze to thaw, as the worker saw it.
        digest_seconds: Syncing and digesting the files.
        publish_seconds: Manifest, syncs and rename; None of an image in a store: its manifest was written
            before.
        total_seconds: The whole operation as the caller saw it; in a manifest until it was written.
    """

    frozen_us: int | None = None
    dump_seconds: float = 0.0
    digest_seconds: float = 0.0
    publish_seconds: float | None = field(default=None, metadata=NOT_STORED)
    total_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a restore depends on.

    Attributes:
        node: Node name.
        architecture: ``x86_64`` and the like.
        kernel: Kernel release.
        cpu_model: Model name of the CPU.
        cpu_flags: CPU feature flags, sorted.
        libc: C library and version.
        distribution: ``PRETTY_NAME`` of os-release.
        cgroup_version: 1, 2 or 0 for none.
    """

    node: str
    architecture: str = ""
    kernel: str = ""
    cpu_model: str = ""
    cpu_flags: tuple[str, ...] = ()
    libc: str = ""
    distribution: str = ""
    cgroup_version: int = 0


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


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of one image, written last and never changed (docs/reference/manifest.md).

    Attributes:
        image_id: ``20261122T061900Z-9f3c21ab``.
        created_at: When the checkpoint began, aware UTC.
        lineage: First job of the line, plain number as text.
        number: Plain number of the job that was dumped.
        job_id: Its canonical id as text.
        step: Step that was dumped.
        job_name: Its name (user text).
        user_name: Owner.
        uid: Owner's id.
        account: Account.
        partition: Partition.
        nodes: Nodes of the job.
        task_count: Tasks of the step.
        restart_count: ``SLURM_RESTART_COUNT`` at the dump.
        time_limit_seconds: The job's limit; None: unlimited.
        submission: How it was submitted.
        backend: Backend.
        tool_version: Version of its tool.
        launcher_digest: Digest of the launcher binary mapped in the tree; empty if none is.
        slurm_version: As ``sinfo -V`` prints it.
        syscr_version: Version that wrote the image.
        digest_algorithm: ``blake3`` or ``sha256``.
        parent_image_id: Image this life was restored from; empty if none.
        tags: Free words; ``keep`` protects from retention.
        tasks: One entry per rank, by rank.
        hosts: One entry per node.
        files: Stored files, by path.
        timings: Durations.
        notes: Remarks of the backend.
    """

    image_id: str
    created_at: datetime
    lineage: str
    number: int
    job_id: str
    step: str
    backend: str
    job_name: str = ""
    user_name: str = ""
    uid: int = -1
    account: str = ""
    partition: str = ""
    nodes: tuple[str, ...] = ()
    task_count: int = 1
    restart_count: int = 0
    time_limit_seconds: float | None = None
    submission: Submission = Submission()
    tool_version: str = ""
    launcher_digest: str = ""
    slurm_version: str = ""
    syscr_version: str = ""
    digest_algorithm: str = "blake3"
    parent_image_id: str = ""
    tags: tuple[str, ...] = ()
    tasks: tuple[TaskImage, ...] = ()
    hosts: tuple[HostFacts, ...] = ()
    files: tuple[ImageFile, ...] = ()
    timings: Timings = Timings()
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Total size of the stored files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Image:
    """A published (or deleted) image: its manifest and where it lies.

    Attributes:
        manifest: What it holds.
        path: Absolute folder of the image.
        checkpoint_dir: Checkpoint directory it was found in.
        is_deleted: In the trash, recoverable until expunged.
    """

    manifest: Manifest
    path: str
    checkpoint_dir: str
    is_deleted: bool = False

    @property
    def image_id(self) -> str:
        """Identifier of the image."""
        return self.manifest.image_id


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Answer of one node worker.

    Attributes:
        node: Node name.
        tasks: Tasks found (inspect) on this node.
        findings: Pre-flight results.
        images: Tasks dumped.
        files: Stored files with size and digest.
        host: Facts of the node.
        timings: Durations on this node.
        tool_version: Version of the backend's tool.
        notes: Remarks.
        processes: Processes in all trees (inspect).
        resident_bytes: Their resident memory (inspect).
        error: Code, message and hint where the node failed; None where it did not.
        is_waiting: Whether the worker waits for another request.
        written: Paths that tasks have open for writing, once per task; of steps of several tasks (inspect).
    """

    node: str
    tasks: tuple[TaskSpec, ...] = ()
    findings: tuple[Finding, ...] = ()
    images: tuple[TaskImage, ...] = ()
    files: tuple[ImageFile, ...] = ()
    host: HostFacts | None = None
    timings: Timings = Timings()
    tool_version: str = ""
    launcher_digest: str = ""
    notes: tuple[str, ...] = ()
    processes: int = 0
    resident_bytes: int = 0
    error: dict[str, object] | None = None
    is_waiting: bool = False
    written: tuple[str, ...] = ()
