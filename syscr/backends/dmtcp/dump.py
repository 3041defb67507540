"""Looking at a live task, dumping it, and waiting for a restored one.

Imported only where that is done: a task that starts needs none of it. One attempt at a checkpoint is in
``capture.py``, what is found in ``checks.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

from syscr.backends.dmtcp import parse
from syscr.backends.dmtcp.capture import Capture, Captured
from syscr.backends.dmtcp.checks import (
    Space,
    check_facts,
    check_protection,
    check_space,
    drop_own,
)
from syscr.backends.dmtcp.coordinator import Coordinator, read_port
from syscr.backends.dmtcp.files import build_states, copy_local_files, list_outputs
from syscr.backends.dmtcp.generation import discard_generation, take_generation
from syscr.backends.dmtcp.installation import Installation
from syscr.backends.dmtcp.program import can_fix_addresses, read_program
from syscr.errors import BackendError, CheckpointError, CoordinatorError, RestartTimeoutError
from syscr.model import Finding, Severity, TaskImage, TaskSpec
from syscr.ports import Clock, DumpReport, Runner, TaskControl
from syscr.procfs.facts import TreeFacts, read_tree_facts

_ATTEMPTS = 3
_MATCH_ATTEMPTS = 10
_MATCH_SECONDS = 0.05
# A restored process tells the coordinator that it runs before it lets its threads go; one whose memory does
# not fit its new place (a program of fixed addresses, say) ends as soon as they do. So it has to be seen
# running for that long. Source: dmtcp src/threadlist.cpp, waitForAllRestored, 4.2.0 and 2bef5cf8; 2026-11.
_STEADY_SECONDS = 0.25


class Dumper:
    """The part of the backend that works on live tasks; its methods are those of ``ports.Backend``."""

    def __init__(self, runner: Runner, clock: Clock, installation: Installation) -> None:
        """Keep the parts."""
        self._runner = runner
        self._clock = clock
        self._installation = installation

    def check(self, task: TaskControl) -> tuple[Finding, ...]:
        """Look at a live task for what would make its image useless."""
        facts = self._read_facts(task)
        found = [*check_facts(facts), *check_space(facts, _read_space(task.spec.run_dir))]
        try:
            found += self._check_protection(task)
        except BackendError as error:
            found.append(
                Finding("coordinator_unreachable", Severity.ERROR, error.message, error.hint)
            )
        if not self._installation.get_tool().guard:
            found.append(
                Finding(
                    "coordinator_unguarded",
                    Severity.NOTE,
                    "other users of this node can end or freeze the task through its DMTCP coordinator",
                    "build syscr's libraries with 'make -C syscr/csrc'",
                )
            )
        return tuple(found)

    def checkpoint(
        self, task: TaskControl, data_dir: str, *, timeout_seconds: float, hold_seconds: float = 0
    ) -> DumpReport:
        """Dump one task.

        Contract: beyond that of the port: where a process was lost in mid-checkpoint DMTCP leaves the
        others frozen for ever; the error then says so (``details['task_state']`` is ``frozen``).

        Raises:
            CoordinatorError: The coordinator does not answer; nothing was started.
            CheckpointError: As in the port; ``task_state`` is ``running``, ``frozen`` or ``ended``.
        """
        started = self._clock.monotonic()
        tool = self._installation.get_tool()
        version = self._installation.get_version()
        facts = self._read_facts(task)
        for finding in check_space(facts, _read_space(task.spec.run_dir)):
            raise CheckpointError(
                f"{finding.message}; nothing was dumped, the task runs on",
                hint=finding.hint,
                task_state="running",
            )
        deadline = started + timeout_seconds
        fixed = can_fix_addresses() and any(
            read_program(process.exe).is_fixed for process in facts.processes
        )
        capture = Capture(task, self._get_coordinator(task.spec), self._clock, deadline)
        captured = self._capture(capture, task, hold_seconds)
        images = take_generation(captured.generation, data_dir)
        dump_seconds = self._clock.monotonic() - started
        states, remarks = copy_local_files(
            build_states(captured.files, task.spec.run_dir),
            data_dir,
            list_outputs(task.launcher_pid),
        )
        return DumpReport(
            open_files=states,
            frozen_us=round(captured.frozen_seconds * 1_000_000),
            dump_seconds=dump_seconds,
            state={
                "tool_version": version,
                "generation": captured.generation.name,
                "generation_dir": captured.generation.path,
                "images": list(images),
                "needs_fixed_addresses": fixed,
                "prefix": str(Path(tool.bin_dir).parent),
            },
            notes=("the frozen time was measured by syscr: DMTCP does not tell it", *remarks),
        )

    def wait_restored(self, task: TaskControl, image: TaskImage, *, timeout_seconds: float) -> None:
        """Wait until all processes of a restored task run, and have done so for a moment.

        Raises:
            RestartTimeoutError: They do not all run in time; the message says how many do.
        """
        wanted = len(_as_list(image.state.get("images")))
        deadline = self._clock.monotonic() + timeout_seconds
        cause = "its coordinator has not started"
        while self._clock.monotonic() < deadline:
            try:
                status = self._wait_steady(task.spec, wanted, deadline)
            except CoordinatorError as error:
                cause = error.message
                self._clock.sleep(_MATCH_SECONDS)
                continue
            if status == parse.Status(wanted, running=True):
                return
            cause = f"{status.peers} of {wanted} processes are there"
        raise RestartTimeoutError(
            f"step {task.spec.number}.{task.spec.step} task {task.spec.rank} does not run again "
            f"{timeout_seconds:g} s after its restore: {cause}",
            hint="see the standard error of the job; end it with 'scancel'",
        )

    def _wait_steady(self, spec: TaskSpec, wanted: int, deadline: float) -> parse.Status:
        """Wait until all processes run and still do a moment later; returns the last status."""
        coordinator = self._get_coordinator(spec)
        status = coordinator.wait_running(wanted, deadline)
        if status == parse.Status(wanted, running=True):
            self._clock.sleep(_STEADY_SECONDS)
            status = coordinator.get_status()
        return status

    def _capture(self, capture: Capture, task: TaskControl, hold_seconds: float) -> Captured:
        """Try until there is an image whose file sizes are exact."""
        cause = ""
        for _ in range(_ATTEMPTS):
            captured = capture.take(hold_seconds)
            if not captured.problem and captured.exact:
                return captured
            cause = captured.problem or (
                "the sizes of its open files at the moment of the image are not known"
            )
            if hold_seconds:
                task.resume()
            discard_generation(task.spec.run_dir, captured.generation.name)
        raise CheckpointError(
            f"cannot checkpoint {capture.name}: {cause}; tried {_ATTEMPTS} times; the task runs on",
            hint="try again when the program starts fewer processes and writes less",
            task_state="running",
        )

    def _check_protection(self, task: TaskControl) -> tuple[Finding, ...]:
        """Compare processes and clients; several times, since both move."""
        coordinator = self._get_coordinator(task.spec)
        found: tuple[Finding, ...] = ()
        for _ in range(_MATCH_ATTEMPTS):
            clients = coordinator.list_clients()
            facts = self._read_facts(task)
            programs = [read_program(process.exe) for process in facts.processes]
            found = check_protection(facts, clients, programs)
            if not found:
                break
            self._clock.sleep(_MATCH_SECONDS)
        return found

    def _read_facts(self, task: TaskControl) -> TreeFacts:
        facts = read_tree_facts(task.pids(), uid=os.getuid(), root_pid=task.launcher_pid)
        try:
            port = read_port(task.spec)
        except CoordinatorError:
            port = 0  # whoever asks it says so
        return drop_own(facts, task.spec.run_dir, port)

    def _get_coordinator(self, spec: TaskSpec) -> Coordinator:
        tool = self._installation.get_probed_tool()
        return Coordinator(self._runner, self._clock, tool, read_port(spec))


def _read_space(path: str) -> Space:
    status = os.statvfs(path)
    return Space(path, status.f_bavail * status.f_frsize)


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
