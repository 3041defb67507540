"""Turning into the launcher of a task: control socket, helpers beside it, and the exec."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from syscr import wire
from syscr.errors import SyscrError
from syscr.job import fresh
from syscr.job.agent_request import AGENT_LOG, SOCKET_FD, AgentRequest
from syscr.job.environment import name_job
from syscr.job.launcher import Launcher
from syscr.lives import AGENT_GONE, ended_folder, name_copy
from syscr.model import Image, TaskSpec
from syscr.ports import LaunchPlan
from syscr.process.replace import replace_process, start_sidecar
from syscr.units import parse_time

_CONFIRM_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a job is kept alive.

    Attributes:
        interval_seconds: Time between two periodic checkpoints; 0: none; ``AUTO_INTERVAL``: the agent chooses.
        total_seconds: Running time of all lives together; 0: without limit.
        signal_name: Signal by which the site asks for an image, ``USR1`` say; ``none``: there is none.
        fence_seconds: How often each task looks whether there is a newer life.
        fence_path: Where it looks; see ``lives.LifeBook.fence_path``; empty: it does not.
    """

    interval_seconds: float = 0.0
    total_seconds: float = 0.0
    signal_name: str = "none"
    fence_seconds: float = 0.0
    fence_path: str = ""

    @property
    def has_agent(self) -> bool:
        """Whether there is anything to do."""
        return self.interval_seconds != 0 or self.total_seconds > 0


@dataclass(frozen=True, slots=True)
class TaskStarter:
    """Becomes the launcher; nothing of Python stays but the helpers that a plan asks for.

    Attributes:
        launcher: Where the launcher is.
        environ: The task's environment.
        syscr: Words that start syscr on this node.
        detach: Whether the task has to leave Slurm's tree; see ``csrc/launcher/stub.c``.
    """

    launcher: Launcher
    environ: Mapping[str, str]
    syscr: tuple[str, ...]
    detach: bool = False

    def become(
        self, spec: TaskSpec, plan: LaunchPlan, image: Image | None, keeping: Keeping
    ) -> None:
        """Become the launcher; returns only by an exception.

        Args:
            spec: The task.
            plan: What the backend says.
            image: What it is restored from; None: it starts from the beginning.
            keeping: How the job is kept alive; the task of rank 0 gets the agent for it.
        """
        launcher = self.launcher.path_for(spec.checkpoint_dir)
        control = fresh.open_control()
        spec = replace(spec, control=control.getsockname()[1:].decode())
        sidecars: list[int] = []
        agent: socket.socket | None = None
        try:
            if plan.sidecar:
                listener, port = _listen_on_loopback()
                plan = _with_port(plan, port)
                environ = self._environment(plan)
                sidecars.append(_start_coordinator(spec, plan, environ, listener))
                listener.close()
            if image is not None and not plan.restores_sibling:
                sidecars.append(self._start_confirmation(spec, image))
            if keeping.has_agent and spec.rank == 0:
                pid, agent = self._start_agent(launcher, spec, keeping)
                sidecars.append(pid)
            argv = [launcher, "restore" if image else "run"]
            argv += ["--detach"] * self.detach
            argv += _launcher_options(spec, plan, sidecars, control.fileno())
            if keeping.has_agent:
                argv[2:2] = ["--end", end_path(spec), *_fence_options(spec, keeping)]
            if agent is not None:
                agent.set_inheritable(True)
                argv[2:2] = ["--agent-fd", str(agent.fileno()), "--agent-gone", gone_path(spec)]
                if keeping.signal_name != "none":
                    number = signal.Signals[f"SIG{keeping.signal_name}"]
                    argv[2:2] = ["--agent-signal", str(int(number))]
            environ = self._environment(plan)
            environ[fresh.IMAGE_DIR_VARIABLE] = spec.checkpoint_dir
            control.set_inheritable(True)  # only now: no helper holds it
            replace_process(argv, env=environ)
        except SyscrError:
            for pid in sidecars:
                os.kill(pid, signal.SIGKILL)  # they block all others
            raise
        finally:
            if agent is not None:
                agent.close()

    def _environment(self, plan: LaunchPlan) -> dict[str, str]:
        """Return the program's environment: the task's own and what the backend adds."""
        environ = {**self.environ, **plan.env}
        environ.pop(fresh.SRUN_VARIABLE, None)
        return environ

    def _start_agent(
        self, launcher: str, spec: TaskSpec, keeping: Keeping
    ) -> tuple[int, socket.socket]:
        """Start what keeps the agent of the job, or of the step, running; see ``csrc/launcher/tend.c``.

        Returns:
            Its pid and the launcher's end of the agent's socket.
        """
        job = name_job(self.environ, spec.number)
        request = AgentRequest(
            target=job if spec.step == "batch" else f"{job}.{spec.step}",
            run_dir=spec.run_dir,
            interval_seconds=keeping.interval_seconds,
            task=wire.encode_task_spec(replace(spec, argv=())),
            total_seconds=keeping.total_seconds,
        )
        for left in (end_path(spec), gone_path(spec)):
            with contextlib.suppress(OSError):  # another 'syscr run' of this script has left it
                Path(left).unlink()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pid = start_sidecar(
                [
                    *(launcher, "agent", "--agent-fd", str(SOCKET_FD), "--"),
                    *(*self.syscr, "agent", "--request", request.encode()),
                ],
                env=dict(self.environ),
                log_path=str(Path(spec.run_dir, AGENT_LOG)),
                cwd=spec.run_dir,
                listen_fd=(theirs.fileno(), SOCKET_FD),
            )
        return pid, ours

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


def _fence_options(spec: TaskSpec, keeping: Keeping) -> list[str]:
    """Return what lets the launcher end this copy of the task for a newer life."""
    if not keeping.fence_path:
        return []
    copy = name_copy(spec.number, spec.restart_count, parse_time(spec.started_at))
    every = str(max(1, round(keeping.fence_seconds * 1000)))
    return ["--fence", keeping.fence_path, "--fence-life", copy, "--fence-ms", every]


def gone_path(spec: TaskSpec) -> str:
    """Return the file in which the launcher says that the agent does not come back."""
    return str(Path(spec.run_dir, AGENT_GONE))


def end_path(spec: TaskSpec) -> str:
    """Return the file in which the launcher says how the task ended; see ``lives.find_open``."""
    if spec.rank == 0:
        return str(Path(spec.run_dir, "end"))
    folder = Path(ended_folder(spec.number, spec.restart_count)).name
    return str(Path(spec.run_dir).with_name(folder) / str(spec.rank))


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
