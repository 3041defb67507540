"""The requests of one node worker: the first is its argument, more may come on standard input.

So one step of Slurm serves a whole checkpoint: it looks, and waits to be told what to dump. When who
asks has gone, standard input ends, and the worker with it.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

from syscr import wire

_PIECE_BYTES = 1 << 16


def iter_requests(
    first: wire.WorkerRequest, node: str, descriptor: int
) -> Iterator[wire.WorkerRequest]:
    """Yield ``first``, then those that come on a descriptor while the one before says to wait.

    Raises:
        ToolReplyError, RequestError: What came is no request.
    """
    request, pending = first, b""
    while True:
        yield request
        line, pending = _read_line(descriptor, pending, request.keep_seconds)
        if line is None:
            return
        request = wire.decode_request(line)
        if request.nodes and node not in request.nodes:
            return


def _read_line(descriptor: int, pending: bytes, seconds: float) -> tuple[str | None, bytes]:
    """Return the next line and what follows it; None: it did not come in time, or nobody asks any more."""
    deadline = time.monotonic() + seconds
    while b"\n" not in pending:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None, pending
        piece = os.read(descriptor, _PIECE_BYTES)
        if not piece:
            return None, pending
        pending += piece
    line, _, rest = pending.partition(b"\n")
    return line.decode("ascii", "replace"), rest
