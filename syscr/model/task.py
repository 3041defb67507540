"""One task: how it was started, and what an image has of it."""

from __future__ import annotations

from dataclasses import dataclass, field


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
