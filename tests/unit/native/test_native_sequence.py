"""What is asked of Slurm in which order, and when its answers are believed; on a clock moved by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from native_world import World

from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    JobStateError,
    OperationUnsupportedError,
    PreflightError,
    RequestError,
    RestartError,
    RestartTimeoutError,
    SchedulerDeniedError,
    SchedulerUnavailableError,
    StoreLockedError,
    SyscrError,
    ToolUnsupportedError,
)
from syscr.model import Image, JobId, Target
from syscr.ports import StoreKey
from syscr.request import CheckpointRequest, RestartRequest
from syscr.result import RestartResult
from syscr.selection import SUBMISSION, Selection

TARGET = Target(JobId(2))


def checkpoint(world: World, max_wait_seconds: float = 600.0) -> Image:
    request = CheckpointRequest(TARGET, max_wait_seconds=max_wait_seconds)
    plan = world.dumper.plan(request, "checkpoint")
    image, _ = world.dumper.dump(plan, request, hold=False, progress=world.progress.append)
    return image


def restart(world: World, image: Image, **options: object) -> RestartResult:
    request = RestartRequest(image_id=image.image_id, **options)  # type: ignore[arg-type]
    return world.restarter.restart(Selection(image), request, world.progress.append)


def asked(world: World) -> list[str]:
    log = world.slurm.state["log"]
    return [words[2] for words in log if words[:2] == ["scontrol", "checkpoint"]]


def test_second_order_is_a_second_apart(world: World) -> None:
    world.slurm.state["dump_seconds"] = 0.01
    checkpoint(world)
    before = world.clock.monotonic()
    checkpoint(world)
    assert world.clock.monotonic() - before > 1.0
    assert asked(world).count("create") == 2


def test_success_without_a_file_is_no_success(world: World) -> None:
    world.slurm.state["fail"] = [0, 0, 0]
    with pytest.raises(CheckpointError, match="says that it is done, but wrote no file") as caught:
        checkpoint(world)
    assert "the same directory here and on the nodes" in caught.value.hint
    assert asked(world).count("create") == 3  # the first ones may have been lost


def test_job_that_ends_during_the_dump_is_not_said_to_run(world: World) -> None:
    world.slurm.state["fail"] = [4027]
    world.slurm.state["jobs"]["2"]["fails_at"] = world.clock.now().timestamp() + 0.2
    with pytest.raises((CheckpointError, JobStateError), match="the job is FAILED"):
        checkpoint(world)


def test_slow_dump_is_given_up_and_its_late_file_is_never_published(world: World) -> None:
    world.slurm.state["dump_seconds"] = 50
    with pytest.raises(CheckpointTimeoutError, match="within 20 s; the job is still running"):
        checkpoint(world, max_wait_seconds=20)
    world.clock.advance(100)
    world.slurm.state["dump_seconds"] = 1
    image = checkpoint(world)
    images, unreadable = world.open_store(str(world.folder)).list_images()
    assert ([one.image_id for one in images], unreadable) == ([image.image_id], ())


def test_max_wait_is_what_is_left_and_fits_slurm(world: World) -> None:
    checkpoint(world, max_wait_seconds=100_000)
    (order,) = [words for words in world.slurm.state["log"] if "create" in words]
    assert "MaxWait=65535" in order


def test_restart_is_repeated_until_the_record_is_purged(world: World) -> None:
    image = checkpoint(world)
    world.scheduler.cancel(JobId(2))
    before = world.clock.monotonic()
    restart(world, image, wait_seconds=10)
    assert 340 < world.clock.monotonic() - before < 360
    assert asked(world).count("restart") < 400
    assert any("forgets the ended job 2" in str(event.get("message")) for event in world.progress)


def test_restart_gives_up_where_slurm_never_forgets(world: World) -> None:
    image = checkpoint(world)
    world.slurm.state.update(min_job_age=0, purge_seconds=1e9)
    world.controller._site = None
    world.scheduler.cancel(JobId(2))
    with pytest.raises(RestartTimeoutError, match="nothing was started") as caught:
        restart(world, image)
    assert "MinJobAge=0" in caught.value.hint


def test_restart_without_the_plugin_names_the_reason(world: World) -> None:
    image = checkpoint(world)
    world.slurm.state.update(plugin="", version="24.11.5")
    world.controller._site = None
    with pytest.raises(ToolUnsupportedError, match="no checkpoint commands"):
        restart(world, image)


def test_restart_as_a_new_job_is_not_possible(world: World) -> None:
    image = checkpoint(world)
    with pytest.raises(OperationUnsupportedError, match="under its number"):
        restart(world, image, new_job=True)


def test_foreign_job_is_refused(world: World) -> None:
    world.slurm.state["jobs"]["2"]["uid"] = 4242
    with pytest.raises(SchedulerDeniedError, match="belongs to"):
        checkpoint(world)
    assert not asked(world)


def test_job_that_syscr_has_started_is_not_slurms(world: World) -> None:
    assert world.way.takes(TARGET)
    world.open_store(str(world.folder)).write_record(
        StoreKey("2"), SUBMISSION, {"command": "sbatch"}
    )
    world.slurm.state["log"].clear()
    assert not world.way.takes(TARGET)
    assert not world.slurm.state["log"]  # and Slurm is not even asked


@pytest.mark.parametrize("plugin", ["", "checkpoint/none", "checkpoint/ompi"])
def test_slurm_without_a_usable_plugin_takes_nothing(world: World, plugin: str) -> None:
    world.slurm.state["plugin"] = plugin
    assert not world.way.takes(TARGET)
    assert world.controller.probe().missing


def test_silent_controller_is_an_error_not_a_no(world: World) -> None:
    world.slurm.state["down"] = True
    with pytest.raises(SchedulerUnavailableError):
        world.way.takes(TARGET)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"state": "PENDING"}, JobStateError, "it is PENDING, not RUNNING"),
        ({"state": "COMPLETED"}, JobStateError, "it is COMPLETED, not RUNNING"),
        ({"disabled": 1}, PreflightError, "are disabled"),
        ({"batch": False}, PreflightError, "neither a batch script nor a step that runs"),
        ({"batch": False, "steps": {"0": 1, "1": 1}}, RequestError, "several steps: 2.0, 2.1"),
    ],
)
def test_what_cannot_be_dumped_is_refused(
    world: World, changes: dict[str, object], error: type[SyscrError], text: str
) -> None:
    world.slurm.state["jobs"]["2"].update(changes)
    with pytest.raises(error, match=text):
        checkpoint(world)
    assert "create" not in asked(world)
    assert not world.folder.exists()


def test_dump_that_somebody_else_has_ordered_is_not_disturbed(world: World) -> None:
    world.slurm.state["dump_seconds"] = 30
    words = ["create", "2", "MaxWait=60", f"ImageDir={world.folder}"]
    world.slurm.answer(["scontrol", "checkpoint", *words])
    with pytest.raises(StoreLockedError, match="Slurm is writing an image of it") as caught:
        checkpoint(world)
    assert caught.value.transient


def test_order_that_slurm_dropped_is_repeated(world: World) -> None:
    world.slurm.state["fail"] = [2021]
    checkpoint(world)
    assert asked(world).count("create") == 2


@pytest.mark.parametrize(
    ("failed", "orders"), [([True, True], 2), ([True, False, True], 3), ([True, True, False], 2)]
)
def test_dump_that_is_called_failed_counts_twice(
    world: World, failed: list[bool], orders: int
) -> None:
    """Its files are there; the plugin may be wrong, in both directions."""
    world.slurm.state["mistaken"] = failed
    with pytest.raises(CheckpointError, match=r"says error\(4027\)"):
        checkpoint(world)
    assert asked(world).count("create") == orders
    images, _ = world.open_store(str(world.folder)).list_images()
    assert not images


def test_order_behind_the_dump_of_another_job_is_given_up_and_never_published(world: World) -> None:
    world.slurm.add_job(3)
    world.slurm.state["dump_seconds"] = 30
    words = ["create", "3", "MaxWait=60", f"ImageDir={world.folder / 'other'}"]
    world.slurm.answer(["scontrol", "checkpoint", *words])
    with pytest.raises(CheckpointTimeoutError, match="within 20 s"):
        checkpoint(world, max_wait_seconds=20)
    with pytest.raises(StoreLockedError, match="is writing an image of it"):
        checkpoint(world)
    world.clock.advance(100)  # Slurm has written into the directory that was given up
    image = checkpoint(world)
    assert [path.name for path in world.folder.glob("*.ckpt/*/manifest.json")] == ["manifest.json"]
    assert image.manifest.files[0].path == "data/2/script.ckpt"


def test_live_job_is_not_restarted(world: World) -> None:
    with pytest.raises(JobStateError, match="two live copies"):
        restart(world, checkpoint(world))


def test_batch_script_with_steps_is_dumped_with_a_warning(world: World) -> None:
    world.slurm.state["jobs"]["2"]["steps"] = {"0": 1}
    plan = world.dumper.plan(CheckpointRequest(TARGET), "checkpoint")
    assert [finding.code for finding in plan.findings] == ["steps_left_out"]


def test_setting_switches_it_off(world: World) -> None:
    assert not replace(world.way, is_allowed=False).takes(TARGET)


def test_step_is_not_requeued(world: World) -> None:
    world.slurm.state["jobs"]["2"]["steps"] = {"0": 1}
    request = CheckpointRequest(Target(JobId(2), "0"))
    with pytest.raises(OperationUnsupportedError, match=r"cannot requeue step 2\.0: .* whole jobs"):
        world.dumper.plan(request, "requeue")


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("18.08.9", r"use 'syscr vacate 2\.0', then 'syscr restart 2\.0'"),
        ("19.05.8", "start the program in a batch script"),
    ],
)
def test_job_without_a_batch_script_is_not_requeued(world: World, version: str, hint: str) -> None:
    world.slurm.state["version"] = version
    world.slurm.add_job(2, batch=False, steps={"0": 1})
    with pytest.raises(OperationUnsupportedError, match="requeue job 2: it has no batch") as caught:
        world.dumper.plan(CheckpointRequest(TARGET), "requeue")
    assert caught.value.message.endswith("batch jobs only; the job is still running")
    assert re.match(hint, caught.value.hint)


def test_step_without_the_file_of_its_last_task_is_no_image(world: World) -> None:
    world.slurm.state["jobs"]["2"]["steps"] = {"0": 3}
    world.slurm.state["missing_ranks"] = 1
    request = CheckpointRequest(Target(JobId(2), "0"))
    plan = world.dumper.plan(request, "checkpoint")
    with pytest.raises(
        CheckpointError, match=r"wrote only data/2\.0/task\.0\.ckpt, data/2\.0/task\.1"
    ):
        world.dumper.dump(plan, request, hold=False, progress=world.progress.append)


def test_command_that_would_be_in_its_own_image_is_refused(world: World) -> None:
    planner = replace(world.dumper.planner, own_name="2")
    with pytest.raises(PreflightError, match="in its own image"):
        planner.plan(CheckpointRequest(TARGET), "checkpoint")


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "OUT_OF_MEMORY"])
def test_restarted_job_that_ends_at_once_is_an_error(world: World, state: str) -> None:
    image = checkpoint(world)
    world.scheduler.cancel(JobId(2))
    world.slurm.state.update(purge_seconds=1, end_state=state, blind=True)
    world.clock.advance(2)
    with pytest.raises(RestartError, match=f"ended at once \\({state}\\)") as caught:
        restart(world, image)
    assert "slurm-2.out" in caught.value.hint


def test_restarted_job_that_slurm_has_forgotten_is_not_said_to_run(world: World) -> None:
    image = checkpoint(world)
    world.scheduler.cancel(JobId(2))
    world.slurm.state.update(purge_seconds=0, blind=True)
    with pytest.raises(RestartError, match="forgotten it already"):
        restart(world, image)


def test_restarted_job_that_soon_completes_is_back(world: World) -> None:
    image = checkpoint(world)
    world.scheduler.cancel(JobId(2))
    world.clock.advance(400)  # forgotten
    world.slurm.state.update(end_state="COMPLETED", blind=True)
    result = restart(world, image)
    assert result.job_state == "running"
    assert world.slurm.state["jobs"]["2"]["state"] == "COMPLETED"
