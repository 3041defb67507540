"""``syscr worker``: what runs on the nodes of a job while it is looked at or dumped."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from syscr.errors import RequestError, SyscrError
from syscr.wiring.health import probe_here
from syscr.wiring.output import report
from syscr.wiring.parts import build_backends, open_store

if TYPE_CHECKING:
    from syscr.model import Image
    from syscr.settings import Settings
    from syscr.wire import WorkerRequest


def run_worker(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """``syscr worker``: what ``slurm/workers.py`` starts on the nodes of a job."""
    import functools

    from syscr import wire
    from syscr.clock import SystemClock
    from syscr.config import load_settings
    from syscr.job.requests import iter_requests
    from syscr.job.worker import NodeWorker
    from syscr.store.digest import sync_and_digest

    environ = os.environ if environ is None else environ
    try:
        if len(argv) != 2 or argv[0] != "--request":
            raise RequestError("'syscr worker' is started by syscr itself")
        request = wire.decode_request(argv[1])
        settings = load_settings(environ)
        node = environ.get("SLURMD_NODENAME") or platform.node()
        if request.action == "confirm":
            _confirm(request, settings)
            return 0
        if request.action == "probe":
            _emit(wire.encode_health(probe_here(settings)))
            return 0
        worker = NodeWorker(
            node,
            build_backends(settings),
            functools.partial(sync_and_digest, algorithm=settings.digest),
            _emit,
            SystemClock(),
        )
        for one in iter_requests(request, node, _STDIN):
            answer = replace(worker.run(one), is_waiting=one.keep_seconds > 0)
            _emit(wire.encode_report(answer))
    except SyscrError as error:
        return report(error)
    return 0


def _confirm(request: WorkerRequest, settings: Settings) -> None:
    from syscr.clock import SystemClock
    from syscr.job.confirm import confirm_restored

    def get_image(folder: str) -> Image:
        path = Path(folder)  # <checkpoint_dir>/<line>.ckpt/<image_id>
        return open_store(str(path.parents[1])).get_image(path.name)

    confirm_restored(request, build_backends(settings), get_image, SystemClock())


_STDIN = 0


def _emit(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
