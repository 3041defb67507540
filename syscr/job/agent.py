"""The agent: one sleeping process per job that takes periodic checkpoints, and those the job asks for.

It is a helper of the launcher, outside of the tree that is dumped, and calls the same manager as the
command line. If it dies or fails the job does not notice. A program inside of the tree cannot take its
own checkpoint (its own connections would be in the image), so it asks the agent: one datagram to an
abstract socket, whose name is in the task's private folder, and a file for the answer.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from syscr.errors import RequestError, SyscrError
from syscr.model import Image, Target
from syscr.ports import Clock
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult
from syscr.schedule import Past, find_due

log = logging.getLogger(__name__)

SOCKET_NOTE = "agent"
"""File in the task's private folder: name of the agent's socket, without the leading NUL."""

AGENT_LOG = "agent.log"
"""File in the task's private folder that is there from the moment the agent is started."""

PERIODIC = "periodic"
"""Tag of images that the agent took at the interval; only those are removed by it."""

_REQUEST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """What an agent is for; its argument ``--request`` as JSON.

    Attributes:
        target: Job or step, as ``syscr checkpoint`` takes it.
        run_dir: Private folder of the task.
        interval_seconds: Time between two checkpoints; 0: only on demand.
    """

    target: str
    run_dir: str
    interval_seconds: float

    def encode(self) -> str:
        """Write the request as JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, text: str) -> AgentRequest:
        """Read a request; RequestError if it is none."""
        try:
            values = json.loads(text)
            return cls(
                str(values["target"]),
                str(values["run_dir"]),
                float(values["interval_seconds"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"not a request for an agent: {text[:200]!r}") from error


@dataclass(frozen=True, slots=True)
class Agent:
    """Takes checkpoints of its own job.

    Attributes:
        request: What it is for.
        keep: Newest periodic images that stay; 0: all.
        max_wait_seconds: Limit of one checkpoint.
        checkpoint: ``CheckpointManager.checkpoint``.
        list_images: Images of the job or step, oldest first.
        remove: Removes an image for good.
        clock: Time.
    """

    request: AgentRequest
    keep: int
    max_wait_seconds: float
    checkpoint: Callable[[CheckpointRequest], CheckpointResult]
    list_images: Callable[[Target], tuple[Image, ...]]
    remove: Callable[[Image], None]
    clock: Clock

    def run(self) -> None:
        """Serve until the launcher ends this process."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.bind(b"")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            note = Path(self.request.run_dir, SOCKET_NOTE)
            _write(note, link.getsockname()[1:].decode())
            self._serve(link)

    def _serve(self, link: socket.socket) -> None:
        past = Past(self.clock.monotonic())
        while True:
            wanted = self._wait(link, past)
            started = self.clock.monotonic()
            ok = self._take(wanted)
            if wanted is None:
                took = self.clock.monotonic() - started
                past = Past(started, took, 0 if ok else past.failures + 1)

    def _wait(self, link: socket.socket, past: Past) -> Mapping[str, object] | None:
        """Sleep until a request comes, or the next periodic checkpoint is due (None)."""
        while True:
            if self.request.interval_seconds > 0:
                due = find_due(past, self.request.interval_seconds)
                link.settimeout(max(0.001, due - self.clock.monotonic()))
            try:
                text, ancillary, _, _ = link.recvmsg(_REQUEST_BYTES, socket.CMSG_SPACE(12))
            except TimeoutError:
                return None
            wanted = _read_wanted(text, ancillary)
            if wanted is not None:
                return wanted

    def _take(self, wanted: Mapping[str, object] | None) -> bool:
        """Take one checkpoint; answer it if it was asked for. Whatever goes wrong is only logged."""
        tags = (PERIODIC,) if wanted is None else ()
        try:
            request = self._build(wanted or {}, tags)
            result = self.checkpoint(request)
            answer: dict[str, object] = {
                "ok": True,
                "image_id": result.image.image_id if result.image else None,
            }
            log.info("image %s written", answer["image_id"])
            if wanted is None:
                self._retain(request.target)
        except SyscrError as error:
            log.warning("%s", error.message)
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

    def _retain(self, target: Target) -> None:
        """Remove older periodic images; the newest ones stay, whatever happens to others."""
        if self.keep < 1:
            return
        images = [i for i in self.list_images(target) if PERIODIC in i.manifest.tags]
        parents = {image.manifest.parent_image_id for image in images}
        for image in images[: -self.keep]:
            if image.image_id not in parents:
                self.remove(image)

    def _answer(self, wanted: Mapping[str, object], answer: Mapping[str, object]) -> None:
        name = str(wanted.get("reply") or "")
        if name and "/" not in name:
            _write(Path(self.request.run_dir, name), json.dumps(answer))


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


def _write(path: Path, text: str) -> None:
    """Write a small file aside and rename it."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", errors="surrogateescape") as file:
        file.write(text)
    aside.rename(path)
