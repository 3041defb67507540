"""What is known of the end of this life: limits, a preemption, a budget, and what an image costs.

Asks Slurm and remembers; ``keeper.py`` acts on it. What follows from the figures is in ``stopping.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from syscr import stopping
from syscr.errors import SyscrError
from syscr.job.entry import LifeEntry
from syscr.job.policy import OutlookSource, Policy
from syscr.lives import sum_earlier
from syscr.model import Job, JobId, Outlook, SiteTimes, StopReason
from syscr.ports import Clock
from syscr.schedule import choose_interval

log = logging.getLogger(__name__)

FAR_SECONDS = 86400.0
"""Further away than anything that is waited for."""
_RETRY_LOOK_SECONDS = 30.0
_LOOK_SECONDS = 3.0
# A look without an answer must not eat the time of a last image.
_PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class Forecast:
    """When this life will be ended, and why.

    Attributes:
        entry: This life.
        job_id: The job.
        policy: What is configured.
        outlook: Slurm.
        load_job: Returns the job as Slurm knows it, or knew it, and whether it may be requeued; also
            learns what a last image needs.
        measure: Returns how much memory the program has, in bytes.
        clock: Time.
        cost_seconds: How long the last checkpoint took; None: there was none.
        can_requeue: Whether Slurm may requeue the job.
        is_requeued: Whether it has been requeued already.
        next_look: When Slurm is to be asked again, monotonic seconds.
    """

    entry: LifeEntry
    job_id: JobId
    policy: Policy
    outlook: OutlookSource
    load_job: Callable[[], tuple[Job, bool]]
    measure: Callable[[], int]
    clock: Clock
    cost_seconds: float | None = None
    can_requeue: bool = False
    is_requeued: bool = False
    next_look: float = 0.0
    _end_at: datetime | None = None
    _answered: datetime | None = None  # the limit that a last image was taken for; the job runs on
    _limit_seconds: float | None = None
    _site: SiteTimes | None = None
    _partition: str = ""
    _mtbf: float | None = None
    _resident_bytes: int = 0
    _used_before: float | None = None  # running time of earlier lives; None: not known
    _is_blind: bool = False  # it was said that it is not known

    def begin(self) -> None:
        """Take note that the life begins: Slurm is left alone for a while."""
        wait = stopping.find_first_look(self.entry.life.number, self.policy.poll_seconds)
        self.next_look = self.clock.monotonic() + wait

    @property
    def is_known(self) -> bool:
        """Whether Slurm has answered before."""
        return self._site is not None

    @property
    def kill_wait_seconds(self) -> float:
        """Between SIGTERM and SIGKILL."""
        return (self._site or SiteTimes()).kill_wait_seconds

    @property
    def is_answered(self) -> bool:
        """Whether all was done that can be done about the limit as it is now."""
        return self._end_at == self._answered

    def answer(self) -> None:
        """Take note that all was done about the limit as it is now."""
        self._answered = self._end_at

    def look(self) -> Outlook | None:
        """Ask Slurm what it has in mind; None: it does not answer, and what is known stays."""
        self.next_look = self.clock.monotonic() + _RETRY_LOOK_SECONDS
        try:
            self._resident_bytes = self.measure()
            if self._site is None:
                job, self.can_requeue = self.load_job()
                self._limit_seconds = job.time_limit_seconds
                self._partition = job.partition
                self._site = self.outlook.site_times(job.partition)
            outlook = self.outlook.look(self.job_id, within_seconds=_PATIENCE_SECONDS)
        except SyscrError as error:
            log.info("Slurm does not say what it has in mind: %s", error.message)
            return None
        self.entry.ensure()
        self._end_at = outlook.end_at
        life = self.entry.life
        if outlook.end_at is not None and outlook.preempted_at is None:  # it may have been changed
            self._limit_seconds = (outlook.end_at - life.started_at).total_seconds()
        every = stopping.find_poll(self.policy.poll_seconds, self.find_cost(), self._site)
        every *= stopping.spread(life.number)
        self.next_look = self.clock.monotonic() + (every or FAR_SECONDS)
        return outlook

    def judge_now(self) -> StopReason | None:
        """Ask Slurm, which must answer soon, why the job is to end; None: for good."""
        try:
            return self.judge(self.outlook.look(self.job_id, within_seconds=_LOOK_SECONDS))
        except SyscrError as error:
            log.warning("Slurm does not say why the job is to end: %s", error.message)
            return StopReason.TIME_LIMIT if self.seconds_left() <= 0 else None

    def judge(self, outlook: Outlook) -> StopReason | None:
        """Say why this life is to end by what Slurm has said; None: it is not, or for good."""
        life = self.entry.life
        self.is_requeued |= outlook.restart_count > life.restart_count
        return stopping.judge_stop(
            outlook,
            restart_count=life.restart_count,
            started_at=life.started_at,
            now=self.clock.now(),
        )

    def find_cost(self) -> float:
        """Return how long a checkpoint takes, in seconds."""
        return stopping.estimate_cost(self._resident_bytes, self.cost_seconds)

    def seconds_left(self) -> float:
        """Return the seconds until SIGTERM at the time limit, or at the end of a grace."""
        if self._end_at is None:
            return FAR_SECONDS
        return (self._end_at - self.clock.now()).total_seconds()

    def seconds_to_kill(self) -> float:
        """Return the seconds until SIGKILL, at least; SIGTERM has not come, however late it is."""
        return max(0.0, self.seconds_left()) + self.kill_wait_seconds

    def seconds_to_image(self) -> float:
        """Return the seconds until the last image is due: before the limit, or at the end of the budget."""
        lead = stopping.find_lead(self.find_cost(), self._limit_seconds)
        left = FAR_SECONDS if self.is_answered else self.seconds_left() - lead
        return min(left, self.budget_left())  # nobody kills the job when that is over

    def budget_left(self) -> float:
        """Return what is left of the running time of all lives together, in seconds."""
        if not self.policy.total_seconds:
            return FAR_SECONDS
        life = self.entry.life
        if self._used_before is None:
            try:
                self._used_before = sum_earlier(self.entry.book.read(), life)
            except SyscrError as error:  # asked again with every look
                if not self._is_blind:
                    log.warning("the time of earlier lives is not known: %s", error.message)
                self._is_blind = True
        used = (self.clock.now() - life.started_at).total_seconds()
        return self.policy.total_seconds - (self._used_before or 0.0) - used

    def forget_budget(self) -> None:
        """Ask no more for the running time of all lives together."""
        self.policy = replace(self.policy, total_seconds=0.0)

    def choose_interval(self) -> float:
        """Return the best time between two checkpoints for what one takes here, in seconds."""
        return choose_interval(self.find_cost(), self._find_mtbf())

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
