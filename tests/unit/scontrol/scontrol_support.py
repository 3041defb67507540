"""``scontrol checkpoint`` above the cluster in memory of ``tests/unit/core``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core_support import HOME, World

from syscr.errors import SyscrError
from syscr.model import TaskSpec
from syscr.scontrol.command import ScontrolCommand
from syscr.scontrol.inside import InsideJob
from syscr.scontrol.judging import Judge
from syscr.scontrol.places import Places
from syscr.scontrol.texts import Answer


class Restarted(Exception):
    """The process has become the waiting shell."""

    def __init__(self, script: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        super().__init__(script)
        self.arguments = arguments
        self.env = dict(env)


@dataclass
class Site:
    """A cluster with ``scontrol checkpoint``.

    Attributes:
        own: The task that the caller is a part of.
        after: The same once the agent has answered.
        answer: What the agent says: an image id, or what went wrong.
        environ: The caller's environment.
        may_restart: Whether the caller may become the waiting shell.
    """

    world: World
    own: TaskSpec | None = None
    after: TaskSpec | None = None
    answer: str | SyscrError = ""
    environ: dict[str, str] = field(default_factory=dict)
    may_restart: bool = False
    asked: list[Any] = field(default_factory=list)
    uid: int = 1000
    launcher_pid: int = 1
    cluster: str = ""
    time_format: str = "%H:%M"

    def scontrol(self, *words: str, quiet: bool = False) -> Answer:
        return self.command().run(["checkpoint", *words], quiet=quiet)

    def command(self) -> ScontrolCommand:
        world = self.world
        manager = world.manager
        return ScontrolCommand(
            manager=manager,
            judge=Judge(world.scheduler, self.uid, "/here"),
            places=Places(
                world.workers,
                world.open_store,
                lambda: tuple(map(world.open_store, (HOME, *world.remembered))),
                lambda: self.own,
                self.environ,
            ),
            inside=self.inside(),
            clock=world.clock,
            remember=world.remembered.append,
            max_wait_seconds=600.0,
            time_format=self.time_format,
            cluster=self.cluster,
        )

    def inside(self) -> InsideJob:
        world = self.world

        def send(task: TaskSpec, request: object) -> Path:
            self.asked.append((task, request))
            if isinstance(self.answer, SyscrError) and self.answer.code == "operation_unsupported":
                raise self.answer
            return Path("/run/reply.1")

        def wait(task: TaskSpec, path: Path, seconds: float) -> str:
            self.asked.append((str(path), seconds))
            self.own = self.after or self.own
            if isinstance(self.answer, SyscrError):
                raise self.answer
            return self.answer

        def restart_as(script: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
            raise Restarted(script, arguments, env)

        return InsideJob(
            send=send,
            wait=wait,
            scheduler=world.scheduler,
            open_store=world.open_store,
            get_image=lambda image_id, folder: world.manager.get_image(
                image_id, checkpoint_dir=folder
            ),
            find_own_task=lambda: self.own,
            find_launcher=lambda: (self.launcher_pid, 77),
            restart_as=restart_as if self.may_restart else None,
            environ=self.environ,
            clock=world.clock,
        )


def next_life(task: TaskSpec) -> TaskSpec:
    """Return the task after a restart."""
    return replace(task, control="0b0b0", restart_count=task.restart_count + 1)
