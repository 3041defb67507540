"""The thin part: what it runs, what it reads, what it raises."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from syscr.backends.criu.backend import CriuBackend
from syscr.errors import CheckpointError, StoreFullError, ToolMissingError
from syscr.model import TaskImage, TaskSpec
from syscr.ports import CommandTimeout, Completed
from syscr.testing.task import FakeTask

DATA = Path(__file__).parents[2] / "data" / "criu" / "4.2.1"
SPEC = TaskSpec(
    number=12,
    step="0",
    rank=3,
    node="c1",
    lineage="12",
    checkpoint_dir="/shared",
    backend="criu",
    run_dir="/shared/run",
    argv=("prog", "a b"),
)
LAUNCHER = "/opt/syscr-launcher"
CRIU = "/sbin/criu"
VERSION = (DATA / "version.txt").read_text()


class Replies:
    """A Runner that gives recorded replies by the first two words, or raises."""

    def __init__(self, replies: Mapping[tuple[str, str], Completed | Exception]) -> None:
        self.replies = replies

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        reply = self.replies[argv[0], argv[1]]
        if isinstance(reply, Exception):
            raise reply
        return reply


def completed(stdout: str = "", exit_code: int = 0, stderr: str = "") -> Completed:
    return Completed(argv=("x",), exit_code=exit_code, stdout=stdout, stderr=stderr)


def build(**replies: Completed | Exception) -> CriuBackend:
    """Return a backend for which CRIU and the launcher answer so."""
    answers: dict[tuple[str, str], Completed | Exception] = {
        (CRIU, "--version"): replies.get("version", completed(VERSION)),
        (LAUNCHER, "run"): replies.get("launcher", completed("Looks good.\n")),
    }
    return CriuBackend(Replies(answers), launcher_path=LAUNCHER, criu_path=CRIU)


def dumping(data_dir: Path, log: str, exit_code: int = 0) -> Callable[[tuple[str, ...]], Completed]:
    """Return a CRIU that leaves what the real one leaves."""

    def run(argv: tuple[str, ...]) -> Completed:
        (data_dir / "dump.log").write_text(log)
        if exit_code == 0:
            shutil.copy(DATA / "stats-dump", data_dir)
            shutil.copy(DATA / "open-files-counter", data_dir / "open-files")
        return Completed(argv=argv, exit_code=exit_code, duration_seconds=0.25)

    return run


def test_probe_of_a_good_node_has_nothing_missing() -> None:
    found = build().probe()
    assert found.missing == ()
    assert found.tool_version == "4.2.1"
    assert found.features == {"namespaces": True}
    assert not found.needs_privilege


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ({"version": ToolMissingError("cannot run 'criu': no such executable in PATH")}, "no such"),
        ({"version": completed("nonsense")}, "version of CRIU"),
        ({"version": CommandTimeout(completed(), 20.0)}, "did not end"),
        ({"version": completed("Version: 3.17.1\n")}, "3.18"),
        ({"launcher": ToolMissingError("cannot run 'syscr-launcher'")}, "launcher does not run"),
        ({"launcher": CommandTimeout(completed(), 20.0)}, "launcher does not run"),
        (
            {"launcher": completed(stderr="syscr: cannot mount /proc: EPERM\n")},
            "cannot mount /proc",
        ),
        (
            {"launcher": completed(exit_code=1, stderr="Error: no\n")},
            "CRIU does not start in namespaces",
        ),
    ],
)
def test_probe_gives_a_reason_and_never_raises(
    replies: dict[str, Completed | Exception], reason: str
) -> None:
    assert reason in "; ".join(build(**replies).probe().missing)


def test_missing_executable_is_an_obstacle() -> None:
    backend = CriuBackend(Replies({}), launcher_path=LAUNCHER, criu_path="/nowhere/criu")
    assert "/nowhere/criu" in backend.find_obstacle()


def test_launch_is_the_program_in_namespaces() -> None:
    plan = build().build_launch(SPEC)
    assert plan.argv == ("prog", "a b")
    assert plan.namespaces


def test_restore_uses_what_the_image_says() -> None:
    image = TaskImage(
        3, "c1", "data/3", stdio=("", "/o", "/o"), state={"stdio_files": ["", "file[1:2]", ""]}
    )
    plan = build().build_restore(SPEC, image, "/img")
    assert plan.argv[-4:] == ("--inherit-fd", "fd[201]:o", "--inherit-fd", "fd[211]:file[1:2]")
    assert plan.log_path == "/shared/run/restore.log"


def test_restore_of_an_image_without_state_goes_by_path() -> None:
    plan = build().build_restore(SPEC, TaskImage(3, "c1", "data/3", stdio=("", "/o", "")), "/img")
    assert plan.argv[-2:] == ("--inherit-fd", "fd[201]:o")


def test_checkpoint_reports_files_and_frozen_time(tmp_path: Path) -> None:
    task = FakeTask(SPEC, launcher_pid=os.getpid(), root=os.getpid(), tool=dumping(tmp_path, ""))
    report = build().checkpoint(task, str(tmp_path), timeout_seconds=5)
    assert report.frozen_us == 11437
    assert report.dump_seconds == 0.25
    assert [file.path for file in report.open_files] == ["/shared/criu-lab/cases/counter/out1"]
    assert report.state["tool_version"] == "4.2.1"
    assert report.state["launcher_path"] == os.readlink("/proc/self/exe")
    assert len(str(report.state["launcher_digest"])) == 32
    assert "--leave-running" in task.tools[0]


def test_checkpoint_with_hold_leaves_the_task_stopped(tmp_path: Path) -> None:
    task = FakeTask(SPEC, root=os.getpid(), tool=dumping(tmp_path, ""))
    build().checkpoint(task, str(tmp_path), timeout_seconds=5, hold_seconds=60)
    assert "--leave-stopped" in task.tools[0]
    assert task.hold_seconds == 60


def test_failed_dump_names_task_cause_and_state_of_the_job(tmp_path: Path) -> None:
    log = (DATA / "dump-tcp.log").read_text()
    task = FakeTask(SPEC, root=os.getpid(), tool=dumping(tmp_path, log, 1))
    with pytest.raises(CheckpointError) as caught:
        build().checkpoint(task, str(tmp_path), timeout_seconds=5)
    first, *rest = caught.value.message.splitlines()
    assert first == (
        "cannot checkpoint task 3 of step 12.0 on 'c1': a process has a TCP connection;"
        " the job is still running"
    )
    assert all(line.startswith("| ") for line in rest)
    assert caught.value.details["cause"] == "tcp_connection"
    assert caught.value.details["log_path"] == f"{tmp_path}/dump.log"


def test_full_disk_is_the_stores_error(tmp_path: Path) -> None:
    log = (DATA / "dump-nospace.log").read_text()
    task = FakeTask(SPEC, root=os.getpid(), tool=dumping(tmp_path, log, 1))
    with pytest.raises(StoreFullError, match="still running"):
        build().checkpoint(task, str(tmp_path), timeout_seconds=5)


def test_failure_without_log_shows_what_the_tool_said(tmp_path: Path) -> None:
    def refuse(argv: tuple[str, ...]) -> Completed:
        return Completed(
            argv=argv, exit_code=127, stderr="syscr: cannot run 'criu': no such file\n"
        )

    task = FakeTask(SPEC, root=os.getpid(), tool=refuse)
    with pytest.raises(ToolMissingError, match="cannot run 'criu'"):
        build().checkpoint(task, str(tmp_path), timeout_seconds=5)


def test_dump_that_only_looks_good_is_a_failure(tmp_path: Path) -> None:
    log = (DATA / "dump-hidden-exe.log").read_text()
    task = FakeTask(SPEC, root=os.getpid(), tool=dumping(tmp_path, log))
    with pytest.raises(CheckpointError, match="syscr-launcher' was opened before"):
        build().checkpoint(task, str(tmp_path), timeout_seconds=5)


def test_dump_without_list_of_files_is_a_failure(tmp_path: Path) -> None:
    task = FakeTask(SPEC, root=os.getpid())
    with pytest.raises(CheckpointError, match="open files were not recorded"):
        build().checkpoint(task, str(tmp_path), timeout_seconds=5)


def test_dump_without_statistics_has_no_frozen_time(tmp_path: Path) -> None:
    def dump(argv: tuple[str, ...]) -> Completed:
        shutil.copy(DATA / "open-files-counter", tmp_path / "open-files")
        return Completed(argv=argv, exit_code=0)

    task = FakeTask(SPEC, root=os.getpid(), tool=dump)
    assert build().checkpoint(task, str(tmp_path), timeout_seconds=5).frozen_us is None


def test_check_of_a_process_with_a_terminal_finds_it() -> None:
    master, slave = os.openpty()
    me = os.getpid()
    try:
        found = build().check(FakeTask(SPEC, root=me, processes=(me,)))
    finally:
        os.close(master)
        os.close(slave)
    assert "terminal" in {finding.code for finding in found}
    assert {finding.pid for finding in found} == {me}


def test_check_of_vanished_task_finds_nothing() -> None:
    assert build().check(FakeTask(SPEC, root=1 << 30)) == ()


def test_criu_of_another_name_is_looked_up_in_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "criu-4.2"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    backend = CriuBackend(Replies({}), launcher_path=LAUNCHER, criu_path="criu-4.2")
    assert backend.criu_path == str(tool)
    missing = CriuBackend(Replies({}), launcher_path=LAUNCHER, criu_path="criu-9")
    assert missing.find_obstacle() == "'criu-9' is not there or may not be run"
