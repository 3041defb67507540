from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from syscr.errors import ToolReplyError
from syscr.job.requests import iter_requests
from syscr.wire import WorkerRequest, encode_request

FIRST = WorkerRequest("inspect", 40, keep_seconds=20.0)
DUMP = WorkerRequest("dump", 40, "0", "/s", keep_seconds=20.0, nodes=("c1",))
FINISH = WorkerRequest("finish", 40, "0", finish_action="kill")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def line(request: WorkerRequest) -> bytes:
    return encode_request(request).encode() + b"\n"


def test_requests_come_one_after_the_other_until_one_says_no_more(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], line(DUMP) + line(FINISH)[:7])
    found = iter_requests(FIRST, "c1", pipe[0])
    assert [next(found), next(found)] == [FIRST, DUMP]
    os.write(pipe[1], line(FINISH)[7:])
    assert list(found) == [FINISH]
    os.close(pipe[1])


def test_end_of_input_ends_the_worker(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], line(DUMP)[:10])
    os.close(pipe[1])
    assert list(iter_requests(FIRST, "c1", pipe[0])) == [FIRST]


def test_node_that_is_not_meant_leaves(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], line(DUMP))
    assert list(iter_requests(FIRST, "c2", pipe[0])) == [FIRST]
    os.close(pipe[1])


def test_nobody_waits_longer_than_was_said(pipe: tuple[int, int]) -> None:
    started = time.monotonic()
    assert len(list(iter_requests(replace(FIRST, keep_seconds=0.02), "c1", pipe[0]))) == 1
    assert 0.02 <= time.monotonic() - started < 10
    os.close(pipe[1])


def test_what_is_no_request_is_an_error(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"hello\n")
    with pytest.raises(ToolReplyError, match="worker request"):
        list(iter_requests(FIRST, "c1", pipe[0]))
    os.close(pipe[1])
