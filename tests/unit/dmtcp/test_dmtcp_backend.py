"""The commit rules, against a simulated DMTCP whose every step happens when the clock is moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from syscr.backends.dmtcp import backend as backend_module
from syscr.backends.dmtcp import dump, installation
from syscr.backends.dmtcp.backend import DmtcpBackend
from syscr.backends.dmtcp.checks import Space
from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    CoordinatorError,
    ImageIncompatibleError,
    RestartTimeoutError,
    ToolMissingError,
)
from syscr.model import TaskImage, TaskSpec
from syscr.ports import CommandTimeout, Completed
from syscr.testing.clock import FakeClock
from syscr.testing.task import FakeTask

PROGRAMS = ("dmtcp_launch", "dmtcp_restart", "dmtcp_coordinator", "dmtcp_command", "mtcp_restart")
Step = Callable[[], None]


@pytest.fixture(autouse=True)
def _library_that_dmtcp_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the C library of this machine: DMTCP is not usable on each."""
    monkeypatch.setattr(installation, "read_library_version", lambda: "glibc 2.41")


class FakeDmtcp(FakeClock):
    """Plays coordinator, processes and time: each sleep does the next step.

    Attributes:
        peers: Connected processes.
        running: Whether they run.
        alive: Whether the coordinator answers.
        steps: What happens after a request, one step per sleep.
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.peers = 2
        self.running = True
        self.alive = True
        self.hangs = False
        self.version = "4.2.0"
        self.steps: list[Step] = []
        self.generation = 0
        self.requests = 0
        self.plan: Callable[[], list[Step]] = self.succeed

    # Time
    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.steps:
            self.steps.pop(0)()

    # Runner
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
        assert timeout_seconds is not None
        words, verb = tuple(argv), argv[-1]
        if verb == "--version":
            known = "--json" not in words
            return Completed(words, 0 if known else 1, f"dmtcp_launch (DMTCP) {self.version}\n")
        if self.hangs:
            raise CommandTimeout(Completed(words, None), timeout_seconds)
        if not self.alive:
            return Completed(words, 2, "", "Coordinator not found. Please check port and host.\n")
        return Completed(words, *self.answer(verb))

    def answer(self, verb: str) -> tuple[int, str, str]:
        if verb == "--status":
            answer = "yes" if self.running else "no"
            return 0, f"  NUM_PEERS={self.peers}\n  RUNNING={answer}\n", ""
        if verb == "--list":
            return 0, "Client List:\n", ""
        if not self.running:
            return 2, "", "Error, computation not in running state.  Either ...\n"
        self.requests += 1
        self.generation += 1
        self.running = False
        self.steps = self.plan()
        return 0, "", ""

    # What may happen
    @property
    def name(self) -> str:
        return f"98ff-40000-1_{self.generation:05d}"

    def write(self, *names: str) -> None:
        folder = self.run_dir / f"ckpt_{self.name}"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text("image")

    def rename(self, count: int) -> None:
        for file in sorted((self.run_dir / f"ckpt_{self.name}").glob("*.temp"))[:count]:
            file.rename(file.with_suffix(""))

    def script(self, count: int) -> None:
        folder = self.run_dir / f"ckpt_{self.name}"
        paths = "".join(f" {file}" for file in sorted(folder.glob("*.dmtcp"))[:count])
        (self.run_dir / f"dmtcp_restart_script_{self.name}.sh").write_text(
            f'# Number of processes in the computation = {count}\ngiven_ckpt_files="{paths}"\n'
            "  $ckpt_files\n"
        )

    def resume(self) -> None:
        self.running = True

    def succeed(self) -> list[Step]:
        return [
            lambda: self.write("a.dmtcp.temp", "b.dmtcp.temp"),
            lambda: self.rename(2),
            lambda: self.script(2),
            self.resume,
        ]


class World:
    """A backend with its simulated tool, and one task."""

    def __init__(self, root: Path) -> None:
        self.prefix = root / "dmtcp"
        (self.prefix / "bin").mkdir(parents=True)
        for program in PROGRAMS:
            (self.prefix / "bin" / program).touch(mode=0o755)
        run_dir = root / "run"
        run_dir.mkdir()
        (run_dir / "dmtcp-port").write_text("4711\n")
        self.dmtcp = FakeDmtcp(run_dir)
        self.backend = DmtcpBackend(
            self.dmtcp, self.dmtcp, prefix=str(self.prefix), environ={"SLURM_JOB_ID": "8"}
        )
        spec = TaskSpec(
            7, "batch", 0, "c1", "7", str(root), "dmtcp", run_dir=str(run_dir), argv=("true",)
        )
        self.task = FakeTask(spec, launcher_pid=os.getpid(), processes=(os.getpid(),))
        self.data = root / "data"
        self.data.mkdir()

    def checkpoint(self, **options: float) -> Mapping[str, object]:
        options.setdefault("timeout_seconds", 60)
        return self.backend.checkpoint(self.task, str(self.data), **options).state


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A node on which all is well."""
    for module in (backend_module, dump):
        monkeypatch.setattr(module, "can_fix_addresses", lambda: True)
    return World(tmp_path)


def test_checkpoint_moves_the_images_and_says_what_they_are(world: World) -> None:
    state = world.checkpoint()
    assert state["images"] == ["a.dmtcp", "b.dmtcp"]
    assert state["tool_version"] == "4.2.0"
    assert str(state["generation_dir"]).endswith("/run/ckpt_98ff-40000-1_00001")
    assert sorted(path.name for path in world.data.iterdir() if path.is_file()) == state["images"]
    assert not list(world.dmtcp.run_dir.glob("*ckpt_98ff*"))


def test_checkpoint_with_hold_stops_the_task_at_once(world: World) -> None:
    world.checkpoint(hold_seconds=30)
    assert world.task.acts == ["hold"]
    assert not world.dmtcp.running


def test_checkpoint_just_after_another_waits_for_the_running_state(world: World) -> None:
    world.dmtcp.running = False
    world.dmtcp.steps = [lambda: None, world.dmtcp.resume]
    assert world.checkpoint()["images"]


def test_checkpoint_that_never_can_start_touches_nothing(world: World) -> None:
    world.dmtcp.running = False
    with pytest.raises(CoordinatorError, match="nothing was dumped"):
        world.checkpoint()
    assert world.dmtcp.requests == 0


@pytest.mark.parametrize(("alive", "hangs"), [(False, False), (True, True)])
def test_checkpoint_without_coordinator_is_a_coordinator_error(
    world: World, *, alive: bool, hangs: bool
) -> None:
    world.dmtcp.alive, world.dmtcp.hangs = alive, hangs
    with pytest.raises(CoordinatorError):
        world.checkpoint()


def test_checkpoint_without_port_file_is_a_coordinator_error(world: World) -> None:
    (world.dmtcp.run_dir / "dmtcp-port").unlink()
    with pytest.raises(CoordinatorError, match="dmtcp-port"):
        world.checkpoint()


def test_lost_process_leaves_the_others_frozen_and_the_error_says_so(world: World) -> None:
    dmtcp = world.dmtcp

    def lose() -> None:
        dmtcp.peers = 1

    dmtcp.plan = lambda: [
        lambda: dmtcp.write("a.dmtcp.temp", "b.dmtcp.temp"),
        lose,
        lambda: dmtcp.rename(1),
        lambda: dmtcp.script(1),
    ]
    with pytest.raises(CheckpointError, match="stands still") as caught:
        world.checkpoint()
    assert caught.value.details["task_state"] == "frozen"
    assert not list(world.data.iterdir())


def test_process_that_ended_before_the_checkpoint_is_tried_again(world: World) -> None:
    dmtcp = world.dmtcp

    def one_process() -> list[Step]:
        dmtcp.plan = dmtcp.succeed
        return [
            lambda: dmtcp.write("a.dmtcp.temp"),
            lambda: dmtcp.rename(1),
            lambda: dmtcp.script(1),
            dmtcp.resume,
        ]

    dmtcp.plan = one_process
    assert world.checkpoint()["images"] == ["a.dmtcp", "b.dmtcp"]
    assert dmtcp.requests == 2


def test_unfinished_file_beside_a_script_is_no_image(world: World) -> None:
    dmtcp = world.dmtcp
    dmtcp.plan = lambda: [
        lambda: dmtcp.write("a.dmtcp.temp", "b.dmtcp.temp"),
        lambda: dmtcp.rename(1),
        lambda: dmtcp.script(1),
        dmtcp.resume,
    ]
    with pytest.raises(CheckpointError, match="tried 3 times; the task runs on"):
        world.checkpoint()
    assert dmtcp.requests == 3
    assert not list(dmtcp.run_dir.glob("ckpt_*"))


def test_hang_is_a_timeout_that_says_that_the_task_is_lost(world: World) -> None:
    dmtcp = world.dmtcp
    dmtcp.plan = lambda: [lambda: dmtcp.write("a.dmtcp.temp")]
    with pytest.raises(CheckpointTimeoutError, match="previous image"):
        world.checkpoint(timeout_seconds=5)


def test_slow_checkpoint_past_the_limit_may_still_run_on(world: World) -> None:
    world.dmtcp.plan = lambda: [world.dmtcp.resume]
    with pytest.raises(CheckpointTimeoutError, match="the task runs on"):
        world.checkpoint(timeout_seconds=5)


def test_task_that_dies_during_the_checkpoint_has_ended(world: World) -> None:
    dmtcp = world.dmtcp

    def die() -> None:
        dmtcp.alive = False
        world.task.processes = ()

    dmtcp.plan = lambda: [lambda: dmtcp.write("a.dmtcp.temp"), die]
    with pytest.raises(CheckpointError, match="it ended during the checkpoint") as caught:
        world.checkpoint()
    assert caught.value.details["task_state"] == "ended"


def test_unknown_sizes_are_tried_again_and_a_hold_is_ended_in_between(
    world: World, tmp_path: Path
) -> None:
    dmtcp = world.dmtcp
    with (tmp_path / "growing").open("w") as growing:

        def too_quick() -> list[Step]:
            dmtcp.plan = dmtcp.succeed
            growing.write("more")
            growing.flush()

            def all_at_once() -> None:
                dmtcp.write("a.dmtcp", "b.dmtcp")
                dmtcp.script(2)

            return [all_at_once]

        dmtcp.plan = too_quick
        original = world.task.resume

        def resume() -> None:
            original()
            dmtcp.resume()

        world.task.resume = resume  # type: ignore[method-assign]
        world.checkpoint(hold_seconds=5)
    assert world.task.acts == ["hold", "resume", "hold"]
    assert dmtcp.requests == 2


def test_leftovers_of_an_older_attempt_are_removed(world: World) -> None:
    old = world.dmtcp.run_dir / "ckpt_98ff-40000-9_00007"
    old.mkdir()
    world.checkpoint()
    assert not old.exists()


def test_full_disk_is_refused_before_anything_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump, "_read_space", lambda path: Space(path, 1 << 20))
    with pytest.raises(CheckpointError, match=r"1\.0 MiB free.*nothing was dumped"):
        world.checkpoint()
    assert world.dmtcp.requests == 0


def test_launch_plan_has_coordinator_and_no_port_in_argv(world: World) -> None:
    plan = world.backend.build_launch(replace(world.task.spec, argv=("prog", "{port}")))
    assert plan.sidecar_listen_fd == 821
    assert not plan.namespaces
    assert not plan.no_randomize
    assert plan.argv[-2:] == ("prog", "{port}")
    assert [name for name, value in plan.env.items() if "{port}" in value] == ["DMTCP_COORD_PORT"]


def test_restore_writes_environment_and_takes_all_images(world: World) -> None:
    for name in ("b.dmtcp", "a.dmtcp"):
        (world.data / name).touch()
    image = TaskImage(0, "c1", "data/0", state={"tool_version": "4.2.0"})
    plan = world.backend.build_restore(world.task.spec, image, str(world.data))
    assert plan.argv[-2:] == (f"{world.data}/a.dmtcp", f"{world.data}/b.dmtcp")
    assert plan.no_randomize
    assert (world.dmtcp.run_dir / "dmtcp_env.txt").read_text() == "SLURM_JOB_ID=8\n"


def test_restore_by_another_version_is_refused(world: World) -> None:
    world.dmtcp.version = "5.0"
    image = TaskImage(0, "c1", "data/0", state={"tool_version": "4.2.0"})
    with pytest.raises(ImageIncompatibleError, match=r"4\.2\.0.*5\.0"):
        world.backend.build_restore(world.task.spec, image, str(world.data))


def test_restore_where_programs_would_crash_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (backend_module, dump):
        monkeypatch.setattr(module, "can_fix_addresses", lambda: False)
    state = {"tool_version": "4.2.0", "needs_fixed_addresses": True}
    with pytest.raises(ImageIncompatibleError, match="randomisation"):
        world.backend.build_restore(
            world.task.spec, TaskImage(0, "c1", "d", state=state), str(world.data)
        )


def test_wait_restored_counts_processes(world: World) -> None:
    image = TaskImage(0, "c1", "d", state={"images": ["a.dmtcp", "b.dmtcp", "c.dmtcp"]})
    with pytest.raises(RestartTimeoutError, match="2 of 3 processes"):
        world.backend.wait_restored(world.task, image, timeout_seconds=1)
    world.dmtcp.peers = 3
    world.backend.wait_restored(world.task, image, timeout_seconds=1)
    world.dmtcp.alive = False
    with pytest.raises(RestartTimeoutError, match="coordinator"):
        world.backend.wait_restored(world.task, image, timeout_seconds=1)


@pytest.mark.parametrize("loss", ["peer", "coordinator"])
def test_restored_process_that_ends_at_once_does_not_count_as_running(
    world: World, loss: str
) -> None:
    """DMTCP says that it runs before its threads do."""
    image = TaskImage(0, "c1", "d", state={"images": ["a.dmtcp", "b.dmtcp"]})

    def end() -> None:
        world.dmtcp.peers -= loss == "peer"
        world.dmtcp.alive = loss == "peer"

    world.dmtcp.steps = [end]
    with pytest.raises(RestartTimeoutError, match=r"1 of 2 processes|coordinator"):
        world.backend.wait_restored(world.task, image, timeout_seconds=1)


def test_probe_says_what_is_there(world: World) -> None:
    found = world.backend.probe()
    assert (found.tool_version, found.missing) == ("4.2.0", ())
    assert found.features["json"] is False
    assert found.features["unique_option"] is True


def test_probe_of_broken_tool_gives_a_reason(world: World) -> None:
    world.dmtcp.version = ""
    assert "not understood" in world.backend.probe().missing[0]


def test_missing_tool_is_an_obstacle_and_no_crash(tmp_path: Path) -> None:
    dmtcp = FakeDmtcp(tmp_path)
    backend = DmtcpBackend(dmtcp, dmtcp, prefix=str(tmp_path / "none"), environ={"PATH": ""})
    assert backend.find_obstacle() == f"no dmtcp_launch below '{tmp_path}/none' or in PATH"
    assert backend.probe().missing == (backend.find_obstacle(),)
    with pytest.raises(ToolMissingError, match="no dmtcp_launch"):
        backend.build_launch(TaskSpec(7, "0", 0, "c1", "7", "/d", "dmtcp", argv=("true",)))


def test_low_limit_of_open_files_is_an_obstacle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (512, 4096))
    assert "512" in world.backend.find_obstacle()


@pytest.mark.parametrize(
    ("library", "kernel", "is_fatal"),
    [
        ("glibc 2.43", "6.18.44", True),
        ("glibc 2.42", "6.13.0-rc1", True),
        ("glibc 2.41", "6.18.44", False),
        ("glibc 2.43", "6.12.63+deb13-amd64", False),
        ("glibc 3.0", "7.0", True),
        ("musl 2.50", "6.18.44", False),
        ("glibc ", "6.18.44", False),
        ("", "6.18.44", False),
    ],
)
def test_library_whose_stacks_cannot_be_written_is_an_obstacle(
    world: World, monkeypatch: pytest.MonkeyPatch, library: str, kernel: str, is_fatal: bool
) -> None:
    """DMTCP would end the program instead of writing the image."""
    monkeypatch.setattr(installation, "read_library_version", lambda: library)
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(release=kernel))
    obstacle = world.backend.find_obstacle()
    assert obstacle.startswith("DMTCP ends a program at its first checkpoint") == is_fatal
    assert (library in obstacle and kernel in obstacle) or not is_fatal


def test_incomplete_installation_names_what_it_lacks(world: World) -> None:
    (world.prefix / "bin" / "mtcp_restart").unlink()
    assert "mtcp_restart" in world.backend.find_obstacle()


def test_check_of_unreachable_coordinator_is_a_finding(world: World) -> None:
    world.dmtcp.alive = False
    codes = [finding.code for finding in world.backend.check(world.task)]
    assert "coordinator_unreachable" in codes


def test_check_of_process_outside_of_dmtcp_names_it(world: World) -> None:
    found = {finding.code: finding for finding in world.backend.check(world.task)}
    assert found["unprotected_process"].pid == os.getpid()
