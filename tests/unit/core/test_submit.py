"""``syscr sbatch``, ``srun`` and ``salloc``: what Slurm's commands are given, and what is kept for a restart."""

from __future__ import annotations

import io
import math
import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from core_support import World

from syscr.config import load_settings
from syscr.errors import (
    OperationUnsupportedError,
    RequestError,
    SchedulerUnavailableError,
    StoreAccessError,
)
from syscr.model import Submission, TaskImage
from syscr.ports import CommandTimeout, Completed, StoreKey
from syscr.submit import Submitter, build_batch_script, build_step_script
from syscr.testing.store import FakeStore

SYSCR = "/opt/syscr/bin/syscr"
SCRIPT = "#!/bin/bash\n#SBATCH --time=5\n#SBATCH --mem=1G\necho work\n"


@dataclass
class Desk:
    """A user at a login node.

    Attributes:
        root: The directory he is in.
        environ: His environment.
        reply: What sbatch answers.
        limits: Time limits that sbatch was given.
        wrapper: The script that was submitted.
        words: Words of the last command of Slurm's.
        added: Variables that it was given.
        remembered: Directories that were taken note of.
    """

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    reply: Completed | Exception = field(
        default_factory=lambda: Completed(("sbatch",), 0, "4711\n")
    )
    status: int = 0
    limits: list[float | None] = field(default_factory=list)
    wrapper: str = ""
    words: tuple[str, ...] = ()
    added: Mapping[str, str] = field(default_factory=dict)
    remembered: list[str] = field(default_factory=list)
    store: FakeStore = field(default_factory=FakeStore)

    @property
    def directory(self) -> str:
        return str(self.root / "checkpoints")

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        """Stand for the runner."""
        self.words, self.added = tuple(argv), options["env"]
        self.wrapper = options["stdin"]
        self.limits.append(options["timeout_seconds"])
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    def attached(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        self.words, self.added = tuple(argv), env or {}
        return self.status

    def submitter(self, **settings: str) -> Submitter:
        overrides = {"store.checkpoint_dir": self.directory, **settings}
        return Submitter(
            settings=load_settings(
                {"HOME": str(self.root)}, overrides=overrides, system_file="/none"
            ),
            runner=self,
            open_store=lambda _: self.store,
            remember=self.remembered.append,
            syscr=SYSCR,
            environ=self.environ,
            job_environment={"LC_ALL": "de_DE"},
        )

    def sbatch(self, *argv: str) -> int:
        return self.submitter().sbatch(argv)

    def record(self, number: str = "4711") -> Mapping[str, object] | None:
        return self.store.read_record(StoreKey(number), "submission")

    @property
    def run_line(self) -> list[str]:
        """Words of ``syscr run`` in the wrapper."""
        (line,) = (line for line in self.wrapper.splitlines() if f"exec {SYSCR} run" in line)
        return shlex.split(line)[3:]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    monkeypatch.setattr("syscr.submit.run_attached", desk.attached)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.sh").write_text(SCRIPT)
    return desk


def test_script_is_submitted_as_a_wrapper_around_its_copy(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.sbatch("-N2", "job.sh", "a b", "--x") == 0
    assert desk.words[-1] != "job.sh"
    assert {"--open-mode=append", "--job-name=job.sh", "-N2"} <= set(desk.words)
    assert "#SBATCH --time=5" in desk.wrapper
    *options, copy, one, two = desk.run_line
    assert options == ["--checkpoint-dir", desk.directory, "--truncate-output", "--"]
    assert (one, two) == ("a b", "--x")
    assert Path(copy).read_text() == SCRIPT
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o700
    assert desk.record() == {
        "command": "sbatch",
        "options": ["--job-name=job.sh", "-N2"],
        "program": [],
    }
    assert desk.remembered == [desk.directory]
    assert capsys.readouterr() == ("Submitted batch job 4711\n", "")


def test_users_slurm_environment_reaches_sbatch_and_ours_does_not(desk: Desk) -> None:
    desk.environ.update(SBATCH_PARTITION="x", SLURM_CONF="/c", HOME="/h", SBATCH_JOB_NAME="mine")
    desk.sbatch("job.sh")
    assert desk.added == {"SBATCH_PARTITION": "x", "SLURM_CONF": "/c", "SBATCH_JOB_NAME": "mine"}
    assert [word for word in desk.words if word.startswith("--job-name")] == ["--job-name=mine"]
    assert "LC_ALL=de_DE" in desk.words


@pytest.mark.parametrize("words", [["-J", "mine"], ["--job-name=mine"]])
def test_job_name_of_the_user_wins(desk: Desk, words: list[str]) -> None:
    desk.sbatch(*words, "job.sh")
    assert "--job-name=job.sh" not in desk.words


def test_job_name_in_the_script_wins(desk: Desk) -> None:
    (desk.root / "job.sh").write_text("#!/bin/sh\n#SBATCH -J inside\n")
    desk.sbatch("job.sh")
    assert "--job-name=job.sh" not in desk.words


@pytest.mark.parametrize(
    ("words", "reply", "output"),
    [
        ([], "7;west\n", "Submitted batch job 7 on cluster west\n"),
        (["--parsable"], "7;west\n", "7;west\n"),
        (["--quiet"], "7\n", ""),
        (["-Q"], "7\n", ""),
    ],
)
def test_answer_is_the_one_that_sbatch_would_give(
    desk: Desk, capsys: pytest.CaptureFixture[str], words: list[str], reply: str, output: str
) -> None:
    desk.reply = Completed(("sbatch",), 0, reply, "sbatch: a remark\n")
    assert desk.sbatch(*words, "job.sh") == 0
    assert capsys.readouterr() == (output, "sbatch: a remark\n")
    assert desk.record("7") is not None


@pytest.mark.parametrize(("code", "status"), [(1, 1), (None, 1), (3, 3)])
def test_refusal_of_sbatch_is_passed_on(
    desk: Desk, capsys: pytest.CaptureFixture[str], code: int | None, status: int
) -> None:
    desk.reply = Completed(("sbatch",), code, "", "sbatch: error: no\n")
    assert desk.sbatch("job.sh") == status
    assert capsys.readouterr() == ("", "sbatch: error: no\n")
    assert (desk.remembered, desk.record()) == ([], None)


@pytest.mark.parametrize("reply", ["what?\n", ""])
def test_answer_that_is_not_understood_costs_the_record_only(
    desk: Desk, capsys: pytest.CaptureFixture[str], reply: str
) -> None:
    desk.reply = Completed(("sbatch",), 0, reply)
    assert desk.sbatch("job.sh") == 0
    assert "a restart will derive the options" in capsys.readouterr().err


def test_record_that_cannot_be_written_is_a_remark(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.store.failures["write_record"] = StoreAccessError("read-only", hint="chmod")
    assert desk.sbatch("job.sh") == 0
    assert capsys.readouterr().err == (
        "syscr: warning: read-only; how job 4711 was submitted is not recorded, and checkpoints of it may "
        "fail for the same reason\nhint: chmod\n"
    )


def test_silent_sbatch_leaves_a_doubt_that_is_named(desk: Desk) -> None:
    desk.reply = CommandTimeout(Completed(("sbatch",), None), 30.0)
    with pytest.raises(SchedulerUnavailableError, match="nobody knows whether") as caught:
        desk.sbatch("job.sh")
    assert "squeue --me" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "limit"), [([], None), (["--wait"], math.inf), (["-W"], math.inf)]
)
def test_sbatch_that_waits_for_the_job_has_no_limit(
    desk: Desk, words: list[str], limit: float | None
) -> None:
    desk.sbatch(*words, "job.sh")
    assert desk.limits == [limit]


def test_wrapped_command_becomes_a_script(desk: Desk) -> None:
    desk.sbatch("--wrap=echo 'a b'", "-n4")
    assert "--job-name=wrap" in desk.words
    assert not any(word.startswith("--wrap") for word in desk.words)
    assert "echo 'a b'" in Path(desk.run_line[-1]).read_text()
    with pytest.raises(RequestError, match="exclude each other"):
        desk.sbatch("--wrap=true", "job.sh")


def test_script_may_come_on_standard_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SCRIPT))
    desk.sbatch("-n1")
    assert "--job-name=sbatch" in desk.words
    assert Path(desk.run_line[-1]).read_text() == SCRIPT


def test_script_that_cannot_be_read_is_named(desk: Desk) -> None:
    with pytest.raises(RequestError, match=r"cannot read batch script 'missing\.sh': No such file"):
        desk.sbatch("missing.sh")
    assert desk.words == ()


def test_script_that_is_not_unicode_keeps_its_bytes(desk: Desk) -> None:
    content = b"#!/bin/sh\necho \xff\xfe\n"
    (desk.root / "job.sh").write_bytes(content)
    desk.sbatch("job.sh")
    assert Path(desk.run_line[-1]).read_bytes() == content


@pytest.mark.parametrize("path", ["/", ".", "images", "/d/4711.ckpt/other", "/d/4711"])
def test_restart_dir_that_names_no_image_is_refused(desk: Desk, path: str) -> None:
    with pytest.raises(RequestError, match="names no image; nothing was submitted") as caught:
        desk.sbatch(f"--restart-dir={path}", "job.sh")
    assert "DIR/1234.ckpt" in caught.value.hint
    assert desk.words == ()


@pytest.mark.parametrize("where", ["command", "script"])
def test_own_options_are_taken_from_both_places(desk: Desk, where: str) -> None:
    own = ["--checkpoint-dir=ours", "--backend=dmtcp", "--checkpoint=10", "--restart-dir=7.ckpt"]
    if where == "script":
        lines = "".join(f"#SBATCH {word}\n" for word in own)
        (desk.root / "job.sh").write_text(f"#!/bin/sh\n{lines}true\n")
        own = []
    desk.sbatch(*own, "job.sh")
    assert desk.run_line[:8] == [
        *["--checkpoint-dir", str(desk.root / "ours"), "--backend", "dmtcp"],
        *["--interval", "600", "--restart-dir", str(desk.root / "7.ckpt")],
    ]
    assert not any("checkpoint" in word for word in desk.words)


def test_open_mode_of_the_user_decides_about_truncation(desk: Desk) -> None:
    for words, is_truncated in (
        (["--open-mode=append"], False),
        (["--open-mode=truncate"], True),
        ([], True),
    ):
        desk.sbatch(*words, "job.sh")
        assert ("--truncate-output" in desk.run_line) == is_truncated


def test_unknown_backend_is_refused_before_anything_is_stored(desk: Desk) -> None:
    with pytest.raises(RequestError, match="unknown backend 'mana'") as caught:
        desk.sbatch("--backend=mana", "job.sh")
    assert "criu" in caught.value.hint
    assert desk.words == ()


@pytest.mark.parametrize("verb", ["sbatch", "srun"])
def test_heterogeneous_jobs_are_refused(desk: Desk, verb: str) -> None:
    with pytest.raises(OperationUnsupportedError, match="heterogeneous"):
        getattr(desk.submitter(), verb)(["-n1", "prog" if verb == "srun" else ":", ":", "job.sh"])
    assert desk.words == ()


def test_directory_that_cannot_be_written_refuses_the_submission(desk: Desk) -> None:
    Path(desk.directory).write_text("a file is in the way")
    with pytest.raises(StoreAccessError, match="nothing was submitted"):
        desk.sbatch("job.sh")
    assert desk.words == ()


def test_step_gets_syscr_run_in_front_of_its_program(desk: Desk) -> None:
    desk.status = 7
    words = ["-N2", "--checkpoint-dir=ours", "prog", "-n", "a b"]
    assert desk.submitter().srun(words) == 7
    assert desk.words == (
        *["srun", "-N2", SYSCR, "run", "--checkpoint-dir", str(desk.root / "ours")],
        *["--", "prog", "-n", "a b"],
    )
    assert desk.added == {
        "SYSCR_SRUN": shlex.join(words)
    }  # outside of a job Slurm keeps it nowhere
    assert desk.remembered == [str(desk.root / "ours")]


def test_step_inside_of_a_job_needs_no_record(desk: Desk) -> None:
    desk.environ["SLURM_JOB_ID"] = "12"
    desk.submitter().srun(["prog"])
    assert desk.added == {}
    assert "--open-mode=append" not in desk.words


def test_srun_without_program_is_passed_on(desk: Desk) -> None:
    assert desk.submitter().srun(["--version"]) == 0
    assert desk.words == ("srun", "--version")


@pytest.mark.parametrize("how", ["requeued", "continues"])
@pytest.mark.parametrize(
    ("words", "is_appended", "is_truncated"),
    [
        (["prog"], True, False),
        (["-o", "out.%j", "prog"], True, False),
        (["-o", "out.%t", "prog"], True, True),
        (["--open-mode=truncate", "prog"], False, False),
    ],
)
def test_step_of_a_job_that_goes_on_appends_to_its_output(
    desk: Desk, how: str, words: list[str], is_appended: bool, is_truncated: bool
) -> None:
    desk.environ["SLURM_JOB_ID"] = "12"
    if how == "requeued":
        desk.environ["SLURM_RESTART_COUNT"] = "1"
    else:
        desk.store.write_record(StoreKey("12"), "continues", {"lineage": "4711"})
    desk.submitter().srun(words)
    assert ("--open-mode=append" in desk.words) == is_appended
    assert ("--truncate-output" in desk.words) == is_truncated


@pytest.mark.parametrize("number", ["", "x"])
def test_job_number_that_is_none_means_no_job(desk: Desk, number: str) -> None:
    desk.environ["SLURM_JOB_ID"] = number
    desk.submitter().srun(["prog"])
    assert "--open-mode=append" not in desk.words


def test_options_of_salloc_become_defaults_inside(desk: Desk) -> None:
    desk.submitter().salloc(["-N2", "--checkpoint-dir=ours", "--backend=criu", "bash", "-l"])
    assert desk.words == ("salloc", "-N2", "bash", "-l")
    assert desk.added == {"SYSCR_CHECKPOINT_DIR": str(desk.root / "ours"), "SYSCR_BACKEND": "criu"}


def test_bare_salloc_is_passed_on(desk: Desk) -> None:
    desk.submitter().salloc([])
    assert desk.words == ("salloc",)
    assert desk.added == {}


def test_configured_backend_is_passed_to_the_tasks(desk: Desk) -> None:
    desk.submitter(**{"checkpoint.backend": "dmtcp"}).srun(["prog"])
    assert desk.words[5:7] == ("--backend", "dmtcp")


def test_step_without_script_is_started_again_as_it_was(world: World) -> None:
    image = world.add_image(
        step="0",
        submission=Submission("srun", program=("-n2", "prog", "a b")),
        tasks=(TaskImage(0, "c1", "data/0", state={"home_dir": "/home dir"}),),
    )
    script = build_step_script(image, SYSCR)
    assert script.startswith("#!/bin/sh\n")
    assert script.endswith(f"exec {SYSCR} srun '--checkpoint-dir=/home dir' -n2 prog 'a b'\n")


def test_step_whose_line_is_not_known_is_started_by_its_program(world: World) -> None:
    tasks = (TaskImage(0, "c1", "data/0", argv=("prog", "x")), TaskImage(1, "c2", "data/1"))
    image = world.add_image(step="0", task_count=2, tasks=tasks, submission=Submission("srun"))
    line = build_step_script(image, SYSCR).splitlines()[-1]
    assert line == f"exec {SYSCR} srun --checkpoint-dir=/shared/alice --ntasks=2 prog x"


def test_new_job_of_the_plugin_gets_a_wrapper_around_the_copy(world: World) -> None:
    script = "#!/bin/bash\n#SBATCH --checkpoint=1\n#SBATCH --mem=1G\nwork\n"
    own = ("--mem=2G", "--checkpoint-dir=/c d", "--checkpoint=30")
    tasks = (TaskImage(0, "c1", "data/0", argv=("/c d/scripts/12", "a b")),)
    image = world.add_image(tasks=tasks, submission=Submission("sbatch", own, ("a b",), script))
    wrapper = build_batch_script(image, SYSCR)
    assert "#SBATCH --mem=1G\n" in wrapper
    assert "#SBATCH --checkpoint" not in wrapper
    assert (
        f"exec {SYSCR} run --checkpoint-dir '/c d' --interval 1800 -- '/c d/scripts/12' 'a b'\n"
        in wrapper
    )


@pytest.mark.parametrize(
    ("step", "options"), [("0", ("--checkpoint-dir=/c",)), ("batch", ("--mem=1G",))]
)
def test_other_scripts_are_submitted_as_they_were(
    world: World, step: str, options: tuple[str, ...]
) -> None:
    image = world.add_image(step=step, submission=Submission("sbatch", options, (), SCRIPT))
    assert build_batch_script(image, SYSCR) == SCRIPT


def test_variable_is_weaker_than_the_command_line_and_stronger_than_the_script(desk: Desk) -> None:
    desk.environ = {
        "SBATCH_CHECKPOINT": "20",
        "SBATCH_CHECKPOINT_DIR": "/var",
        "SLURM_CHECKPOINT": "1",
    }
    script = desk.root / "own.sh"
    script.write_text("#!/bin/sh\n#SBATCH --checkpoint=10 --checkpoint-dir=/script\n")
    desk.sbatch("--checkpoint-dir=" + desk.directory, str(script))
    words = desk.run_line
    assert words[words.index("--interval") + 1] == "1200"
    assert words[words.index("--checkpoint-dir") + 1] == desk.directory


def test_variables_of_srun_count_for_a_job_where_those_of_sbatch_are_not_set(desk: Desk) -> None:
    directory = str(desk.root / "images")
    desk.environ = {
        "SLURM_CHECKPOINT": "0:04",
        "SLURM_CHECKPOINT_DIR": directory,
        "SLURM_RESTART_DIR": "/r",
    }
    desk.sbatch("job.sh")
    words = desk.run_line
    assert words[words.index("--interval") + 1] == "4"
    assert words[words.index("--checkpoint-dir") + 1] == directory
    assert "--restart-dir" not in words
    # the steps in the script find them, the plugin in sbatch is told to leave them
    assert dict(desk.added) == {
        **desk.environ,
        "SBATCH_CHECKPOINT": "",
        "SBATCH_CHECKPOINT_DIR": "",
    }
    desk.environ = {"SLURM_CHECKPOINT": "soon", "SBATCH_CHECKPOINT": ""}
    desk.sbatch("job.sh")
    assert "--interval" not in desk.run_line


def test_variables_do_not_reach_the_plugin_through_our_sbatch(desk: Desk) -> None:
    handed_on = "SLURM_SPANK__SLURM_SPANK_OPTION_syscr_checkpoint"
    desk.environ = {"SBATCH_CHECKPOINT": "20", handed_on: "5", "SBATCH_PARTITION": "debug"}
    desk.sbatch("job.sh")
    assert dict(desk.added) == {"SBATCH_PARTITION": "debug"}


def test_variables_of_srun_count_for_a_step(desk: Desk) -> None:
    desk.environ = {
        "SLURM_CHECKPOINT": "0:30",
        "SLURM_RESTART_DIR": "/r",
        "SLURM_CHECKPOINT_DIR": "",
    }
    desk.submitter().srun(["prog"])
    words = list(desk.words)
    assert words[words.index("--interval") + 1] == "30"
    assert words[words.index("--restart-dir") + 1] == "/r"


def test_wrong_variable_counts_only_where_it_is_not_overridden(desk: Desk) -> None:
    desk.environ = {"SBATCH_CHECKPOINT": "soon"}
    assert desk.sbatch("--checkpoint=1", "job.sh") == 0
    with pytest.raises(RequestError, match="invalid checkpoint interval"):
        desk.sbatch("job.sh")
