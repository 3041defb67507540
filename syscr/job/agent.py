"""The agent: one sleeping process per job that takes periodic checkpoints, and those the job asks for.

It is a helper of the launcher, outside of the tree that is dumped, and calls the same manager as the
command line. If it dies or fails the job does not notice. A program inside of the tree cannot take its
own checkpoint (its own connections would be in the image), so it asks the agent: one datagram to an
abstract socket, whose name is in the task's private folder, and a file for the answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from syscr.errors import SyscrError
from syscr.job.agent_request import AgentRequest
from syscr.job.notes import write_note
from syscr.job.own_images import PERIODIC, OwnImages
from syscr.lives import SOCKET_NOTE
from syscr.model import Image, Target
from syscr.ports import Clock
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult
from syscr.schedule import Past, find_due
from syscr.units import AUTO_INTERVAL

log = logging.getLogger(__name__)

_REQUEST_BYTES = 1 << 16
_FAR_SECONDS = 86400.0
_UNKNOWN_SECONDS = 3600.0
_FAULT_SECONDS = 5.0
_WAKE = b'{"wake": true}'


class Watch(Protocol):
    """What the agent wakes for beside its interval; see ``keeper.Keeper``."""

    def next_due(self) -> float:
        """Return when ``act`` has something to do, monotonic seconds."""
        ...

    def act(self) -> None:
        """Do what is due."""

    def choose_interval(self) -> float:
        """Return the best time between two checkpoints, in seconds."""
        ...

    def note_image(self, image: Image, took_seconds: float) -> None:
        """Take note of an image."""

    def note_failure(self, message: str) -> None:
        """Take note of an image that could not be taken; a newer one makes that forgotten."""

    def note_next(self, at: datetime | None) -> None:
        """Take note of when the next periodic image is due."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Takes checkpoints of its own job.

    Attributes:
        request: What it is for.
        images: Those that it has taken.
        max_wait_seconds: Limit of one checkpoint.
        checkpoint: ``CheckpointManager.checkpoint``.
        clock: Time.
        build_watch: Builds what keeps the job alive, from what takes an image now and what wakes the
            agent; None: nothing does.
    """

    request: AgentRequest
    images: OwnImages
    max_wait_seconds: float
    checkpoint: Callable[[CheckpointRequest], CheckpointResult]
    clock: Clock
    build_watch: Callable[[Callable[[], bool], Callable[[], None]], Watch] | None = None

    def run(self) -> None:
        """Serve until the launcher ends this process."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.bind(b"")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            name = link.getsockname()
            write_note(Path(self.request.run_dir, SOCKET_NOTE), name[1:].decode())
            self._serve(link, self._start_watch(name))

    def _start_watch(self, name: bytes) -> Watch | None:
        if self.build_watch is None:
            return None

        def wake() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
                link.setblocking(False)
                with contextlib.suppress(BlockingIOError):  # its queue is full: it will not sleep
                    link.sendto(_WAKE, name)

        watch: Watch | None = None
        watch = self.build_watch(lambda: self._take(None, watch), wake)
        return watch

    def _serve(self, link: socket.socket, watch: Watch | None) -> None:
        past = Past(self.clock.monotonic())
        while True:
            due = self._find_due(past, watch)
            wanted = self._wait(link, past, watch)
            if watch is not None and (wanted is None or "wake" in wanted):
                self._act(watch)
            started = self.clock.monotonic()
            is_due = wanted is None and started >= due
            if (wanted is None or "wake" in wanted) and not is_due:
                continue
            ok = self._take(None if is_due else wanted, watch)
            if is_due:
                took = self.clock.monotonic() - started
                past = Past(started, took, 0 if ok else past.failures + 1)

    def _act(self, watch: Watch) -> None:
        """Let the watch do what is due; a fault of ours must not end what keeps the job alive."""
        try:
            watch.act()
        except Exception:
            log.exception("fault in syscr")
            self.clock.sleep(_FAULT_SECONDS)  # it may still be due

    def _find_due(self, past: Past, watch: Watch | None) -> float:
        """Return when the next periodic checkpoint is due, and write it down."""
        interval = self._find_interval(watch)
        if interval <= 0:
            return self.clock.monotonic() + _FAR_SECONDS
        due = find_due(past, interval)
        if watch is not None:
            in_seconds = timedelta(seconds=due - self.clock.monotonic())
            watch.note_next(self.clock.now() + in_seconds)
        return due

    def _find_interval(self, watch: Watch | None) -> float:
        """Return the interval in seconds, 0: none."""
        if self.request.interval_seconds != AUTO_INTERVAL:
            return self.request.interval_seconds
        return _UNKNOWN_SECONDS if watch is None else watch.choose_interval()

    def _wait(
        self, link: socket.socket, past: Past, watch: Watch | None
    ) -> Mapping[str, object] | None:
        """Sleep until a request comes, or something is due (None)."""
        while True:
            dues = [watch.next_due()] if watch is not None else []
            interval = self._find_interval(watch)
            if interval > 0:
                dues.append(find_due(past, interval))
            if dues:
                link.settimeout(max(0.001, min(dues) - self.clock.monotonic()))
            try:
                text, ancillary, _, _ = link.recvmsg(_REQUEST_BYTES, socket.CMSG_SPACE(12))
            except TimeoutError:
                return None
            wanted = _read_wanted(text, ancillary)
            if wanted is not None:
                return wanted

    def _take(self, wanted: Mapping[str, object] | None, watch: Watch | None = None) -> bool:
        """Take one checkpoint; answer it if it was asked for. Whatever goes wrong is only logged."""
        tags = (PERIODIC,) if wanted is None else ()
        try:
            request = self._build(wanted or {}, tags)
            started = self.clock.monotonic()
            result = self.checkpoint(request)
            if watch is not None and result.image is not None:
                watch.note_image(result.image, self.clock.monotonic() - started)
            answer: dict[str, object] = {
                "ok": True,
                "image_id": result.image.image_id if result.image else None,
            }
            log.info("image %s written", answer["image_id"])
            if wanted is None:
                self.images.retain(request.target)
        except SyscrError as error:
            log.warning("%s", error.message)
            if watch is not None:
                watch.note_failure(error.message)
            answer = {"ok": False, "error": error.to_dict()}
        except Exception:
            log.exception("fault in syscr")
            answer = {"ok": False, "error": None}
        if wanted is not None:
            self._answer(wanted, answer)
        return bool(answer["ok"])

    def _build(self, wanted: Mapping[str, object], tags: tuple[str, ...]) -> CheckpointRequest:
        image_dir, limit = wanted.get("image_dir"), wanted.get("max_wait_seconds")
        return CheckpointRequest(
            Target.parse(self.request.target),
            image_dir=str(image_dir) if image_dir else None,
            max_wait_seconds=float(str(limit)) if limit else self.max_wait_seconds,
            tags=tags,
        )

    def _answer(self, wanted: Mapping[str, object], answer: Mapping[str, object]) -> None:
        name = str(wanted.get("reply") or "")
        if not name or "/" in name:
            return
        try:
            write_note(Path(self.request.run_dir, name), json.dumps(answer))
        except (OSError, ValueError) as error:
            log.warning("cannot answer the request of the job in '%s': %s", name, error)


def _read_wanted(
    text: bytes, ancillary: list[tuple[int, int, bytes]]
) -> Mapping[str, object] | None:
    """Return a request of our own user (or root); None for anything else that arrives."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            uid = int.from_bytes(data[4:8], "little")
            if uid not in {os.geteuid(), 0}:
                log.warning("a request of user %d was ignored", uid)
                return None
            try:
                value = json.loads(text)
            except ValueError:
                return None
            return value if isinstance(value, dict) else None
    return None
