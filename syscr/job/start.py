"""Turning into the launcher of a task: control socket, helpers beside it, and the exec."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from syscr import wire
from syscr.errors import SyscrError
from syscr.job import fresh
from syscr.job.agent import AGENT_LOG, AgentRequest
from syscr.job.launcher import Launcher
from syscr.model import Image, TaskSpec
from syscr.ports import LaunchPlan
from syscr.process.replace import replace_process, start_sidecar

_CONFIRM_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class TaskStarter:
    """Becomes the launcher; nothing of Python stays but the helpers that a plan asks for.

    Attributes:
        launcher: Where the launcher is.
        environ: The task's environment.
        syscr: Words that start syscr on this node.
    """

    launcher: Launcher
    environ: Mapping[str, str]
    syscr: tuple[str, ...]

    def become(
        self, spec: TaskSpec, plan: LaunchPlan, image: Image | None, interval_seconds: float
    ) -> None:
        """Become the launcher; returns only by an exception.

        Args:
            spec: The task.
            plan: What the backend says.
            image: What it is restored from; None: it starts from the beginning.
            interval_seconds: Time between two periodic checkpoints; 0: no agent is started.
        """
        launcher = self.launcher.path_for(spec.checkpoint_dir)
        control = fresh.open_control()
        control.set_inheritable(True)
        spec = replace(spec, control=control.getsockname()[1:].decode())
        sidecars: list[int] = []
        try:
            if plan.sidecar:
                listener, port = _listen_on_loopback()
                plan = _with_port(plan, port)
                environ = self._environment(plan)
                sidecars.append(_start_coordinator(spec, plan, environ, listener))
                listener.close()
            if image is not None and not plan.restores_sibling:
                sidecars.append(self._start_confirmation(spec, image))
            if interval_seconds > 0 and spec.rank == 0:
                sidecars.append(self._start_agent(spec, interval_seconds))
            argv = [launcher, "restore" if image else "run"]
            argv += _launcher_options(spec, plan, sidecars, control.fileno())
            environ = self._environment(plan)
            environ[fresh.IMAGE_DIR_VARIABLE] = spec.checkpoint_dir
            replace_process(argv, env=environ)
        except SyscrError:
            for pid in sidecars:
                os.kill(pid, signal.SIGKILL)  # they block all others
            raise

    def _environment(self, plan: LaunchPlan) -> dict[str, str]:
        """Return the program's environment: the task's own and what the backend adds."""
        environ = {**self.environ, **plan.env}
        environ.pop(fresh.SRUN_VARIABLE, None)
        return environ

    def _start_agent(self, spec: TaskSpec, interval_seconds: float) -> int:
        """Start the agent of the job, or of the step."""
        target = str(spec.number) if spec.step == "batch" else f"{spec.number}.{spec.step}"
        request = AgentRequest(target, spec.run_dir, interval_seconds)
        return start_sidecar(
            [*self.syscr, "agent", "--request", request.encode()],
            env=dict(self.environ),
            log_path=str(Path(spec.run_dir, AGENT_LOG)),
            cwd=spec.run_dir,
        )

    def _start_confirmation(self, spec: TaskSpec, image: Image) -> int:
        """Start the helper that says when a task runs again whose tool does not tell."""
        request = wire.WorkerRequest(
            "confirm",
            spec.number,
            spec.step,
            staging_dir=image.path,
            run_dir=spec.run_dir,
            timeout_seconds=_CONFIRM_SECONDS,
        )
        return start_sidecar(
            [*self.syscr, "worker", "--request", wire.encode_request(request)],
            env=dict(self.environ),
            log_path=str(Path(spec.run_dir, "confirm.log")),
            cwd=spec.run_dir,
        )


def _launcher_options(
    spec: TaskSpec, plan: LaunchPlan, sidecars: Sequence[int], control_fd: int
) -> list[str]:
    """Return the launcher's options and what it shall run."""
    options = ["--namespaces"] if plan.namespaces else []
    options += ["--no-randomize"] if plan.no_randomize else []
    options += [word for pid in sidecars for word in ("--sidecar", str(pid))]
    options += ["--log", plan.log_path] if plan.log_path else []
    options += ["--control-fd", str(control_fd)]
    options += ["--ready", ready_path(spec)] if plan.restores_sibling else []
    return [*options, "--task", wire.encode_task_spec(spec), "--", *plan.argv]


def ready_path(spec: TaskSpec) -> str:
    """Return the file that tells a waiting ``syscr restart`` how the restore of a task went."""
    return str(Path(spec.run_dir, "ready"))


def _start_coordinator(
    spec: TaskSpec, plan: LaunchPlan, environ: Mapping[str, str], listener: socket.socket
) -> int:
    return start_sidecar(
        plan.sidecar,
        env=environ,
        log_path=str(Path(spec.run_dir, "sidecar.log")),
        cwd=spec.run_dir,
        listen_fd=(listener.fileno(), plan.sidecar_listen_fd or 3),
    )


def _listen_on_loopback() -> tuple[socket.socket, int]:
    """Return a listening socket that only this node reaches, and its port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener, listener.getsockname()[1]


def _with_port(plan: LaunchPlan, port: int) -> LaunchPlan:
    """Put the port into the helper's arguments and the variables that say ``{port}``."""
    return replace(
        plan,
        sidecar=tuple(word.replace("{port}", str(port)) for word in plan.sidecar),
        env={name: value.replace("{port}", str(port)) for name, value in plan.env.items()},
    )
