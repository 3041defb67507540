"""What keeps a job alive: the last image, the requeue, the budget, and the drain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from core_support import JOB, KEY, World

from syscr.errors import (
    CheckpointError,
    JobStateError,
    ManifestError,
    SchedulerDeniedError,
    SchedulerUnavailableError,
    StoreFullError,
    StoreLockedError,
    SyscrError,
)
from syscr.job.ending import EXIT_UNFINISHED, Ender
from syscr.job.entry import LifeEntry
from syscr.job.forecast import Forecast
from syscr.job.keeper import Keeper
from syscr.job.policy import Policy
from syscr.job.remembered import RememberedScheduler
from syscr.lives import RECORD, End, LifeBook, close_life, sum_earlier
from syscr.model import (
    Job,
    JobDetails,
    JobId,
    JobState,
    Life,
    Outlook,
    SiteTimes,
    StopReason,
    Target,
)
from syscr.request import CheckpointRequest
from syscr.schedule import choose_interval
from syscr.testing.clock import START
from syscr.testing.store import FakeStore


@dataclass
class FakeLauncher:
    """The launcher of the task."""

    log: list[object]

    def kill(self) -> None:
        self.log.append("kill")

    def leave(self, exit_code: int) -> None:
        self.log.append(("leave", exit_code))


@dataclass
class FakeOutlook:
    """What Slurm has in mind."""

    world: World
    limit_seconds: float | None = 3600.0
    found: Outlook = field(default_factory=lambda: Outlook(JobState.RUNNING))
    site: SiteTimes = field(default_factory=SiteTimes)
    draining: bool = False
    error: SyscrError | None = None
    looks: int = 0
    limits: list[float | None] = field(default_factory=list)
    takes_seconds: float = 0.0
    stops: tuple[float, int] | None = None

    def look(self, _: JobId, *, within_seconds: float | None = None) -> Outlook:
        self.looks += 1
        self.limits.append(within_seconds)
        self.world.clock.advance(self.takes_seconds)
        if self.error is not None:
            raise self.error
        return self.found

    def site_times(self, _: str) -> SiteTimes:
        return self.site

    def is_draining(self, _: str) -> bool:
        return self.draining

    def find_stops(self, _: str) -> tuple[float, int]:
        if self.stops is None:
            raise SchedulerUnavailableError("no accounting")
        return self.stops


@dataclass
class FakeFirewall:
    """The launcher's question."""

    log: list[object]

    said: list[str] = field(default_factory=list)

    def pass_on(self) -> None:
        self.log.append("pass on")

    def say(self, text: str) -> None:
        self.said.append(text)


class Bench:
    """A keeper with everything around it."""

    def __init__(self, *, can_requeue: bool = True, **policy: object) -> None:
        self.world = World()
        self.world.add_job(details=JobDetails(name="job", can_requeue=can_requeue))
        self.log = self.world.log
        self.clock = self.world.clock
        self.outlook = FakeOutlook(self.world)
        self.started = self.clock.now()
        self.launcher = FakeLauncher(self.log)
        self.book = LifeBook(self.world.home, KEY)
        self.book.begin(Life(4711, 0, "c1", self.started))
        self.takes: list[datetime] = []
        self.wakes = 0
        self.can_take = True
        self.resident_bytes = 0
        self.remembered = remembered = RememberedScheduler(self.world.scheduler)
        dumper = replace(self.world.manager.dumper, scheduler=remembered)
        self.keeper = Keeper(
            forecast=Forecast(
                entry=LifeEntry(self.book.read()[-1], self.book, self.clock),
                job_id=JOB,
                policy=replace(Policy(poll_seconds=120.0), **policy),  # type: ignore[arg-type]
                outlook=self.outlook,
                load_job=self._load,
                measure=lambda: self.resident_bytes,
                clock=self.clock,
            ),
            request=CheckpointRequest(Target(JOB, "batch"), tags=("periodic",)),
            retain=lambda: self.log.append("retain"),
            ender=Ender(dumper, remembered, self.world.scheduler, self.launcher),
            take=self._take,
            wake=self._wake,
            clock=self.clock,
        )
        self.firewall = FakeFirewall(self.log)
        self.keeper.firewall = self.firewall  # type: ignore[assignment]

    def _load(self) -> tuple[Job, bool]:
        job = self.world.scheduler.get_job(JOB)
        self.remembered.get_job(JOB)
        can = self.world.scheduler.get_job_details(JOB).can_requeue
        return replace(job, time_limit_seconds=self.outlook.limit_seconds), can

    def _take(self) -> bool:
        self.takes.append(self.clock.now())
        return self.can_take

    def _wake(self) -> None:
        self.wakes += 1

    def set_limit(self, seconds: float) -> None:
        self.outlook.limit_seconds = seconds
        end = self.started + timedelta(seconds=seconds)
        self.outlook.found = replace(self.outlook.found, end_at=end)

    def go_on(self, seconds: float) -> None:
        """Let time pass; the agent calls ``act`` whenever something is due."""
        end = self.clock.monotonic() + seconds
        for _ in range(10000):
            due = self.keeper.next_due()
            if due > end or ("leave", EXIT_UNFINISHED) in self.log:
                break
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            self.keeper.act()
        else:
            raise AssertionError("the keeper never sleeps")
        self.clock.advance(max(0.0, end - self.clock.monotonic()))

    @property
    def life(self) -> Life:
        return self.book.read()[-1]

    def acts(self) -> list[object]:
        """What was done to the job, in order."""
        names = {"dump", "requeue", "finish resume"}
        return [
            one[0] if isinstance(one, tuple) and one[0] in names else one
            for one in self.log
            if one in ("kill", "pass on")
            or (isinstance(one, tuple) and one[0] in {*names, "leave"})
        ]


ENDED = ["dump", "requeue", "kill", ("leave", EXIT_UNFINISHED)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_job_is_requeued_from_its_last_image_before_the_limit(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(560)
    assert bench.acts() == []
    bench.go_on(20)
    assert bench.acts() == ENDED
    life = bench.life
    assert life.reason is StopReason.TIME_LIMIT
    assert life.image_id == bench.world.home.list_images()[0][-1].image_id
    assert life.ended_at is not None
    assert 560 <= (life.ended_at - bench.started).total_seconds() <= 575
    assert bench.world.home.list_images()[0][-1].manifest.tags == ("periodic",)


def test_short_limit_has_a_short_lead(bench: Bench) -> None:
    bench.set_limit(60)
    bench.go_on(53)
    assert bench.acts() == []
    bench.go_on(5)
    assert bench.acts() == ENDED


def test_lead_grows_with_what_a_checkpoint_takes(bench: Bench) -> None:
    bench.set_limit(3600)
    bench.keeper.forecast.cost_seconds = 600.0
    bench.go_on(2700)
    assert bench.acts() == []
    bench.go_on(200)
    assert bench.acts() == ENDED


def test_first_checkpoint_is_estimated_from_the_memory(bench: Bench) -> None:
    bench.set_limit(3600)
    bench.resident_bytes = 200 * 10**9  # a thousand seconds
    bench.go_on(2200)
    assert bench.acts() == []
    bench.go_on(200)
    assert bench.acts() == ENDED


def test_limit_that_was_raised_meanwhile_is_noticed(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(500)
    bench.set_limit(6000)
    bench.go_on(5000)
    assert bench.acts() == []


def test_lead_is_that_of_the_limit_that_was_raised(bench: Bench) -> None:
    bench.set_limit(60)
    bench.go_on(10)
    bench.set_limit(36000)
    bench.go_on(35980)
    assert bench.acts() == ENDED
    assert bench.life.ended_at is not None
    assert (bench.life.ended_at - bench.started).total_seconds() == pytest.approx(35970, abs=5)


def test_job_without_a_limit_is_left_alone(bench: Bench) -> None:
    bench.go_on(1e5)
    assert bench.acts() == []


def test_job_that_may_not_be_requeued_gets_an_image_and_a_word() -> None:
    bench = Bench(can_requeue=False)
    bench.set_limit(600)
    bench.go_on(575)
    assert len(bench.takes) == 1
    assert bench.acts() == []
    assert "cannot be requeued" in bench.life.note


def test_job_that_is_not_to_be_requeued_gets_an_image() -> None:
    bench = Bench(requeue=False)
    bench.set_limit(600)
    bench.go_on(575)
    assert len(bench.takes) == 1
    assert bench.acts() == []


def test_job_can_be_requeued_on_hold() -> None:
    bench = Bench(hold=True)
    bench.set_limit(600)
    bench.go_on(580)
    assert bench.acts() == ENDED
    assert any(
        one[:1] == ("requeue",) and True in one for one in bench.log if isinstance(one, tuple)
    )


def test_sigterm_of_a_preemption_is_kept_back_and_answered_by_an_image(bench: Bench) -> None:
    bench.go_on(1)
    bench.outlook.found = Outlook(JobState.RUNNING, preempted_at=bench.clock.now())
    assert bench.keeper.keeps_back()
    assert bench.wakes == 1
    bench.go_on(1)
    assert bench.acts() == ENDED
    assert bench.life.reason is StopReason.PREEMPTION


def test_job_that_slurm_has_requeued_already_is_not_requeued_again(bench: Bench) -> None:
    bench.go_on(1)
    bench.outlook.found = Outlook(JobState.COMPLETING, restart_count=1)
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ["dump", "kill", ("leave", EXIT_UNFINISHED)]
    assert bench.life.reason is StopReason.REQUEUE


def test_sigterm_in_the_first_moment_is_answered_too(bench: Bench) -> None:
    bench.book.announce(bench.keeper.entry.life, StopReason.TIME_LIMIT, bench.clock.now())
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ENDED


def test_requeue_that_slurm_was_quicker_with_is_no_failure(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(565)
    bench.world.scheduler.failures["requeue"] = JobStateError("Job is pending execution")
    bench.go_on(7)
    assert bench.acts() == ["dump", "finish resume"]  # it is not pending, so this was another state

    bench.world.scheduler.failures["requeue"] = JobStateError("Job is pending execution")
    dump = bench.world.workers.on_dump

    def requeued_meanwhile(*arguments: Any) -> Any:
        bench.world.scheduler.set_state(JOB, JobState.PENDING)
        return dump(*arguments)

    bench.world.workers.on_dump = requeued_meanwhile
    bench.go_on(8)
    assert bench.acts()[2:] == ["dump", "kill", ("leave", EXIT_UNFINISHED)]


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.COMPLETING, JobState.FAILED])
@pytest.mark.parametrize("after", [1, 20, 130])
def test_job_that_slurm_has_done_with_does_not_come_back(
    bench: Bench, state: JobState, after: float
) -> None:
    bench.go_on(after)
    bench.outlook.limit_seconds = after
    bench.outlook.found = Outlook(state, end_at=bench.clock.now())
    assert not bench.keeper.keeps_back()
    bench.go_on(300)
    assert bench.acts() == []
    assert bench.takes == []


def test_total_time_that_is_used_up_while_the_job_is_cancelled_asks_slurm_rarely() -> None:
    bench = Bench(total_seconds=100.0)
    bench.go_on(90)
    bench.outlook.found = Outlook(JobState.COMPLETING)
    looks = bench.outlook.looks
    bench.go_on(40)
    assert bench.acts() == []
    assert 1 <= bench.outlook.looks - looks <= 10


def test_sigterm_while_slurm_is_silent_is_for_the_program_unless_the_limit_has_come(
    bench: Bench,
) -> None:
    bench.set_limit(600)
    bench.go_on(20)  # it has looked once
    bench.outlook.error = SchedulerUnavailableError("no answer")
    assert not bench.keeper.keeps_back()
    bench.clock.advance(600)
    assert bench.keeper.keeps_back()


def test_answer_that_comes_too_late_for_the_launcher_ends_nothing(bench: Bench) -> None:
    bench.go_on(1)
    bench.outlook.found = Outlook(JobState.RUNNING, preempted_at=bench.clock.now())
    bench.outlook.takes_seconds = 4.5
    assert not bench.keeper.keeps_back()  # the program has the signal by now
    assert bench.outlook.limits[-1] == 3.0
    assert bench.wakes == 0
    bench.outlook.found = Outlook(JobState.RUNNING)
    bench.outlook.takes_seconds = 0.0
    bench.go_on(100)
    assert bench.acts() == []


def test_question_that_has_waited_too_long_ends_nothing(bench: Bench) -> None:
    """It has waited for an agent that is started again; the program has the signal by now."""
    bench.go_on(1)
    bench.outlook.found = Outlook(JobState.RUNNING, preempted_at=bench.clock.now())
    assert not bench.keeper.keeps_back(4.5, 4.5)
    assert bench.wakes == 0
    bench.outlook.found = Outlook(JobState.RUNNING)
    bench.go_on(100)
    assert bench.acts() == []


def test_sigkill_is_reckoned_from_when_sigterm_came(bench: Bench) -> None:
    bench.go_on(1)
    bench.keeper.forecast.cost_seconds = 10.0
    bench.outlook.found = Outlook(JobState.RUNNING, preempted_at=bench.clock.now())
    assert bench.keeper.keeps_back(1.0, 20.0)  # an agent that has died has kept it back so long
    bench.go_on(1)
    assert bench.acts() == ["pass on"]
    assert "no time for an image" in bench.life.note


def test_image_that_would_not_be_finished_before_sigkill_is_not_begun(bench: Bench) -> None:
    bench.go_on(1)
    bench.keeper.forecast.cost_seconds = 100.0
    bench.outlook.found = Outlook(JobState.RUNNING, preempted_at=bench.clock.now())
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ["pass on"]
    assert "no time for an image" in bench.life.note
    assert bench.life.ended_at is None
    ended = close_life(bench.life, End(-15, "told", bench.clock.now()))
    assert (ended.reason, ended.exit_code) == (StopReason.PREEMPTION, -15)  # not the user
    (line,) = bench.firewall.said
    assert line == f"{bench.life.note}; its next life begins with its last image, if it has one"


@pytest.mark.parametrize("gets", ["free", "worse"])
def test_checkpoint_of_somebody_else_is_waited_for(bench: Bench, gets: str) -> None:
    bench.go_on(20)
    bench.world.home.failures["lock"] = StoreLockedError("another one is going on")
    if gets == "worse":

        def fail(seconds: float) -> None:
            bench.clock.advance(seconds)
            bench.world.home.failures["lock"] = StoreLockedError("another one is going on")

        bench.clock.sleep = fail  # type: ignore[method-assign]
    bench.outlook.found = Outlook(JobState.RUNNING, preempted_at=bench.clock.now())
    assert bench.keeper.keeps_back()
    began = bench.clock.monotonic()
    bench.keeper.act()
    if gets == "free":
        assert bench.acts() == ENDED
        assert bench.clock.sleeps == [0.1]
    else:
        assert bench.acts() == ["pass on"]  # in time
        assert 20 < bench.clock.monotonic() - began < 30
        assert "another one is going on" in bench.life.note


def test_job_that_ends_at_its_limit_without_any_image_is_told_so(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(20)
    bench.keeper.forecast.cost_seconds = 1000.0
    bench.clock.advance(600)
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ["pass on"]
    (line,) = bench.firewall.said
    assert line.startswith("time limit: no time for an image")
    assert line.endswith("; it is not requeued")


def test_at_the_limit_without_time_the_job_goes_on_from_an_older_image(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(1)
    bench.keeper.note_image(bench.world.add_image(), 400.0)
    bench.clock.advance(600)
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ["requeue", "pass on"]
    assert bench.life.reason is StopReason.TIME_LIMIT


def test_dump_that_fails_leaves_the_program_running_and_is_tried_again(bench: Bench) -> None:
    bench.set_limit(600)
    bench.world.workers.failures["dump"] = CheckpointError("no")
    bench.go_on(572)
    assert bench.acts() == ["dump"]
    bench.go_on(8)
    assert bench.acts() == ["dump", *ENDED]


def test_store_that_is_full_ends_nothing(bench: Bench) -> None:
    bench.set_limit(600)
    bench.world.home.failures["publish"] = StoreFullError("full")
    bench.go_on(572)
    assert "kill" not in bench.log
    assert bench.world.workers.held == set()
    assert "full" in bench.life.note


@pytest.mark.parametrize(
    "error", [SchedulerUnavailableError("no answer"), SchedulerDeniedError("no")]
)
def test_program_goes_on_where_slurm_does_not_take_the_job_back(
    bench: Bench, error: SyscrError
) -> None:
    bench.set_limit(600)
    bench.go_on(565)
    bench.world.scheduler.failures["requeue"] = error
    bench.go_on(7)
    assert bench.acts() == ["dump", "finish resume"]  # it runs again
    assert "no last image" in bench.life.note
    bench.go_on(8)  # Slurm works again
    assert bench.acts()[2:] == ENDED


def reach_limit_without_images(reason: StopReason) -> Bench:
    """Return a job that has no time for an image in its third life without one; two ended like this."""
    bench = Bench(stuck_lives=3)
    bench.book.begin(Life(4711, 0, "c1", bench.started, image_id="a"))
    for count in (1, 2, 3):
        ended = None if count == 3 else reason
        bench.book.begin(Life(4711, count, "c1", bench.started, restored_from="a", reason=ended))
    bench.keeper.entry.life = bench.book.read()[-1]
    bench.outlook.found = Outlook(JobState.RUNNING, restart_count=3)
    bench.set_limit(600)
    bench.go_on(1)
    bench.keeper.forecast.cost_seconds = 1000.0
    bench.clock.advance(600)
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    return bench


def test_job_without_progress_is_not_requeued_for_ever() -> None:
    bench = reach_limit_without_images(StopReason.TIME_LIMIT)
    assert bench.acts() == ["pass on"]
    assert "3 lives in a row brought no image" in bench.life.note
    assert bench.firewall.said[0].endswith(bench.life.note)


def test_lives_that_were_lost_say_nothing_of_the_program() -> None:
    bench = reach_limit_without_images(StopReason.LOST)
    assert bench.acts() == ["requeue", "pass on"]


def test_image_is_progress_whatever_became_of_the_lives_before() -> None:
    bench = Bench(stuck_lives=3)
    for count in (1, 2, 3):
        bench.book.begin(Life(4711, count, "c1", bench.started, reason=StopReason.LOST))
    bench.keeper.entry.life = bench.book.read()[-1]
    bench.outlook.found = Outlook(JobState.RUNNING, restart_count=3)
    bench.set_limit(600)
    bench.go_on(580)
    assert bench.acts() == ENDED


def test_book_that_cannot_be_read_leaves_the_program_its_signal(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(1)
    bench.keeper.forecast.cost_seconds = 1000.0
    bench.clock.advance(600)
    assert bench.keeper.keeps_back()
    bench.world.home.failures["read_record"] = StoreFullError("I/O error")
    bench.go_on(1)
    assert bench.acts() == ["pass on"]
    bench.go_on(100)  # and the agent sleeps again


def test_budget_of_all_lives_ends_the_job_with_an_image_and_a_code_of_its_own() -> None:
    bench = Bench(total_seconds=1000.0)
    early = bench.started - timedelta(hours=3)
    first = Life(4711, 0, "c1", early, ended_at=early + timedelta(seconds=700))
    bench.book.begin(first)
    bench.book.begin(Life(4711, 1, "c1", bench.started))
    bench.keeper.entry.life = bench.book.read()[-1]
    bench.outlook.found = Outlook(JobState.RUNNING, restart_count=1)
    bench.go_on(200)
    assert bench.acts() == []
    bench.go_on(100)
    assert bench.acts() == ["dump", "kill", ("leave", EXIT_UNFINISHED)]
    assert bench.life.reason is StopReason.BUDGET


def test_end_of_the_budget_that_brings_no_image_is_tried_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(total_seconds=1000.0)
    bench.world.scheduler.set_state(JOB, JobState.SUSPENDED)  # every attempt is refused
    bench.go_on(20000)
    assert 5 < caplog.text.count("total time: no last image") < 16


def test_time_of_earlier_lives_that_cannot_be_read_ends_no_agent() -> None:
    bench = Bench(total_seconds=1000.0)
    bench.book.begin(
        Life(4711, 1, "c1", bench.started, ended_at=bench.started + timedelta(seconds=900))
    )
    bench.keeper.entry.life = Life(4711, 2, "c1", bench.started)
    bench.book.begin(bench.keeper.entry.life)
    bench.outlook.found = Outlook(JobState.RUNNING, restart_count=2)
    bench.world.home.failures["read_record"] = StoreFullError("I/O error")
    assert bench.keeper.next_due() >= 0
    bench.go_on(101)  # it can be read again: 900 s are gone
    assert bench.acts() == ["dump", "kill", ("leave", EXIT_UNFINISHED)]


def test_budget_counts_a_life_without_an_end_up_to_its_image() -> None:
    image_at = START + timedelta(seconds=40)
    lives = [Life(1, 0, "c1", START, image_at=image_at), Life(1, 1, "c1", START)]
    assert sum_earlier(lives, lives[1]) == 40.0


def test_job_is_put_back_into_the_queue_once(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(1)
    bench.keeper.note_image(bench.world.add_image(), 400.0)
    bench.clock.advance(600)
    for _ in range(2):
        assert bench.keeper.keeps_back()
        bench.go_on(1)
    assert bench.acts() == ["requeue", "pass on", "pass on"]


def test_budget_of_a_step_brings_one_image() -> None:
    bench = Bench(total_seconds=1000.0)
    bench.keeper.ender = None
    bench.go_on(5000)
    assert len(bench.takes) == 1
    assert bench.life.note == "total time: it is used up; the step runs on"


def test_image_before_a_drain_is_tried_until_it_is_there_and_at_each_drain(bench: Bench) -> None:
    bench.outlook.draining, bench.can_take = True, False
    bench.go_on(300)
    assert len(bench.takes) > 1
    bench.can_take = True
    bench.go_on(200)
    bench.takes.clear()
    bench.go_on(1000)
    assert bench.takes == []
    for draining in (False, True):
        bench.outlook.draining = draining
        bench.go_on(200)
    assert len(bench.takes) == 1


@pytest.mark.parametrize(
    ("on_drain", "takes", "acts"),
    [("checkpoint", 1, []), ("requeue", 0, ENDED), ("ignore", 0, [])],
)
def test_drain_of_the_node(on_drain: str, takes: int, acts: list[object]) -> None:
    bench = Bench(on_drain=on_drain)
    bench.go_on(10)
    bench.outlook.draining = True
    bench.go_on(1000)
    assert len(bench.takes) == takes
    assert bench.acts() == acts


def test_drain_that_could_not_be_answered_is_answered_later() -> None:
    bench = Bench(on_drain="requeue")
    bench.go_on(20)
    bench.world.scheduler.failures["requeue"] = SchedulerUnavailableError("no answer")
    bench.outlook.draining = True
    bench.go_on(150)
    assert bench.acts() == ["dump", "finish resume"]
    bench.go_on(150)
    assert bench.acts()[2:] == ENDED


def test_drain_of_a_job_that_may_not_be_requeued_brings_one_image() -> None:
    bench = Bench(on_drain="requeue", can_requeue=False)
    bench.go_on(20)
    bench.outlook.draining = True
    bench.go_on(1000)
    assert (len(bench.takes), bench.acts()) == (1, [])


def test_older_images_go_once_the_life_has_shown_that_it_needs_them_no_more(bench: Bench) -> None:
    bench.go_on(25)
    assert bench.log.count("retain") == 0
    bench.go_on(10000)
    assert bench.log.count("retain") == 1


def test_life_that_begins_leaves_slurm_alone_until_it_has_to_ask(bench: Bench) -> None:
    bench.go_on(12)
    assert bench.outlook.looks == 0
    bench.outlook.found = Outlook(JobState.RUNNING, preempted_at=bench.clock.now())
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ENDED


def test_slurm_is_asked_rarely(bench: Bench) -> None:
    bench.go_on(3600)
    assert bench.outlook.looks <= 3600 / 120 + 1


def test_slurm_that_does_not_answer_is_asked_again_soon(bench: Bench) -> None:
    bench.set_limit(600)
    bench.outlook.error = SchedulerUnavailableError("no answer")
    bench.go_on(100)
    bench.outlook.error = None
    bench.go_on(480)
    assert bench.acts() == ENDED


def test_simulated_stop_is_believed_until_its_time_is_over(bench: Bench) -> None:
    bench.go_on(1)
    bench.book.announce(
        bench.life, StopReason.PREEMPTION, bench.clock.now() + timedelta(seconds=60)
    )
    bench.clock.advance(61)
    assert not bench.keeper.keeps_back()
    bench.clock.advance(-2)
    assert bench.keeper.keeps_back()


def test_record_that_an_older_copy_has_written_over_is_mended(bench: Bench) -> None:
    old = bench.book.read()
    life = replace(old[-1], restart_count=1, node="c2")
    bench.book.begin(life)
    bench.book.store.write_record(KEY, RECORD, _copy_of_record(bench, old))  # its storage is back
    bench.book.ensure(old[-1])  # the older copy changes nothing
    assert bench.book.read() == old
    bench.keeper.entry.life = life
    bench.go_on(200)
    assert bench.book.read() == (*old, life)
    bench.book.ensure(old[-1])
    assert bench.book.read() == (*old, life)


def test_record_that_cannot_be_read_is_mended_and_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    life = bench.life
    bench.world.home.spoil_record(KEY, RECORD, '{"lives": [')
    bench.go_on(1000)
    assert caplog.text.count("cannot read record") == 1
    assert "lives.json.unreadable-" in caplog.text
    (found,) = bench.book.read()
    assert (found.started_at, found.ended_at) == (life.started_at, None)
    assert "the record of earlier lives cannot be read and begins anew" in found.note
    bench.keeper.note_image(bench.world.add_image(), 1.0)
    assert (bench.life.image_id != "", bench.life.note) == (True, "")
    assert bench.acts() == []


def test_record_that_cannot_be_read_is_left_to_the_newer_life(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.book.begin(replace(bench.life, restart_count=1, node="c2"))  # we are cut off
    bench.world.home.spoil_record(KEY, RECORD)
    bench.keeper.note_next(bench.clock.now())
    bench.go_on(1000)
    assert caplog.text.count("cannot write down this life") == 1  # but it is tried
    with pytest.raises(ManifestError):
        bench.book.read()


def test_job_whose_record_cannot_be_read_goes_on_from_an_older_image(bench: Bench) -> None:
    bench.set_limit(600)
    bench.go_on(1)
    bench.keeper.note_image(bench.world.add_image(), 400.0)
    bench.clock.advance(600)
    bench.world.home.spoil_record(KEY, RECORD)
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ["requeue", "pass on"]


def test_storage_that_fails_while_the_lives_are_asked_for_costs_no_requeue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.keeper.entry.note_image(bench.world.add_image())

    def fail(*_: object) -> None:
        raise StoreFullError("I/O error")

    monkeypatch.setattr(bench.world.home, "read_record", fail)
    assert bench.keeper.entry.read_all() == (bench.keeper.entry.life,)


def test_time_of_earlier_lives_that_is_not_known_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(total_seconds=1000.0)

    def fail(*_: object) -> None:
        raise StoreFullError("I/O error")

    monkeypatch.setattr(bench.world.home, "read_record", fail)
    for _ in range(5):
        bench.keeper.next_due()
    assert caplog.text.count("the time of earlier lives is not known") == 1


def _copy_of_record(bench: Bench, lives: tuple[Life, ...]) -> dict[str, object]:
    book = LifeBook(FakeStore(clock=bench.clock), KEY)
    for life in lives:
        book.begin(life)
    return dict(book.store.read_record(KEY, RECORD) or {})


def test_simulated_stop_is_believed_once_and_of_this_life_only(bench: Bench) -> None:
    bench.go_on(1)
    until = bench.clock.now() + timedelta(seconds=60)
    bench.book.announce(Life(4711, 7, "c1", bench.started), StopReason.PREEMPTION, until)
    assert not bench.keeper.keeps_back()
    bench.book.announce(bench.life, StopReason.PREEMPTION, until)
    bench.keeper.forecast.cost_seconds = 1000.0  # no time: it runs on
    assert bench.keeper.keeps_back()
    bench.go_on(1)
    assert bench.acts() == ["pass on"]
    assert not bench.keeper.keeps_back()  # this one is from scancel


def test_next_checkpoint_and_images_are_written_down(bench: Bench) -> None:
    image = bench.world.add_image()
    bench.keeper.note_image(image, 2.0)
    bench.keeper.note_next(bench.clock.now())
    assert bench.life.image_id == image.image_id
    assert bench.life.image_at == image.manifest.created_at
    assert bench.life.next_at == bench.clock.now()


def test_image_that_could_not_be_taken_is_remarked_until_there_is_a_newer_one(
    bench: Bench,
) -> None:
    bench.keeper.note_failure("no space left")
    assert bench.life.note == "no space left"
    bench.keeper.note_image(bench.world.add_image(), 2.0)
    assert bench.life.note == ""
    bench.keeper.note_failure("no space left")
    bench.set_limit(600)
    bench.go_on(600)
    assert bench.acts() == ENDED
    assert bench.life.note == ""


def test_looks_have_little_patience(bench: Bench) -> None:
    """Slurm's commands need half a minute to find out that there is no controller."""
    bench.set_limit(600)
    bench.go_on(600)
    assert bench.acts() == ENDED
    assert set(bench.outlook.limits) == {10.0}


def test_signal_of_its_own_brings_an_image_and_ends_nothing(bench: Bench) -> None:
    bench.go_on(1)
    bench.keeper.take_soon()
    assert bench.wakes == 1
    bench.go_on(1)
    assert len(bench.takes) == 1
    assert bench.acts() == []


def test_interval_is_chosen_by_cost_and_history(bench: Bench) -> None:
    assert bench.keeper.choose_interval() == choose_interval(2.0, 86400.0)
    bench.outlook.stops = (9 * 86400.0, 9)
    bench.keeper.forecast.cost_seconds = 50.0
    bench.go_on(1)
    assert bench.keeper.choose_interval() == choose_interval(50.0, 86400.0)
    bench.outlook.stops = (1.0, 1)  # it is asked once
    assert bench.keeper.choose_interval() == choose_interval(50.0, 86400.0)


def test_interval_without_a_history_is_chosen_by_what_is_configured() -> None:
    bench = Bench(mtbf_seconds=3600.0)
    bench.go_on(1)
    assert bench.keeper.choose_interval() == choose_interval(2.0, 3600.0)


def test_time_of_the_next_image_is_written_down_only_when_it_changes(bench: Bench) -> None:
    at = bench.clock.now()
    bench.keeper.note_next(at)
    writes = bench.log.count("write_record")
    bench.keeper.note_next(at + timedelta(seconds=0.5))
    assert bench.log.count("write_record") == writes
    bench.keeper.note_next(at + timedelta(seconds=5))
    assert bench.log.count("write_record") == writes + 1


def test_step_that_cannot_be_requeued_gets_an_image() -> None:
    bench = Bench()
    bench.keeper.ender = None
    bench.set_limit(600)
    bench.go_on(575)
    assert len(bench.takes) == 1
    assert bench.acts() == []
