"""Requests refuse what contradicts itself, before anything is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syscr.errors import RequestError
from syscr.model import JobId, Target
from syscr.request import CheckpointRequest, PruneRequest, RestartRequest

TARGET = Target(JobId(1))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: CheckpointRequest(TARGET, image_dir=""), "empty or holds a NUL"),
        (lambda: CheckpointRequest(TARGET, image_dir="/a\0b"), "empty or holds a NUL"),
        (lambda: CheckpointRequest(TARGET, image_dir="a/b"), "not an absolute path: 'a/b'"),
        (lambda: CheckpointRequest(TARGET, max_wait_seconds=0), "more than 0 s, not 0 s"),
        (lambda: CheckpointRequest(TARGET, max_wait_seconds=-1), "not -1 s"),
        (lambda: CheckpointRequest(TARGET, max_wait_seconds=float("nan")), "not nan s"),
        (lambda: RestartRequest(), "neither a job nor an image"),
        (lambda: RestartRequest(TARGET, wait_seconds=-1), "must not be negative"),
        (lambda: RestartRequest(TARGET, image_dir="x"), "not an absolute path"),
        (lambda: PruneRequest("/x"), "no rule says what to keep"),
        (lambda: PruneRequest("/x", keep_last=0), "--keep-last 0 keeps nothing"),
        (lambda: PruneRequest("/x", keep_last=-1, keep_within_seconds=5), "keeps nothing"),
    ],
)
def test_contradiction_is_refused_with_a_hint(build: Callable[[], object], reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        build()
    assert caught.value.hint


@pytest.mark.parametrize(
    "build",
    [
        lambda: CheckpointRequest(TARGET, image_dir="/a b"),
        lambda: RestartRequest(TARGET, wait_seconds=0),
        lambda: RestartRequest(image_id="20261122T"),
        lambda: PruneRequest("/x", keep_last=1),
        lambda: PruneRequest("/x", keep_within_seconds=0),
        lambda: PruneRequest("/x", keep_tags=("keep",)),
        lambda: PruneRequest("/x", expunge=True),
        lambda: PruneRequest("/x", allow_empty=True),
        lambda: PruneRequest("/x", keep_last=0, allow_empty=True),
    ],
)
def test_sensible_request_is_accepted(build: Callable[[], object]) -> None:
    assert build()
