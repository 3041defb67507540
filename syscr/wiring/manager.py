"""The manager behind the command line and the functions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from syscr.process.runner import LocalRunner
from syscr.wiring.health import probe_nodes
from syscr.wiring.parts import build_controller, find_syscr, job_environment, open_store, user_name

if TYPE_CHECKING:
    from syscr.manager import CheckpointManager
    from syscr.model import Image
    from syscr.native.choice import NativeWay
    from syscr.native.dumping import NativeDumper
    from syscr.native.restarting import NativeRestarter
    from syscr.ports import Clock, Runner, Scheduler, Store
    from syscr.request import CheckpointRequest
    from syscr.settings import Settings
    from syscr.slurm.pyslurm_client import PyslurmScheduler
    from syscr.slurm.scheduler import SlurmScheduler


def build_manager(settings: Settings) -> CheckpointManager:
    """Return a ready manager."""
    from syscr.clock import SystemClock
    from syscr.dumping import Dumper
    from syscr.known import KnownDirs
    from syscr.locating import Locator
    from syscr.manager import CheckpointManager
    from syscr.restarting import Restarter
    from syscr.slurm.scheduler import SlurmScheduler
    from syscr.slurm.workers import SrunWorkers

    runner = LocalRunner(timeout_seconds=settings.slurm_timeout_seconds)
    clock = SystemClock()
    cli = SlurmScheduler(
        runner,
        clock,
        job_environment=job_environment(os.environ),
        timeout_seconds=settings.slurm_timeout_seconds,
    )
    scheduler = _build_pyslurm(cli, runner) if settings.slurm_client == "pyslurm" else cli
    workers = SrunWorkers(runner, (find_syscr(),))
    known = KnownDirs.of_user(os.environ)

    locator = Locator(open_store, known.ordered(settings.checkpoint_dir))

    def step_script(image: Image) -> str:
        from syscr.submit import build_step_script  # only a restart needs it

        return build_step_script(image, find_syscr())

    def batch_script(image: Image) -> str:
        from syscr.submit import build_batch_script

        return build_batch_script(image, find_syscr())

    return CheckpointManager(
        scheduler=scheduler,
        workers=workers,
        locator=locator,
        dumper=Dumper(
            scheduler=scheduler,
            workers=workers,
            open_store=open_store,
            clock=clock,
            uid=os.getuid(),
            user_name=user_name(),
            digest_algorithm=settings.digest,
            remember=known.remember,
        ),
        restarter=Restarter(scheduler, open_store, clock, step_script, batch_script),
        open_store=open_store,
        clock=clock,
        verify_level=settings.restart_verify,
        keep_last=settings.keep_last,
        delegate=lambda request: _delegate(request, clock),
        probe=lambda nodes: probe_nodes(settings, workers, nodes),
        list_own_jobs=scheduler.find_own_jobs,
        native=_build_native(settings, scheduler, lambda: locator.stores(None), known.remember),
    )


def _build_pyslurm(cli: SlurmScheduler, runner: Runner) -> PyslurmScheduler:
    from syscr.slurm.probe import import_pyslurm
    from syscr.slurm.pyslurm_client import PyslurmScheduler

    return PyslurmScheduler(import_pyslurm(runner), cli)


def _build_native(
    settings: Settings,
    scheduler: Scheduler,
    stores: Callable[[], tuple[Store, ...]],
    remember: Callable[[str], None],
) -> NativeWay:
    """Return Slurm's own checkpoints; nothing is asked yet, and what few jobs need is not imported."""
    from syscr.clock import SystemClock
    from syscr.native.choice import NativeWay

    controller, clock = build_controller(settings), SystemClock()

    def build_dumper() -> NativeDumper:
        import functools

        from syscr.native.dumping import NativeDumper
        from syscr.native.naming import name_own
        from syscr.native.ordering import DumpOrder
        from syscr.native.planning import NativePlanner
        from syscr.store.access import translated
        from syscr.store.digest import sync_and_digest
        from syscr.store.tree import read_tree, remove_tree

        def clear(path: str) -> None:
            with translated("remove", path):
                remove_tree(path)

        planner = NativePlanner(
            controller,
            scheduler,
            open_store,
            os.getuid(),
            user_name(),
            settings.checkpoint_dir,
            name_own(os.environ),
        )
        order = DumpOrder(
            controller, scheduler, clock, lambda folder: read_tree(folder).sizes, clear
        )
        digest = functools.partial(sync_and_digest, algorithm=settings.digest)
        return NativeDumper(planner, order, scheduler, clock, digest, settings.digest, remember)

    def build_restarter() -> NativeRestarter:
        from syscr.native.restarting import NativeRestarter

        return NativeRestarter(controller, scheduler, clock)

    return NativeWay(
        controller,
        scheduler,
        stores,
        build_dumper,
        build_restarter,
        is_allowed=settings.native_use == "auto",
    )


def _delegate(request: CheckpointRequest, clock: Clock) -> str | None:
    from syscr.job.inside import ask_agent, find_own_task

    spec = find_own_task()
    if spec is None or request.dry_run or request.target.job_id.number != spec.number:
        return None
    if request.target.step not in {None, spec.step}:
        return None
    return ask_agent(spec, request, clock)
