"""status, prune and the image verbs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from core_support import HOME, JOB, KEY, OTHER, TARGET, World, task

from syscr.errors import (
    ImageExistsError,
    ImageNotFoundError,
    JobNotFoundError,
    ManifestError,
    RequestError,
    SchedulerUnavailableError,
    StoreAccessError,
)
from syscr.lives import LifeBook
from syscr.model import (
    Finding,
    JobDetails,
    JobId,
    JobState,
    Life,
    Severity,
    StopReason,
    Submission,
    Target,
    TaskImage,
)
from syscr.ports import StoreKey
from syscr.request import PruneRequest, RestartRequest
from syscr.result import PruneResult

LAST = PruneRequest(HOME, keep_last=1)
HOUR = PruneRequest(HOME, keep_within_seconds=3600)
OLD = 7200.0


def test_status_names_tasks_findings_and_images(world: World) -> None:
    world.add_job(4711, task(), task(1))
    image = world.add_image()
    world.workers.findings["c1"] = (Finding("clock", Severity.WARNING, "looks at the clock"),)
    world.workers.tasks = [task(task_count=1)]
    (status,) = world.manager.status([TARGET])
    assert status.job == world.scheduler.get_job(JOB)
    assert [one.rank for one in status.tasks] == [0]
    assert [finding.code for finding in status.findings] == ["clock"]
    assert status.images == (image,)
    assert status.warnings == ()


def test_status_of_all_own_jobs_is_the_default(world: World) -> None:
    world.add_job(4711)
    world.add_job(4712, state=JobState.PENDING)
    world.add_job(4713, state=JobState.FAILED)
    assert [str(status.target) for status in world.manager.status()] == ["4711", "4712"]


def test_own_job_that_slurm_forgets_meanwhile_hides_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [world.add_job(number).job_id for number in (4711, 4712, 4713)]
    monkeypatch.setattr(world.scheduler, "find_own_jobs", lambda: jobs)
    world.scheduler.forget(jobs[1])
    assert [str(status.target) for status in world.manager.status()] == ["4711", "4713"]


def test_status_of_a_job_that_cannot_be_dumped_says_why(world: World) -> None:
    world.scheduler.add_job(4711)
    (status,) = world.manager.status([TARGET])
    assert [finding.code for finding in status.findings] == ["not_checkpointable"]
    assert "was not started through syscr" in status.findings[0].message
    assert status.warnings == ()  # the finding says it already


def test_status_of_another_users_job_is_a_remark(world: World) -> None:
    world.scheduler.add_job(4711, user=("bob", 1001))
    (status,) = world.manager.status([TARGET])
    assert "belongs to 'bob'" in status.warnings[0]


def test_status_of_a_waiting_job_asks_no_node(world: World) -> None:
    image = world.add_image()
    world.add_job(state=JobState.PENDING)
    (status,) = world.manager.status([TARGET])
    assert (status.images, status.tasks, status.warnings) == ((image,), (), ())
    assert world.log == []


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.CANCELLED])
def test_life_of_a_job_that_does_not_run_is_over(world: World, state: JobState) -> None:
    """A node that is lost writes nothing down: what ran after the image is not kept."""
    world.add_job(state=state)
    began = world.clock.now()
    life = Life(4711, 0, "c1", began, image_at=began + timedelta(seconds=10))
    LifeBook(world.home, KEY).begin(replace(life, next_at=began + timedelta(seconds=99)))
    world.clock.sleep(60)
    (status,) = world.manager.status([TARGET])
    assert [(one.reason, one.next_at) for one in status.lives] == [(StopReason.LOST, None)]
    assert status.kept_seconds == 10.0
    image = world.add_image()  # taken from outside, so its agent has not noted it
    (status,) = world.manager.status([TARGET])
    assert status.lives[-1].image_id == image.image_id
    assert status.kept_seconds == 61.0


def test_life_of_the_job_that_continues_it_is_not_over(world: World) -> None:
    world.add_job(state=JobState.CANCELLED)
    LifeBook(world.home, KEY).begin(Life(4799, 0, "c1", world.clock.now()))
    (status,) = world.manager.status([TARGET])
    assert [one.reason for one in status.lives] == [None]


def test_status_says_that_lives_cannot_be_read_and_touches_nothing(world: World) -> None:
    world.add_job()
    image = world.add_image()
    LifeBook(world.home, KEY).begin(Life(4711, 0, "c1", world.clock.now()))
    world.home.spoil_record(KEY, "lives")
    (status,) = world.manager.status([TARGET])
    (warning,) = status.warnings
    assert warning.startswith(f"cannot read record '{HOME}/4711.ckpt/records/lives.json': ")
    assert warning.endswith("; its lives are not shown")
    assert (status.images, status.lives) == ((image,), ())
    assert [one.rank for one in status.tasks] == [0]
    with pytest.raises(ManifestError):
        world.home.read_record(KEY, "lives")
    LifeBook(world.open_store(OTHER), KEY).begin(Life(4711, 0, "c1", world.clock.now()))
    (status,) = world.manager.status([TARGET])
    assert (len(status.lives), len(status.warnings)) == (1, 1)  # and others are found


def test_status_says_who_is_at_work(world: World) -> None:
    world.add_job()
    world.home.hold_by_other(KEY, "pid 7 on c9")
    (status,) = world.manager.status([TARGET])
    assert status.busy == "pid 7 on c9"


def test_status_of_a_forgotten_job_shows_its_images(world: World) -> None:
    image = world.add_image()
    (status,) = world.manager.status([TARGET])
    assert (status.job, status.images, status.tasks) == (None, (image,), ())


def test_status_of_a_forgotten_array_names_its_tasks(world: World) -> None:
    """As while Slurm knows it, and as a restart does: the number is that of its last task, too."""
    for index in (10, 9, *range(1, 6)):
        world.add_image(str(4720 + index), job_id=f"4711_{index}", number=4720 + index)
    with pytest.raises(RequestError, match="4711 is a whole job array: 4711_1, 4711_2") as caught:
        world.manager.status([TARGET])
    assert caught.value.message.endswith("4711_5, ...")
    assert caught.value.hint.startswith("name one part of it, as in 4711_10")
    (status,) = world.manager.status([Target.parse("4711_9")])
    assert [image.manifest.job_id for image in status.images] == ["4711_9"]
    assert world.manager.find_owner(TARGET) == "alice"


def test_status_of_nothing_is_an_error(world: World) -> None:
    with pytest.raises(JobNotFoundError, match="has no images"):
        world.manager.status([TARGET])


def test_status_without_slurm_is_an_error_not_an_ended_job(world: World) -> None:
    world.add_image()
    world.scheduler.is_available = False
    with pytest.raises(SchedulerUnavailableError):
        world.manager.status([TARGET])


def test_status_touches_nothing(world: World) -> None:
    world.add_job()
    world.add_image()
    world.manager.status([TARGET])
    assert set(world.names()) == {"inspect"}


def test_prune_deletes_by_rule(world: World) -> None:
    old, new = world.add_image(age=OLD), world.add_image()
    result = world.manager.prune(LAST)
    assert [(one.image, one.keep) for one in result.decisions] == [(old, False), (new, True)]
    assert world.images() == [new.image_id]
    assert [one.image_id for one in world.home.list_images(deleted=True)[0]] == [old.image_id]


def test_prune_dry_run_touches_nothing(world: World) -> None:
    images = [world.add_image(age=OLD).image_id for _ in range(2)]
    result = world.manager.prune(
        PruneRequest(HOME, keep_within_seconds=1, expunge=True, dry_run=True)
    )
    assert [one.keep for one in result.decisions] == [False, False]
    assert result.expunged == ()
    assert (world.images(), world.log) == (images, [])


def test_prune_expunges_what_is_in_the_trash(world: World) -> None:
    old, new = world.add_image(age=OLD), world.add_image()
    result = world.manager.prune(PruneRequest(HOME, keep_last=1, expunge=True))
    assert result.expunged == (old.image_id,)
    assert world.home.list_images(deleted=True)[0] == ()
    assert world.images() == [new.image_id]


def test_prune_of_one_line_leaves_the_others(world: World) -> None:
    mine = world.add_image(age=OLD)
    other = world.add_image("4712", age=OLD)
    result = world.manager.prune(PruneRequest(HOME, job_id=JOB, keep_within_seconds=1))
    assert [one.image for one in result.decisions] == [mine]
    assert world.images() == [other.image_id]


def test_prune_of_an_array_task_is_that_of_its_own_line(world: World) -> None:
    """The number before the index is that of the last task."""
    mine = world.add_image("4720", age=OLD, job_id="4711_3", number=4720)
    last = world.add_image("4711", age=OLD, job_id="4711_9")
    deleted = world.home.trash(world.add_image("4721", job_id="4711_4", number=4721))
    everything = {"keep_within_seconds": 1.0, "expunge": True, "dry_run": False}

    def prune(job: str) -> PruneResult:
        job_id = JobId.parse(job)
        return world.manager.prune(PruneRequest(HOME, job_id=job_id, **everything))  # type: ignore[arg-type]

    result = prune("4711_3")
    assert [one.image for one in result.decisions] == [mine]
    assert result.expunged == (mine.image_id,)
    assert world.images() == [last.image_id]
    assert prune("4711_5") == PruneResult(())
    result = prune("4711")  # all of its tasks
    assert [one.image for one in result.decisions] == [last]
    assert set(result.expunged) == {last.image_id, deleted.image_id}


def test_prune_of_a_job_that_continues_another_is_that_of_the_line(world: World) -> None:
    image = world.add_image(age=OLD)
    world.home.write_record(StoreKey("9000"), "continues", {"lineage": "4711"})
    result = world.manager.prune(
        PruneRequest(HOME, job_id=JobId(9000), keep_within_seconds=1, dry_run=True)
    )
    assert [one.image for one in result.decisions] == [image]


def test_prune_of_one_line_leaves_the_trash_of_others(world: World) -> None:
    other = world.home.trash(world.add_image("4712"))
    mine = world.home.trash(world.add_image("4711"))
    result = world.manager.prune(PruneRequest(HOME, job_id=JOB, expunge=True))
    assert result.expunged == (mine.image_id,)
    assert world.home.list_images(deleted=True)[0] == (other,)


@pytest.mark.parametrize(
    "state", [JobState.RUNNING, JobState.PENDING, JobState.COMPLETING, JobState.UNKNOWN]
)
def test_newest_image_of_an_unfinished_job_stays(world: World, state: JobState) -> None:
    world.add_job(state=state)
    world.add_image(age=OLD)
    newest = world.add_image(age=OLD - 100)
    world.manager.prune(PruneRequest(HOME, allow_empty=True))
    assert world.images() == [newest.image_id]


def test_newest_image_stays_for_the_job_that_continues_it(world: World) -> None:
    """The old job has ended, or Slurm has forgotten it; the new one has not taken an image yet."""
    image = world.add_image(age=OLD)
    world.manager.restart(RestartRequest(TARGET, wait_seconds=0))
    assert [one.keep for one in world.manager.prune(HOUR).decisions] == [True]
    assert world.images() == [image.image_id]


def test_image_that_a_waiting_job_continues_from_stays(world: World) -> None:
    world.add_job(state=JobState.CANCELLED, details=JobDetails(restart_count=1))
    chosen = world.add_image(age=OLD)
    between, newest = world.add_image(age=OLD - 100), world.add_image(age=OLD - 200)
    world.manager.restart(RestartRequest(image_id=chosen.image_id, wait_seconds=0))
    decisions = world.manager.prune(HOUR).decisions
    assert [one.reason for one in decisions if one.image == chosen] == ["in use"]
    assert world.images() == [chosen.image_id, newest.image_id]
    assert between.image_id not in world.images()


def test_damaged_image_does_not_take_the_place_of_a_good_one(world: World) -> None:
    world.add_job()
    good, bad = world.add_image(age=OLD), world.add_image(age=OLD - 100)
    world.home.damage[bad.image_id] = ("data/0/a: too short",)
    world.manager.prune(LAST)
    assert world.images() == [good.image_id]


def test_job_that_ends_while_prune_looks_is_no_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_job()
    newest = world.add_image()
    world.scheduler.failures["get_job_details"] = JobNotFoundError("gone")
    world.manager.prune(LAST)
    assert world.images() == [newest.image_id]


def test_prune_without_slurm_deletes_nothing(world: World) -> None:
    world.add_image(age=OLD)
    world.scheduler.is_available = False
    with pytest.raises(SchedulerUnavailableError):
        world.manager.prune(HOUR)
    assert len(world.images()) == 1


def test_prune_looks_for_records_in_the_jobs_own_directory(world: World) -> None:
    image = world.add_image(
        age=OLD,
        directory=OTHER,
        tasks=(TaskImage(0, "c1", "data/0", state={"home_dir": HOME}),),
        submission=Submission("sbatch", script="#!/bin/sh\n"),
    )
    world.scheduler.add_job(9000)
    world.home.write_record(KEY, "current", {"number": 9000})
    world.manager.prune(PruneRequest(OTHER, keep_within_seconds=1))
    assert world.images(OTHER) == [image.image_id]


def test_image_is_deleted_and_brought_back(world: World) -> None:
    image = world.add_image()
    manager = world.manager
    manager.delete_image(image)
    assert manager.list_images() == ((), ())
    (deleted,), _ = manager.list_images(deleted=True)
    assert manager.get_image(deleted.image_id, deleted=True) == deleted
    assert manager.undelete_image(image.image_id) == image
    with pytest.raises(ImageNotFoundError):
        manager.undelete_image(image.image_id)


def test_torn_image_is_deleted_brought_back_and_removed_for_good(world: World) -> None:
    torn, other = world.add_image(), world.add_image("4712")
    world.home.tear(torn)
    manager = world.manager
    assert manager.delete_torn(torn.image_id).is_deleted
    assert manager.undelete_torn(torn.image_id).path == torn.path
    manager.delete_torn(torn.image_id)
    with pytest.raises(ImageNotFoundError):
        manager.delete_torn(other.image_id)
    assert manager.prune(PruneRequest(HOME, job_id=JobId(4712), expunge=True)).expunged == ()
    assert manager.prune(PruneRequest(HOME, expunge=True)).expunged == (torn.image_id,)
    assert world.images() == [other.image_id]


def test_image_whose_place_is_taken_is_not_brought_back(world: World) -> None:
    image = world.add_image()
    world.manager.delete_image(image)
    world.home.add_image(image.manifest)
    with pytest.raises(ImageExistsError):
        world.manager.undelete_image(image.image_id)


def test_image_is_verified_where_it_lies(world: World) -> None:
    image = world.add_image(directory=OTHER)
    world.open_store(OTHER).damage[image.image_id] = ("a", "b")
    assert world.manager.verify_image(image) == ("a", "b")


def test_directory_that_cannot_be_read_is_a_remark_among_many_and_an_error_alone(
    world: World,
) -> None:
    image = world.add_image()
    for wanted in (None, OTHER):
        world.open_store(OTHER).failures["list_images"] = StoreAccessError("not allowed")
        if wanted is None:
            assert world.manager.list_images() == ((image,), ("not allowed",))
        else:
            with pytest.raises(StoreAccessError):
                world.manager.list_images(checkpoint_dir=wanted)


def test_doctor_asks_the_probe(world: World) -> None:
    assert [health.node for health in world.manager.doctor(["c1"])] == ["c1"]
    assert [health.node for health in world.manager.doctor()] == ["here"]


def test_step_images_are_kept_apart(world: World) -> None:
    batch, step = world.add_image(), world.add_image(step="0")
    world.manager.prune(LAST)
    assert set(world.images()) == {batch.image_id, step.image_id}
    assert world.home.list_images(key=StoreKey("4711", "0"))[0] == (step,)


def test_owner_is_known_from_slurm_or_from_the_images(world: World) -> None:
    image = world.add_image(user_name="bob")
    manager = world.manager
    assert manager.find_owner(TARGET) == "bob"
    assert manager.find_owner(None, image_id=image.image_id) == "bob"
    world.add_job()
    assert manager.find_owner(TARGET) == "alice"
    assert manager.find_owner(Target.parse("9")) == ""


def test_owner_of_a_whole_array_is_asked_for_by_nobody_who_wants_an_error(world: World) -> None:
    """The verb says itself, of each target, that it is an array."""
    world.scheduler.add_job(9, array=(9, 0))
    assert world.manager.find_owner(Target.parse("9")) == ""
