"""When a last image is due, and why Slurm stops a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.model import JobState, Outlook, SiteTimes, StopReason
from syscr.stopping import estimate_cost, find_lead, find_poll, has_time, judge_stop

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STARTED = NOW - timedelta(minutes=10)
SECONDS = st.floats(0, 1e6)


@given(SECONDS, st.floats(60, 1e7))
def test_lead_is_never_more_than_half_the_limit_and_never_less_than_the_dump_where_that_fits(
    cost: float, limit: float
) -> None:
    lead = find_lead(cost, limit)
    assert 0 < lead <= limit / 2
    if 1.3 * cost + 1 <= limit / 2:
        assert lead >= cost * 1.3


@given(SECONDS)
def test_lead_without_a_limit_is_half_a_minute_at_least(cost: float) -> None:
    assert find_lead(cost, None) >= max(30.0, cost)


def test_cost_is_that_of_the_last_checkpoint_and_before_it_grows_with_the_memory() -> None:
    assert estimate_cost(10**12, 0.5) == 0.5
    assert estimate_cost(2 * 10**9, None) > estimate_cost(10**9, None) > estimate_cost(0, None)


@pytest.mark.parametrize(
    ("outlook", "reason"),
    [
        (Outlook(JobState.RUNNING), None),
        (Outlook(JobState.RUNNING, restart_count=2), None),
        (Outlook(JobState.RUNNING, restart_count=3), StopReason.REQUEUE),
        (Outlook(JobState.PENDING, restart_count=3), StopReason.REQUEUE),
        (Outlook(JobState.RUNNING, preempted_at=NOW), StopReason.PREEMPTION),
        (Outlook(JobState.PENDING, restart_count=3, preempted_at=NOW), StopReason.PREEMPTION),
        # of a life before: Slurm keeps it
        (Outlook(JobState.RUNNING, preempted_at=STARTED - timedelta(seconds=1)), None),
        (Outlook(JobState.CANCELLED, end_at=NOW), None),
        (Outlook(JobState.COMPLETING, end_at=NOW), None),  # scancel: it ends now
        (Outlook(JobState.RUNNING, end_at=NOW), StopReason.TIME_LIMIT),
        (Outlook(JobState.RUNNING, end_at=NOW + timedelta(seconds=1)), StopReason.TIME_LIMIT),
        (Outlook(JobState.RUNNING, end_at=NOW + timedelta(seconds=60)), None),
        (Outlook(JobState.COMPLETING, "TIMEOUT", "TimeLimit"), StopReason.TIME_LIMIT),
        (Outlook(JobState.TIMEOUT, "TIMEOUT"), StopReason.TIME_LIMIT),
    ],
)
def test_reason_of_a_stop(outlook: Outlook, reason: StopReason | None) -> None:
    assert judge_stop(outlook, restart_count=2, started_at=STARTED, now=NOW) is reason


def test_job_is_preempted_in_the_second_in_which_it_began() -> None:
    outlook = Outlook(JobState.PENDING, restart_count=3, preempted_at=NOW)
    started = NOW + timedelta(milliseconds=400)
    found = judge_stop(outlook, restart_count=2, started_at=started, now=started)
    assert found is StopReason.PREEMPTION


def test_checkpoint_that_would_not_be_finished_is_not_begun() -> None:
    assert has_time(10.0, 13.5)
    assert not has_time(10.0, 12.5)


@pytest.mark.parametrize(
    ("poll", "cost", "site", "found"),
    [
        (120.0, 2.0, SiteTimes(30.0, 0.0), 120.0),
        (120.0, 100.0, SiteTimes(30.0, 0.0), 120.0),  # there is no grace to be noticed
        (120.0, 100.0, SiteTimes(30.0, 200.0), 50.0),
        (120.0, 10.0, SiteTimes(5.0, 10.0), 5.0),
        (3.0, 10.0, SiteTimes(5.0, 10.0), 3.0),
        (0.0, 10.0, SiteTimes(5.0, 10.0), 0.0),
    ],
)
def test_slurm_is_asked_more_often_only_where_the_grace_is_needed(
    poll: float, cost: float, site: SiteTimes, found: float
) -> None:
    assert find_poll(poll, cost, site) == found
