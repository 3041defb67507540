"""``syscr run``: launch or restore, decided once for all ranks; a first start never fails because of us."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from job_support import AGAIN, COMMAND, PLACE, Job, option, words_after

from syscr import wire
from syscr.errors import (
    CheckpointError,
    ImageCorruptError,
    ImageIncompatibleError,
    ImageNotFoundError,
    RestartError,
    StoreAccessError,
    SyscrError,
    ToolMissingError,
)
from syscr.job import fresh
from syscr.job.agent_request import AgentRequest
from syscr.job.choosing import _FIRST_WAIT_SECONDS, _PURPOSE, _WAIT_SECONDS
from syscr.job.launcher import digest_binary
from syscr.model import FileState, HostFacts
from syscr.ports import LaunchPlan, Store, StoreKey
from syscr.testing.backend import IMAGE_FILE, FakeBackend
from syscr.units import AUTO_INTERVAL

KEY = StoreKey("12")


def test_first_start_becomes_the_launcher_of_the_program(job: Job) -> None:
    program = job.run()
    assert program.argv[1] == "run"
    assert words_after(program) == COMMAND
    spec = wire.decode_task_spec(option(program, "--task"))
    assert (spec.number, spec.step, spec.rank, spec.lineage) == (12, "batch", 0, "12")
    assert (spec.argv, spec.backend, spec.restored_from) == (COMMAND, "fake", "")
    assert spec.run_dir == f"{job.directory}/12.ckpt/run/12.0.0"
    assert Path(spec.run_dir).is_dir()
    assert "--ready" not in program.argv
    assert job.warnings == []


def test_launcher_runs_from_a_copy_that_stays(job: Job) -> None:
    path = job.run().argv[0]
    digest = digest_binary(str(job.installed))
    assert path == f"{job.directory}/.syscr-{os.geteuid()}/launcher/{digest}/syscr-launcher"
    assert Path(path).read_bytes() == b"binary"


def test_control_socket_listens_and_is_inherited(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[socket.socket] = []
    real = fresh.open_control

    def keep() -> socket.socket:
        kept.append(real())
        return kept[0]

    monkeypatch.setattr("syscr.job.fresh.open_control", keep)
    program = job.run()
    assert option(program, "--control-fd") == str(kept[0].fileno())
    assert kept[0].get_inheritable()
    name = wire.decode_task_spec(option(program, "--task")).control
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(b"\0" + name.encode())
    kept[0].close()


def test_plan_of_the_backend_becomes_options(job: Job) -> None:
    job.backend.plan = LaunchPlan(
        ("dmtcp_launch", "prog"),
        namespaces=True,
        no_randomize=True,
        env={"DMTCP_X": "1"},
        log_path="/log",
        uses_run_dir=False,
    )
    program = job.run()
    assert {"--namespaces", "--no-randomize"} <= set(program.argv)
    assert option(program, "--log") == "/log"
    assert words_after(program) == ("dmtcp_launch", "prog")
    assert program.env == {
        "PATH": "/bin",
        "DMTCP_X": "1",
        "SLURM_CHECKPOINT_IMAGE_DIR": job.directory,
    }
    assert not Path(job.directory, "12.ckpt", "run").exists()


def test_line_of_srun_is_recorded_by_rank_0_and_hidden_from_the_program(job: Job) -> None:
    job.environ["SYSCR_SRUN"] = "-n 2 'a b'"
    for rank in (1, 0):
        program = job.run(PLACE._replace(step="0", rank=rank, task_count=2))
        assert program.env is not None
        assert "SYSCR_SRUN" not in program.env
    record = job.store.read_record(KEY, "submission")
    assert record == {"command": "srun", "options": [], "program": ["-n", "2", "a b"]}


@pytest.mark.parametrize(
    ("rank", "step"), [(1, "0"), (0, "batch")], ids=["other rank", "batch script"]
)
def test_line_of_srun_is_not_recorded_by_others(job: Job, rank: int, step: str) -> None:
    job.run(PLACE._replace(step=step, rank=rank, task_count=2))
    assert job.store.read_record(KEY, "submission") is None


def test_outputs_are_emptied_at_a_first_start_where_that_was_asked_for(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr("syscr.job.fresh.empty_outputs", lambda: emptied.append(True))
    job.run()
    assert emptied == []
    job.run(truncate_output=True)
    assert emptied == [True]
    job.publish(0)
    job.run(AGAIN, truncate_output=True)
    assert emptied == [True]  # never at a restore


def test_first_backend_of_the_order_that_works_is_taken(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ("missing", "fake")
    assert words_after(job.run(backend="auto", order=order)) == COMMAND
    job.backend.obstacle = "no tool"
    program = job.run(backend="auto", order=order)
    assert program.argv == COMMAND
    assert job.warnings == [
        "no backend works on this node (missing: no such backend; fake: no tool); the program runs "
        "without checkpoints",
        "hint: run 'syscr doctor' on this node",
    ]
    assert program.env == {"PATH": "/bin"}


@pytest.mark.parametrize("place", [PLACE, AGAIN])
def test_fault_of_ours_at_a_start_from_the_beginning_never_keeps_the_program_from_running(
    job: Job, place: Any
) -> None:
    job.backend.failures["build_launch"] = CheckpointError("does not work")
    program = job.run(place)
    assert program.argv == COMMAND
    assert job.warnings == ["does not work; the program runs without checkpoints"]


def test_directory_that_cannot_be_used_never_keeps_the_program_from_running(job: Job) -> None:
    Path(job.directory).write_text("a file is in the way")
    assert job.run().argv == COMMAND
    assert "without checkpoints" in job.warnings[0]


def test_missing_launcher_never_keeps_the_program_from_running(job: Job) -> None:
    job.installed.unlink()
    assert job.run().argv == COMMAND
    assert "cannot read the launcher" in job.warnings[0]


def test_requeued_job_continues_from_its_newest_image(job: Job) -> None:
    old, new = job.publish(0), job.publish(0)
    program = job.run(AGAIN)
    assert program.argv[1] == "restore"
    assert words_after(program) == ("cat", f"{new.path}/data/0/{IMAGE_FILE}")
    spec = wire.decode_task_spec(option(program, "--task"))
    assert (spec.restored_from, spec.restart_count) == (new.image_id, 1)
    assert spec.argv == ("old", "words")
    decision = job.store.read_record(KEY, "decision-12.1")
    assert decision is not None
    assert decision["image_id"] == new.image_id != old.image_id


def test_requeued_job_without_image_starts_from_the_beginning(job: Job) -> None:
    program = job.run(AGAIN)
    assert program.argv[1] == "run"
    decision = job.store.read_record(KEY, "decision-12.1")
    assert decision is not None
    assert decision["image_id"] is None
    job.publish(0)  # too late: a rank that starts later must not decide otherwise
    assert job.run(AGAIN).argv[1] == "run"


def test_decision_counts_even_if_there_is_a_newer_image(job: Job) -> None:
    old, _ = job.publish(0), job.publish(0)
    job.store.write_record(
        KEY, "decision-12.1", {"image_id": old.image_id, "checkpoint_dir": job.directory}
    )
    spec = wire.decode_task_spec(option(job.run(AGAIN), "--task"))
    assert spec.restored_from == old.image_id


def test_image_of_a_decision_may_lie_elsewhere(job: Job) -> None:
    image = job.publish(0)
    elsewhere = str(job.root / "elsewhere")
    Path(job.directory).rename(elsewhere)
    job.store.write_record(
        KEY, "decision-12.1", {"image_id": image.image_id, "checkpoint_dir": elsewhere}
    )
    assert words_after(job.run(AGAIN))[1].startswith(elsewhere)


def test_damaged_images_are_passed_over(job: Job) -> None:
    old, new = job.publish(0), job.publish(0)
    Path(new.path, "data/0", IMAGE_FILE).write_text("MEMORY 0")
    spec = wire.decode_task_spec(option(job.run(AGAIN), "--task"))
    assert spec.restored_from == old.image_id
    Path(old.path, "data/0", IMAGE_FILE).write_text("cut")
    with pytest.raises(ImageCorruptError):
        job.run(AGAIN._replace(restart_count=2), on_bad_image="fail")
    assert job.warnings == []


def test_job_without_an_intact_image_begins_afresh_and_says_so(job: Job) -> None:
    image = job.publish(0)
    Path(image.path, "data/0", IMAGE_FILE).write_text("cut")
    program = job.run(AGAIN, truncate_output=False)
    assert program.argv[1] == "run"
    assert words_after(program) == COMMAND
    assert "no image of job 12" in job.warnings[0]
    assert job.warnings[0].endswith("; the program begins afresh")
    assert Path(image.path).is_dir()


def test_new_job_continues_the_line_of_the_old_one(job: Job) -> None:
    image = job.publish(0)
    job.store.write_record(StoreKey("99"), "continues", {"lineage": "12"})
    job.store.write_record(
        KEY, "decision-99.0", {"image_id": image.image_id, "checkpoint_dir": job.directory}
    )
    program = job.run(PLACE._replace(number=99))
    spec = wire.decode_task_spec(option(program, "--task"))
    assert (spec.number, spec.lineage, spec.restored_from) == (99, "12", image.image_id)
    assert spec.run_dir == f"{job.directory}/12.ckpt/run/99.0.0"


def test_new_job_that_continues_never_starts_from_the_beginning_by_mistake(job: Job) -> None:
    """Its image is gone: the old job's results must not be written over."""
    job.store.write_record(StoreKey("99"), "continues", {"lineage": "12"})
    job.store.write_record(
        KEY, "decision-99.0", {"image_id": "20261122T061900Z-9f3c21ab", "checkpoint_dir": ""}
    )
    with pytest.raises(ImageNotFoundError):
        job.run(PLACE._replace(number=99))


def test_requeued_job_whose_store_cannot_be_read_never_starts_from_the_beginning(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(job.directory).write_text("a file is in the way")
    with pytest.raises(SyscrError):
        job.run(AGAIN)


def test_all_ranks_of_a_life_continue_from_the_same_image(job: Job) -> None:
    step = AGAIN._replace(step="0", task_count=2)
    first = job.publish(0, 1, step="0")
    specs = [wire.decode_task_spec(option(job.run(step), "--task"))]
    job.publish(0, 1, step="0")
    specs.append(wire.decode_task_spec(option(job.run(step._replace(rank=1)), "--task")))
    assert [spec.restored_from for spec in specs] == [first.image_id] * 2
    assert [spec.rank for spec in specs] == [0, 1]


def test_rank_waits_while_another_one_decides_and_verifies_nothing_itself(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = job.publish(0, 1, step="0")
    newer = job.publish(0, 1, step="0")
    key, step = StoreKey("12", "0"), AGAIN._replace(step="0", rank=1, task_count=2)
    lease = ExitStack()
    lease.enter_context(job.store.lock(key, purpose=_PURPOSE))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        """At the third sleep outside of the lock's own the other rank has decided."""
        job.clock.advance(seconds)
        slept.append(seconds)
        if slept.count(1.125 * _WAIT_SECONDS) == 2:
            decision = {"image_id": image.image_id, "checkpoint_dir": job.directory}
            job.store.create_record(key, "decision-12.1", decision)
            lease.close()

    monkeypatch.setattr(job.clock, "sleep", sleep)
    spec = wire.decode_task_spec(option(job.run(step), "--task"))
    assert spec.restored_from == image.image_id != newer.image_id
    assert slept[0] == _FIRST_WAIT_SECONDS


def test_lease_that_a_checkpoint_has_left_keeps_no_rank_waiting(job: Job) -> None:
    image = job.publish(0, 1, step="0")
    step = AGAIN._replace(step="0", rank=1, task_count=2)
    with job.store.lock(StoreKey("12", "0"), purpose="checkpoint"):
        spec = wire.decode_task_spec(option(job.run(step), "--task"))
    assert spec.restored_from == image.image_id


@pytest.mark.parametrize(("rank", "count"), [(0, 1), (2, 3), (5, 2)])
def test_step_with_another_number_of_tasks_is_refused(job: Job, rank: int, count: int) -> None:
    job.publish(0, 1, step="0")
    place = AGAIN._replace(step="0", rank=rank, task_count=count)
    with pytest.raises(RestartError, match=r"holds 2 tasks") as caught:
        job.run(place)
    assert "-n 2" in caught.value.hint
    assert job.note(place) == f"failed: {caught.value.message}\n"


def test_restore_on_another_cpu_is_refused_and_said(job: Job) -> None:
    job.publish(0, hosts=(HostFacts("c1", architecture="vax"),))
    with pytest.raises(ImageIncompatibleError, match="vax"):
        job.run(AGAIN)
    assert str(job.note()).startswith("failed: cannot restore image")


def test_files_are_rolled_back_before_the_restore(job: Job) -> None:
    result = job.root / "result"
    result.write_text("kept, repeated")
    task = job.task_image(open_files=(FileState(str(result), 4, True),))
    job.publish(0, tasks=(task,))
    job.run(AGAIN)
    assert result.read_text() == "kept"
    (end,) = Path(job.directory, "12.ckpt", "cut", "12.1.0").iterdir()
    assert end.read_text() == ", repeated"


def test_file_that_cannot_go_back_refuses_the_restore_and_nothing_is_cut(job: Job) -> None:
    result = job.root / "result"
    result.write_text("kept, repeated")
    files = (FileState(str(result), 4, True), FileState(str(job.root / "gone"), 1, True))
    job.publish(0, tasks=(job.task_image(open_files=files),))
    with pytest.raises(RestartError, match="gone', which it had open for writing, is gone"):
        job.run(AGAIN)
    assert result.read_text() == "kept, repeated"
    assert "is gone" in str(job.note())


@pytest.mark.parametrize("how", ["refuse", "warn"])
def test_input_that_was_changed_in_place_refuses_the_restore_or_is_told(job: Job, how: str) -> None:
    source = job.root / "input"
    source.write_text("kept")
    file = FileState(str(source), 4, False, modified_ns=source.stat().st_mtime_ns)
    job.publish(0, tasks=(job.task_image(open_files=(file,)),))
    os.utime(source, ns=(1 << 60, 1 << 60))
    if how == "refuse":
        with pytest.raises(
            RestartError, match="input', which it had open for reading, has another"
        ):
            job.run(AGAIN, changed_inputs=how)
    else:
        job.run(AGAIN, changed_inputs=how)
        assert "input', which it had open for reading, has another" in "".join(job.warnings)


@pytest.mark.parametrize(("size", "is_short"), [(4, False), (400, True)])
def test_output_that_lost_its_end_must_not_get_a_line_of_ours(
    job: Job, monkeypatch: pytest.MonkeyPatch, size: int, is_short: bool
) -> None:
    output = job.root / "slurm-12.out"
    output.write_text("kept")
    monkeypatch.setattr("syscr.job.prepare._current_outputs", lambda: frozenset({str(output)}))
    files = (FileState(str(output), size, True), FileState(str(job.root / "gone"), 1, True))
    job.publish(0, tasks=(job.task_image(open_files=files),))
    with pytest.raises(RestartError) as caught:
        job.run(AGAIN)
    assert caught.value.details["output_is_short"] is is_short


def test_working_directory_that_is_gone_is_an_error(job: Job) -> None:
    job.publish(0, tasks=(job.task_image(working_dir=str(job.root / "gone")),))
    with pytest.raises(RestartError, match=r"working directory .* is not there"):
        job.run(AGAIN)
    assert "working directory" in str(job.note())


def test_restore_happens_in_the_working_directory(job: Job) -> None:
    folder = job.root / "work"
    folder.mkdir()
    job.publish(0, tasks=(job.task_image(working_dir=str(folder)),))
    job.run(AGAIN)
    assert os.getcwd() == str(folder)


def test_failure_that_cannot_be_told_does_not_hide_the_reason(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.publish(0, tasks=(job.task_image(working_dir=str(job.root / "gone")),))

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("syscr.job.run.write_note", refuse)
    with pytest.raises(RestartError, match="working directory"):
        job.run(AGAIN)
    assert job.note() is None


def test_image_of_a_backend_that_does_not_work_here_is_an_error(job: Job) -> None:
    job.publish(0, backend="criu")
    with pytest.raises(RestartError, match="criu: no such backend"):
        job.run(AGAIN)


def test_tool_that_restores_a_sibling_makes_the_launcher_tell(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.publish(0)
    plan = LaunchPlan(("criu", "restore"), namespaces=True, restores_sibling=True)
    monkeypatch.setattr(FakeBackend, "build_restore", lambda *_: plan)
    program = job.run(AGAIN)
    assert option(program, "--ready") == f"{job.directory}/12.ckpt/run/12.1.0/ready"
    assert "--sidecar" not in program.argv


def test_tool_that_does_not_tell_gets_a_helper_that_does(job: Job) -> None:
    image = job.publish(0)
    program = job.run(AGAIN)
    ((argv, options),) = job.sidecars
    assert argv[:3] == ("/bin/syscr", "worker", "--request")
    request = wire.decode_request(argv[3])
    assert (request.action, request.staging_dir) == ("confirm", image.path)
    assert request.run_dir == options["cwd"]
    assert option(program, "--sidecar") == "4001"
    assert "--ready" not in program.argv


def test_coordinator_gets_a_listening_socket_of_this_node(job: Job) -> None:
    job.backend.plan = LaunchPlan(
        ("dmtcp_launch", "{port}"),
        sidecar=("coordinator", "--port", "{port}"),
        sidecar_listen_fd=821,
        env={"PORT": "{port}", "HOST": "127.0.0.1"},
    )
    program = job.run()
    ((argv, options),) = job.sidecars
    port = argv[2]
    assert port.isdigit()
    assert options["env"] == {"PATH": "/bin", "PORT": port, "HOST": "127.0.0.1"}
    assert program.env == {**options["env"], "SLURM_CHECKPOINT_IMAGE_DIR": job.directory}
    assert options["listen_fd"][1] == 821
    assert options["log_path"] == f"{options['cwd']}/sidecar.log"
    assert option(program, "--sidecar") == "4001"
    assert words_after(program) == ("dmtcp_launch", "{port}")  # the user's words stay as they are


def test_helpers_end_where_the_launcher_cannot_be_run(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *call: killed.append(call))
    job.backend.plan = LaunchPlan(("prog",), sidecar=("coordinator",))

    def refuse(*_: object, **__: object) -> None:
        raise ToolMissingError("cannot run it: Argument list too long")

    monkeypatch.setattr("syscr.job.start.replace_process", refuse)
    assert job.run().argv == COMMAND
    assert killed == [(4001, signal.SIGKILL)]
    assert "Argument list too long; the program runs without checkpoints" in job.warnings[0]


def test_image_needs_its_launcher_in_its_place(job: Job) -> None:
    copy = Path(job.run().argv[0])
    state: dict[str, object] = {"launcher_path": str(copy)}
    image = job.publish(
        0,
        tasks=(job.task_image(state=state),),
        launcher_digest=digest_binary(str(job.installed)),
    )
    job.run(AGAIN)
    copy.unlink()
    job.run(AGAIN)  # made again from the installed one, which is the same
    assert copy.read_bytes() == b"binary"
    copy.unlink()
    job.installed.chmod(0o755)
    job.installed.write_bytes(b"next release")
    with pytest.raises(ImageIncompatibleError, match="which is gone") as caught:
        job.run(AGAIN)
    assert image.manifest.syscr_version in caught.value.hint
    copy.write_bytes(b"something else")
    with pytest.raises(ImageIncompatibleError, match="was replaced by another one"):
        job.run(AGAIN)


def test_store_that_breaks_in_the_middle_of_a_first_start_is_a_warning(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = job.open_store

    def open_broken(path: str) -> Store:
        store = real(path)

        def refuse(*_: object) -> str:
            raise StoreAccessError("cannot make the folder")

        monkeypatch.setattr(type(store), "make_folder", refuse)
        return store

    monkeypatch.setattr(Job, "open_store", lambda _, path: open_broken(path))
    assert job.run().argv == COMMAND
    assert "cannot make the folder" in job.warnings[0]


def test_first_start_continues_from_the_image_that_was_named(job: Job) -> None:
    old, new = job.publish(0), job.publish(0)
    for number, (named, image) in enumerate(((old.path, old), (str(Path(old.path).parent), new))):
        place = PLACE._replace(number=50 + number)
        spec = wire.decode_task_spec(option(job.run(place, restart_dir=named), "--task"))
        assert spec.restored_from == image.image_id
        assert spec.lineage == str(place.number)  # a line of its own


def test_own_image_counts_before_the_one_that_was_named(job: Job) -> None:
    other = job.publish(0, lineage="50")
    own = job.publish(0)
    spec = wire.decode_task_spec(option(job.run(AGAIN, restart_dir=other.path), "--task"))
    assert spec.restored_from == own.image_id


def test_requeue_before_the_first_checkpoint_continues_from_the_named_image(job: Job) -> None:
    other = job.publish(0, lineage="50")
    spec = wire.decode_task_spec(option(job.run(AGAIN, restart_dir=other.path), "--task"))
    assert spec.restored_from == other.image_id


def test_named_image_that_is_missing_never_means_a_start_from_the_beginning(job: Job) -> None:
    job.publish(0, lineage="51")
    with pytest.raises(ImageNotFoundError):
        job.run(restart_dir=f"{job.directory}/50.ckpt/20261122T061900Z-9f3c21ab")


def test_agent_is_started_beside_the_first_rank_only(job: Job) -> None:
    job.run(PLACE._replace(step="0", rank=1, task_count=2), interval_seconds=60.0)
    assert job.sidecars == []
    program = job.run(PLACE._replace(step="0", rank=0, task_count=2), interval_seconds=60.0)
    ((argv, options),) = job.sidecars
    assert argv[0] == program.argv[0]  # the launcher keeps it running
    assert argv[1:-1] == ("agent", "--agent-fd", "3", "--", "/bin/syscr", "agent", "--request")
    assert option(program, "--agent-gone") == f"{options['cwd']}/agent.gone"
    assert "--agent-signal" not in program.argv
    other = job.run(interval_seconds=60.0, agent_signal="USR1")
    assert option(other, "--agent-signal") == "10"
    request = AgentRequest.decode(argv[-1])
    assert request == AgentRequest("12.0", options["cwd"], 60.0, request.task)
    beside = wire.decode_task_spec(request.task)
    assert (beside.number, beside.step, beside.rank, beside.argv) == (12, "0", 0, ())
    assert beside.control
    assert option(program, "--sidecar") == "4001"


def test_each_task_has_a_fence_and_says_how_it_ends(job: Job) -> None:
    first = PLACE._replace(step="0", rank=0, task_count=2)
    for place, end in ((first, "12.0.0/end"), (first._replace(rank=1), "12.0.ended/1")):
        program = job.run(place, interval_seconds=60.0, fence_seconds=2.5)
        run = f"{job.directory}/12.0.ckpt/run"
        assert option(program, "--end") == f"{run}/{end}"
        assert Path(option(program, "--end")).parent.is_dir()
        assert option(program, "--fence") == f"{job.directory}/12.0.ckpt/records/fence.json"
        assert option(program, "--fence-ms") == "2500"
        number, restarts, started = option(program, "--fence-life").split(".")
        assert (number, restarts, len(started)) == ("12", "0", 13)
    assert "--fence" not in job.run(first).argv  # no lives are kept


def test_script_of_the_spool_directory_runs_as_a_copy_and_its_options_are_recorded(
    job: Job, tmp_path: Path
) -> None:
    spool = tmp_path / "slurm_script"
    spool.write_bytes(b"#!/bin/sh\n")
    program = job.run(command=(str(spool), "a b"), keep_script=True, interval_seconds=1800.0)
    copy, *rest = words_after(program)
    assert Path(copy).read_bytes() == b"#!/bin/sh\n"
    assert Path(copy).is_relative_to(job.directory)
    assert rest == ["a b"]
    assert job.store.read_record(KEY, "submission") == {
        "command": "spank",
        "options": [f"--checkpoint-dir={job.directory}", "--checkpoint=30"],
        "program": ["a b"],
    }
    spool.unlink()
    job.publish(0)
    with pytest.raises(StoreAccessError, match="cannot read the batch script"):
        job.run(AGAIN, command=(str(spool),), keep_script=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.0, "0:04"), (0.2, "0:01"), (3661.0, "61:01"), (AUTO_INTERVAL, "auto")],
)
def test_recorded_interval_is_the_one_that_was_asked_for(
    job: Job, tmp_path: Path, seconds: float, text: str
) -> None:
    spool = tmp_path / "slurm_script"
    spool.write_bytes(b"#!/bin/sh\n")
    job.run(command=(str(spool),), keep_script=True, interval_seconds=seconds)
    record = job.store.read_record(KEY, "submission")
    assert record is not None
    assert record["options"] == [f"--checkpoint-dir={job.directory}", f"--checkpoint={text}"]


def test_script_that_cannot_be_copied_runs_without_checkpoints(job: Job, tmp_path: Path) -> None:
    program = job.run(command=(str(tmp_path / "gone"),), keep_script=True)
    assert program.argv == (str(tmp_path / "gone"),)
    assert job.warnings[0].endswith(
        "No such file or directory; the program runs without checkpoints"
    )


def test_batch_script_that_this_node_does_not_see_is_explained(job: Job) -> None:
    """The launcher only knows that a file is missing."""
    script = Path(job.directory, f".syscr-{os.geteuid()}", "scripts", "0a1b")
    script.parent.mkdir(parents=True)
    script.touch()
    job.run(command=(str(script), "arg"))
    assert job.warnings == []
    script.unlink()
    job.run(command=(str(script), "arg"))
    assert f"'{job.directory}' is not on storage that it shares" in job.warnings[0]
    assert "--checkpoint-dir that all nodes" in job.warnings[1]
