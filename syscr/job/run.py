"""``syscr run -- COMMAND``: launch or restore one task, then become its launcher.

Runs as the Slurm task itself, in front of every checkpointable program, so it is quick and says
nothing where all is well: a line of ours in the job's output would be a difference to the same job
without us. It ends by turning into ``syscr-launcher``; no Python stays.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from syscr.clock import SystemClock
from syscr.errors import RestartError, SyscrError
from syscr.job import fresh
from syscr.job.choosing import ImageChooser
from syscr.job.environment import TaskPlace
from syscr.job.notes import write_note
from syscr.job.prepare import prepare
from syscr.job.run_options import RunOptions
from syscr.job.scripts import is_lost_copy, keep_script
from syscr.job.sharing import mark_failed
from syscr.job.start import Keeping, TaskStarter
from syscr.lives import LifeBook, ended_folder, run_folder
from syscr.model import Image, TaskSpec
from syscr.ports import Backend, Clock, Store, StoreKey
from syscr.process.replace import replace_process, tell_decided
from syscr.selection import SUBMISSION, decision_name, find_lineage
from syscr.units import format_interval, format_time

log = logging.getLogger(__name__)


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
        came_at: When the task came; filled in by ``run``.
    """

    backends: Mapping[str, Backend]
    open_store: Callable[[str], Store]
    starter: TaskStarter
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    clock: Clock = field(default_factory=SystemClock)
    came_at: datetime | None = None

    def run(self, options: RunOptions, place: TaskPlace) -> None:
        """Become the launcher of the task; never returns where that works.

        A fault of syscr at a first start must not keep the program from running: it is said, and the
        program runs without checkpoints.

        Raises:
            SyscrError: The task has to continue from an image and cannot.
        """
        replace(self, came_at=self.clock.now())._run(options, place)

    def _run(self, options: RunOptions, place: TaskPlace) -> None:
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
            chooser = ImageChooser(self.open_store, self.warn, self.clock)
            image = chooser.find(options, place, store, key)
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

    def _end_last_life(
        self, options: RunOptions, place: TaskPlace, store: Store, key: StoreKey
    ) -> None:
        """See to it that the life before has really ended; end here where its program has finished."""
        if place.restart_count == 0 and str(place.number) == key.lineage:
            return
        # only where it has lived before
        from syscr.job.beginning import await_last_life, end_last_life

        self._leave_to_later(LifeBook(store, key), place)
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
        if not options.keeping.has_agent:
            return
        from syscr.job.beginning import begin_life

        self._leave_to_later(LifeBook(store, key), place)
        if place.rank != 0:
            return
        begin_life(
            store,
            key,
            place,
            image,
            self.clock.now(),
            fence_seconds=options.fence_seconds,
            warn=self.warn,
        )

    def _leave_to_later(self, book: LifeBook, place: TaskPlace) -> None:
        """End here where a later life has begun meanwhile; not a word, the output is that one's."""
        from syscr.job.beginning import is_overtaken

        if is_overtaken(book, place, self.came_at or self.clock.now()):
            from syscr.job.ending import EXIT_UNFINISHED  # hardly ever

            tell_decided()
            raise SystemExit(EXIT_UNFINISHED)

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
        if is_lost_copy(options.checkpoint_dir, options.command[0]):  # which cannot be run
            self.warn(
                f"node '{place.node}' does not see the batch script, which lies in the checkpoint directory: "
                f"'{options.checkpoint_dir}' is not on storage that it shares with the login node"
            )
            self.warn(
                "hint: submit the job with a --checkpoint-dir that all nodes and the login node mount"
            )
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
        if options.keeping.has_agent:
            self._leave_to_later(LifeBook(store, key), place)  # before any file of the job is cut
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
    try:
        # in one step: an empty file would mean that all is well
        write_note(Path(spec.run_dir, "ready"), f"failed: {error.message}\n")
        if spec.task_count > 1:
            mark_failed(spec)
    except OSError as failure:
        log.warning("cannot tell the waiting restart: %s", failure)
