"""What a life does about the one before: it waits for its end, writes that down, or gives its end back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from job_support import AGAIN, PLACE, Job

from syscr.errors import ManifestError
from syscr.job.beginning import await_last_life, begin_life, end_last_life
from syscr.lives import LifeBook, name_copy
from syscr.model import Life, StopReason
from syscr.ports import StoreKey
from syscr.testing.clock import START, FakeClock
from syscr.testing.store import FakeStore

KEY = StoreKey("12")
LAST = Life(12, 0, "c1", START)


def unexpected(*_: object) -> None:
    raise AssertionError("not to be called")


class Stage:
    """A job that has lived once before."""

    def __init__(self, last: Life | None = LAST) -> None:
        self.clock = FakeClock(START + timedelta(minutes=10))
        self.book = LifeBook(FakeStore(clock=self.clock), KEY)
        self.warnings: list[str] = []
        if last is not None:
            self.book.begin(last)

    def end(self, note: str, rank: int = 0) -> None:
        """Let the launcher of a task of the last life write down its end."""
        store = self.book.store
        assert isinstance(store, FakeStore)
        store.write_note(KEY, f"run/12.0.ended/{rank}" if rank else "run/12.0.0/end", note)

    def start_other(self) -> None:
        """Let the second task of the next life wait for its turn."""
        await_last_life(self.book, AGAIN._replace(rank=1, task_count=3), 15.0, self.clock)

    def start(self, *, may_give_back: bool = True, number: int = 12) -> int | None:
        return end_last_life(
            self.book,
            AGAIN._replace(number=number),
            fence_seconds=15.0,
            clock=self.clock,
            warn=self.warnings.append,
            may_give_back=may_give_back,
        )

    @property
    def last(self) -> Life:
        return self.book.read()[0]


def seconds_of(moment: datetime) -> int:
    return int(moment.timestamp())


ENDED = seconds_of(START) + 60


def test_job_without_lives_just_starts() -> None:
    stage = Stage(None)
    assert stage.start() is None
    assert stage.book.read() == ()


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3 << 8, 3), (11, 139)])
def test_job_whose_program_has_ended_by_itself_gives_its_end_back(status: int, code: int) -> None:
    stage = Stage()
    stage.end(f"{status} own {ENDED}")
    assert stage.start() == code
    assert "has ended by itself already" in stage.warnings[0]
    assert "syscr restart 12" in stage.warnings[0]
    assert stage.last.reason is StopReason.OWN_END
    assert stage.last.ended_at == START + timedelta(seconds=60)
    assert stage.clock.sleeps == []
    assert stage.start() == code  # and each time that it is started again


def test_restart_that_somebody_has_asked_for_goes_on() -> None:
    stage = Stage()
    stage.end(f"768 own {ENDED}")
    assert stage.start(may_give_back=False) is None
    assert stage.last.exit_code == 3


def test_job_that_continues_another_one_goes_on() -> None:
    stage = Stage()
    stage.end(f"768 own {ENDED}")
    assert stage.start(number=13) is None


@pytest.mark.parametrize(
    ("note", "reason"),
    [(f"15 told {ENDED}", StopReason.USER), (f"0 image {ENDED}", StopReason.VACATE)],
)
def test_life_that_was_ended_is_continued_at_once(note: str, reason: StopReason) -> None:
    stage = Stage()
    stage.end(note)
    assert stage.start() is None
    assert stage.last.reason is reason
    assert stage.clock.sleeps == []


def test_reason_that_the_agent_has_written_down_stays() -> None:
    stage = Stage(replace(LAST, ended_at=START, reason=StopReason.PREEMPTION))
    stage.end(f"0 image {ENDED}")
    assert stage.start() is None
    assert stage.last.reason is StopReason.PREEMPTION


def test_copy_whose_end_nobody_saw_is_told_and_waited_for() -> None:
    stage = Stage(replace(LAST, image_at=START + timedelta(seconds=90), next_at=START))
    current = []
    sleep = stage.clock.sleep

    def look(seconds: float) -> None:
        current.append(stage.book.is_current(LAST))
        sleep(seconds)

    stage.clock.sleep = look  # type: ignore[method-assign]
    assert stage.start() is None
    assert current == [False]  # the old copy could see it while we waited
    assert stage.clock.sleeps == [30.0]
    assert "c1" in stage.warnings[0]
    assert stage.last.reason is StopReason.LOST
    assert stage.last.ended_at == START + timedelta(seconds=90)
    assert stage.last.next_at is None


def test_life_that_is_ended_while_it_waits_leaves_none_open_behind_it() -> None:
    stage = Stage(replace(LAST, image_at=START + timedelta(seconds=90)))

    def die(seconds: float) -> None:
        raise KeyboardInterrupt

    stage.clock.sleep = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.start()
    assert stage.last.reason is StopReason.LOST
    assert stage.last.ended_at == START + timedelta(seconds=90)


@pytest.mark.parametrize("written", [0, 1])
def test_life_that_is_ended_before_it_waits_leaves_the_wait_to_the_next(
    monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Else the next one would take the last life for one whose end was seen."""
    stage = Stage()
    write = stage.book.store.write_record
    names: list[str] = []

    def die(key: StoreKey, name: str, value: Mapping[str, object]) -> None:
        if len(names) == written:
            raise KeyboardInterrupt
        names.append(name)
        write(key, name, value)

    monkeypatch.setattr(stage.book.store, "write_record", die)
    with pytest.raises(KeyboardInterrupt):
        stage.start()
    monkeypatch.undo()
    assert stage.start() is None
    assert stage.clock.sleeps == [30.0]


def test_record_that_cannot_be_read_keeps_no_job_from_going_on() -> None:
    stage = Stage()
    store = stage.book.store
    assert isinstance(store, FakeStore)
    store.failures["read_record"] = ManifestError(
        "cannot read record '/s/lives.json': not a JSON object"
    )
    assert stage.start() is None
    assert "lives.json" in stage.warnings[0]
    assert stage.clock.sleeps == [30.0]
    assert not stage.book.is_current(LAST)  # an older copy has seen it meanwhile
    assert [life.restart_count for life in stage.book.read()] == [AGAIN.restart_count]


def kept_copies(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("lives.json.unreadable-*")]


@pytest.mark.parametrize("content", ["", '{"lives": [{"number": 12, "resta', "\0" * 300, "[]"])
@pytest.mark.parametrize("rank", [0, 1])
def test_record_that_cannot_be_read_is_kept_and_named_once(
    job: Job, content: str, rank: int
) -> None:
    """Truncated, say, or a block of zeros after the loss of power."""
    job.run(interval_seconds=60.0)
    image = job.publish(0, 1)
    records = Path(job.directory, "12.ckpt", "records")
    Path(records, "lives.json").write_text(content)
    place = AGAIN._replace(task_count=2)
    program = job.run(place._replace(rank=rank), interval_seconds=60.0)
    assert program.argv[1] == "restore"
    assert kept_copies(records) == ([content] if rank == 0 else [])
    if rank != 0:
        assert Path(records, "lives.json").read_text() == content
        assert (job.warnings, job.clock.sleeps[0]) == ([], 30.0)
        return
    (warning,) = job.warnings
    assert warning.startswith(f"cannot read record '{records}/lives.json': ")
    assert f"; it is kept as '{records}/lives.json.unreadable-" in warning
    assert warning.endswith("lives begins anew, and the job goes on in 30 s")
    assert [one.restored_from for one in LifeBook(job.store, KEY).read()] == [image.image_id]


def test_task_that_comes_when_the_record_has_just_begun_anew_waits_like_the_first(job: Job) -> None:
    """Nobody knows whether the copy of it that ran before is over."""
    job.run(interval_seconds=60.0)
    Path(job.directory, "12.ckpt", "records", "lives.json").write_text("")
    late: list[list[float]] = []
    other = AGAIN._replace(rank=1, task_count=2)
    book = LifeBook(job.store, KEY)

    def come_late(seconds: float) -> None:
        clock = FakeClock()
        await_last_life(book, other, 15.0, clock)
        late.append(clock.sleeps)

    job.clock.sleep = come_late  # type: ignore[method-assign]
    job.run(AGAIN._replace(task_count=2), interval_seconds=60.0)
    assert late[0] == [30.0]
    clock = FakeClock()
    await_last_life(book, other, 15.0, clock)  # later still: the first has waited long enough
    assert clock.sleeps == []


def test_first_start_goes_on_with_an_agent_where_the_record_cannot_be_read(job: Job) -> None:
    job.run(interval_seconds=60.0)
    records = Path(job.directory, "12.ckpt", "records")
    Path(records, "lives.json").write_text("nonsense")
    assert job.run(interval_seconds=60.0).argv[1] == "run"
    assert "lives.json" in job.warnings[0]
    assert len(job.warnings) == 1
    assert kept_copies(records) == ["nonsense"]
    assert len(LifeBook(job.store, KEY).read()) == 1


def test_start_that_hung_does_not_end_a_later_life_whose_record_cannot_be_read(job: Job) -> None:
    """The fence still says who lives."""
    book = LifeBook(job.store, KEY)
    book.begin(Life(12, 2, "c2", job.clock.now()))
    fence = job.store.read_record(KEY, "fence")
    Path(job.directory, "12.ckpt", "records", "lives.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        job.run(AGAIN, interval_seconds=60.0)
    assert ended.value.code == 75
    assert job.store.read_record(KEY, "fence") == fence
    Path(job.directory, "12.ckpt", "records", "fence.json").write_text("{")
    assert job.run(AGAIN, interval_seconds=60.0).argv[1] == "run"  # nobody knows of a later one


def test_copy_that_looks_more_rarely_than_we_do_is_waited_for_longer() -> None:
    stage = Stage(replace(LAST, fence_seconds=40.0))
    assert stage.start() is None
    assert stage.clock.sleeps == [80.0]


@pytest.mark.parametrize(("node", "drops"), [("c1", False), ("c9", True)])
def test_lease_of_the_last_life_on_another_node_is_dropped(node: str, drops: bool) -> None:
    stage = Stage(replace(LAST, node=node))
    stage.end(f"9 told {ENDED}")
    store = stage.book.store
    assert isinstance(store, FakeStore)
    store.hold_by_other(KEY, f"process 7 on {node} (checkpoint)")
    assert AGAIN.node == "c1"
    assert stage.start() is None
    assert (store.find_holder(KEY) == "") is drops


def test_lease_of_a_life_before_the_last_is_dropped_too() -> None:
    """The last one was ended while it waited, before it came to that; on our own node, where nothing is dropped."""
    earlier = Life(7, 0, "c9", START, ended_at=START)
    stage = Stage(earlier)
    stage.book.begin(LAST)
    stage.end(f"9 told {ENDED}")
    store = stage.book.store
    assert isinstance(store, FakeStore)
    store.hold_by_other(KEY, f"process 7 on {earlier.node} (checkpoint)")
    assert AGAIN.node == LAST.node
    assert stage.start() is None
    assert store.find_holder(KEY) == ""


STEP = replace(LAST, task_count=3)


@pytest.mark.parametrize(("missing", "said"), [(0, "on c1"), (1, "of task 1"), (2, "of task 2")])
def test_task_whose_end_nobody_saw_is_waited_for_by_all(missing: int, said: str) -> None:
    stage = Stage(STEP)
    for rank in {0, 1, 2} - {missing}:
        stage.end(f"15 told {ENDED}", rank)
    stage.start_other()
    assert stage.clock.sleeps == [30.0]
    assert stage.start() is None
    assert stage.clock.sleeps == [30.0, 30.0]
    assert said in stage.warnings[0]
    assert stage.last.reason is (StopReason.USER if missing else StopReason.LOST)
    stage.start_other()  # it comes late: the first has closed the last life, and has begun this one
    assert stage.clock.sleeps == [30.0] * 3


def test_step_whose_tasks_have_all_ended_goes_on_at_once() -> None:
    stage = Stage(STEP)
    stage.start_other()
    for rank in range(3):
        stage.end(f"15 told {ENDED}", rank)
    stage.clock.sleeps.clear()
    stage.start_other()
    assert stage.start() is None
    stage.start_other()
    assert stage.clock.sleeps == []


def test_other_tasks_wait_where_the_record_cannot_be_read_or_begin_where_there_is_none() -> None:
    stage = Stage(None)
    stage.start_other()
    assert stage.clock.sleeps == []
    store = stage.book.store
    assert isinstance(store, FakeStore)
    store.failures["read_record"] = ManifestError("not a JSON object")
    stage.start_other()
    assert stage.clock.sleeps == [30.0]


def test_end_that_comes_while_we_wait_is_the_end() -> None:
    stage = Stage()
    stage.clock.sleep = lambda seconds: stage.end(f"768 own {ENDED}")  # type: ignore[method-assign]
    assert stage.start() == 3


def test_image_of_somebody_else_is_noted_with_the_life_that_it_was_taken_of(job: Job) -> None:
    begin_life(job.store, KEY, PLACE, None, job.clock.now(), fence_seconds=15.0, warn=unexpected)
    image = job.publish(0)
    begin_life(job.store, KEY, AGAIN, image, job.clock.now(), fence_seconds=15.0, warn=unexpected)
    first, second = LifeBook(job.store, KEY).read()
    assert (first.image_id, first.image_at) == (image.image_id, image.manifest.created_at)
    assert second.restored_from == image.image_id


def test_image_is_no_merit_of_a_life_that_began_after_it(job: Job) -> None:
    begin_life(job.store, KEY, PLACE, None, job.clock.now(), fence_seconds=15.0, warn=unexpected)
    image = job.publish(0)
    begin_life(
        job.store,
        KEY,
        AGAIN,
        image,
        job.clock.now() + timedelta(seconds=1),
        fence_seconds=15.0,
        warn=unexpected,
    )
    begin_life(
        job.store,
        KEY,
        PLACE._replace(restart_count=2),
        image,
        job.clock.now(),
        fence_seconds=15.0,
        warn=unexpected,
    )
    assert [bool(life.image_id) for life in LifeBook(job.store, KEY).read()] == [True, False, False]


def test_first_start_keeps_lives_only_with_an_agent(job: Job) -> None:
    job.run()
    assert LifeBook(job.store, KEY).read() == ()
    job.run(interval_seconds=60.0)
    (life,) = LifeBook(job.store, KEY).read()
    assert (life.number, life.restart_count, life.node) == (12, 0, "c1")


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("rank", [0, 1])
def test_start_that_hung_until_a_later_life_had_begun_leaves_all_to_that(
    job: Job, monkeypatch: pytest.MonkeyPatch, count: int, rank: int
) -> None:
    """The node was cut off while the task started; Slurm has requeued the job meanwhile."""
    place = PLACE._replace(task_count=2, rank=rank, restart_count=count)
    book = LifeBook(job.store, KEY)
    decided: list[bool] = []

    def hang() -> str:
        job.clock.advance(900)
        book.begin(Life(12, count + 1, "c2", job.clock.now()))
        return ""

    monkeypatch.setattr("syscr.job.run.tell_decided", lambda: decided.append(True))
    if count:
        book.begin(replace(LAST, ended_at=START))
        job.publish(0, 1)
        # it would cut the later one's files
        monkeypatch.setattr("syscr.job.run.prepare", unexpected)
    monkeypatch.setattr(job.backend, "find_obstacle", hang)
    with pytest.raises(SystemExit) as ended:
        job.run(place, interval_seconds=60.0)
    assert ended.value.code == 75
    assert decided
    assert book.read()[-1].node == "c2"
    assert job.store.read_record(KEY, "fence") == {
        "fence": name_copy(12, count + 1, job.clock.now())
    }


def test_later_life_of_an_earlier_job_of_the_same_number_is_none_of_ours(job: Job) -> None:
    book = LifeBook(job.store, KEY)
    book.begin(Life(12, 2, "c1", START - timedelta(days=400)))
    job.run(interval_seconds=60.0)
    assert book.read()[-1].restart_count == 0


def test_task_of_a_finished_program_ends_with_its_code(job: Job) -> None:
    job.run(interval_seconds=60.0)
    job.publish(0)
    folder = Path(job.directory, "12.ckpt", "run", "12.0.0")
    Path(folder, "end").write_text(f"768 own {ENDED}\n")
    with pytest.raises(SystemExit) as ended:
        job.run(AGAIN, interval_seconds=60.0)
    assert ended.value.code == 3


def test_task_of_several_goes_on_with_the_others(job: Job) -> None:
    place = PLACE._replace(task_count=2)
    job.run(interval_seconds=60.0)
    Path(job.directory, "12.ckpt", "run", "12.0.0", "end").write_text(f"768 own {ENDED}\n")
    job.run(place._replace(restart_count=1), interval_seconds=60.0)
    last, current = LifeBook(job.store, KEY).read()
    assert (last.exit_code, current.restart_count) == (3, 1)


def test_end_of_another_program_of_the_script_is_not_taken_for_its_own(job: Job) -> None:
    job.run(interval_seconds=60.0)
    end = Path(job.directory, "12.ckpt", "run", "12.0.0", "end")
    end.write_text(f"0 own {ENDED}\n")
    job.run(interval_seconds=60.0)
    assert not end.exists()
