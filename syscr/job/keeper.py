"""Keeps a job alive: last images before the time limit, a preemption, a drain; then back into the queue.

Part of the agent (``agent.py``), which calls ``act`` when ``next_due`` has come. When the end comes and why
is in ``forecast.py``, what is written down of this life in ``entry.py``. What Slurm tells the launcher
arrives in a second thread (``firewall.py``), which only decides and wakes the agent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from syscr import stopping
from syscr.errors import SyscrError
from syscr.job.ending import Ender
from syscr.job.entry import LifeEntry
from syscr.job.firewall import Firewall
from syscr.job.forecast import FAR_SECONDS, Forecast
from syscr.model import Image, StopReason
from syscr.ports import Clock
from syscr.request import CheckpointRequest

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
_SETTLED_SECONDS = 30.0
_SPENT_SECONDS = 0.5
# The launcher waits for 5 s, then the program has its signal (csrc/launcher/agent.c).
_ANSWER_SECONDS = 4.0


@dataclass(slots=True)
class Keeper:
    """Decides when this life has to end, and ends it.

    Attributes:
        forecast: When that is, and why; its ``policy`` says what to do then.
        request: The checkpoint of the job.
        ender: Ends this life; None: the job cannot be requeued from within (a step).
        retain: Removes the oldest images of the agent's own. Not at the end of a life: Slurm does not wait;
            and not before the next one has shown that it can go on without them.
        take: Takes an image while the program runs on; returns whether that worked.
        wake: Lets the agent call ``act`` now.
        clock: Time.
        firewall: The launcher's question; None: there is none.
    """

    forecast: Forecast
    request: CheckpointRequest
    ender: Ender | None
    retain: Callable[[], None]
    take: Callable[[], bool]
    wake: Callable[[], None]
    clock: Clock
    firewall: Firewall | None = None
    _is_wanted: bool = False
    _stop: tuple[StopReason, float] | None = None
    _is_simulated: bool = False
    _has_drained: bool = False
    _overdue: int = 0  # attempts in vain that nothing puts an end to
    _not_before: float = 0.0
    _settled_at: float = field(default=-1.0)

    @property
    def entry(self) -> LifeEntry:
        """This life."""
        return self.forecast.entry

    def next_due(self) -> float:
        """Return when ``act`` has something to do, monotonic seconds."""
        if self._stop is not None or self._is_wanted:
            return 0.0
        if self._settled_at < 0:
            self._settled_at = self.clock.monotonic() + _SETTLED_SECONDS
            self.forecast.begin()
        return min(self.forecast.next_look, self._settled_at, self._last_image_due())

    def act(self) -> None:
        """Do what is due; faults are logged, the program goes on."""
        try:
            self._act()
        except SyscrError as error:
            log.warning("%s", error.message)

    def keeps_back(self, waited_seconds: float = 0.0, told_seconds: float = 0.0) -> bool:
        """Say whether the program shall not get SIGTERM; called by the firewall's thread.

        Args:
            waited_seconds: How long ago the launcher has asked.
            told_seconds: How long ago the signal came; SIGKILL is reckoned from then.
        """
        asked_at = self.clock.monotonic() - waited_seconds
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
        left = self.forecast.kill_wait_seconds - told_seconds
        self._stop = (reason, self.clock.monotonic() + left)
        self.wake()
        return True

    def take_soon(self) -> None:
        """Take an image, the program runs on; called by the firewall's thread."""
        self._is_wanted = True
        self.wake()

    def note_image(self, image: Image, took_seconds: float) -> None:
        """Take note of an image of this life."""
        self.forecast.cost_seconds = took_seconds
        self.entry.note_image(image)

    def note_failure(self, message: str) -> None:
        """Take note of an image that could not be taken, for ``syscr status``."""
        self.entry.note_failure(message)

    def note_next(self, at: datetime | None) -> None:
        """Take note of when the next periodic image is due."""
        self.entry.note_next(at)

    def choose_interval(self) -> float:
        """Return the best time between two checkpoints for what one takes here, in seconds."""
        return self.forecast.choose_interval()

    def _judge(self) -> StopReason | None:
        """Return why the launcher was told to end the job; None: it is to end for good."""
        simulated = self.entry.book.read_announced(self.entry.life, self.clock.now())
        if simulated is not None:
            self._is_simulated = True
            return simulated
        return self.forecast.judge_now()

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
            # the limit may have been changed, by the grace of a preemption, too
            outlook = self.forecast.look()
            reason = None if outlook is None else self.forecast.judge(outlook)
            if reason is None and outlook is not None and stopping.is_ending(outlook):
                self.forecast.answer()  # cancelled, say: it must not come back
                # its budget may be used up
                self._not_before = self.clock.monotonic() + _RETRY_SECONDS
            elif self.clock.monotonic() >= self._last_image_due():
                self._reach_limit(reason)
        if now >= self.forecast.next_look:
            self._poll()
        if now >= self._settled_at >= 0:
            self._settled_at = now + 365 * FAR_SECONDS
            self.retain()

    def _last_image_due(self) -> float:
        """Return when the last image before the limit, or at the end of the budget, is due."""
        due = self.clock.monotonic() + self.forecast.seconds_to_image()
        return max(due, self._not_before)

    def _answer_stop(self, reason: StopReason, deadline: float) -> None:
        """Do what SIGTERM asks for; whatever goes wrong, the program has it in the end."""
        try:
            if not self.forecast.is_known:
                self.forecast.look()  # it came before anything else
            self._finish(reason, deadline - self.clock.monotonic())
        except SyscrError:
            if self.firewall is not None:
                self.firewall.pass_on()
            raise
        finally:
            self._stop = None
            self.forecast.answer()  # Slurm does not ask twice
            if self._is_simulated:
                self._is_simulated = False
                self.entry.book.withdraw()

    def _poll(self) -> None:
        outlook = self.forecast.look()
        if outlook is None:
            return
        reason = self.forecast.judge(outlook)
        if reason is StopReason.PREEMPTION and not self.forecast.is_answered:
            self._finish(reason, self.forecast.seconds_to_kill())
        elif self.forecast.policy.on_drain != "ignore":
            self._check_drain()

    def _check_drain(self) -> None:
        node = self.entry.life.node
        if not self.forecast.outlook.is_draining(node):
            self._has_drained = False
            return
        if self._has_drained:
            return
        log.info("node %s is draining", node)
        if self.forecast.policy.on_drain == "requeue":
            self._has_drained = not self._may_requeue()  # else it is tried again with the next look
            self._finish(StopReason.DRAIN, FAR_SECONDS)
        else:
            self._has_drained = self.take()

    def _reach_limit(self, reason: StopReason | None) -> None:
        is_budget = self.forecast.budget_left() < _SPENT_SECONDS
        is_late = is_budget or self.forecast.seconds_left() <= 0
        self._overdue = self._overdue + 1 if is_late else 0
        pause = max(_RETRY_SECONDS, 2 * self.forecast.find_cost()) * 2.0 ** min(self._overdue, 10)
        self._not_before = self.clock.monotonic() + pause
        if is_budget:
            self._finish(StopReason.BUDGET, FAR_SECONDS)
        else:
            self._finish(reason or StopReason.TIME_LIMIT, self.forecast.seconds_to_kill())

    def _finish(self, reason: StopReason, left_seconds: float) -> None:
        """Take the last image if there is time; then requeue, or let the program have its signal."""
        requeue = self._may_requeue() and reason is not StopReason.BUDGET
        ends = self.ender is not None and (requeue or reason is StopReason.BUDGET)
        try:
            if not stopping.has_time(self.forecast.find_cost(), left_seconds):
                why = f"{reason}: no time for an image ({left_seconds:.1f} s left)"
                self._give_up(reason, why, requeue=requeue)
            elif ends and self.ender is not None:
                self.ender.end(
                    self.request,
                    reason,
                    requeue=requeue,
                    is_requeued=self.forecast.is_requeued,
                    hold=self.forecast.policy.hold,
                    spare_seconds=stopping.find_spare(self.forecast.find_cost(), left_seconds),
                    write_down=lambda image: self.entry.close(reason, image),
                )
                return
            else:
                self._stay(reason)
        except SyscrError as error:
            why = f"{reason}: no last image: {error.message}"
            self._give_up(reason, why, requeue=requeue)
        if self._stop is not None and self.firewall is not None:
            self.entry.expect(reason)
            self.firewall.pass_on()

    def _give_up(self, reason: StopReason, why: str, *, requeue: bool) -> None:
        """Say that there is no last image, in the job's output too where the job ends now."""
        self.entry.remark(why)
        self._requeue_older(reason, requeue=requeue)
        if self._stop is None or self.firewall is None:
            return
        note = self.entry.life.note
        then = "it is not requeued" if note == why else note
        if self.forecast.is_requeued or reason in {StopReason.PREEMPTION, StopReason.REQUEUE}:
            then = "its next life begins with its last image, if it has one"
        self.firewall.say(f"{why}; {then}")

    def _stay(self, reason: StopReason) -> None:
        """Take an image where this life cannot be ended from within."""
        if self.take():
            self.forecast.answer()
        if reason is StopReason.BUDGET:
            self.entry.remark(f"{reason}: it is used up; the step runs on")
            self.forecast.forget_budget()  # once is enough
        elif not self.forecast.is_requeued:
            self.entry.remark(
                f"{reason}: the job cannot be requeued; bring it back with 'syscr restart'"
            )

    def _may_requeue(self) -> bool:
        if self.ender is None:
            return False
        if self.forecast.is_requeued:
            return True
        return self.forecast.policy.requeue and self.forecast.can_requeue

    def _requeue_older(self, reason: StopReason, *, requeue: bool) -> None:
        """Where the limit has come and there is no last image: go on from an older one, if there is one."""
        is_over = self._stop is not None and reason is StopReason.TIME_LIMIT
        if not (is_over and requeue and self.ender is not None):
            return
        policy = self.forecast.policy
        lives = self.entry.read_all()
        has_older = any(life.image_id or life.restored_from for life in lives)
        if not has_older or self.entry.is_stuck(lives, policy.stuck_lives):
            return
        try:
            if not self.forecast.is_requeued:
                self.ender.scheduler.requeue(self.forecast.job_id, hold=policy.hold)
        except SyscrError as error:
            log.warning("%s", error.message)
            return
        self.forecast.is_requeued = True
        self.entry.close(reason)
