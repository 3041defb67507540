"""The ports: what the manager needs from the world, without any technology.

Adapters implement these protocols and are built in ``wiring.py`` alone; fakes are in ``testing.py``.
Each method's contract stands here; adapters say only what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from syscr.model import (
    FileState,
    Finding,
    Image,
    ImageFile,
    Job,
    JobDetails,
    JobId,
    Manifest,
    NodeReport,
    TaskImage,
    TaskSpec,
)


@dataclass(frozen=True, slots=True)
class Completed:
    """One command that has ended.

    Attributes:
        argv: Argument list.
        exit_code: Exit code; None if it was ended by a signal.
        signal: Number of the signal that ended it; None if it exited.
        stdout: Standard output, UTF-8 with surrogate escape, capped.
        stderr: Standard error, likewise.
        duration_seconds: Wall time.
    """

    argv: tuple[str, ...]
    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    signal: int | None = None
    duration_seconds: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether it exited with 0."""
        return self.exit_code == 0


class Clock(Protocol):
    """Time, so that tests can move it by hand."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for ``seconds``."""
        ...


class Runner(Protocol):
    """Runs one command to its end."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run ``argv`` without a shell, in its own process group.

        Contract: a non-zero exit is a result, not an exception. After a time-out the whole group is
        gone. Standard input is empty unless ``stdin`` is given.

        Args:
            argv: Argument list; the first is looked up in PATH.
            timeout_seconds: Limit; None: the runner's default.
            env: Variables to add to the scrubbed environment.
            cwd: Directory; None: the caller's.
            stdin: Text for standard input.
            on_line: Called with each complete line of standard output as it comes (progress).

        Raises:
            ToolMissingError: The executable does not exist or may not be run.
            CommandTimeout: The limit passed; carries what was read (``ports.CommandTimeout``).
        """
        ...


class Conversation(Protocol):
    """A command that runs, with its standard input open."""

    def send(self, text: str) -> None:
        """Write to its standard input; one that has ended takes nothing, and says so in ``wait``."""
        ...

    def wait(self, is_done: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Read until ``is_done`` is true, which is asked after each piece; False: the command ended first.

        Raises:
            CommandTimeout: The limit passed; the whole process group is gone.
        """
        ...

    def end(self, *, timeout_seconds: float) -> Completed:
        """Close standard input and wait for the end; what is not done in time is ended. Repeatable."""
        ...


class TalkingRunner(Runner, Protocol):
    """A runner that can go on talking to a command."""

    def start(self, argv: Sequence[str], *, on_line: Callable[[str], None]) -> Conversation:
        """Start ``argv`` as ``run`` does, with standard input open.

        Contract: standard input closes when this process ends, however that happens.

        Raises:
            ToolMissingError: The executable does not exist or may not be run.
        """
        ...


class CommandTimeout(Exception):
    """A command ran past its limit; its process group is gone.

    Attributes:
        completed: What was read until then; ``exit_code`` is None.
        timeout_seconds: The limit.
    """

    def __init__(self, completed: Completed, timeout_seconds: float) -> None:
        """Keep the partial result."""
        super().__init__(f"'{completed.argv[0]}' did not end within {timeout_seconds:g} s")
        self.completed = completed
        self.timeout_seconds = timeout_seconds


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """A batch job to submit.

    Attributes:
        script: Text of the batch script.
        options: Options for sbatch, in order; later ones win.
        arguments: Arguments of the script.
        working_dir: Directory to submit from; None: the caller's.
    """

    script: str
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    working_dir: str | None = None


class JobSource(Protocol):
    """What a checkpoint asks Slurm.

    All methods raise SchedulerUnavailableError (no answer), SchedulerDeniedError (Slurm refuses) and
    SchedulerReplyError (not understood); what else they raise stands with them.
    """

    def version(self) -> str:
        """Return the version as Slurm prints it, ``24.11.5``."""
        ...

    def get_job(self, job_id: JobId) -> Job:
        """Return one job.

        Raises:
            JobNotFoundError: The controller answers and does not know it (never or no longer).
        """
        ...

    def get_job_details(self, job_id: JobId) -> JobDetails:
        """Return what a new job needs to resemble this one; raises JobNotFoundError."""
        ...

    def find_steps(self, job_id: JobId) -> tuple[str, ...]:
        """Return the steps that run now (``0``, ``1``; without batch and extern), in order."""
        ...

    def get_batch_script(self, job_id: JobId) -> str:
        """Return the batch script of a job; raises JobNotFoundError where there is none."""
        ...


class Scheduler(JobSource, Protocol):
    """Slurm: jobs and what can be done with them. None of its methods retries an act."""

    def signal(self, job_id: JobId, name: str) -> None:
        """Send a signal to the batch script of a job, ``TERM`` say; raises JobNotFoundError."""
        ...

    def get_jobs(self, job_ids: Sequence[JobId]) -> Mapping[JobId, Job]:
        """Return those of the jobs that the controller knows; an absent key is a job it does not know."""
        ...

    def submit(self, submission: SubmitOptions) -> JobId:
        """Submit a batch job; has effect at most once."""
        ...

    def requeue(self, job_id: JobId, *, hold: bool = False) -> None:
        """Put the job back into the queue under its id; raises JobNotFoundError, JobStateError."""
        ...

    def release(self, job_id: JobId) -> None:
        """Release a held job."""
        ...

    def start_now(self, job_id: JobId) -> None:
        """Drop the delay that Slurm puts on a requeued job.

        Contract: has an effect only while the job is PENDING; call it again until the job runs.
        Source: facts: BeginTime is now + credential lifetime + 1 s (24.11, ``job_mgr.c``).
        """
        ...

    def require_nodes(self, job_id: JobId, nodes: Sequence[str]) -> None:
        """Let a pending job run on these nodes only; an empty sequence takes the demand back."""
        ...

    def cancel(self, job_id: JobId, *, step: str | None = None) -> None:
        """Cancel a job or one step; a job that has ended already is no error."""
        ...


class Workers(Protocol):
    """The nodes of a running job, reached through Slurm as the job's owner."""

    def inspect(
        self, job: Job, *, step: str | None, keep_seconds: float = 0.0
    ) -> tuple[NodeReport, ...]:
        """Find the checkpointable tasks of a job and look at them; touches nothing.

        Args:
            job: The job.
            step: The step; None: all.
            keep_seconds: For so long the workers may wait for a ``dump``, which then need not start them
                again; ``release`` sends them away. 0: they leave at once.

        Returns:
            One report per node of the job, in node order; a node without tasks has none.

        Raises:
            CheckpointError: A node did not answer; names it.
            JobStateError: The job ended meanwhile.
        """
        ...

    def dump(
        self,
        job: Job,
        *,
        step: str,
        staging_dir: str,
        hold_seconds: float,
        timeout_seconds: float,
        progress: Callable[[Mapping[str, object]], None],
        together: bool = False,
    ) -> tuple[NodeReport, ...]:
        """Dump all tasks of a step into ``staging_dir/data/<rank>/``, sync and digest them.

        Contract: after success every file is on disk and digested, and the tasks run again, or stand
        still for at most ``hold_seconds`` where that is not 0. After failure the tasks run.

        Args:
            job: The job.
            step: The step.
            staging_dir: Private directory on shared storage, made by the caller.
            hold_seconds: Keep the tasks stopped that long after the dump, until ``finish`` is called;
                when the time is over they go on by themselves.
            timeout_seconds: Limit for the whole.
            progress: Called with ``{"type", "node", ...}`` objects as they come.
            together: End the hold once all tasks are dumped, so that none writes to what another one is
                still to be dumped with; ``finish`` is not called.

        Raises:
            CheckpointError, CheckpointTimeoutError: Dump failed; tasks run on.
            StoreFullError: No space; tasks run on.
        """
        ...

    def finish(self, job: Job, *, step: str, action: str) -> tuple[NodeReport, ...]:
        """End the hold: ``resume`` lets the tasks go on, ``kill`` ends them and keeps the step alive.

        After ``kill`` the launcher waits for Slurm to end the step (cancel or requeue), for at most a
        minute; then it leaves with exit code 75: a job that is not done must not look like one that is.
        """
        ...

    def release(self, job: Job, *, wait: bool = True) -> None:
        """Send workers away that still wait for a request; harmless where none do, never raises.

        Args:
            job: The job.
            wait: Until they have gone; else call it again before the end.
        """
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as data.

    Attributes:
        name: Backend.
        tool_version: Version of its tool; empty if it is missing.
        needs_launch: The program must have been started through ``syscr run``.
        needs_privilege: Needs more than an ordinary user has.
        leaves_running: The program goes on after a checkpoint.
        multi_node: Several nodes as one computation that talks over the network.
        tcp: TCP connections inside the tree.
        gpu: Programs that use a GPU.
        restart_on_other_nodes: May come back elsewhere.
        features: What was probed, name -> found.
        missing: Reasons why it does not work here; empty: it works.
    """

    name: str
    tool_version: str = ""
    needs_launch: bool = True
    needs_privilege: bool = False
    leaves_running: bool = True
    multi_node: bool = False
    tcp: bool = False
    gpu: bool = False
    restart_on_other_nodes: bool = True
    features: Mapping[str, bool] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """How to start or restore one task; the launcher's ``run`` executes it (``job/run.py``).

    Attributes:
        argv: What the launcher shall run as the task (``dmtcp_launch ... PROG`` or just ``PROG``); for
            a restore in namespaces the restoring tool itself (``criu restore ...``).
        namespaces: Whether the task lives in its own user, PID and mount namespace.
        restores_sibling: ``argv`` restores the tree as a sibling and ends (CRIU's way).
        no_randomize: Switch address randomisation off for ``argv``.
        env: Variables to add.
        sidecar: Helper process to start before the task, as a child of the launcher; empty: none.
        sidecar_listen_fd: Number of the descriptor on which the sidecar expects a listening loopback
            socket; None: none.
        log_path: Log of the restoring tool, whose last errors are shown when it fails; empty: none.
        uses_run_dir: Whether ``TaskSpec.run_dir`` must exist; a task that needs none leaves no trace.
    """

    argv: tuple[str, ...]
    namespaces: bool = False
    restores_sibling: bool = False
    no_randomize: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    sidecar: tuple[str, ...] = ()
    sidecar_listen_fd: int | None = None
    log_path: str = ""
    uses_run_dir: bool = True


class TaskControl(Protocol):
    """One live task on this node, through its launcher's control socket (see ``csrc/launcher.c``)."""

    spec: TaskSpec
    launcher_pid: int

    def pids(self) -> tuple[int, ...]:
        """Return the host pids of the task's tree (launcher, PID 1 and init excluded), live ones."""
        ...

    def root_pid(self) -> int:
        """Return the host pid of the dump root (init in namespaces, else the program)."""
        ...

    def run_inside(
        self, argv: Sequence[str], *, timeout_seconds: float, hold_seconds: float = 0
    ) -> Completed:
        """Run a tool inside the task's namespaces as a child of the launcher.

        Contract: the tool ends even if the caller dies; if the caller dies or the tool fails the tree
        is resumed. With ``hold_seconds`` a successful tool may leave the tree stopped for that long.

        Raises:
            CheckpointTimeoutError: It did not end in time and was ended; the tree was resumed.
            CheckpointError: The launcher did not answer or is busy with another checkpoint.
        """
        ...

    def hold(self, seconds: float) -> None:
        """Stop all processes of the task; they go on by themselves after ``seconds``."""
        ...

    def resume(self) -> None:
        """Let a held task go on; harmless if it is not held."""
        ...

    def kill(self) -> None:
        """End the whole task at once, keeping the step alive for at most a minute."""
        ...


@dataclass(frozen=True, slots=True)
class DumpReport:
    """What a backend did for one task.

    Attributes:
        open_files: Regular files the task had open, sizes while it was frozen.
        frozen_us: Time it stood still as the tool measured it; None if unknown.
        dump_seconds: Freeze to thaw as seen from outside.
        state: Facts for the restore, JSON-serialisable.
        notes: Remarks for the manifest.
    """

    open_files: tuple[FileState, ...] = ()
    frozen_us: int | None = None
    dump_seconds: float = 0.0
    state: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Backend(Protocol):
    """One way to dump and restore a task; runs on the task's node.

    A backend writes only below the directory it was given and never publishes.
    """

    name: str

    def probe(self) -> Capabilities:
        """Look at this node: tool, version, kernel, rights. Never raises for something missing."""
        ...

    def find_obstacle(self) -> str:
        """Return why a task cannot be launched on this node, empty if it can.

        Contract: cheap (well below 5 ms, starts no process), since every task asks; ``probe`` is thorough.
        """
        ...

    def build_launch(self, spec: TaskSpec) -> LaunchPlan:
        """Return how to start ``spec.argv`` so that it can be dumped later; pure."""
        ...

    def build_restore(self, spec: TaskSpec, image: TaskImage, data_dir: str) -> LaunchPlan:
        """Return how to bring a task back from ``data_dir`` in its place; pure.

        Args:
            spec: The new life of the task (new job id, node, run_dir).
            image: The task inside the image.
            data_dir: Absolute directory of its files, read only.
        """
        ...

    def wait_restored(self, task: TaskControl, image: TaskImage, *, timeout_seconds: float) -> None:
        """Wait until all processes of a restored task run; RestartTimeoutError if they do not.

        Asked only where ``LaunchPlan.restores_sibling`` is False: else the launcher knows by itself.
        """
        ...

    def check(self, task: TaskControl) -> tuple[Finding, ...]:
        """Look at a live task for what would make its image useless; touches nothing."""
        ...

    def checkpoint(
        self, task: TaskControl, data_dir: str, *, timeout_seconds: float, hold_seconds: float = 0
    ) -> DumpReport:
        """Dump one task into ``data_dir`` (exists, empty).

        Contract: after success the task runs, or stands still for at most ``hold_seconds``; after
        failure it runs. Files are written, not yet synced.

        Raises:
            CheckpointError: Failed; the message says what became of the task.
            CheckpointTimeoutError: ``timeout_seconds`` passed.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoreKey:
    """One ``.ckpt`` folder: a line of jobs, and a step (``batch`` for the job itself).

    Attributes:
        lineage: First job of the line, plain number as text.
        step: ``batch`` (folder ``<job>.ckpt``) or a step number (folder ``<job>.<step>.ckpt``).
    """

    lineage: str
    step: str = "batch"


class Store(Protocol):
    """Images in one checkpoint directory. All methods raise StoreAccessError on I/O failure."""

    checkpoint_dir: str

    def new_image_id(self) -> str:
        """Return an id that no image has: UTC time and 8 random hexadecimal digits."""
        ...

    def open_staging(self, key: StoreKey, image_id: str, *, needed_bytes: int) -> str:
        """Make a private staging directory and return its absolute path.

        Contract: removes staging left by writers that are dead on this host.

        Raises:
            StoreFullError: Less than ``needed_bytes`` free.
        """
        ...

    def add_probe(self, staging_dir: str, name: str) -> None:
        """Write an empty file into staging, by which nodes see that they share the file system."""
        ...

    def remove_probe(self, staging_dir: str, name: str) -> None:
        """Remove it again, before publishing."""
        ...

    def publish(self, staging_dir: str, manifest: Manifest) -> Image:
        """Make the image visible: manifest, syncs, one rename. The only way for an image to appear.

        Contract: every file of ``manifest.files`` is in ``staging_dir`` and synced already by the node
        that wrote it; sizes are checked. After failure nothing is visible and staging is untouched.

        Raises:
            ImageCorruptError: A file is missing or has another size.
            ImageExistsError: The id is taken.
        """
        ...

    def discard_staging(self, staging_dir: str) -> None:
        """Remove a staging directory; missing is no error."""
        ...

    def list_images(
        self, *, key: StoreKey | None = None, deleted: bool = False
    ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
        """Return the images, oldest first, and warnings about entries that could not be read."""
        ...

    def find_keys(self, lineage: str | None = None) -> tuple[StoreKey, ...]:
        """Return the keys that have a folder, sorted."""
        ...

    def get_image(self, image_id: str, *, deleted: bool = False) -> Image:
        """Return an image by id or unambiguous prefix (at least to its ``T``); ImageNotFoundError."""
        ...

    def verify(
        self, image: Image, *, level: str, progress: Callable[[int], None] | None = None
    ) -> tuple[str, ...]:
        """Compare an image with its manifest; ``level`` is ``sizes`` or ``digests``.

        Args:
            image: The image.
            level: How thoroughly.
            progress: Called with the bytes read since the last call.

        Returns:
            What differs, one line each; empty: all right.
        """
        ...

    def trash(self, image: Image) -> Image:
        """Take an image out of sight, recoverable."""
        ...

    def untrash(self, image: Image) -> Image:
        """Bring a deleted image back; ImageExistsError if its place is taken."""
        ...

    def expunge(self, image: Image) -> None:
        """Remove a deleted image for good."""
        ...

    def lock(self, key: StoreKey, *, purpose: str) -> AbstractContextManager[tuple[str, ...]]:
        """Hold the exclusive lease of a key while the block runs; refreshed in the background.

        Yields warnings (a stale lock was taken over). Raises StoreLockedError: held by another.
        """
        ...

    def find_holder(self, key: StoreKey) -> str:
        """Return who holds the lease of a key, in words; empty if nobody does."""
        ...

    def read_record(self, key: StoreKey, name: str) -> Mapping[str, object] | None:
        """Return a small JSON record of a line (``submission``, ``decision-<job>.<restarts>``), or None."""
        ...

    def write_record(self, key: StoreKey, name: str, value: Mapping[str, object]) -> None:
        """Write a small JSON record atomically, replacing an older one."""
        ...

    def make_folder(self, key: StoreKey, name: str) -> str:
        """Make a private folder of a line of jobs unless it exists; return its absolute path.

        Args:
            key: The line.
            name: ``run/<life>`` (logs and sockets of one task) or ``cut/<life>`` (ends of files that a
                restart cut off). Never taken for an image.
        """
        ...

    def folder_path(self, key: StoreKey, name: str) -> str:
        """Return the path that ``make_folder`` would return; nothing is made."""
        ...

    def read_note(self, key: StoreKey, name: str) -> str | None:
        """Return the text of a small file below a line's folder (``run/<life>/ready``), or None."""
        ...

    def create_record(
        self, key: StoreKey, name: str, value: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Write a record unless it exists, atomically; return what is there afterwards (first wins)."""
        ...


class DumpState(StrEnum):
    """What Slurm's own checkpoint commands say of a job or step that runs."""

    IDLE = "idle"
    DISABLED = "disabled"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class DumpEnd:
    """How a dump by Slurm itself ended.

    Attributes:
        code: Slurm's error number; 0: no error, or no dump yet.
        text: Its text; empty if none.
    """

    code: int
    text: str = ""


class Acceptance(StrEnum):
    """What Slurm says to the order to restart a job under its number."""

    ACCEPTED = "accepted"
    NOT_PURGED = "not_purged"
    ALIVE = "alive"
    NO_RECORD = "no_record"


class CheckpointController(Protocol):
    """Slurm's own checkpoint commands, which it had up to 19.05.

    All are asynchronous: an order that was accepted says nothing about its end. Methods raise
    SchedulerUnavailableError (no answer), SchedulerDeniedError, JobNotFoundError, JobStateError,
    OperationUnsupportedError (Slurm's plugin cannot do it) and ToolReplyError (not understood).

    Source: Slurm 18.08.9 and 19.05.8, run 2026-11.
    """

    def probe(self) -> Capabilities:
        """Return what this Slurm can do; ``missing`` says why nothing.

        Contract: asks for the configuration, once per object; never decides by the version alone.

        Raises:
            SchedulerUnavailableError: The controller does not answer.
        """
        ...

    def can_restart_steps(self) -> bool:
        """Return whether a step can be started from an image (``srun --restart-dir``)."""
        ...

    def purge_seconds(self) -> float | None:
        """Return how long Slurm remembers an ended job at least; 0: for ever; None: it does not say."""
        ...

    def find_state(self, name: str) -> DumpState:
        """Return whether a job (``4711``) or step (``4711.0``) may be, or is being, dumped."""
        ...

    def count_tasks(self, name: str) -> int | None:
        """Return how many tasks a step has, and so how many files its dump; None: Slurm does not say."""
        ...

    def find_end(self, name: str) -> DumpEnd:
        """Return how its last dump ended; it is cleared when a new one is accepted."""
        ...

    def order_dump(self, name: str, *, image_dir: str, max_wait_seconds: float) -> None:
        """Order a dump into ``<image_dir>/<name>/``.

        Contract: a second order in the same second is accepted and silently dropped.

        Args:
            name: Job or step.
            image_dir: Absolute; the nodes make and write the folder below it as the job's owner.
            max_wait_seconds: After that Slurm reports a failure, while the dump may go on.

        Raises:
            StoreLockedError: One is going on.
            PreflightError: They are disabled.
        """
        ...

    def order_restart(self, number: int, *, image_dir: str, stick_to_nodes: bool) -> Acceptance:
        """Order a job back under its number, from ``<image_dir>/<number>/``; that is not checked."""
        ...


__all__ = [
    "Acceptance",
    "Backend",
    "Capabilities",
    "CheckpointController",
    "Clock",
    "CommandTimeout",
    "Conversation",
    "Completed",
    "DumpEnd",
    "DumpReport",
    "DumpState",
    "ImageFile",
    "LaunchPlan",
    "Runner",
    "Scheduler",
    "Store",
    "StoreKey",
    "SubmitOptions",
    "TalkingRunner",
    "TaskControl",
    "Workers",
]
