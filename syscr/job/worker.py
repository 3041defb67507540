"""The node worker: one short process per node that looks at, dumps or ends the tasks of a step.

Started by ``slurm/workers.py`` through ``srun --overlap`` as the job's owner. Writes JSON lines on
standard output (``wire.py``); whatever goes wrong becomes the ``error`` of its report, so that the
manager can say which node failed and why. The dump tool itself is run by each task's launcher: a
worker that is killed takes nothing with it.
"""

from __future__ import annotations

import errno
import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from syscr import wire
from syscr.errors import CheckpointError, StoreFullError, SyscrError
from syscr.job.control import LauncherControl, find_tasks
from syscr.job.dumping import Dumped, Dumping
from syscr.job.meeting import mark_ended, wait_for_others
from syscr.job.outputs import check_outputs
from syscr.job.sharing import list_written
from syscr.job.tree import find_working_dir, list_own, read_launcher_facts, sum_resident
from syscr.model import Finding, ImageFile, NodeReport, Severity, TaskImage, Timings
from syscr.ports import Backend, Clock
from syscr.procfs.host import read_host_facts
from syscr.units import format_size

_MARGIN_BYTES = 64 << 20

_FAILURES: Mapping[int | None, type[CheckpointError | StoreFullError]] = {
    errno.ENOSPC: StoreFullError,
    errno.EDQUOT: StoreFullError,
    errno.EFBIG: StoreFullError,
}


class Digest(Protocol):
    """Syncs and digests files of an image; see ``store.digest.sync_and_digest``."""

    def __call__(
        self,
        root: str,
        paths: Iterable[str],
        *,
        node: str,
        rank: int | None,
        progress: Callable[[int], None] | None,
    ) -> tuple[ImageFile, ...]:
        """Return one entry per file, by path."""
        ...


@dataclass(frozen=True, slots=True)
class NodeWorker:
    """What a worker needs from the world.

    Attributes:
        node: This node's name.
        backends: By name.
        digest: Syncs and digests files.
        emit: Writes one line of output.
        clock: Time.
    """

    node: str
    backends: Mapping[str, Backend]
    digest: Digest
    emit: Callable[[str], None]
    clock: Clock

    def run(self, request: wire.WorkerRequest) -> NodeReport:
        """Do what was asked; never raises a SyscrError, it is in the report."""
        actions = {"inspect": self._inspect, "dump": self._dump, "finish": self._finish}
        try:
            return actions[request.action](request)
        except SyscrError as error:
            return NodeReport(self.node, error=error.to_dict())
        except OSError as error:
            name = f" '{error.filename}'" if error.filename else ""
            failure = _FAILURES.get(error.errno, CheckpointError)(
                f"worker on node '{self.node}' failed{name}: {error.strerror or error}; "
                "the job is still running"
            )
            return NodeReport(self.node, error=failure.to_dict())
        finally:
            if request.hold_seconds > 0 and request.node_count > 1:
                mark_ended(request.staging_dir, self.node)

    def _inspect(self, request: wire.WorkerRequest) -> NodeReport:
        """Look at all tasks; touches nothing."""
        tasks = find_tasks(request.number, request.step)
        findings: list[Finding] = []
        resident = processes = 0
        for task in tasks:
            findings += self._check(task)
            tree = list_own(task)
            resident += sum(process.resident_bytes for process in tree)
            processes += len(tree)
        return NodeReport(
            self.node,
            tasks=tuple(task.spec for task in tasks),
            findings=(
                *(replace(finding, node=self.node) for finding in findings),
                *check_outputs(tasks),
            ),
            host=read_host_facts(self.node),
            written=tuple(path for task in tasks for path in list_written(task)),
            processes=processes,
            resident_bytes=resident,
        )

    def _check(self, task: LauncherControl) -> list[Finding]:
        state = task.state()
        if state == "parked":
            return [Finding("task_ended", Severity.ERROR, f"{_name(task)} was ended by a vacate")]
        if (
            state == "busy"
        ):  # what a look at it shows now is the dump's doing: it traces the program
            return [
                Finding(
                    "task_busy",
                    Severity.ERROR,
                    f"{_name(task)} is being dumped already",
                    "wait until that checkpoint has ended, and try again",
                )
            ]
        return list(self._backend(task).check(task))

    def _backend(self, task: LauncherControl) -> Backend:
        backend = self.backends.get(task.spec.backend)
        if backend is None:
            raise CheckpointError(
                f"{_name(task)} was started with backend '{task.spec.backend}', which this syscr does "
                "not have; the job is still running"
            )
        return backend

    def _dump(self, request: wire.WorkerRequest) -> NodeReport:
        """Dump, sync and digest all tasks of the step on this node, in parallel."""
        started = time.monotonic()
        tasks = find_tasks(request.number, request.step)
        if not tasks:
            raise CheckpointError(
                f"node '{self.node}' has no task of step {request.number}.{request.step} any more; "
                "nothing was dumped"
            )
        if not Path(request.staging_dir, wire.PROBE_FILE).exists():
            raise CheckpointError(
                f"node '{self.node}' does not see '{request.staging_dir}', which the login node has just "
                "made: the checkpoint directory is not on a shared file system; the job is still running",
                hint="use a checkpoint directory (--checkpoint-dir, --image-dir) that all nodes and the login node mount",
            )
        resident = sum_resident(tasks)
        self._check_space(request, resident)
        with Dumping(
            self.node,
            request,
            tasks,
            dump=functools.partial(self._dump_task, request),
            emit=self.emit,
            expected_bytes=resident,
        ) as dumping:
            results = dumping.run()
            failures = [result for result in results if isinstance(result, SyscrError)]
            if failures:
                raise failures[0]  # leaving lets all tasks go on
            dumped = [result for result in results if not isinstance(result, SyscrError)]
            if request.together:
                self._meet(request, request.timeout_seconds - (time.monotonic() - started))
                dumping.resume()
            before = time.monotonic()
            files = self._digest_files(request.staging_dir, tasks, dumping.count)
            now = time.monotonic()
            if not request.together:
                self._meet(request, request.timeout_seconds - (now - started))
        frozen = [timing.frozen_us for _, timing, _ in dumped if timing.frozen_us is not None]
        state = dumped[0][0].state
        return NodeReport(
            self.node,
            tasks=tuple(task.spec for task in tasks),
            images=tuple(image for image, _, _ in dumped),
            files=files,
            host=read_host_facts(self.node),
            timings=Timings(
                frozen_us=max(frozen) if frozen else None,
                dump_seconds=max(timing.dump_seconds for _, timing, _ in dumped),
                digest_seconds=now - before,
                total_seconds=now - started,
            ),
            tool_version=str(state.get("tool_version") or ""),
            launcher_digest=str(state.get("launcher_digest") or ""),
            notes=tuple(dict.fromkeys(note for _, _, remarks in dumped for note in remarks)),
        )

    def _meet(self, request: wire.WorkerRequest, left_seconds: float) -> None:
        """Where the tasks are held: wait for the other nodes, so that none of them runs on meanwhile."""
        if request.hold_seconds > 0 and request.node_count > 1:
            mark_ended(request.staging_dir, self.node)
            wait_for_others(
                request.staging_dir, request.node_count, self.clock, timeout_seconds=left_seconds
            )

    def _check_space(self, request: wire.WorkerRequest, resident_bytes: int) -> None:
        needed = _MARGIN_BYTES + resident_bytes
        status = os.statvfs(request.staging_dir)
        free = status.f_bavail * status.f_frsize
        if free < needed:
            raise StoreFullError(
                f"cannot checkpoint step {request.number}.{request.step}: '{request.staging_dir}' has "
                f"{format_size(free)} free, {format_size(needed)} are needed; the job is still running",
                needed_bytes=needed,
                free_bytes=free,
            )

    def _dump_task(self, request: wire.WorkerRequest, task: LauncherControl) -> Dumped:
        """Dump one task; returns its part of the image, how long it took, and remarks."""
        data = f"data/{task.spec.rank}"
        folder = Path(request.staging_dir, data)
        folder.mkdir(mode=0o700, parents=True)
        tree = list_own(task)
        working_dir = find_working_dir([process.pid for process in tree])
        self.emit(wire.encode_progress(self.node, "dump"))
        report = self._backend(task).checkpoint(
            task,
            str(folder),
            timeout_seconds=request.timeout_seconds,
            hold_seconds=request.hold_seconds,
        )
        image = TaskImage(
            rank=task.spec.rank,
            node=self.node,
            data_dir=data,
            working_dir=working_dir,
            argv=task.spec.argv,
            stdio=task.stdio(),
            open_files=report.open_files,
            process_count=len(tree),
            resident_bytes=sum(process.resident_bytes for process in tree),
            state={
                **read_launcher_facts(task),
                **report.state,
                "home_dir": task.spec.checkpoint_dir,
            },
        )
        return image, Timings(report.frozen_us, report.dump_seconds), report.notes

    def _digest_files(
        self, staging_dir: str, tasks: Sequence[LauncherControl], done: Callable[[int], None]
    ) -> tuple[ImageFile, ...]:
        """Sync and digest everything below the ranks' folders."""
        files: list[ImageFile] = []
        for task in tasks:
            top = Path(staging_dir, "data", str(task.spec.rank))
            paths = [
                os.path.relpath(os.path.join(folder, name), staging_dir)
                for folder, _, names in os.walk(top)
                for name in names
            ]
            files += self.digest(
                staging_dir, paths, node=self.node, rank=task.spec.rank, progress=done
            )
        return tuple(files)

    def _finish(self, request: wire.WorkerRequest) -> NodeReport:
        """End the hold: let the tasks go on, or end them."""
        tasks = find_tasks(request.number, request.step)
        for task in tasks:
            if request.finish_action == "kill":
                task.kill()
            else:
                task.resume()
        return NodeReport(self.node, tasks=tuple(task.spec for task in tasks))


def _name(task: LauncherControl) -> str:
    return f"step {task.spec.number}.{task.spec.step} task {task.spec.rank}"
