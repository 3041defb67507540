"""CRIU in ROOTLESS mode as a backend: the thin part between builders, parsers and the world.

The task lives in its own user, PID and mount namespace, which the launcher makes; CRIU runs inside,
as the job's owner, and needs no right on the node.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
from pathlib import Path

from syscr.backends import checks
from syscr.backends.criu import commands, failures, parse
from syscr.errors import CheckpointError, StoreFullError, ToolMissingError, ToolReplyError
from syscr.model import FileState, Finding, Severity, TaskImage, TaskSpec
from syscr.ports import (
    Capabilities,
    CommandTimeout,
    Completed,
    DumpReport,
    LaunchPlan,
    Runner,
    TaskControl,
)
from syscr.procfs.facts import read_tree_facts
from syscr.procfs.files import list_open_files
from syscr.procfs.tree import find_process

log = logging.getLogger(__name__)

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin"
_PROBE_SECONDS = 20.0
_NOT_RUN = (126, 127)  # as the launcher ends where it cannot execute a tool
_CHECKS: tuple[checks.Check, ...] = (
    checks.find_srun,
    checks.find_other_users,
    checks.find_traced,
    checks.find_namespaces,
    checks.find_outside_sockets,
    checks.find_tcp_connections,
    checks.find_bound_addresses,
    checks.find_terminals,
    checks.find_devices,
    checks.find_anonymous,
    checks.find_deleted_mappings,
    checks.find_sysv_memory,
    checks.find_deleted_links,
    checks.find_local_files,
)


class CriuBackend:
    """Dumps and restores tasks with CRIU, without privilege; see ``ports.Backend``.

    Attributes:
        name: ``criu``.
        criu_path: The executable, or the bare name where none was found.
    """

    name = "criu"

    def __init__(self, runner: Runner, *, launcher_path: str, criu_path: str = "criu") -> None:
        """Keep the parts.

        Args:
            runner: Runs the probes.
            launcher_path: The launcher on this node; also CRIU's action script.
            criu_path: The executable; a bare name is looked for in PATH and in the system's directories.
        """
        self._runner = runner
        self._launcher_path = launcher_path
        self.criu_path = _find_criu(criu_path)

    def probe(self) -> Capabilities:
        """Try CRIU and the namespaces on this node."""
        try:
            version = self._read_version()
        except (ToolMissingError, ToolReplyError, CommandTimeout) as error:
            return Capabilities(name=self.name, missing=(f"CRIU does not run: {error}",))
        problems = [parse.find_version_problem(version, os.uname().release)]
        namespaces = self._try_namespaces()
        problems.append(namespaces)
        return Capabilities(
            name=self.name,
            tool_version=".".join(str(number) for number in version),
            features={"namespaces": not namespaces},
            missing=tuple(problem for problem in problems if problem),
        )

    def find_obstacle(self) -> str:
        """Look for the executable and the kernel's switches; starts no process."""
        if not os.access(self.criu_path, os.X_OK):
            return f"'{self.criu_path}' is not there or may not be run"
        values = {path: _read_text(Path(path)).strip() for path in parse.NAMESPACE_SWITCHES}
        return parse.find_switch_problem(values)

    def build_launch(self, spec: TaskSpec) -> LaunchPlan:
        """Return the program itself, to be run in namespaces of its own."""
        return LaunchPlan(argv=spec.argv, namespaces=True, uses_run_dir=False)

    def build_restore(self, spec: TaskSpec, image: TaskImage, data_dir: str) -> LaunchPlan:
        """Return the restoring CRIU."""
        keys = image.state.get("stdio_files")
        return commands.build_restore(
            self.criu_path,
            data_dir,
            spec.run_dir,
            stdio=image.stdio,
            stdio_files=[str(key) for key in keys] if isinstance(keys, (list, tuple)) else (),
        )

    def wait_restored(self, task: TaskControl, image: TaskImage, *, timeout_seconds: float) -> None:
        """Nothing to wait for: CRIU ends once the tree runs, and the launcher says so."""

    def check(self, task: TaskControl) -> tuple[Finding, ...]:
        """Look for what CRIU cannot take.

        What ends or begins while we look (a socket pair half made) would be a false alarm, so an error
        counts only if a second look finds it again.
        """
        first = self._look(task)
        if all(finding.severity is not Severity.ERROR for finding in first):
            return first
        again = {(finding.code, finding.pid) for finding in self._look(task)}
        return tuple(
            finding
            for finding in first
            if finding.severity is not Severity.ERROR or (finding.code, finding.pid) in again
        )

    def checkpoint(
        self, task: TaskControl, data_dir: str, *, timeout_seconds: float, hold_seconds: float = 0
    ) -> DumpReport:
        """Dump the task from inside its namespaces."""
        stdio_files = _read_stdio_files(task.launcher_pid)
        argv = commands.build_dump(
            self.criu_path,
            data_dir,
            launcher=self._launcher_path,
            stdio_files=stdio_files,
            hold=hold_seconds > 0,
        )
        completed = task.run_inside(
            argv, timeout_seconds=timeout_seconds, hold_seconds=hold_seconds
        )
        log_text = _read_text(Path(data_dir) / commands.DUMP_LOG)
        hidden = failures.find_hidden_failure(log_text)
        if not completed.is_ok or hidden:
            failure = hidden or failures.explain_dump(log_text + completed.stderr)
            raise _dump_error(task, failure, completed, f"{data_dir}/{commands.DUMP_LOG}")
        return DumpReport(
            open_files=_read_open_files(task.spec, Path(data_dir)),
            frozen_us=_read_frozen_us(Path(data_dir) / commands.STATS),
            dump_seconds=completed.duration_seconds,
            state={"stdio_files": list(stdio_files), **self._describe(task)},
            notes=tuple(f"criu: {line}" for line in failures.find_error_lines(log_text)),
        )

    def _describe(self, task: TaskControl) -> dict[str, object]:
        """Return what a restore must find as it was: the launcher that init has mapped, and by whom."""
        root = find_process(task.root_pid())
        path = "" if root is None else root.exe
        return {
            "launcher_path": path,
            "launcher_digest": _digest(path),
            "tool_version": ".".join(str(number) for number in self._read_version()),
        }

    def _read_version(self) -> tuple[int, int, int]:
        argv = commands.build_version(self.criu_path)
        return parse.parse_version(self._runner.run(argv, timeout_seconds=_PROBE_SECONDS).stdout)

    def _try_namespaces(self) -> str:
        """Return why a task cannot have namespaces of its own here; empty if it can."""
        argv = commands.build_probe(self._launcher_path, self.criu_path)
        try:
            completed = self._runner.run(argv, timeout_seconds=_PROBE_SECONDS)
        except (ToolMissingError, CommandTimeout) as error:
            return f"the launcher does not run: {error}"
        return parse.parse_probe(completed)

    def _look(self, task: TaskControl) -> tuple[Finding, ...]:
        root = find_process(task.root_pid())
        if root is None:
            return ()
        facts = read_tree_facts(task.pids(), uid=root.uid, root_pid=root.pid)
        return tuple(finding for check in _CHECKS for finding in check(facts))


def _find_criu(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH) or name


def _read_stdio_files(launcher_pid: int) -> tuple[str, str, str]:
    """Return CRIU's keys of the files that 0, 1 and 2 of the launcher are; empty for others.

    They were opened before the task had its mount namespace, so on most nodes CRIU does not know their
    mount and needs them named one by one.
    """
    keys = ["", "", ""]
    for file in list_open_files(launcher_pid):
        if file.fd < len(keys) and file.path and not file.is_deleted:
            keys[file.fd] = commands.build_file_key(file.mount_id, file.inode)
    return keys[0], keys[1], keys[2]


def _digest(path: str) -> str:
    """Return the digest that names a launcher (BLAKE2b, 16 bytes); empty if it cannot be read."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return ""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _read_open_files(spec: TaskSpec, data_dir: Path) -> tuple[FileState, ...]:
    try:
        return parse.parse_open_files((data_dir / commands.OPEN_FILES).read_bytes())
    except (OSError, ToolReplyError) as error:
        raise CheckpointError(
            f"cannot checkpoint {_name(spec)}: its open files were not recorded: {error};"
            " the job is still running",
            hint="try again; if it fails again, report this",
        ) from error


def _read_frozen_us(path: Path) -> int | None:
    try:
        return parse.parse_stats(path.read_bytes()).frozen_us
    except (OSError, ToolReplyError) as error:
        log.warning("no frozen time: %s", error)
        return None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""


def _dump_error(
    task: TaskControl, failure: failures.Failure, completed: Completed, log_path: str
) -> CheckpointError | StoreFullError | ToolMissingError:
    lines = "".join(f"\n| {line}" for line in failure.lines)
    what, fate = f"cannot checkpoint {_name(task.spec)}", "the job is still running"
    if completed.exit_code in _NOT_RUN:
        return ToolMissingError(f"{what}: {failure.cause}; {fate}", tool=completed.argv[0])
    if failure.code == "no_space":
        return StoreFullError(
            f"{what}: {failure.cause}; {fate}{lines}", hint=failure.hint, cause=failure.code
        )
    cause, hint = failure.cause, failure.hint
    if completed.signal is not None:
        cause = (
            f"CRIU was ended by signal {completed.signal} ({signal.strsignal(completed.signal)})"
        )
        hint = "try again"
        if (
            not task.pids()
        ):  # killed while it put its code into a process, it can take that one along
            fate = "the program has ended"
    return CheckpointError(
        f"{what}: {cause}; {fate}{lines}",
        hint=hint,
        cause=failure.code,
        exit_code=completed.exit_code,
        signal=completed.signal,
        log_path=log_path,
    )


def _name(spec: TaskSpec) -> str:
    return f"task {spec.rank} of step {spec.number}.{spec.step} on '{spec.node}'"
