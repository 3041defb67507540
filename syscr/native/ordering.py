"""Has Slurm write one image, and believes it only when the files are there.

``scontrol checkpoint create`` returns at once, and its exit code says nothing of the dump. So: keep a
second apart from the last order, order the dump into a fresh directory, wait until ``able`` no longer says
that it goes on, read ``error``, and then look at the files. The directory is fresh, so that no file of an
earlier dump can be taken for a new one.

Source: Slurm 18.08.9 and 19.05.8, run 2026-11 (docs/explanation/slurm-versions.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import join

from syscr.dumping import Plan, Progress
from syscr.errors import CheckpointError, CheckpointTimeoutError, SyscrError
from syscr.model import JobState
from syscr.native.naming import DATA, ORDER, find_image_files, name_target
from syscr.ports import CheckpointController, Clock, DumpEnd, DumpState, Scheduler
from syscr.units import format_time, parse_time
from syscr.waiting import wait_until

log = logging.getLogger(__name__)

_APART_SECONDS = 1.1
_TRIES = 3
_DROPPED = 2021  # "Job/step already completing or completed": also a second order in one second
_FAILED = 4027  # "Job step not running": the dump program failed
_TOO_LATE = 1001  # "Communication connection failure": MaxWait has passed
# What nodes have written is not seen at once on every network file system.
_VISIBLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DumpOrder:
    """Writes images through Slurm.

    Attributes:
        controller: Slurm's checkpoint commands.
        scheduler: Slurm.
        clock: Time.
        read_sizes: Returns the regular files below a directory, relative to it, with their sizes.
        clear: Removes a directory with all that is in it.
    """

    controller: CheckpointController
    scheduler: Scheduler
    clock: Clock
    read_sizes: Callable[[str], Mapping[str, int]]
    clear: Callable[[str], None]

    def write(
        self, plan: Plan, staging: str, *, max_wait_seconds: float, progress: Progress
    ) -> tuple[str, ...]:
        """Write an image into a staging directory.

        Returns:
            The files, relative to it, in the order of the ranks.

        Raises:
            CheckpointTimeoutError: Slurm did not finish in time.
            CheckpointError: It failed; the message has Slurm's reason.
        """
        deadline = self.clock.monotonic() + max_wait_seconds
        needed = 1
        for left in reversed(range(_TRIES)):
            end = self._dump(plan, staging, deadline, progress)
            sizes = self._wait_for_files(plan, staging, end)
            paths = _find_files(plan, sizes)
            if paths and end.code == 0:
                needed -= 1
                if needed == 0:
                    return paths
            elif paths and end.code == _FAILED and left == _TRIES - 1:
                # The plugin confuses the ends of its own children: good dumps are called failed, failed ones
                # good. Two in a row that are called good outweigh one that is not.
                needed = 2
            elif not _was_dropped(end, sizes) or not left or not self._is_running(plan):
                raise self._failed(plan, end, sizes, max_wait_seconds)
            if needed > left or not self._is_running(plan):
                raise self._failed(plan, end, sizes, max_wait_seconds)
            log.info("Slurm says error(%d) of %s; once more", end.code, plan.target)
            if sizes:  # no file of this dump shall be taken for one of the next
                self.clear(join(staging, DATA))
        raise AssertionError("unreachable")

    def _dump(self, plan: Plan, staging: str, deadline: float, progress: Progress) -> DumpEnd:
        """Order a dump and wait for its end."""
        name = name_target(plan.job.number, plan.step)
        self._keep_apart(plan)
        left = deadline - self.clock.monotonic()
        self.controller.order_dump(
            name, image_dir=join(staging, DATA), max_wait_seconds=max(1.0, left)
        )
        now = format_time(self.clock.now())
        plan.store.write_record(plan.key, ORDER, {"ordered_at": now})
        progress({"type": "phase", "phase": "dump"})
        finished = wait_until(
            self.clock,
            lambda: self.controller.find_state(name) is not DumpState.BUSY,
            timeout_seconds=max(0.0, deadline - self.clock.monotonic()),
        )
        # An order of which Slurm has not seen the end in time may still write; nobody reads that.
        return self.controller.find_end(name) if finished else DumpEnd(_TOO_LATE)

    def _keep_apart(self, plan: Plan) -> None:
        """Wait until the last order is more than a second ago: a second one would be lost, silently."""
        record = plan.store.read_record(plan.key, ORDER) or {}
        try:
            ordered_at = parse_time(str(record.get("ordered_at")))
        except SyscrError:
            return
        ago = (self.clock.now() - ordered_at).total_seconds()
        if 0 <= ago < _APART_SECONDS:
            self.clock.sleep(_APART_SECONDS - ago)

    def _wait_for_files(self, plan: Plan, staging: str, end: DumpEnd) -> Mapping[str, int]:
        """Return what was written; a success is given some time to be seen here."""
        sizes: Mapping[str, int] = {}

        def are_there() -> bool:
            nonlocal sizes
            sizes = self.read_sizes(staging)
            return end.code != 0 or bool(_find_files(plan, sizes))

        wait_until(self.clock, are_there, timeout_seconds=_VISIBLE_SECONDS)
        return sizes

    def _is_running(self, plan: Plan) -> bool:
        return self.scheduler.get_job(plan.job.job_id).state is JobState.RUNNING

    def _failed(
        self, plan: Plan, end: DumpEnd, sizes: Mapping[str, int], limit_seconds: float
    ) -> CheckpointError:
        """Return the error of a dump that is no image."""
        fate = self.say_fate(plan)
        if end.code == _TOO_LATE:
            return CheckpointTimeoutError(
                f"cannot checkpoint {plan.target}: Slurm did not finish within {limit_seconds:g} s; "
                f"{fate}, and nothing was published",
                hint="allow it more time with --max-wait SECONDS; Slurm dumps one job at a time",
                slurm_error=end.code,
            )
        place = plan.store.checkpoint_dir
        if end.code:
            return CheckpointError(
                f"cannot checkpoint {plan.target}: Slurm says error({end.code}): {end.text}; {fate}, "
                "and nothing was published",
                hint=f"see the log of slurmd on '{plan.tasks[0].node}', and whether it can write to "
                f"'{place}'; a script that waits for srun often cannot be dumped, its step can",
                slurm_error=end.code,
            )
        found = f"only {', '.join(sorted(sizes))}" if sizes else "no file"
        return CheckpointError(
            f"cannot checkpoint {plan.target}: Slurm says that it is done, but wrote {found}; {fate}, "
            "and nothing was published",
            hint=f"Slurm's plugin says so of some dumps that have failed, too: see the log of slurmd on "
            f"'{plan.tasks[0].node}', and whether '{place}' is the same directory here and on the nodes",
        )

    def say_fate(self, plan: Plan) -> str:
        """Say what became of the job; never raises."""
        try:
            job = self.scheduler.get_job(plan.job.job_id)
        except SyscrError:
            return "what became of the job is not known"
        is_over = job.state.is_final or job.state.is_waiting or job.state is JobState.COMPLETING
        return f"the job is {job.raw_state}" if is_over else "the job is still running"


def _was_dropped(end: DumpEnd, sizes: Mapping[str, int]) -> bool:
    """Whether Slurm has lost an order, or may have."""
    return end.code == _DROPPED or (end.code == 0 and not sizes)


def _find_files(plan: Plan, sizes: Mapping[str, int]) -> tuple[str, ...]:
    return find_image_files(sizes, plan.job.number, plan.step, plan.tasks[0].task_count)
