"""Puts the agent together: the process that sleeps beside a job's launcher; see ``job/agent.py``."""

from __future__ import annotations

import functools
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syscr import log, wire
from syscr.clock import SystemClock
from syscr.config import load_settings
from syscr.errors import CheckpointError, RequestError, SyscrError
from syscr.job.agent import Agent
from syscr.job.agent_request import SOCKET_FD, AgentRequest
from syscr.job.control import find_tasks
from syscr.job.ending import Ender
from syscr.job.entry import LifeEntry
from syscr.job.firewall import Firewall
from syscr.job.forecast import Forecast
from syscr.job.keeper import Keeper
from syscr.job.local import LocalWorkers
from syscr.job.own_images import PERIODIC, OwnImages
from syscr.job.policy import Policy
from syscr.job.remembered import HASTE_SECONDS, RememberedScheduler
from syscr.job.worker import NodeWorker
from syscr.lives import LifeBook
from syscr.model import Image, Job, Life, Target, TaskSpec
from syscr.ports import StoreKey
from syscr.process.runner import LocalRunner
from syscr.procfs.tree import list_tree
from syscr.request import CheckpointRequest
from syscr.slurm.outlook import SlurmOutlook
from syscr.slurm.scheduler import SlurmScheduler
from syscr.store.digest import sync_and_digest
from syscr.units import parse_time
from syscr.wiring.manager import build_manager
from syscr.wiring.output import report
from syscr.wiring.parts import build_backends, open_store

if TYPE_CHECKING:
    from syscr.job.control import LauncherControl
    from syscr.manager import CheckpointManager
    from syscr.settings import Settings


_log = logging.getLogger(__name__)


def run_agent(argv: Sequence[str]) -> int:
    """``syscr agent``: sleeps until something is due; ended by the launcher."""
    try:
        if len(argv) != 2 or argv[0] != "--request":
            raise RequestError("'syscr agent' is started by syscr itself")
        request = AgentRequest.decode(argv[1])
        settings = load_settings(os.environ)
        log.configure(level="info", form=settings.log_format, file="")
        spec = wire.decode_task_spec(request.task)
        parts = AgentParts.build(settings, request, spec)
        Agent(
            request=request,
            images=parts.images,
            max_wait_seconds=settings.max_wait_seconds,
            checkpoint=parts.manager.checkpoint,
            clock=SystemClock(),
            build_watch=parts.build_keeper,
        ).run()
    except SyscrError as error:
        return report(error)
    return 0


@dataclass(frozen=True, slots=True)
class AgentParts:
    """What the agent of one task is made of.

    Attributes:
        settings: As configured where the job was submitted.
        request: What it is for.
        spec: The task beside it.
        manager: Takes checkpoints; of a task that is alone without any step of Slurm.
        remembered: What is known of the job.
    """

    settings: Settings
    request: AgentRequest
    spec: TaskSpec
    manager: CheckpointManager
    remembered: RememberedScheduler

    @classmethod
    def build(cls, settings: Settings, request: AgentRequest, spec: TaskSpec) -> AgentParts:
        """Build the manager that fits the task."""
        manager = build_manager(settings)
        haste = min(settings.slurm_timeout_seconds, HASTE_SECONDS)
        runner = LocalRunner(timeout_seconds=haste)
        hasty = SlurmScheduler(runner, SystemClock(), timeout_seconds=haste)
        remembered = RememberedScheduler(manager.scheduler, hasty)
        if spec.task_count == 1:
            digest = functools.partial(sync_and_digest, algorithm=settings.digest)
            worker = NodeWorker(spec.node, build_backends(settings), digest, _ignore, SystemClock())
            dumper = replace(
                manager.dumper,
                scheduler=remembered,
                workers=LocalWorkers(worker, settings.max_wait_seconds),
            )
            manager = replace(manager, dumper=dumper)
        return cls(settings, request, spec, manager, remembered)

    @property
    def images(self) -> OwnImages:
        """The images that the agent has taken."""
        return OwnImages(
            self.settings.keep_periodic,
            lambda target: self.manager.locator.list_images(target, None)[0],
            _remove,
            self.spec.restored_from,
        )

    def build_keeper(self, take: Callable[[], bool], wake: Callable[[], None]) -> Keeper:
        """Build what keeps the job alive, and let it answer the launcher."""
        settings, spec = self.settings, self.spec
        target = Target.parse(self.request.target)
        book = LifeBook(open_store(spec.checkpoint_dir), StoreKey(spec.lineage, spec.step))
        launcher = OwnLauncher(spec)
        ender = None
        if spec.step == "batch":
            ender = Ender(
                self.manager.dumper,
                self.remembered,
                self.manager.scheduler,
                launcher,
            )
        keeper = Keeper(
            forecast=Forecast(
                entry=self._open_entry(book),
                job_id=target.job_id,
                policy=self._build_policy(),
                outlook=SlurmOutlook(
                    LocalRunner(timeout_seconds=settings.slurm_timeout_seconds),
                    settings.slurm_timeout_seconds,
                ),
                load_job=lambda: self._load_job(target),
                measure=launcher.resident_bytes,
                clock=SystemClock(),
            ),
            request=CheckpointRequest(
                Target(target.job_id, spec.step),
                max_wait_seconds=settings.max_wait_seconds,
                tags=(PERIODIC,),
            ),
            ender=ender,
            retain=lambda: self.images.retain(target),
            take=take,
            wake=wake,
            clock=SystemClock(),
        )
        keeper.firewall = Firewall(
            socket.socket(fileno=SOCKET_FD), keeper.keeps_back, keeper.take_soon
        )
        keeper.firewall.start()
        return keeper

    def _open_entry(self, book: LifeBook) -> LifeEntry:
        """Return this life as the record has it; where that cannot be read, it is mended at once."""
        spec = self.spec
        life = Life(
            spec.number,
            spec.restart_count,
            spec.node,
            parse_time(spec.started_at),
            restored_from=spec.restored_from,
            fence_seconds=self.settings.agent_fence_seconds,
            task_count=spec.task_count,
        )
        try:
            found = book.find(spec.number, spec.restart_count)
        except SyscrError:
            entry = LifeEntry(life, book, SystemClock())
            entry.ensure()
            return entry
        return LifeEntry(found or life, book, SystemClock())

    def _build_policy(self) -> Policy:
        settings = self.settings
        return Policy(
            requeue=settings.agent_at_stop in {"requeue", "hold"},
            hold=settings.agent_at_stop == "hold",
            poll_seconds=settings.agent_poll_seconds,
            on_drain=settings.agent_on_drain,
            total_seconds=self.request.total_seconds,
            mtbf_seconds=settings.agent_mtbf_seconds,
        )

    def _load_job(self, target: Target) -> tuple[Job, bool]:
        """Return the job and whether Slurm may requeue it; a last image finds all that it needs known."""
        job = self.remembered.get_job(target.job_id)
        can_requeue = self.remembered.get_job_details(target.job_id).can_requeue
        self.remembered.version()
        if self.spec.step == "batch":
            self.remembered.get_batch_script(target.job_id)
        return job, can_requeue


@dataclass(frozen=True, slots=True)
class OwnLauncher:
    """The launcher beside this agent; see ``ending.Launcher``."""

    spec: TaskSpec

    def kill(self) -> None:
        """End the program; see ``LauncherControl.kill``."""
        self._find().kill()

    def leave(self, exit_code: int) -> None:
        """End the step; see ``LauncherControl.leave``."""
        self._find().leave(exit_code)

    def resident_bytes(self) -> int:
        """Return how much memory the processes of the task have."""
        tree = list_tree(self._find().launcher_pid)
        return sum(process.resident_bytes for process in tree)

    def _find(self) -> LauncherControl:
        for task in find_tasks(self.spec.number, self.spec.step):
            if task.spec.control == self.spec.control:
                return task
        raise CheckpointError(f"the launcher of job {self.spec.number} has gone")


def _remove(image: Image) -> None:
    store = open_store(image.checkpoint_dir)
    store.expunge(store.trash(image))


def _ignore(_: str) -> None:
    """Nobody looks at a local worker's lines."""
