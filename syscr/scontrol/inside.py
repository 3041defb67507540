"""``scontrol checkpoint`` called by a program of the very job that it means.

The caller is in the tree that is to be dumped, so the job's agent does it, outside of the tree
(``job/inside.py``), and what waits for the answer will be in the image. That is a shell and a ``sleep``,
not this process: a Python would make each image 13 MB bigger and bind it to the files of this syscr.
The shell starts the same command line again when there is an answer; after a restart it just ends.
Under DMTCP this process waits itself: each new ``sleep`` would join the computation in mid-checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from syscr.errors import CheckpointError, RequestError
from syscr.model import Image, JobId, Target, TaskSpec
from syscr.ports import Clock, Store, StoreKey
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult
from syscr.selection import Selection, build_decision, decision_name

REPLY = "_SYSCR_REPLY"
"""Variable of the second start: file of the agent's answer."""

LIFE = "_SYSCR_LIFE"
"""Variable of the second start: the life in which the request was made."""

_ENDING_SECONDS = 120.0
_MARGIN_SECONDS = 60.0
_POLL_SECONDS = 0.2
_PID_1 = 1  # the launcher of a task in namespaces
_WAIT = """\
reply=$1 launcher=$2 born=$3 tries=$4
shift 4
while
    now=
    read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ now _ </proc/"$launcher"/stat
    [ "$now" = "$born" ] || exit 0
    [ ! -e "$reply" ] && [ "$tries" -gt 0 ]
do
    sleep {seconds} || sleep 1
    tries=$((tries - 1))
done 2>/dev/null
exec "$@"
"""
"""Waits for a file; ends well if the launcher is another one: the job was brought back from an image.

Source: proc_pid_stat(5), Linux man-pages 6.9: field 22 is the start time; the name in field 2 is
``(syscr-pid1)`` or ``(syscr-launcher)``, without blanks.
"""


class Slurm(Protocol):
    """What is needed of ``ports.Scheduler``."""

    def cancel(self, job_id: JobId, *, step: str | None = None) -> None:
        """Cancel a job or one step."""
        ...

    def requeue(self, job_id: JobId, *, hold: bool = False) -> None:
        """Put the job back into the queue."""
        ...


@dataclass(frozen=True, slots=True)
class InsideJob:
    """Writes images of its own job, and ends it.

    Attributes:
        send: Asks the job's agent for a checkpoint; returns the file of the answer.
        wait: Waits for the answer, so many seconds; returns the image id or raises what went wrong.
        scheduler: Slurm.
        open_store: Opens the store of a checkpoint directory.
        get_image: Returns an image by id and checkpoint directory (None: any known one).
        find_own_task: Returns the task that this process is part of.
        find_launcher: Returns (pid, start time in clock ticks since boot) of the process that stands for
            this life of our task.
        restart_as: Becomes a shell script with arguments and variables; None: wait in this process.
        environ: Our environment.
        clock: Time.
    """

    send: Callable[[TaskSpec, CheckpointRequest], Path]
    wait: Callable[[TaskSpec, Path, float], str]
    scheduler: Slurm
    open_store: Callable[[str], Store]
    get_image: Callable[[str, str | None], Image]
    find_own_task: Callable[[], TaskSpec | None]
    find_launcher: Callable[[], tuple[int, int]]
    restart_as: Callable[[str, tuple[str, ...], Mapping[str, str]], None] | None
    environ: Mapping[str, str]
    clock: Clock

    def checkpoint(self, request: CheckpointRequest) -> CheckpointResult:
        """Write an image; the job runs on."""
        image, _ = self._write(request)
        return _result(image, "running")

    def vacate(self, request: CheckpointRequest) -> CheckpointResult:
        """Write an image, then end the job or step; returns only in the life after a restart."""
        image, own = self._write(request)
        if own is not None:
            self.scheduler.cancel(JobId(own.number), step=None if own.step == "batch" else own.step)
            self._wait_for_the_end(own)
        return _result(image, "ended")

    def requeue(self, request: CheckpointRequest) -> CheckpointResult:
        """Write an image, then put the job back; returns only in its next life.

        Slurm lets a job that it requeues wait for about two minutes; there is nobody left to shorten it.
        """
        image, own = self._write(request)
        if own is not None:
            if image.checkpoint_dir != own.checkpoint_dir:
                self.open_store(own.checkpoint_dir).write_record(
                    StoreKey(own.lineage, own.step),
                    decision_name(own.number, own.restart_count + 1),
                    build_decision(Selection(image), image.checkpoint_dir),
                )
            self.scheduler.requeue(JobId(own.number))
            self._wait_for_the_end(own)
        return _result(image, "requeued")

    def _write(self, request: CheckpointRequest) -> tuple[Image, TaskSpec | None]:
        """Return the image, and our task; None in a life that began after the request."""
        own = self.find_own_task()
        if own is None:
            raise RequestError("this process is no part of a job that can be checkpointed")
        limit = request.max_wait_seconds + _MARGIN_SECONDS
        life, reply = self.environ.get(LIFE, _name_life(own)), self.environ.get(REPLY, "")
        if reply:
            limit = 0.0  # the shell has waited
        else:
            pid, born = self.find_launcher()
            reply = str(self.send(own, request))
            if self.restart_as is not None and pid == _PID_1:
                words = (reply, str(pid), str(born), str(int(limit / _POLL_SECONDS)))
                script = _WAIT.format(seconds=_POLL_SECONDS)
                self.restart_as(script, words, {REPLY: reply, LIFE: life})
        image = self.get_image(self.wait(own, Path(reply), limit), request.image_dir)
        now = self.find_own_task()
        return image, now if now is not None and _name_life(now) == life else None

    def _wait_for_the_end(self, own: TaskSpec) -> None:
        """Keep the script from going on until Slurm ends us."""
        self.clock.sleep(_ENDING_SECONDS)
        raise CheckpointError(
            f"the image is written, but job {own.number} still runs {_ENDING_SECONDS:g} s after it was "
            "to end",
            hint=f"look at it with 'scontrol show job {own.number}'",
        )


def _name_life(task: TaskSpec) -> str:
    return f"{task.number}.{task.restart_count} {task.started_at} {task.control}"


def _result(image: Image, job_state: str) -> CheckpointResult:
    manifest = image.manifest
    return CheckpointResult(Target(JobId(manifest.number), manifest.step), image, job_state)


def shell_words(script: str, arguments: tuple[str, ...], again: tuple[str, ...]) -> list[str]:
    """Return the argument list of the waiting shell, which then runs ``again``; pure."""
    return ["/bin/sh", "-c", script, "scontrol", *arguments, *again]
