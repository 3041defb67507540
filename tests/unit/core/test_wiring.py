"""From the command line of a task or a node worker to ready objects."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from syscr import __main__ as entrance
from syscr import wire
from syscr.config import load_settings
from syscr.errors import CheckpointError, RestartError, ToolMissingError
from syscr.job import fresh
from syscr.job.agent_request import AgentRequest
from syscr.job.remembered import HASTE_SECONDS
from syscr.lives import LifeBook
from syscr.manager import CheckpointManager
from syscr.model import Life, Target, TaskSpec
from syscr.ports import Capabilities, StoreKey
from syscr.request import CheckpointRequest
from syscr.result import NodeHealth
from syscr.settings import Settings
from syscr.slurm.scheduler import SlurmScheduler
from syscr.testing.clock import FakeClock
from syscr.units import parse_time
from syscr.wire import WorkerRequest
from syscr.wiring import agent, task, worker
from syscr.wiring.health import probe_here, probe_nodes
from syscr.wiring.manager import _delegate, build_manager
from syscr.wiring.output import report
from syscr.wiring.parts import (
    build_backends,
    build_launcher,
    find_syscr,
    job_environment,
    open_store,
    user_name,
)
from syscr.wiring.slurm import pass_through

JOB = {"SLURM_JOB_ID": "12", "SLURMD_NODENAME": "c7", "PATH": "/bin"}


class Became(BaseException):
    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None) -> None:
        super().__init__(list(argv))
        self.argv, self.env = tuple(argv), env


def become(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> NoReturn:
    raise Became(argv, env)


@pytest.fixture(autouse=True)
def _no_system_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    opened: list[socket.socket] = []
    real = fresh.open_control

    def open_control() -> socket.socket:
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(fresh, "open_control", open_control)
    monkeypatch.setattr("syscr.config.SYSTEM_FILE", "/none")
    monkeypatch.setattr("syscr.process.replace.replace_process", become)
    monkeypatch.setattr("syscr.job.run.replace_process", become)
    monkeypatch.setattr("syscr.job.fresh.is_on_terminal", lambda: False)
    yield
    for control in opened:
        control.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"HOME": str(tmp_path)})


@pytest.mark.parametrize("argv0", ["syscr", "/opt/bin/python", "pytest", ""])
def test_command_of_this_installation_is_found(monkeypatch: pytest.MonkeyPatch, argv0: str) -> None:
    monkeypatch.setattr(sys, "argv", [argv0])
    assert find_syscr() == f"{sys.prefix}/bin/syscr"


def test_command_that_was_called_is_the_one_for_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/syscr/bin/syscr", "sbatch"])
    assert find_syscr() == "/opt/syscr/bin/syscr"


def test_manager_is_built_without_touching_anything(settings: Settings) -> None:
    manager = build_manager(settings)
    assert isinstance(manager, CheckpointManager)
    assert (manager.verify_level, manager.keep_last) == ("digests", 0)
    assert manager.locator.checkpoint_dirs[0] == settings.checkpoint_dir
    assert not Path(settings.checkpoint_dir).exists()
    assert manager.dumper.uid == os.getuid()


def test_launcher_is_the_configured_or_the_installed_one(settings: Settings) -> None:
    assert build_launcher(settings).installed.endswith("csrc/bin/syscr-launcher")
    other = settings._replace(launcher_path="/opt/launcher")
    assert build_launcher(other).installed == "/opt/launcher"


def test_backends_are_in_the_configured_order(settings: Settings) -> None:
    assert list(build_backends(settings)) == ["criu", "dmtcp"]
    other = settings._replace(order=("dmtcp",))
    assert list(build_backends(other)) == ["dmtcp", "criu"]


def test_job_gets_the_users_own_values_of_what_our_runner_sets() -> None:
    environ = {"LC_ALL": "de_DE", "SLURM_TIME_FORMAT": "%s", "HOME": "/h"}
    assert job_environment(environ) == {"LC_ALL": "de_DE", "SLURM_TIME_FORMAT": "%s"}
    assert job_environment({"HOME": "/h"}) == {}


def test_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert user_name() == "4000000"


@pytest.mark.parametrize("verb", ["sbatch", "srun", "salloc"])
def test_slurms_commands_are_passed_through(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(f"syscr.submit.Submitter.{verb}", lambda _, argv: len(argv))
    assert pass_through(verb, ["a", "b", "c"], settings) == 3


def run_task(*argv: str, environ: dict[str, str] | None = None) -> tuple[str, ...] | int:
    """Return what ``syscr run`` becomes, or its exit status."""
    try:
        return task.run_task(argv, JOB if environ is None else environ)
    except Became as program:
        return program.argv


def test_program_outside_of_a_job_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_task("--", "prog", "x", environ={"PATH": "/bin"}) == ("prog", "x")
    assert capsys.readouterr().err == (
        "syscr: not inside a Slurm job: the program runs without checkpoints\n"
    )


def test_program_that_must_be_left_alone_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_task("--", "prog", environ={**JOB, "PMI_RANK": "0"}) == ("prog",)
    assert "--mpi=none; the program runs without checkpoints" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "environ", "status", "text"),
    [
        (("--back",), JOB, 2, "syscr: 'syscr run' has no option '--back'\nsyscr: hint: write"),
        (("--truncate-output", "--help"), JOB, 2, "--help"),
        (("prog",), {**JOB, "SYSCR_DIGEST": "crc"}, 3, "SYSCR_DIGEST"),
        (("prog",), {**JOB, "SYSCR_CONFIG": "/none.toml"}, 3, "/none.toml"),
    ],
)
def test_problem_of_a_task_is_said_in_the_jobs_output(
    capsys: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    environ: dict[str, str],
    status: int,
    text: str,
) -> None:
    assert run_task(*argv, environ=environ) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err


def test_task_that_must_continue_and_cannot_ends_with_the_errors_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    environ = {
        **JOB,
        "SLURM_RESTART_COUNT": "1",
        "SYSCR_CHECKPOINT_DIR": str(tmp_path / "file"),
    }
    assert run_task("prog", environ=environ) == 50
    assert str(tmp_path / "file") in capsys.readouterr().err


def run_worker(request: WorkerRequest, **environ: str) -> tuple[int, dict[str, str]]:
    words = ["--request", wire.encode_request(request)]
    return worker.run_worker(words, {"HOME": "/none", **environ}), {}


@pytest.mark.parametrize("argv", [[], ["--request"], ["--task", "{}"], ["--request", "{", "x"]])
def test_worker_is_not_started_by_people(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert worker.run_worker(argv) == 2
    assert "started by syscr itself" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "status"), [("{", 24), ('{"action": "dance"}', 2)])
def test_request_that_makes_no_sense_is_refused(text: str, status: int) -> None:
    assert worker.run_worker(["--request", text]) == status


def test_worker_writes_its_report_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    run_worker(WorkerRequest("inspect", 987654321), SLURMD_NODENAME="c7")
    report = wire.decode_report(capsys.readouterr().out)
    assert (report.node, report.tasks, report.error) == ("c7", (), None)


def test_error_of_a_worker_is_in_its_report_and_no_exit_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    request = WorkerRequest("dump", 987654321, "0", staging_dir=str(tmp_path))
    status, _ = run_worker(request, SLURMD_NODENAME="c7")
    report = wire.decode_report(capsys.readouterr().out)
    assert status == 0
    assert report.error is not None
    assert "has no task of step" in str(report.error["message"])


def test_worker_looks_at_its_node(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syscr.wiring.health.build_backends", lambda _: {})
    monkeypatch.setenv("SLURMD_NODENAME", "c7")
    run_worker(WorkerRequest("probe"))
    reader = wire.MessageReader()
    (message,) = filter(None, map(reader.feed, capsys.readouterr().out.splitlines()))
    health = wire.build_health(message)
    assert health.node == "c7"
    assert {"syscr", "python", "kernel", "launcher", "checkpoint directory"} <= set(health.facts)


def test_missing_launcher_is_a_fact_of_the_node(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syscr.wiring.health.build_backends", lambda _: {})
    health = probe_here(settings._replace(launcher_path="/none/launcher"))
    assert "cannot read the launcher '/none/launcher'" in health.facts["launcher"]


class Probed:
    """Stands for the workers."""

    def __init__(self) -> None:
        self.nodes: tuple[str, ...] = ()

    def probe_nodes(self, nodes: Sequence[str]) -> tuple[NodeHealth, ...]:
        self.nodes = tuple(nodes)
        return tuple(NodeHealth(node) for node in nodes)


def test_nodes_to_look_at_may_be_folded(settings: Settings) -> None:
    workers: Any = Probed()
    assert len(probe_nodes(settings, workers, ["c[1-2]", "c2", "d7"])) == 3
    assert workers.nodes == ("c1", "c2", "d7")


def test_this_machine_is_looked_at_where_no_node_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syscr.wiring.health.build_backends", lambda _: {})
    workers: Any = Probed()
    (health,) = probe_nodes(settings, workers, [])
    assert health.facts["python"]
    assert workers.nodes == ()


def test_doctor_mentions_what_lies_among_the_images_and_is_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("syscr.wiring.health.build_backends", lambda _: {})
    settings = settings._replace(checkpoint_dir=str(tmp_path / "images"))
    workers: Any = Probed()

    def facts() -> dict[str, str]:
        return probe_nodes(settings, workers, [])[0].facts

    assert "images" not in facts()  # there is no directory
    Path(settings.checkpoint_dir, "12.ckpt").mkdir(mode=0o700, parents=True)
    assert "images" not in facts()
    for number in (0, 1):
        Path(settings.checkpoint_dir, f"12.ckpt/20261122T061900Z-9f3c21a{number}").mkdir()
        words = ("1 entry", "2 entries")[number]
        assert facts()["images"] == f"{words} cannot be read; see 'syscr image list'"
    settings = settings._replace(checkpoint_dir=str(tmp_path / "file"))
    Path(settings.checkpoint_dir).touch()
    assert "cannot read checkpoint directory" in facts()["images"]


def test_restored_task_is_confirmed_with_its_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The worker that waits beside a restored task reads the image from its folder."""
    monkeypatch.setattr("syscr.job.confirm._LAUNCHER_SECONDS", 0.0)
    folder = tmp_path / "checkpoints" / "12.ckpt" / "20261122T061900Z-9f3c21ab"
    request = WorkerRequest(
        "confirm", 987654321, "0", staging_dir=str(folder), run_dir=str(tmp_path)
    )
    assert run_worker(request)[0] == 0
    assert "failed: " in (tmp_path / "ready").read_text()


@pytest.mark.parametrize("argv", [[], ["--request", "{"], ["--request", "[]"]])
def test_agent_is_not_started_by_people(argv: list[str]) -> None:
    assert agent.run_agent(argv) == 2


SPEC = TaskSpec(12, "batch", 0, "c1", "12", "/d", "criu")


def test_agent_has_little_patience_with_a_silent_slurm() -> None:
    parts = agent.AgentParts.build(load_settings({}), AgentRequest("12", "/d", 60.0), SPEC)
    assert parts.manager.dumper.scheduler is parts.remembered
    assert isinstance(parts.remembered.hasty, SlurmScheduler)
    assert parts.remembered.hasty.timeout_seconds == HASTE_SECONDS < 30.0


def test_agent_mends_a_record_of_lives_that_cannot_be_read(tmp_path: Path) -> None:
    spec = replace(SPEC, checkpoint_dir=str(tmp_path), started_at="2026-11-24T09:00:00.000Z")
    parts = agent.AgentParts.build(load_settings({}), AgentRequest("12", "/d", 60.0), spec)
    store = open_store(spec.checkpoint_dir)
    book = LifeBook(store, StoreKey("12"))
    book.begin(Life(12, 0, "c1", parse_time(spec.started_at), note="as it is written down"))
    assert parts._open_entry(book).life.note == "as it is written down"
    Path(store.record_path(StoreKey("12"), "lives")).write_text("{")
    entry = parts._open_entry(book)
    assert (entry.life.number, entry.life.node, entry.life.task_count) == (12, "c1", 1)
    assert entry.life.fence_seconds == parts.settings.agent_fence_seconds > 0
    assert "begins anew" in entry.life.note
    assert [life.note for life in book.read()] == [entry.life.note]


@pytest.mark.parametrize(
    ("target", "dry_run", "own", "is_asked"),
    [
        ("12", False, SPEC, True),
        ("12.batch", False, SPEC, True),
        ("12.0", False, SPEC, False),
        ("13", False, SPEC, False),
        ("12", True, SPEC, False),
        ("12", False, None, False),
    ],
)
def test_agent_is_asked_only_from_inside_of_the_task_itself(
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    dry_run: bool,
    own: TaskSpec | None,
    is_asked: bool,
) -> None:
    monkeypatch.setattr("syscr.job.inside.find_own_task", lambda: own)
    monkeypatch.setattr("syscr.job.inside.ask_agent", lambda *_: "image")
    request = CheckpointRequest(Target.parse(target), dry_run=dry_run)
    assert _delegate(request, FakeClock()) == ("image" if is_asked else None)


def test_error_without_an_own_code_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    error = CheckpointError("no", hint="")
    error.exit_code = 0  # type: ignore[misc]
    assert report(error) == 1
    assert capsys.readouterr().err == "syscr: no\n"


def test_verbs_of_jobs_are_taken_before_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syscr.wiring.worker.run_worker", lambda argv: 10 + len(argv))
    monkeypatch.setattr("syscr.wiring.agent.run_agent", lambda argv: 20 + len(argv))
    monkeypatch.setattr("syscr.cli.main.main", lambda argv: 30 + len(argv))
    assert entrance.main(["worker", "--request", "{}"]) == 12
    assert entrance.main(["agent"]) == 20
    assert entrance.main([]) == 30
    assert entrance.main(["run", "--help"]) == 32


def test_process_of_its_own_ends_at_once_with_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr("syscr.cli.main.main", lambda argv: 30 + len(argv))
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(sys, "argv", ["syscr", "status"])
    with pytest.raises(SystemExit) as caught:
        entrance.main()
    assert caught.value.code == 31


def test_task_takes_the_short_way_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syscr.job.fresh.find_launch", lambda *_: ("launcher", "run"))
    monkeypatch.setattr("syscr.wiring.task.run_task", lambda _: 77)
    with pytest.raises(Became) as caught:
        entrance.main(["run", "prog"])
    assert caught.value.argv == ("launcher", "run")


@pytest.mark.parametrize("launch", [None, ("launcher", "run")])
def test_task_takes_the_long_way_where_the_short_one_fails(
    monkeypatch: pytest.MonkeyPatch, launch: tuple[str, ...] | None
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise ToolMissingError("cannot run it: Argument list too long")

    monkeypatch.setattr("syscr.job.fresh.find_launch", lambda *_: launch)
    monkeypatch.setattr("syscr.process.replace.replace_process", refuse)
    monkeypatch.setattr("syscr.wiring.task.run_task", lambda argv: 70 + len(argv))
    assert entrance.main(["run", "--", "prog"]) == 72


def test_error_about_a_cut_output_is_not_written_into_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(RestartError("too short", output_is_short=True)) == 40
    assert capsys.readouterr().err == ""
    assert report(RestartError("gone", output_is_short=False)) == 40
    assert "syscr: gone" in capsys.readouterr().err


def test_pyslurm_that_is_asked_for_and_not_there_is_an_error(settings: Settings) -> None:
    with pytest.raises(ToolMissingError, match=r"slurm\.client demands"):
        build_manager(settings._replace(slurm_client="pyslurm"))


@pytest.mark.parametrize(("missing", "place"), [((), 0), (("no plugin",), -1)])
def test_slurms_own_checkpoints_come_first_where_there_are_any(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], place: int
) -> None:
    found = Capabilities("native", missing=missing)
    monkeypatch.setattr("syscr.wiring.health._probe_native", lambda _: found)
    backends = probe_here(settings).backends
    assert backends[place] is found
    assert len(backends) > 1
