"""The short way of ``syscr run``: the same outcome as the long one, and no outcome where there is a doubt."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from job_support import Became, become, option

from syscr import wire
from syscr.backends.criu import parse
from syscr.config import load_settings
from syscr.job import fresh
from syscr.job.environment import TaskPlace, read_place
from syscr.job.launcher import Launcher, digest_binary
from syscr.job.options import parse_run
from syscr.model import TaskSpec
from syscr.wiring.task import run_task

STEP = {
    "SLURM_JOB_ID": "12",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURMD_NODENAME": "c7",
}
BATCH = {"SLURM_JOB_ID": "12", "SLURMD_NODENAME": "c7", "SLURM_RESTART_COUNT": "0"}


class Site:
    """A node that has CRIU and a launcher, as far as one can see.

    Attributes:
        root: A directory of the test.
        installed: The installed launcher.
        directory: The checkpoint directory.
        environ: Environment of the task.
        shown: What the short way has made of it.
    """

    def __init__(self, root: Path, control: socket.socket) -> None:
        self.root = root
        self.control = control
        self.shown: dict[str, str] = {}
        self.installed = root / "syscr-launcher"
        self.directory = root / "checkpoints"
        self.install(b"binary")
        self.criu = root / "bin" / "criu"
        self.criu.parent.mkdir()
        self.criu.write_text("#!/bin/sh\n")
        self.criu.chmod(0o755)
        self.environ = {
            **STEP,
            "HOME": str(root),
            "PATH": "/bin",
            "SYSCR_CRIU__PATH": str(self.criu),
            "SYSCR_CHECKPOINT_DIR": str(self.directory),
            "SYSCR_LAUNCHER": str(self.installed),
        }

    def install(self, content: bytes) -> None:
        self.installed.write_bytes(content)
        self.installed.chmod(0o755)
        digest = digest_binary(str(self.installed))
        Path(f"{self.installed}.digest").write_text(digest + "\n")

    def make_copy(self) -> Path:
        return Path(Launcher(str(self.installed)).path_for(str(self.directory)))

    def short(self, *argv: str) -> tuple[str, ...] | None:
        words = argv or ("--", "prog", "a b", "\udcff")
        self.shown = dict(self.environ)
        launch = fresh.find_launch(words, self.shown, "/not/there", self.control)
        assert launch is not None or self.shown == self.environ
        return launch

    def long(self, *argv: str) -> Became:
        try:
            code = run_task(argv or ("--", "prog", "a b", "\udcff"), self.environ)
        except Became as program:
            return program
        raise AssertionError(f"ended with {code}")

    def record(self, name: str) -> None:
        folder = self.directory / "12.ckpt" / "records"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text("{}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("syscr.config.SYSTEM_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(fresh, "_SWITCHES", {})
    monkeypatch.setattr(fresh, "is_on_terminal", lambda: False)
    monkeypatch.setattr("syscr.job.tracking.CONFIGURATIONS", [])
    monkeypatch.setattr("syscr.job.tracking.is_own_process_kept_by_cgroup", lambda: True)
    monkeypatch.setattr("syscr.backends.criu.parse.NAMESPACE_SWITCHES", {})
    monkeypatch.setattr("syscr.job.run.replace_process", become)
    monkeypatch.setattr("syscr.job.start.replace_process", become)
    with fresh.open_control() as control:
        yield Site(tmp_path, control)


def normal(argv: tuple[str, ...]) -> tuple[list[str], TaskSpec]:
    """Return an argument list and its task without what differs at each start."""
    words = list(argv)
    for name in ("--control-fd", "--task"):
        words[words.index(name) + 1] = ""
    spec = wire.decode_task_spec(argv[argv.index("--task") + 1])
    return words, replace(spec, control="", started_at="")


@pytest.mark.parametrize("environ", [STEP, BATCH, {**BATCH, "SLURM_STEP_ID": "4294967291"}])
@pytest.mark.parametrize(
    "argv",
    [
        ("--", "prog", "a b", "\udcff"),
        ("prog",),
        ("--backend", "criu", "--", "prog"),
        ("--backend=auto", "--truncate-output", "prog", "--", "-x"),
    ],
)
def test_both_ways_become_the_same_launcher(
    site: Site, environ: dict[str, str], argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(fresh, "empty_outputs", lambda: emptied.append(1))
    for name in STEP:
        site.environ.pop(name, None)
    site.environ.update(environ)
    site.make_copy()
    short = site.short(*argv)
    assert short is not None
    long = site.long(*argv)
    assert normal(short) == normal(long.argv)
    assert len(emptied) == 2 * ("--truncate-output" in argv)
    assert long.env == site.shown
    directory = {fresh.IMAGE_DIR_VARIABLE: str(site.directory)}
    assert site.shown == {**site.environ, **directory}


def test_both_ways_leave_the_tree_where_slurm_follows_parent_links(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syscr.job.tracking.is_own_process_kept_by_cgroup", lambda: False)
    site.make_copy()
    short = site.short()
    assert short is not None
    assert normal(short) == normal(site.long().argv)
    assert short[2] == "--detach"


def test_checkpoint_dir_on_the_command_line_is_the_same_for_both(site: Site) -> None:
    other = site.root / "other"
    Launcher(str(site.installed)).path_for(str(other))
    argv = ("--checkpoint-dir", str(other), "--", "prog")
    short = site.short(*argv)
    assert short is not None
    assert normal(short) == normal(site.long(*argv).argv)
    assert site.shown[fresh.IMAGE_DIR_VARIABLE] == str(other)


def test_control_socket_is_inherited_and_named(site: Site) -> None:
    site.make_copy()
    short = site.short()
    assert short is not None
    assert site.control.get_inheritable()
    assert short[short.index("--control-fd") + 1] == str(site.control.fileno())
    spec = wire.decode_task_spec(short[short.index("--task") + 1])
    assert b"\0" + spec.control.encode() == site.control.getsockname()
    assert spec.started_at.endswith("Z")


def test_keys_that_are_left_out_have_their_default(site: Site) -> None:
    given = parse_run(["prog"])
    place = read_place(site.environ, "host")
    assert given is not None
    assert place is not None
    task = json.loads(fresh.build_task(given, place, load_settings(site.environ), "name"))
    left_out = set(TaskSpec.__dataclass_fields__) - set(task)
    assert left_out == {"restart_count", "restored_from"}


def test_node_without_a_copy_of_the_launcher_takes_the_long_way_once(site: Site) -> None:
    assert site.short() is None
    assert option(site.long(), "--task")
    assert site.short() is not None


def doubt_requeued(site: Site) -> None:
    site.environ["SLURM_RESTART_COUNT"] = "1"


def doubt_outside_of_a_job(site: Site) -> None:
    del site.environ["SLURM_JOB_ID"]


def doubt_line_of_srun(site: Site) -> None:
    site.environ["SYSCR_SRUN"] = "-n 4 prog"


def doubt_continues(site: Site) -> None:
    site.record("continues")


def doubt_decision(site: Site) -> None:
    site.record("decision-12.0")


def doubt_records_unreadable(site: Site) -> None:
    site.record("submission")
    folder = site.directory / "12.ckpt" / "records"
    folder.rename(f"{folder}.aside")
    folder.write_text("no folder")


def doubt_other_backend(site: Site) -> None:
    site.environ["SYSCR_BACKEND"] = "dmtcp"


def doubt_other_order(site: Site) -> None:
    site.environ["SYSCR_ORDER"] = "dmtcp,criu"


def doubt_wrong_setting(site: Site) -> None:
    site.environ["SYSCR_DIGEST"] = "crc32"


def doubt_unknown_setting(site: Site) -> None:
    (site.root / ".config" / "syscr").mkdir(parents=True)
    (site.root / ".config" / "syscr" / "config.toml").write_text("[store]\ncolour = 'red'\n")


def doubt_no_criu(site: Site) -> None:
    site.criu.unlink()


def doubt_criu_not_executable(site: Site) -> None:
    site.criu.chmod(0o644)


def doubt_copy_changed(site: Site) -> None:
    copy = site.make_copy()
    copy.chmod(0o700)
    copy.write_bytes(b"altered")


def doubt_new_release(site: Site) -> None:
    site.install(b"next release")


def doubt_no_digest(site: Site) -> None:
    Path(f"{site.installed}.digest").unlink()


def doubt_folder_of_others(site: Site) -> None:
    (site.directory / f".syscr-{os.geteuid()}").chmod(0o777)


def doubt_mpi(site: Site) -> None:
    site.environ["PMIX_RANK"] = "0"


def doubt_launcher_missing(site: Site) -> None:
    site.installed.unlink()


DOUBTS = {
    name.removeprefix("doubt_"): act
    for name, act in list(globals().items())
    if name.startswith("doubt_")
}


@pytest.mark.parametrize("doubt", DOUBTS.values(), ids=DOUBTS)
def test_every_doubt_is_left_to_the_long_way(site: Site, doubt: Any) -> None:
    site.make_copy()
    assert site.short() is not None
    doubt(site)
    assert site.short() is None


@pytest.mark.parametrize("argv", [("--help",), ("--back", "x"), (), ("--",)])
def test_command_line_with_a_problem_is_left_to_the_long_way(
    site: Site, argv: tuple[str, ...]
) -> None:
    site.make_copy()
    assert fresh.find_launch(argv, site.environ, "/not/there", site.control) is None


@pytest.mark.parametrize("option", ["--interval=60", "--restart-dir=/d"])
def test_helpers_and_images_are_left_to_the_long_way(site: Site, option: str) -> None:
    site.make_copy()
    assert site.short(option, "prog") is None


def test_batch_script_that_is_not_there_is_left_to_the_long_way(site: Site) -> None:
    site.make_copy()
    script = f"{load_settings(site.environ).checkpoint_dir}/.syscr-{os.geteuid()}/scripts/0a1b"
    assert site.short(script) is None
    os.makedirs(os.path.dirname(script))
    Path(script).touch()
    assert site.short(script) is not None


def test_program_on_a_terminal_is_left_to_the_long_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.make_copy()
    monkeypatch.setattr(fresh, "is_on_terminal", lambda: True)
    assert site.short() is None


def test_other_records_are_no_doubt(site: Site) -> None:
    site.make_copy()
    site.record("submission")
    assert site.short() is not None


def test_switches_are_those_of_the_backend() -> None:
    assert fresh._SWITCHES == parse.NAMESPACE_SWITCHES


@pytest.mark.parametrize(("content", "is_taken"), [("0\n", False), ("96365\n", True), (None, True)])
def test_switch_that_forbids_namespaces_is_a_doubt(
    site: Site, monkeypatch: pytest.MonkeyPatch, content: str | None, is_taken: bool
) -> None:
    site.make_copy()
    path = site.root / "switch"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(fresh, "_SWITCHES", {str(path): "0"})
    assert (site.short() is not None) == is_taken


def test_switch_that_cannot_be_read_is_a_doubt(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.make_copy()
    monkeypatch.setattr(fresh, "_SWITCHES", {str(site.root): "0"})  # a folder
    assert site.short() is None


def test_criu_is_looked_up_where_the_system_has_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.make_copy()
    del site.environ["SYSCR_CRIU__PATH"]
    monkeypatch.setattr(fresh, "_SYSTEM_PATH", "/none")
    monkeypatch.setenv("PATH", "")
    assert site.short() is None
    monkeypatch.setattr(fresh, "_SYSTEM_PATH", f"/none:{site.criu.parent}")
    assert site.short() is not None


def test_outputs_are_emptied_where_they_are_files(tmp_path: Path) -> None:
    code = (
        "from syscr.job.fresh import empty_outputs;"
        "print('old',flush=True);empty_outputs();print('new',flush=True)"
    )
    output = tmp_path / "out"
    with output.open("ab") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert output.read_text() == "new\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "old\nnew\n"


def test_short_way_imports_next_to_nothing() -> None:
    """Every task of every job pays for it."""
    code = (
        "import sys;import syscr.__main__;from syscr.job import fresh;"
        "print(*sorted({'dataclasses','logging','subprocess','click','rich','tomllib','inspect',"
        "'syscr.ports','syscr.model'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_place_of_the_task_is_the_one_of_slurm(site: Site) -> None:
    assert read_place(site.environ, "host") == TaskPlace(12, "0", 3, 4, "c7", 0)
