"""``syscr run -- COMMAND``: launch or restore one task, then become its launcher.

Runs as the Slurm task itself, in front of every checkpointable program, so it is quick and says
nothing where all is well: a line of ours in the job's output would be a difference to the same job
without us. It ends by turning into ``syscr-launcher``; no Python stays.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from syscr.clock import SystemClock
from syscr.errors import (
    ImageCorruptError,
    ImageNotFoundError,
    RestartError,
    StoreLockedError,
    StoreNotFoundError,
    SyscrError,
)
from syscr.job import fresh
from syscr.job.environment import TaskPlace
from syscr.job.options import GivenOptions
from syscr.job.prepare import prepare
from syscr.job.scripts import keep_script
from syscr.job.sharing import mark_failed
from syscr.job.start import Keeping, TaskStarter
from syscr.lives import LifeBook, ended_folder, run_folder
from syscr.model import Image, TaskSpec
from syscr.ports import Backend, Clock, Store, StoreKey
from syscr.process.replace import replace_process, tell_decided
from syscr.selection import (
    SUBMISSION,
    Selection,
    build_decision,
    decision_name,
    find_lineage,
    read_decision,
    select_from_dir,
    select_newest,
)
from syscr.settings import Settings
from syscr.units import format_interval, format_time

log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS = 0.5  # so that rank 0 is the one that decides, as a rule
_WAIT_SECONDS = 0.25
_PURPOSE = "decide what a life continues from"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of ``syscr run``, complete.

    Attributes:
        command: Program and arguments.
        checkpoint_dir: Absolute checkpoint directory.
        backend: Backend, or ``auto`` for the first of ``order`` that this node has.
        order: Backends that ``auto`` tries.
        interval_seconds: Time between two checkpoints; 0: none; ``AUTO_INTERVAL``: the agent chooses.
        restart_dir: What a first start continues from; None: nothing.
        total_seconds: Running time of all lives together; 0: without limit.
        fence_seconds: How often a life looks whether there is a newer one.
        truncate_output: See ``options.GivenOptions``.
        keep_script: See ``options.GivenOptions``.
        verify_level: ``sizes`` or ``digests``, where this task decides about the image.
        agent_signal: See ``start.Keeping``.
        on_bad_image: ``fresh`` or ``fail`` where no image of the job is intact.
        changed_inputs: ``refuse`` or ``warn`` where a file that the program reads has been changed.
    """

    command: tuple[str, ...]
    checkpoint_dir: str
    backend: str = "auto"
    order: tuple[str, ...] = ("criu", "dmtcp")
    interval_seconds: float = 0.0
    restart_dir: str | None = None
    truncate_output: bool = False
    keep_script: bool = False
    verify_level: str = "digests"
    total_seconds: float = 0.0
    fence_seconds: float = 15.0
    agent_signal: str = "none"
    on_bad_image: str = "fresh"
    changed_inputs: str = "refuse"

    @property
    def keeping(self) -> Keeping:
        """What the agent is told."""
        return Keeping(self.interval_seconds, self.total_seconds, self.agent_signal)

    @classmethod
    def build(cls, given: GivenOptions, settings: Settings) -> RunOptions:
        """Fill the command line up with the settings."""
        return cls(
            command=given.command,
            checkpoint_dir=settings.checkpoint_dir,
            backend=settings.backend,
            order=settings.order,
            interval_seconds=given.interval_seconds,
            restart_dir=given.restart_dir,
            truncate_output=given.truncate_output,
            keep_script=given.keep_script,
            verify_level=settings.restart_verify,
            total_seconds=given.total_seconds,
            fence_seconds=settings.agent_fence_seconds,
            agent_signal=settings.agent_signal,
            on_bad_image=settings.restart_on_bad_image,
            changed_inputs=settings.restart_changed_inputs,
        )


@dataclass(frozen=True, slots=True)
class TaskRunner:
    """Everything ``syscr run`` needs from the world.

    Attributes:
        backends: By name.
        open_store: Opens the store of a checkpoint directory.
        starter: Becomes the launcher.
        environ: The task's environment.
        warn: Writes a line to the job's standard error.
        clock: Time.
    """

    backends: Mapping[str, Backend]
    open_store: Callable[[str], Store]
    starter: TaskStarter
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    clock: Clock = field(default_factory=SystemClock)

    def run(self, options: RunOptions, place: TaskPlace) -> None:
        """Become the launcher of the task; never returns where that works.

        A fault of syscr at a first start must not keep the program from running: it is said, and the
        program runs without checkpoints.

        Raises:
            SyscrError: The task has to continue from an image and cannot.
        """
        may_start_afresh = place.restart_count == 0 and options.restart_dir is None
        if not may_start_afresh:
            tell_decided()
        try:
            store = self.open_store(options.checkpoint_dir)
            key = StoreKey(find_lineage(store, place.number), place.step)
            if key.lineage != str(place.number):
                may_start_afresh = False
                tell_decided()
            self._end_last_life(options, place, store, key)
            image = self._find_image(options, place, store, key)
            may_start_afresh = image is None
            if options.keep_script:
                options = self._keep_script(options, place, store)
            backend = self._choose(options, image)
            if image is None:
                self._launch(options, place, store, key, backend)
            else:
                self._restore(options, place, store, key, backend, image)
        except SyscrError as error:
            if not may_start_afresh:
                tell_decided()
                raise
            self.warn(f"{error.message}; the program runs without checkpoints")
            if error.hint:
                self.warn(f"hint: {error.hint}")
        hidden = {fresh.SRUN_VARIABLE}
        environ = {name: text for name, text in self.environ.items() if name not in hidden}
        replace_process(options.command, env=environ)

    def _keep_script(self, options: RunOptions, place: TaskPlace, store: Store) -> RunOptions:
        """Run a copy of the batch script, and write down what Slurm does not keep: how it asked for us."""
        script, *arguments = options.command
        copy = keep_script(options.checkpoint_dir, script)
        own = [f"--checkpoint-dir={options.checkpoint_dir}"]
        if options.interval_seconds != 0:
            own.append(f"--checkpoint={format_interval(options.interval_seconds)}")
        key = StoreKey(str(place.number))
        record: dict[str, object] = {"command": "spank", "options": own, "program": arguments}
        if store.read_record(key, SUBMISSION) != record:
            store.write_record(key, SUBMISSION, record)
        return replace(options, command=(copy, *arguments))

    def _find_image(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Image | None:
        """Return what this life continues from; all ranks of a life get the same answer."""
        name = decision_name(place.number, place.restart_count)
        record = store.read_record(key, name)
        if record is None:
            if place.restart_count == 0 and options.restart_dir is None:
                return None
            record = self._decide_once(options, place, store, key)
        image_id, checkpoint_dir = read_decision(record)
        if image_id is None:
            return None
        return self.open_store(checkpoint_dir or options.checkpoint_dir).get_image(image_id)

    def _decide_once(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Mapping[str, object]:
        """Decide what this life continues from; of several ranks one does, and verifies, the others wait.

        Who decides holds the lease of the line: another one takes its place where it dies. What a
        checkpoint of the life before has left there keeps nobody waiting.
        """
        name = decision_name(place.number, place.restart_count)
        if place.task_count == 1:
            return self._decide(options, place, store, key)
        seconds = 0.0 if place.rank == 0 else _FIRST_WAIT_SECONDS
        while True:
            self.clock.sleep(seconds)
            record = store.read_record(key, name)
            if record is not None:
                return record
            try:
                with store.lock(key, purpose=_PURPOSE):
                    record = store.read_record(key, name)
                    return self._decide(options, place, store, key) if record is None else record
            except StoreLockedError:
                if f"({_PURPOSE})" not in (store.find_holder(key) or f"({_PURPOSE})"):
                    return self._decide(options, place, store, key)
                seconds = _WAIT_SECONDS * (1 + place.rank % 8 / 8)  # not all at the same moment

    def _decide(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Mapping[str, object]:
        selection = self._select(options, place, store, key)
        found_in = selection.image.checkpoint_dir if selection else options.checkpoint_dir
        name = decision_name(place.number, place.restart_count)
        return store.create_record(key, name, build_decision(selection, found_in))

    def _end_last_life(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> None:
        """See to it that the life before has really ended; end here where its program has finished."""
        if place.restart_count == 0 and str(place.number) == key.lineage:
            return
        from syscr.job.beginning import (
            await_last_life,
            end_last_life,
        )  # only where it has lived before

        if place.rank != 0:
            await_last_life(LifeBook(store, key), place, options.fence_seconds, self.clock)
            return
        if store.read_record(key, decision_name(place.number, place.restart_count)) is None:
            # of several tasks one alone would end, and the others wait for it
            may_give_back = options.restart_dir is None and place.task_count == 1
        else:
            may_give_back = False  # somebody wants it to go on
        code = end_last_life(
            LifeBook(store, key),
            place,
            fence_seconds=options.fence_seconds,
            clock=self.clock,
            warn=self.warn,
            may_give_back=may_give_back,
        )
        if code is not None:
            raise SystemExit(code)

    def _begin_life(
        self,
        options: RunOptions,
        place: TaskPlace,
        store: Store,
        key: StoreKey,
        image: Image | None,
    ) -> None:
        """Enter this life into the book: from now on every other copy is old."""
        if not options.keeping.has_agent or place.rank != 0:
            return
        from syscr.job.beginning import begin_life

        begin_life(
            store,
            key,
            place,
            image,
            self.clock.now(),
            fence_seconds=options.fence_seconds,
        )

    def _select(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> Selection | None:
        """Choose an image of the job's own, else of ``--restart-dir``; None: there is none."""
        if place.restart_count > 0:
            try:
                return select_newest(store, key, level=options.verify_level)
            except (ImageNotFoundError, StoreNotFoundError):
                pass  # requeued before its first checkpoint
            except ImageCorruptError as error:
                if options.on_bad_image == "fail":
                    raise
                self.warn(f"{error.message}; the program begins afresh")
        if options.restart_dir is None:
            return None
        return select_from_dir(self.open_store, options.restart_dir, level=options.verify_level)

    def _choose(self, options: RunOptions, image: Image | None) -> Backend:
        """Return the backend of the image, the one asked for, or the first that works here."""
        name = options.backend if image is None else image.manifest.backend
        names = options.order if name == "auto" else (name,)
        obstacles = []
        for candidate in names:
            backend = self.backends.get(candidate)
            obstacle = "no such backend" if backend is None else backend.find_obstacle()
            if backend is not None and not obstacle:
                return backend
            obstacles.append(f"{candidate}: {obstacle}")
        raise RestartError(
            f"no backend works on this node ({'; '.join(obstacles)})",
            hint="run 'syscr doctor' on this node",
        )

    def _spec(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey, backend: str
    ) -> TaskSpec:
        return TaskSpec(
            number=place.number,
            step=place.step,
            rank=place.rank,
            node=place.node,
            lineage=key.lineage,
            checkpoint_dir=options.checkpoint_dir,
            backend=backend,
            restart_count=place.restart_count,
            task_count=place.task_count,
            run_dir=store.folder_path(key, _run_folder(place)),
            argv=options.command,
            started_at=format_time(self.clock.now()),
        )

    def _launch(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey, backend: Backend
    ) -> None:
        spec = self._spec(options, place, store, key, backend.name)
        plan = backend.build_launch(spec)
        self._begin_life(options, place, store, key, None)
        if plan.uses_run_dir or options.keeping.has_agent:
            store.make_folder(key, _run_folder(place))
        self._record_srun(store, place)
        if options.truncate_output:
            fresh.empty_outputs()
        self.starter.become(spec, plan, None, self._keeping(options, place, store, key))

    @staticmethod
    def _keeping(options: RunOptions, place: TaskPlace, store: Store, key: StoreKey) -> Keeping:
        if options.keeping.has_agent and place.task_count > 1:
            store.make_folder(key, ended_folder(place.number, place.restart_count))
        return replace(
            options.keeping,
            fence_path=LifeBook(store, key).fence_path(),
            fence_seconds=options.fence_seconds,
        )

    def _record_srun(self, store: Store, place: TaskPlace) -> None:
        """Write down the command of ``syscr srun`` outside of a job: Slurm does not keep it."""
        command = self.environ.get(fresh.SRUN_VARIABLE)
        if command is None or place.rank != 0 or place.step == "batch":
            return
        store.write_record(
            StoreKey(str(place.number)),
            SUBMISSION,
            {"command": "srun", "options": [], "program": shlex.split(command)},
        )

    def _restore(
        self,
        options: RunOptions,
        place: TaskPlace,
        store: Store,
        key: StoreKey,
        backend: Backend,
        image: Image,
    ) -> None:
        """Bring this task back; files first, then the processes."""
        spec = self._spec(options, place, store, key, backend.name)
        store.make_folder(key, _run_folder(place))
        try:
            warn = self.warn if options.changed_inputs == "warn" else None
            prepared = prepare(spec, image, self.starter.launcher, self.clock, warn)
            plan = backend.build_restore(prepared.spec, prepared.task, prepared.data_dir)
            self._begin_life(options, place, store, key, image)
            keeping = self._keeping(options, place, store, key)
            self.starter.become(prepared.spec, plan, image, keeping)
        except SyscrError as error:
            _write_failure(spec, error)
            raise


def _run_folder(place: TaskPlace) -> str:
    """Return the name of the private folder of one life of a task."""
    return run_folder(place.number, place.restart_count, place.rank)


def _write_failure(spec: TaskSpec, error: SyscrError) -> None:
    """Tell ``syscr restart`` and the other tasks, which may wait, that this one does not come back."""
    path = Path(spec.run_dir, "ready")
    aside = path.with_name(f"ready.{os.getpid()}")  # an empty file would mean that all is well
    try:
        aside.write_text(f"failed: {error.message}\n", errors="surrogateescape")
        aside.rename(path)
        if spec.task_count > 1:
            mark_failed(spec)
    except OSError as failure:
        log.warning("cannot tell the waiting restart: %s", failure)
