"""From settings to ready objects: the only module that knows all adapters.

Imports are made where they are needed: a task that starts must not pay for what a checkpoint needs.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from syscr.errors import RequestError, SyscrError
from syscr.process.runner import LocalRunner

if TYPE_CHECKING:
    from syscr.job.launcher import Launcher
    from syscr.manager import CheckpointManager
    from syscr.model import Image, Target
    from syscr.native.choice import NativeWay
    from syscr.native.dumping import NativeDumper
    from syscr.native.restarting import NativeRestarter
    from syscr.ports import (
        Backend,
        Capabilities,
        CheckpointController,
        Clock,
        Runner,
        Scheduler,
        Store,
    )
    from syscr.request import CheckpointRequest
    from syscr.result import NodeHealth
    from syscr.scontrol.command import ScontrolCommand
    from syscr.scontrol.inside import InsideJob
    from syscr.settings import Settings
    from syscr.slurm.pyslurm_client import PyslurmScheduler
    from syscr.slurm.scheduler import SlurmScheduler
    from syscr.slurm.workers import SrunWorkers
    from syscr.spank import PluginBuilder
    from syscr.wire import WorkerRequest

_LAUNCHER = Path(__file__).with_name("csrc") / "bin" / "syscr-launcher"


def find_syscr() -> str:
    """Return the absolute path of the ``syscr`` command that belongs to this installation."""
    script = Path(sys.argv[0])
    if script.name == "syscr" and script.is_absolute():
        return str(script)
    return str(Path(sys.prefix, "bin", "syscr"))


def build_launcher(settings: Settings) -> Launcher:
    """Return the launcher, configured or installed."""
    from syscr.job.launcher import Launcher

    return Launcher(settings.launcher_path or str(_LAUNCHER))


def build_backends(settings: Settings) -> dict[str, Backend]:
    """Return all backends, by name, in the configured order."""
    from syscr.backends import registry
    from syscr.clock import SystemClock

    launcher = build_launcher(settings).installed
    return registry.build_backends(registry.Parts(settings, LocalRunner(), SystemClock(), launcher))


def open_store(checkpoint_dir: str) -> Store:
    """Return the store of a checkpoint directory; nothing is touched."""
    from syscr.clock import SystemClock
    from syscr.store.directory import DirectoryStore

    return DirectoryStore(checkpoint_dir, clock=SystemClock())


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
            user_name=_user_name(),
            digest_algorithm=settings.digest,
            remember=known.remember,
        ),
        restarter=Restarter(scheduler, open_store, clock, step_script, batch_script),
        open_store=open_store,
        clock=clock,
        verify_level=settings.restart_verify,
        keep_last=settings.keep_last,
        delegate=lambda request: _delegate(request, clock),
        probe=lambda nodes: _probe(settings, workers, nodes),
        list_own_jobs=scheduler.find_own_jobs,
        native=_build_native(settings, scheduler, lambda: locator.stores(None), known.remember),
    )


def _build_pyslurm(cli: SlurmScheduler, runner: Runner) -> PyslurmScheduler:
    from syscr.slurm.probe import import_pyslurm
    from syscr.slurm.pyslurm_client import PyslurmScheduler

    return PyslurmScheduler(import_pyslurm(runner), cli)


def _build_controller(settings: Settings) -> CheckpointController:
    from syscr.backends.native.controller import NativeController
    from syscr.slurm.failure import build_failure

    runner = LocalRunner(timeout_seconds=settings.slurm_timeout_seconds)
    return NativeController(runner, explain=build_failure)


def _build_native(
    settings: Settings,
    scheduler: Scheduler,
    stores: Callable[[], tuple[Store, ...]],
    remember: Callable[[str], None],
) -> NativeWay:
    """Return Slurm's own checkpoints; nothing is asked yet, and what few jobs need is not imported."""
    from syscr.clock import SystemClock
    from syscr.native.choice import NativeWay

    controller, clock = _build_controller(settings), SystemClock()

    def build_dumper() -> NativeDumper:
        import functools

        from syscr.native.dumping import NativeDumper
        from syscr.native.naming import name_own
        from syscr.native.ordering import DumpOrder
        from syscr.native.planning import NativePlanner
        from syscr.store.digest import sync_and_digest
        from syscr.store.tree import read_tree

        planner = NativePlanner(
            controller,
            scheduler,
            open_store,
            os.getuid(),
            _user_name(),
            settings.checkpoint_dir,
            name_own(os.environ),
        )
        order = DumpOrder(controller, scheduler, clock, lambda folder: read_tree(folder).sizes)
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


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the user's values of the variables that our runner sets for itself: a job gets his."""
    return {name: environ[name] for name in ("LC_ALL", "SLURM_TIME_FORMAT") if name in environ}


def pass_through(verb: str, argv: Sequence[str], settings: Settings) -> int:
    """Run ``syscr sbatch``, ``srun`` or ``salloc``; returns the exit status."""
    from syscr.known import KnownDirs
    from syscr.submit import Submitter

    submitter = Submitter(
        settings=settings,
        runner=LocalRunner(timeout_seconds=settings.slurm_timeout_seconds),
        open_store=open_store,
        remember=KnownDirs.of_user(os.environ).remember,
        syscr=find_syscr(),
        environ=os.environ,
        job_environment=job_environment(os.environ),
    )
    verbs = {"sbatch": submitter.sbatch, "srun": submitter.srun, "salloc": submitter.salloc}
    return verbs[verb](argv)


def build_plugin_builder() -> PluginBuilder:
    """Return what builds the SPANK plugin."""
    from syscr.spank import PluginBuilder

    return PluginBuilder(LocalRunner(), find_syscr())


def build_scontrol(
    settings: Settings, cluster: str = "", again: Sequence[str] = ()
) -> ScontrolCommand:
    """Return what answers ``scontrol checkpoint``.

    Args:
        settings: Settings.
        cluster: ``-M`` of scontrol.
        again: Command line that a process inside of the job may be started with again; empty: it may not.
    """
    from syscr.job.inside import find_own_task
    from syscr.scontrol.command import ScontrolCommand
    from syscr.scontrol.judging import Judge
    from syscr.scontrol.places import Places

    manager = build_manager(settings)
    places = Places(
        workers=manager.workers,
        open_store=open_store,
        stores=lambda: manager.locator.stores(None),
        find_own_task=find_own_task,
        environ=os.environ,
    )
    return ScontrolCommand(
        manager=manager,
        judge=Judge(manager.scheduler, os.getuid(), os.getcwd()),
        places=places,
        inside=_build_inside(manager, again),
        clock=manager.clock,
        remember=lambda path: manager.dumper.remember(path) if os.access(path, os.W_OK) else None,
        max_wait_seconds=settings.max_wait_seconds,
        time_format=os.environ.get("SLURM_TIME_FORMAT", ""),
        cluster=cluster,
    )


def is_native(settings: Settings, target: Target) -> bool:
    """Whether Slurm's own ``scontrol checkpoint`` answers for a job; no answer from Slurm is no."""
    native = build_manager(settings).native
    try:
        return native is not None and native.takes(target)
    except SyscrError:
        return False


def _build_inside(manager: CheckpointManager, again: Sequence[str]) -> InsideJob:
    from syscr.job.inside import (
        find_own_launcher,
        find_own_task,
        send_request,
        wait_for_answer,
    )
    from syscr.process.replace import replace_process
    from syscr.scontrol.inside import InsideJob, shell_words
    from syscr.store.holder import read_start_ticks

    def find_launcher() -> tuple[int, int]:
        pid = find_own_launcher() or 0
        return pid, read_start_ticks(pid) or 0

    def restart_as(script: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        words = shell_words(script, arguments, (find_syscr(), *again))
        replace_process(words, env={**os.environ, **env})

    return InsideJob(
        send=lambda task, request: send_request(task, request, manager.clock),
        wait=lambda task, path, seconds: wait_for_answer(
            task, path, manager.clock, timeout_seconds=seconds
        ),
        scheduler=manager.scheduler,
        open_store=open_store,
        get_image=lambda image_id, folder: manager.get_image(image_id, checkpoint_dir=folder),
        find_own_task=find_own_task,
        find_launcher=find_launcher,
        restart_as=restart_as if again else None,
        environ=os.environ,
        clock=manager.clock,
    )


def become_scontrol(argv: Sequence[str]) -> NoReturn:
    """Become Slurm's own scontrol, past our shim."""
    from syscr.process.replace import replace_process
    from syscr.scontrol.shim import find_real

    real = find_real(os.environ.get("PATH", os.defpath))
    replace_process(["scontrol", *argv], executable=real)


def call_scontrol(argv: Sequence[str]) -> int:
    """Run Slurm's own scontrol with our streams; returns its exit status."""
    from syscr.process.attached import run_attached
    from syscr.scontrol.shim import find_real

    return run_attached([find_real(os.environ.get("PATH", os.defpath)), *argv])


def call_own(argv: Sequence[str]) -> int:
    """Run a command line of ours in a process of its own; returns its exit status."""
    from syscr.process.attached import run_attached

    return run_attached([find_syscr(), *argv])


def install_shim(folder: str) -> str:
    """Put a ``scontrol`` of ours into a folder; returns its path."""
    from syscr.scontrol import shim

    return shim.install(folder, find_syscr())


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def probe_here(settings: Settings) -> NodeHealth:
    """Look at this machine: backends, launcher, versions."""
    from syscr import __version__
    from syscr.result import NodeHealth

    launcher = build_launcher(settings)
    try:
        launcher_text = f"{launcher.installed} ({launcher.digest()})"
    except SyscrError as error:
        launcher_text = error.message
    facts = {
        "syscr": f"{__version__} ({find_syscr()})",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "launcher": launcher_text,
        "checkpoint directory": settings.checkpoint_dir,
    }
    native = _probe_native(settings)
    others = tuple(backend.probe() for backend in build_backends(settings).values())
    backends = (*others, native) if native.missing else (native, *others)
    return NodeHealth(os.environ.get("SLURMD_NODENAME") or platform.node(), backends, facts)


def _probe_native(settings: Settings) -> Capabilities:
    """Ask what Slurm itself can dump; that nobody answers is a reason, too."""
    from syscr.ports import Capabilities

    name, missing = "native", ("it is switched off (backends.native.use)",)
    if settings.native_use == "auto":
        try:
            return _build_controller(settings).probe()
        except SyscrError as error:
            missing = (error.message,)
    return Capabilities(name, needs_launch=False, missing=missing)


def become_user(user_name: str, args: Sequence[str]) -> None:
    """Go on with a command line of root's as another user, with that user's own environment."""
    from syscr.process.replace import replace_user

    replace_user(user_name, [find_syscr(), *args])


def _probe(
    settings: Settings, workers: SrunWorkers, nodes: Sequence[str]
) -> tuple[NodeHealth, ...]:
    if not nodes:
        return (probe_here(settings),)
    from syscr.slurm.hostlist import parse_hostlist

    expanded = dict.fromkeys(node for folded in nodes for node in parse_hostlist(folded))
    return workers.probe_nodes(tuple(expanded))


def warn(line: str) -> None:
    """Write one line of ours to the job's standard error."""
    sys.stderr.write(f"syscr: {line}\n")
    sys.stderr.flush()


def report(error: SyscrError) -> int:
    """Say an error in the job's output, unless that is what has been cut; return its exit code."""
    if error.details.get("output_is_short"):
        return error.exit_code or 1  # ``syscr restart``, which waits, says it
    warn(error.message)
    if error.hint:
        warn(f"hint: {error.hint}")
    return error.exit_code or 1


def run_task(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """``syscr run``: become the launcher of one task; returns only where that failed."""
    from syscr.config import load_settings
    from syscr.job import options as job_options
    from syscr.job.environment import find_bypass, read_place
    from syscr.job.fresh import is_on_terminal
    from syscr.job.run import RunOptions, TaskRunner
    from syscr.job.start import TaskStarter
    from syscr.process.replace import replace_process

    environ = dict(os.environ if environ is None else environ)
    try:
        given = job_options.parse_run(argv)
        if given is None:
            raise RequestError(
                "'--help' stands before other options", hint="run 'syscr run --help'"
            )
        place = read_place(environ, platform.node().partition(".")[0])
        if place is None:
            warn("not inside a Slurm job: the program runs without checkpoints")
            replace_process(given.command, env=environ)
        bypass = find_bypass(environ, is_on_terminal())
        if bypass:
            warn(f"{bypass}; the program runs without checkpoints")
            replace_process(given.command, env=environ)
        settings = load_settings(environ, overrides=given.overrides())
        starter = TaskStarter(build_launcher(settings), environ, (find_syscr(),))
        runner = TaskRunner(build_backends(settings), open_store, starter, environ, warn)
        runner.run(RunOptions.build(given, settings), place)
    except SyscrError as error:
        return report(error)
    return 0


def run_worker(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """``syscr worker``: what ``slurm/workers.py`` starts on the nodes of a job."""
    import functools

    from syscr import wire
    from syscr.clock import SystemClock
    from syscr.config import load_settings
    from syscr.job.requests import iter_requests
    from syscr.job.worker import NodeWorker
    from syscr.store.digest import sync_and_digest

    environ = os.environ if environ is None else environ
    try:
        if len(argv) != 2 or argv[0] != "--request":
            raise RequestError("'syscr worker' is started by syscr itself")
        request = wire.decode_request(argv[1])
        settings = load_settings(environ)
        node = environ.get("SLURMD_NODENAME") or platform.node()
        if request.action == "confirm":
            _confirm(request, settings)
            return 0
        if request.action == "probe":
            _emit(wire.encode_health(probe_here(settings)))
            return 0
        worker = NodeWorker(
            node,
            build_backends(settings),
            functools.partial(sync_and_digest, algorithm=settings.digest),
            _emit,
            SystemClock(),
        )
        for one in iter_requests(request, node, _STDIN):
            answer = replace(worker.run(one), is_waiting=one.keep_seconds > 0)
            _emit(wire.encode_report(answer))
    except SyscrError as error:
        return report(error)
    return 0


def _confirm(request: WorkerRequest, settings: Settings) -> None:
    from syscr.clock import SystemClock
    from syscr.job.confirm import confirm_restored

    def get_image(folder: str) -> Image:
        path = Path(folder)  # <checkpoint_dir>/<line>.ckpt/<image_id>
        return open_store(str(path.parents[1])).get_image(path.name)

    confirm_restored(request, build_backends(settings), get_image, SystemClock())


_STDIN = 0


def _emit(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
