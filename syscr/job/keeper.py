"""Keeps a job alive: last images before the time limit, a preemption, a drain; then back into the queue.

Part of the agent (``agent.py``), which calls ``act`` when ``next_due`` has come. What Slurm tells the
launcher arrives in a second thread (``firewall.py``), which only decides and wakes the agent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from syscr import stopping
from syscr.errors import SyscrError
from syscr.job.ending import Ender
from syscr.job.firewall import Firewall
from syscr.job.policy import OutlookSource, Policy
from syscr.lives import LifeBook, sum_earlier
from syscr.model import Image, Job, JobId, Life, Outlook, SiteTimes, StopReason
from syscr.ports import Clock
from syscr.request import CheckpointRequest
from syscr.schedule import choose_interval

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
_RETRY_LOOK_SECONDS = 30.0
_SETTLED_SECONDS = 30.0
_SPENT_SECONDS = 0.5
_FAR = 86400.0
# The launcher waits for 5 s, then the program has its signal (csrc/launcher/agent.c).
_ANSWER_SECONDS = 4.0
_LOOK_SECONDS = 3.0


@dataclass(slots=True)
class Keeper:
    """Decides when this life has to end, and ends it.

    Attributes:
        life: This life, as it is in the book.
        job_id: The job.
        request: The checkpoint of it.
        policy: What it shall do.
        outlook: Slurm.
        load_job: Returns the job as Slurm knows it, or knew it; also learns what a last image needs.
        book: Lives of the job.
        measure: Returns how much memory the program has, in bytes.
        ender: Ends this life; None: the job cannot be requeued from within (a step).
        firewall: The launcher's question; None: there is none.
        retain: Removes the oldest images of the agent's own. Not at the end of a life: Slurm does not wait;
            and not before the next one has shown that it can go on without them.
        take: Takes an image while the program runs on; returns whether that worked.
        wake: Lets the agent call ``act`` now.
        clock: Time.
    """

    life: Life
    job_id: JobId
    request: CheckpointRequest
    policy: Policy
    outlook: OutlookSource
    load_job: Callable[[], tuple[Job, bool]]
    book: LifeBook
    measure: Callable[[], int]
    ender: Ender | None
    retain: Callable[[], None]
    take: Callable[[], bool]
    wake: Callable[[], None]
    clock: Clock
    firewall: Firewall | None = None
    cost_seconds: float | None = None
    _end_at: datetime | None = None
    _limit_seconds: float | None = None
    _site: SiteTimes | None = None
    _partition: str = ""
    _mtbf: float | None = None
    _can_requeue: bool = False
    _is_requeued: bool = False
    _taken_for: datetime | None = None  # the limit that a last image was taken for; the job runs on
    _resident_bytes: int = 0
    _is_wanted: bool = False
    _stop: tuple[StopReason, float] | None = None
    _is_simulated: bool = False
    _has_drained: bool = False
    _used_before: float | None = None  # running time of earlier lives; None: not known
    _overdue: int = 0  # attempts in vain that nothing puts an end to
    _not_before: float = 0.0
    _next_poll: float = 0.0
    _settled_at: float = field(default=-1.0)

    def next_due(self) -> float:
        """Return when ``act`` has something to do, monotonic seconds."""
        if self._stop is not None or self._is_wanted:
            return 0.0
        if self._settled_at < 0:
            self._settled_at = self.clock.monotonic() + _SETTLED_SECONDS
        return min(self._next_poll, self._settled_at, self._last_image_due())

    def act(self) -> None:
        """Do what is due; faults are logged, the program goes on."""
        try:
            self._act()
        except SyscrError as error:
            log.warning("%s", error.message)

    def keeps_back(self) -> bool:
        """Say whether the program shall not get SIGTERM; called by the firewall's thread."""
        asked_at = self.clock.monotonic()
        reason = self._judge()
        took = self.clock.monotonic() - asked_at
        if reason is not None and took > _ANSWER_SECONDS:
            log.warning(
                "SIGTERM (%s): it took %.1f s to find out; the program has got it", reason, took
            )
            return False
        if reason is None:
            log.info("SIGTERM is for the program")
            return False
        log.info("SIGTERM: %s", reason)
        wait = (self._site or SiteTimes()).kill_wait_seconds
        self._stop = (reason, self.clock.monotonic() + wait)
        self.wake()
        return True

    def take_soon(self) -> None:
        """Take an image, the program runs on; called by the firewall's thread."""
        self._is_wanted = True
        self.wake()

    def note_image(self, image: Image, took_seconds: float) -> None:
        """Take note of an image of this life."""
        self.cost_seconds = took_seconds
        self._write(image_id=image.image_id, image_at=image.manifest.created_at)

    def note_next(self, at: datetime | None) -> None:
        """Take note of when the next periodic image is due; a second more or less is nothing new."""
        known = self.life.next_at
        if at is None or known is None or abs((at - known).total_seconds()) > 1:
            self._write(next_at=at)

    def choose_interval(self) -> float:
        """Return the best time between two checkpoints for what one takes here, in seconds."""
        return choose_interval(self._cost(), self._find_mtbf())

    def _find_mtbf(self) -> float:
        """Return the mean running time between two stops, in seconds: history, and one stop that is configured."""
        if self._mtbf is None and self._site is not None and self._partition:
            self._mtbf = self.policy.mtbf_seconds
            try:
                seconds, stops = self.outlook.find_stops(self._partition)
                self._mtbf = (seconds + self.policy.mtbf_seconds) / (stops + 1)
            except SyscrError as error:
                log.info("no history of jobs: %s", error.message)
            log.info("a stop every %.0f s is reckoned with", self._mtbf)
        return self.policy.mtbf_seconds if self._mtbf is None else self._mtbf

    def _act(self) -> None:
        now = self.clock.monotonic()
        if self._stop is not None:
            self._answer_stop(*self._stop)
            return
        if self._is_wanted:
            self._is_wanted = False
            log.info("a signal asks for an image")
            self.take()
        if now >= self._last_image_due():
            outlook = (
                self._look()
            )  # the limit may have been changed, by the grace of a preemption, too
            if self.clock.monotonic() >= self._last_image_due():
                self._reach_limit(None if outlook is None else self._judge_outlook(outlook))
        if now >= self._next_poll:
            self._poll()
        if now >= self._settled_at >= 0:
            self._settled_at = now + 365 * _FAR
            self.retain()

    def _answer_stop(self, reason: StopReason, deadline: float) -> None:
        """Do what SIGTERM asks for; whatever goes wrong, the program has it in the end."""
        try:
            if self._site is None:
                self._look()  # it came before anything else
            self._finish(reason, deadline - self.clock.monotonic())
        except SyscrError:
            if self.firewall is not None:
                self.firewall.pass_on()
            raise
        finally:
            self._stop = None
            self._taken_for = self._end_at  # Slurm does not ask twice
            if self._is_simulated:
                self._is_simulated = False
                self.book.withdraw()

    def _poll(self) -> None:
        outlook = self._look()
        if outlook is None:
            return
        reason = self._judge_outlook(outlook)
        if reason is StopReason.PREEMPTION and self._end_at != self._taken_for:
            self._finish(reason, self._seconds_to_kill())
        elif self.policy.on_drain != "ignore":
            self._check_drain()

    def _check_drain(self) -> None:
        if not self.outlook.is_draining(self.life.node):
            self._has_drained = False
            return
        if self._has_drained:
            return
        log.info("node %s is draining", self.life.node)
        if self.policy.on_drain == "requeue":
            self._has_drained = True
            self._finish(StopReason.DRAIN, _FAR)
        else:
            self._has_drained = self.take()

    def _look(self) -> Outlook | None:
        """Ask Slurm what it has in mind; None: it does not answer, and what is known stays."""
        self._next_poll = self.clock.monotonic() + _RETRY_LOOK_SECONDS
        try:
            self._resident_bytes = self.measure()
            if self._site is None:
                job, self._can_requeue = self.load_job()
                self._limit_seconds = job.time_limit_seconds
                self._partition = job.partition
                self._site = self.outlook.site_times(job.partition)
            outlook = self.outlook.look(self.job_id)
        except SyscrError as error:
            log.info("Slurm does not say what it has in mind: %s", error.message)
            return None
        self._ensure()
        self._end_at = outlook.end_at
        if outlook.end_at is not None and outlook.preempted_at is None:  # it may have been changed
            self._limit_seconds = (outlook.end_at - self.life.started_at).total_seconds()
        every = stopping.find_poll(self.policy.poll_seconds, self._cost(), self._site)
        every *= stopping.spread(self.life.number)
        self._next_poll = self.clock.monotonic() + (every or _FAR)
        return outlook

    def _ensure(self) -> None:
        """Enter this life again, should an older copy have written the record over."""
        try:
            self.book.ensure(self.life)
        except SyscrError as error:
            log.warning("%s", error.message)

    def _judge(self) -> StopReason | None:
        simulated = self.book.read_announced(self.life, self.clock.now())
        if simulated is not None:
            self._is_simulated = True
            return simulated
        try:
            return self._judge_outlook(self.outlook.look(self.job_id, within_seconds=_LOOK_SECONDS))
        except SyscrError as error:
            log.warning("Slurm does not say why the job is to end: %s", error.message)
            return StopReason.TIME_LIMIT if self._seconds_left() <= 0 else None

    def _judge_outlook(self, outlook: Outlook) -> StopReason | None:
        life = self.life
        self._is_requeued |= outlook.restart_count > life.restart_count
        return stopping.judge_stop(
            outlook,
            restart_count=life.restart_count,
            started_at=life.started_at,
            now=self.clock.now(),
        )

    def _seconds_left(self) -> float:
        """Seconds until SIGTERM at the time limit, or at the end of a grace."""
        if self._end_at is None:
            return _FAR
        return (self._end_at - self.clock.now()).total_seconds()

    def _seconds_to_kill(self) -> float:
        """Seconds until SIGKILL, at least; SIGTERM has not come, however late it is."""
        return max(0.0, self._seconds_left()) + (self._site or SiteTimes()).kill_wait_seconds

    def _cost(self) -> float:
        return stopping.estimate_cost(self._resident_bytes, self.cost_seconds)

    def _last_image_due(self) -> float:
        """Return when the last image before the limit, or at the end of the budget, is due."""
        now = self.clock.monotonic()
        lead = stopping.find_lead(self._cost(), self._limit_seconds)
        left = _FAR if self._end_at == self._taken_for else self._seconds_left() - lead
        left = min(left, self._budget_left())  # nobody kills the job when that is over
        return max(now + left, self._not_before)

    def _budget_left(self) -> float:
        if not self.policy.total_seconds:
            return _FAR
        if self._used_before is None:
            try:
                self._used_before = sum_earlier(self.book.read(), self.life)
            except SyscrError as error:
                log.warning("the time of earlier lives is not known: %s", error.message)
        used = (self.clock.now() - self.life.started_at).total_seconds()
        return self.policy.total_seconds - (self._used_before or 0.0) - used

    def _reach_limit(self, reason: StopReason | None) -> None:
        is_budget = self._budget_left() < _SPENT_SECONDS
        self._overdue = self._overdue + 1 if is_budget or self._seconds_left() <= 0 else 0
        pause = max(_RETRY_SECONDS, 2 * self._cost()) * 2.0 ** min(self._overdue, 10)
        self._not_before = self.clock.monotonic() + pause
        if is_budget:
            self._finish(StopReason.BUDGET, _FAR)
        else:
            self._finish(reason or StopReason.TIME_LIMIT, self._seconds_to_kill())

    def _finish(self, reason: StopReason, left_seconds: float) -> None:
        """Take the last image if there is time; then requeue, or let the program have its signal."""
        requeue = self._may_requeue() and reason is not StopReason.BUDGET
        ends = self.ender is not None and (requeue or reason is StopReason.BUDGET)
        try:
            if not stopping.has_time(self._cost(), left_seconds):
                self._remark(f"{reason}: no time for an image ({left_seconds:.1f} s left)")
                self._requeue_older(reason, requeue=requeue)
            elif ends and self.ender is not None:
                self.ender.end(
                    self.request,
                    reason,
                    requeue=requeue,
                    is_requeued=self._is_requeued,
                    hold=self.policy.hold,
                    write_down=lambda image: self._close(reason, image),
                )
                return
            else:
                if self.take():
                    self._taken_for = self._end_at
                if reason is StopReason.BUDGET:
                    self._remark(f"{reason}: it is used up; the step runs on")
                    self.policy = replace(self.policy, total_seconds=0.0)  # once is enough
                elif not self._is_requeued:
                    self._remark(
                        f"{reason}: the job cannot be requeued; bring it back with 'syscr restart'"
                    )
        except SyscrError as error:
            self._remark(f"{reason}: no last image: {error.message}")
            self._requeue_older(reason, requeue=requeue)
        if self._stop is not None and self.firewall is not None:
            self.firewall.pass_on()

    def _may_requeue(self) -> bool:
        if self.ender is None:
            return False
        if self._is_requeued:
            return True
        return self.policy.requeue and self._can_requeue

    def _is_stuck(self, lives: Sequence[Life]) -> bool:
        """Whether nothing has come of the last lives, this one included."""
        recent = lives[-self.policy.stuck_lives :]
        if len(recent) < self.policy.stuck_lives or any(one.image_id for one in recent):
            return False
        self._remark(f"not requeued: {self.policy.stuck_lives} lives in a row brought no image")
        return True

    def _requeue_older(self, reason: StopReason, *, requeue: bool) -> None:
        """Where the limit has come and there is no last image: go on from an older one, if there is one."""
        is_over = self._stop is not None and reason is StopReason.TIME_LIMIT
        if not (is_over and requeue and self.ender is not None):
            return
        lives = self.book.read()
        has_older = any(life.image_id or life.restored_from for life in lives)
        if not has_older or self._is_stuck(lives):
            return
        try:
            if not self._is_requeued:
                self.ender.scheduler.requeue(self.job_id, hold=self.policy.hold)
        except SyscrError as error:
            log.warning("%s", error.message)
            return
        self._is_requeued = True
        self._write(ended_at=self.clock.now(), reason=reason, next_at=None)

    def _close(self, reason: StopReason, image: Image) -> None:
        self._write(
            image_id=image.image_id,
            image_at=image.manifest.created_at,
            ended_at=self.clock.now(),
            reason=reason,
            next_at=None,
        )

    def _remark(self, note: str) -> None:
        log.warning("%s", note)
        self._write(note=note)

    def _write(self, **changes: object) -> None:
        self.life = replace(self.life, **changes)  # type: ignore[arg-type]
        try:
            self.book.update(self.life)
        except SyscrError as error:
            log.warning("cannot write down this life: %s", error.message)
