"""The short way of ``syscr run``: a task that starts from the beginning under CRIU.

Every task of every job takes it, so it imports next to nothing (python's dataclasses and logging alone
cost more than all of this) and starts no process. It decides only what it can decide for certain, from
two files that are not there; everything else (a requeued or continued job, another backend, any doubt)
is left to ``run.py``, whose outcome for such a task is the same: a test compares them.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import MutableMapping, Sequence

from syscr.config import load_settings
from syscr.errors import SyscrError
from syscr.job.environment import TaskPlace, find_bypass, read_place
from syscr.job.options import GivenOptions, parse_run
from syscr.job.tracking import must_leave_tree
from syscr.settings import Settings

SRUN_VARIABLE = "SYSCR_SRUN"
"""Carries the command line of ``syscr srun`` to rank 0; the program never sees it."""

IMAGE_DIR_VARIABLE = "SLURM_CHECKPOINT_IMAGE_DIR"
"""The checkpoint directory of a job, in its environment. Source: Slurm 18.08.9, sbatch manual."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Those of backends/criu/parse.py (whose import would cost more than all of this; a test compares them).
_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": "0",
    "/proc/sys/user/max_pid_namespaces": "0",
    "/proc/sys/user/max_mnt_namespaces": "0",
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
}


def find_launch(
    argv: Sequence[str],
    environ: MutableMapping[str, str],
    installed: str,
    control: socket.socket,
) -> tuple[str, ...] | None:
    """Return the launcher's argument list for a fresh start; None: take the long way.

    Args:
        argv: Command line after ``syscr run``.
        environ: The task's environment; it gets the variable that the program shall see, too.
        installed: Path of the installed launcher.
        control: Listening control socket of the task.
    """
    try:
        given = parse_run(argv)
        place = read_place(environ, os.uname().nodename.partition(".")[0])
        if given is None or place is None or place.restart_count > 0 or SRUN_VARIABLE in environ:
            return None
        if find_bypass(environ, is_on_terminal()):
            return None
        if (
            given.interval_seconds != 0
            or given.total_seconds > 0
            or given.restart_dir is not None
            or given.keep_script
        ):
            return None
        settings = load_settings(environ, overrides=given.overrides())
    except SyscrError:
        return None
    program = given.command[0]
    if program.startswith(f"{settings.checkpoint_dir}/.syscr-") and not os.path.exists(program):
        return None  # the copy of a batch script; the long way says why this node has it not
    if _may_continue(settings.checkpoint_dir, place) or not _takes_criu(settings):
        return None
    launcher = _find_launcher(settings, installed)
    if launcher is None:
        return None
    if given.truncate_output:
        empty_outputs()
    control.set_inheritable(True)
    environ[IMAGE_DIR_VARIABLE] = settings.checkpoint_dir
    return (
        launcher,
        "run",
        *(("--detach",) if must_leave_tree(environ) else ()),
        "--namespaces",
        "--control-fd",
        str(control.fileno()),
        "--task",
        build_task(given, place, settings, control.getsockname()[1:].decode()),
        "--",
        *given.command,
    )


def build_task(given: GivenOptions, place: TaskPlace, settings: Settings, control: str) -> str:
    """Return ``model.TaskSpec`` of a fresh start as JSON; keys that have their default are left out."""
    key = str(place.number) if place.step == "batch" else f"{place.number}.{place.step}"
    life = f"{place.number}.{place.restart_count}.{place.rank}"
    return json.dumps(
        {
            "number": place.number,
            "step": place.step,
            "rank": place.rank,
            "node": place.node,
            "lineage": str(place.number),
            "checkpoint_dir": settings.checkpoint_dir,
            "backend": "criu",
            "task_count": place.task_count,
            "run_dir": f"{settings.checkpoint_dir}/{key}.ckpt/run/{life}",
            "control": control,
            "argv": list(given.command),
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        }
    )


def open_control() -> socket.socket:
    """Return a listening control socket; the kernel chooses a name that nobody can have taken before."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(b"")
    control.listen(16)
    return control


def _may_continue(checkpoint_dir: str, place: TaskPlace) -> bool:
    """Whether a record says, or may say, that this job continues from an image."""
    folder = f"{checkpoint_dir}/{place.number}.ckpt/records"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(name.startswith(("continues", "decision")) for name in names)


def _takes_criu(settings: Settings) -> bool:
    """Whether CRIU is what this task would get, and the node has it."""
    if settings.backend != "criu" and (
        settings.backend != "auto" or settings.order[:1] != ("criu",)
    ):
        return False
    for path, forbidding in _SWITCHES.items():
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip() == forbidding:
                    return False
        except FileNotFoundError:
            continue
        except OSError:
            return False
    if settings.criu_path.startswith("/"):
        return os.access(settings.criu_path, os.X_OK)
    folders = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}".split(":")
    return any(os.access(f"{folder}/{settings.criu_path}", os.X_OK) for folder in folders if folder)


def _find_launcher(settings: Settings, installed: str) -> str | None:
    """Return the copy of the launcher in the checkpoint directory, if it is there and as it should be."""
    path = settings.launcher_path or installed
    folder = f"{settings.checkpoint_dir}/.syscr-{os.geteuid()}"
    try:
        with open(f"{path}.digest", encoding="ascii") as file:
            copy = f"{folder}/launcher/{file.read().strip()}/syscr-launcher"
        status = os.lstat(folder)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not os.access(copy, os.X_OK):
            return None
        with open(copy, "rb") as made, open(path, "rb") as original:
            return copy if made.read() == original.read() else None
    except OSError:
        return None


def is_on_terminal() -> bool:
    """Whether one of the task's standard streams is a terminal."""
    return any(os.isatty(number) for number in range(3))


def empty_outputs() -> None:
    """Truncate standard output and error where they are files, as Slurm does without append."""
    for number in (1, 2):
        if stat.S_ISREG(os.fstat(number).st_mode):
            os.ftruncate(number, 0)
