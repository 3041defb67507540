"""The node worker with tasks that do as a test says: one fails, and all go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syscr.errors import CheckpointError, StoreAccessError
from syscr.job import dumping, tree
from syscr.job import worker as worker_module
from syscr.job.worker import NodeWorker
from syscr.model import FileState, Finding, ImageFile, NodeReport, Severity, TaskSpec
from syscr.ports import DumpReport
from syscr.procfs.tree import Process
from syscr.testing.backend import IMAGE_FILE, FakeBackend
from syscr.testing.clock import FakeClock
from syscr.testing.task import FakeTask
from syscr.wire import PROBE_FILE, WorkerRequest, name_ended


class Task(FakeTask):
    """A task that also says how it is, as ``LauncherControl`` does."""

    mood = "running"
    failing = ""
    output = "/out"

    def state(self) -> str:
        if self.failing == "state":
            raise CheckpointError("its launcher does not answer")
        return self.mood

    def stdio(self) -> tuple[str, str, str]:
        return ("/dev/null", self.output, "/err")

    def resume(self) -> None:
        super().resume()
        if self.failing == "resume":
            raise CheckpointError("its launcher does not answer")


class Node:
    """A node with tasks.

    Attributes:
        tasks: Its tasks.
        backend: The backend of all of them.
        lines: What the worker wrote.
        staging: The staging directory.
    """

    def __init__(self, staging: Path) -> None:
        self.tasks: list[Task] = []
        self.backend = FakeBackend()
        self.lines: list[str] = []
        self.staging = staging
        self.digest_error: Exception | None = None
        self.clock = FakeClock()

    def add(self, rank: int = 0, *, step: str = "0", backend: str = "fake") -> Task:
        spec = TaskSpec(12, step, rank, "c1", "12", "/shared", backend, argv=("prog",))
        task = Task(spec, launcher_pid=os.getpid(), processes=(os.getpid(),), root=os.getpid())
        self.tasks.append(task)
        return task

    def find(self, number: int, step: str | None = None) -> tuple[Task, ...]:
        return tuple(
            task
            for task in self.tasks
            if task.spec.number == number and step in {None, task.spec.step}
        )

    def digest(
        self,
        root: str,
        paths: Iterable[str],
        *,
        node: str,
        rank: int | None,
        progress: Callable[[int], None] | None,
    ) -> tuple[ImageFile, ...]:
        if self.digest_error is not None:
            raise self.digest_error
        files = [
            ImageFile(path, os.path.getsize(os.path.join(root, path)), "00", node, rank)
            for path in sorted(paths)
        ]
        for file in files:
            assert progress is not None
            progress(file.size_bytes)
        return tuple(files)

    def ask(self, action: str, **changes: Any) -> NodeReport:
        finish = str(changes.pop("finish_action", ""))
        request = WorkerRequest(
            action,
            12,
            "0",
            staging_dir=str(self.staging),
            timeout_seconds=9,
            finish_action=finish,
        )
        backends = {"fake": self.backend}
        worker = NodeWorker("c1", backends, self.digest, self.lines.append, self.clock)
        return worker.run(replace(request, **changes))

    def error(self, action: str, **changes: Any) -> dict[str, Any]:
        report = self.ask(action, **changes)
        assert report.error is not None
        assert report.files == ()
        return report.error


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    (tmp_path / PROBE_FILE).touch()
    node = Node(tmp_path)
    monkeypatch.setattr(worker_module, "find_tasks", node.find)
    return node


def test_inspect_reports_tasks_findings_and_memory(node: Node) -> None:
    node.backend.findings = (Finding("clock", Severity.WARNING, "looks at the clock"),)
    tasks = [node.add(0), node.add(1), node.add(0, step="1")]
    report = node.ask("inspect")
    assert report.tasks == tuple(task.spec for task in tasks[:2])
    assert [(one.code, one.node) for one in report.findings] == [("clock", "c1")] * 2
    assert report.processes == 2
    assert report.resident_bytes > 1 << 20
    assert report.host is not None
    assert report.host.node == "c1"
    assert all(task.acts == [] for task in tasks)
    assert len(node.ask("inspect", step=None).tasks) == 3


def test_inspect_of_a_node_without_tasks_is_empty(node: Node) -> None:
    report = node.ask("inspect")
    assert (report.tasks, report.findings, report.error) == ((), (), None)


@pytest.mark.parametrize(
    ("mood", "codes"),
    [("running", []), ("held", []), ("busy", ["task_busy"]), ("parked", ["task_ended"])],
)
def test_inspect_says_what_the_launcher_is_at(node: Node, mood: str, codes: list[str]) -> None:
    node.add().mood = mood
    assert [finding.code for finding in node.ask("inspect").findings] == codes


def test_task_that_is_being_dumped_is_not_looked_into(node: Node) -> None:
    """It is traced then, by the dump itself."""
    node.backend.findings = (Finding("traced", Severity.ERROR, "process 5 is traced"),)
    node.add().mood = "busy"
    (finding,) = node.ask("inspect").findings
    assert (finding.code, finding.hint) == (
        "task_busy",
        "wait until that checkpoint has ended, and try again",
    )


def test_inspect_passes_on_that_a_launcher_is_silent(node: Node) -> None:
    node.add().failing = "state"
    assert node.error("inspect")["code"] == "checkpoint"


def test_task_of_an_unknown_backend_is_named(node: Node) -> None:
    node.add(backend="mana")
    assert "backend 'mana'" in node.error("inspect")["message"]


def test_dump_writes_syncs_and_digests_every_rank(node: Node) -> None:
    node.backend.report = DumpReport(
        open_files=(FileState("/data", 5, True),),
        frozen_us=300,
        dump_seconds=0.25,
        state={"tool_version": "4.2.1", "launcher_digest": "abc"},
        notes=("slow disk",),
    )
    for rank in range(6):
        node.add(rank)
    report = node.ask("dump")
    assert report.error is None
    assert [file.path for file in report.files] == [
        f"data/{rank}/{IMAGE_FILE}" for rank in range(6)
    ]
    assert [image.rank for image in report.images] == list(range(6))
    image = report.images[3]
    assert (image.data_dir, image.stdio[1], image.working_dir) == ("data/3", "/out", os.getcwd())
    assert image.state == {
        "tool_version": "4.2.1",
        "launcher_digest": "abc",
        "home_dir": "/shared",
    }
    assert image.open_files == (FileState("/data", 5, True),)
    assert (report.timings.frozen_us, report.timings.dump_seconds) == (300, 0.25)
    assert (report.tool_version, report.launcher_digest) == ("4.2.1", "abc")
    assert report.notes == ("slow disk",)
    assert (node.staging / "data" / "0").stat().st_mode & 0o777 == 0o700
    assert [task.acts for task in node.tasks] == [[]] * 6  # nobody was held
    phases = [json.loads(line)["phase"] for line in node.lines]
    assert phases.count("dump") >= 6


def test_dump_with_hold_leaves_the_tasks_stopped(node: Node) -> None:
    tasks = [node.add(rank) for rank in range(3)]
    assert node.ask("dump", hold_seconds=30).error is None
    assert [task.acts for task in tasks] == [["hold"]] * 3


def test_hold_is_renewed_while_others_are_dumped_and_files_are_digested(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumping, "_PROGRESS_SECONDS", 0.01)
    first, second = node.add(0), node.add(1)
    real = node.backend.checkpoint

    def slowly(task: Any, data_dir: str, **options: Any) -> DumpReport:
        if task is second:
            _until(lambda: len(first.acts) >= 3)
        return real(task, data_dir, **options)

    monkeypatch.setattr(node.backend, "checkpoint", slowly)
    real_digest = node.digest

    def digest_slowly(*arguments: Any, **options: Any) -> tuple[ImageFile, ...]:
        done = len(second.acts)
        _until(lambda: len(second.acts) >= done + 2)
        return real_digest(*arguments, **options)

    monkeypatch.setattr(node, "digest", digest_slowly)
    assert node.ask("dump", hold_seconds=0.02).error is None
    assert {"resume"}.isdisjoint(first.acts + second.acts)
    assert any('"phase":"digest"' in line for line in node.lines)


def _until(condition: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_node_that_holds_waits_for_the_others(node: Node) -> None:
    node.add()

    class Late(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() > 1060:
                (node.staging / name_ended("c2")).touch()

    node.clock = Late()
    assert node.ask("dump", hold_seconds=30, node_count=2, timeout_seconds=100).error is None
    assert 60 < sum(node.clock.sleeps) < 70
    assert (node.staging / name_ended("c1")).exists()


def test_node_that_holds_waits_no_longer_than_the_checkpoint_may_take(node: Node) -> None:
    node.add()
    assert node.ask("dump", hold_seconds=30, node_count=2, timeout_seconds=50).error is None
    assert 45 < sum(node.clock.sleeps) <= 50


def test_tasks_dumped_together_go_on_before_the_digest(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [node.add(rank) for rank in range(2)]
    seen: list[list[str]] = []
    real = NodeWorker._digest_files

    def digest(self: NodeWorker, *arguments: Any) -> Any:
        seen.extend(list(task.acts) for task in tasks)
        return real(self, *arguments)

    monkeypatch.setattr(NodeWorker, "_digest_files", digest)
    assert node.ask("dump", hold_seconds=30, together=True).error is None
    assert seen == [["hold", "resume"]] * 2


def test_inspect_names_what_tasks_of_a_step_have_open_for_writing(
    node: Node, tmp_path: Path
) -> None:
    for rank in range(2):
        task = node.add(rank)
        task.spec = replace(task.spec, task_count=2)
    with (tmp_path / "log").open("a"), (tmp_path / "input").open("w"):
        pass
    with (tmp_path / "log").open("a"), (tmp_path / "input").open():
        written = node.ask("inspect").written
    assert written.count(str(tmp_path / "log")) == 2
    assert str(tmp_path / "input") not in written


def test_node_without_hold_waits_for_nobody(node: Node) -> None:
    node.add()
    assert node.ask("dump", node_count=2).error is None
    assert node.clock.sleeps == []
    assert not (node.staging / name_ended("c1")).exists()


def test_node_that_fails_keeps_nobody_waiting(node: Node) -> None:
    node.add()
    node.digest_error = StoreAccessError("gone")
    assert node.error("dump", hold_seconds=30, node_count=2)
    assert (node.staging / name_ended("c1")).exists()


@pytest.mark.parametrize("hold", [0.0, 30.0])
def test_one_rank_that_fails_lets_all_go_on(node: Node, hold: float) -> None:
    tasks = [node.add(rank) for rank in range(3)]
    tasks[2].failing = "resume"
    node.backend.failures["checkpoint"] = CheckpointError("criu says no")
    error = node.error("dump", hold_seconds=hold)
    assert error["message"] == "criu says no"
    assert all(task.acts[-1] == "resume" for task in tasks)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (OSError(28, "No space left on device", "data/0/pages"), "store_full"),
        (OSError(5, "Input/output error", "data/0/pages"), "checkpoint"),
        (StoreAccessError("cannot sync"), "store_access"),
    ],
)
def test_failed_digest_lets_all_go_on(node: Node, failure: Exception, code: str) -> None:
    tasks = [node.add(rank) for rank in range(2)]
    node.digest_error = failure
    error = node.error("dump", hold_seconds=30)
    assert error["code"] == code
    assert [task.acts for task in tasks] == [["hold", "resume"]] * 2


def test_folder_that_is_there_already_is_an_error_and_all_go_on(node: Node) -> None:
    tasks = [node.add(0), node.add(1)]
    (node.staging / "data" / "1").mkdir(parents=True)
    error = node.error("dump", hold_seconds=30)
    assert "File exists; the job is still running" in error["message"]
    assert all(task.acts[-1] == "resume" for task in tasks)


def test_staging_that_is_not_shared_is_noticed(node: Node) -> None:
    task = node.add()
    (node.staging / PROBE_FILE).unlink()
    error = node.error("dump")
    assert "not on a shared file system" in error["message"]
    assert "--checkpoint-dir" in error["hint"]
    assert task.acts == []


def test_no_space_is_noticed_before_the_dump(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    task = node.add()
    real = os.statvfs(node.staging)
    fields = list(real)
    fields[4] = 10  # blocks that an ordinary user may take
    monkeypatch.setattr("syscr.job.worker.os.statvfs", lambda _: os.statvfs_result(fields))
    error = node.error("dump")
    assert error["code"] == "store_full"
    assert error["details"]["free_bytes"] == 10 * real.f_frsize
    assert error["details"]["needed_bytes"] > 64 << 20
    assert task.acts == []


def test_step_that_has_ended_meanwhile_is_named(node: Node) -> None:
    assert "has no task of step 12.0 any more" in node.error("dump")["message"]


@pytest.mark.parametrize("action", ["resume", "kill"])
def test_finish_ends_the_hold_of_all(node: Node, action: str) -> None:
    tasks = [node.add(0), node.add(1), node.add(0, step="1")]
    report = node.ask("finish", finish_action=action)
    assert [task.acts for task in tasks] == [[action], [action], []]
    assert report.tasks == tuple(task.spec for task in tasks[:2])


def test_working_directory_that_cannot_be_read_is_the_root(node: Node) -> None:
    node.add().processes = (2**22 + 1,)
    (image,) = node.ask("dump").images
    assert (image.working_dir, image.process_count) == ("/", 0)


def test_launcher_in_the_tree_is_written_down(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A dumped init has the launcher mapped."""
    root = tmp_path / "proc"
    root.mkdir()
    (root / "comm").write_text("syscr-init\n")
    binary = tmp_path / "syscr-launcher"
    binary.write_bytes(b"binary")
    (root / "exe").symlink_to(binary)
    real = Path
    monkeypatch.setattr(
        tree, "Path", lambda *a: real(root) if a == (f"/proc/{os.getpid()}",) else real(*a)
    )
    node.add()
    (image,) = node.ask("dump").images
    assert image.state["launcher_path"] == str(binary)
    assert len(str(image.state["launcher_digest"])) == 32


def test_tree_that_has_gone_has_no_launcher(node: Node) -> None:
    node.add().root = 2**22 + 1
    (image,) = node.ask("dump").images
    assert "launcher_path" not in image.state


def test_size_of_a_folder_that_changes_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("12345")
    assert dumping._folder_bytes(str(tmp_path)) == 5
    walk: list[tuple[str, list[str], list[str]]] = [(str(tmp_path), [], ["file", "gone"])]
    monkeypatch.setattr("syscr.job.dumping.os.walk", lambda _: walk)
    assert dumping._folder_bytes(str(tmp_path)) == 5


def test_memory_is_that_of_the_tasks_own_processes(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = node.add()
    task.processes = (7, 8)
    found = tuple(Process(pid, 1, pid, "p", resident_bytes=pid) for pid in (6, 7, 8))
    monkeypatch.setattr(tree, "list_tree", lambda _: found)
    report = node.ask("inspect")
    assert (report.processes, report.resident_bytes) == (2, 15)


def test_output_that_goes_through_srun_is_named_once_for_each_step(node: Node) -> None:
    node.add(0).output = "pipe:[17]"
    node.add(1).output = "pipe:[18]"
    (found,) = node.ask("inspect").findings
    assert (found.code, found.severity) == ("output_through_srun", Severity.WARNING)
    assert (found.node, found.pid) == ("", None)  # the same from each node
    assert "the output of step 12.0 goes through srun" in found.message


@pytest.mark.parametrize(
    ("step", "output"), [("0", "/out.0"), ("0", "/dev/null"), ("batch", "pipe:[1]")]
)
def test_output_into_a_file_of_the_task_is_cut_back_and_needs_no_word(
    node: Node, step: str, output: str
) -> None:
    node.add(0, step=step).output = output
    assert node.ask("inspect", step=step).findings == ()
