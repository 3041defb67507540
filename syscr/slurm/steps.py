"""Steps whose workers answer more than one request, so that a checkpoint starts them only once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from syscr.ports import CommandTimeout, Completed, Conversation
from syscr.wire import MessageReader, WorkerRequest, encode_request

log = logging.getLogger(__name__)

Message = Mapping[str, object]
Progress = Callable[[Message], None]
_END_SECONDS = 5.0
_NOBODY = "-"  # who is not named in a request leaves


@dataclass(slots=True)
class Answers:
    """Takes the output of a step apart.

    Attributes:
        progress: Gets messages that are no answers; None: they are dropped.
        by_node: The answers so far.
    """

    progress: Progress | None = None
    by_node: dict[str, Message] = field(default_factory=dict)
    _reader: MessageReader = field(default_factory=MessageReader)

    def take(self, line: str) -> None:
        """Take the next line."""
        message = self._reader.feed(line)
        if message is None:
            log.debug("not a message: %s", line)
        elif message["type"] != "progress":
            self.by_node[str(message.get("node"))] = message
        elif self.progress is not None:
            self.progress(message)


class KeptStep:
    """One srun whose workers wait for requests.

    Attributes:
        nodes: Nodes whose workers are there.
    """

    def __init__(self, nodes: tuple[str, ...], answers: Answers, talk: Conversation) -> None:
        """Take over a step that was just started; its workers answer their first request."""
        self.nodes = nodes
        self._answers = answers
        self._talk = talk

    def send(self, request: WorkerRequest, progress: Progress | None) -> None:
        """Ask all, or those that the request names; the others leave."""
        self._answers.by_node.clear()
        self._answers.progress = progress
        self._talk.send(encode_request(request) + "\n")
        self.nodes = request.nodes or self.nodes

    def dismiss(self) -> None:
        """Tell the workers to leave, without waiting for it."""
        self._talk.send(encode_request(WorkerRequest("inspect", nodes=(_NOBODY,))) + "\n")

    def collect(
        self, nodes: Collection[str], limit_seconds: float
    ) -> tuple[Completed | None, dict[str, Message], bool]:
        """Wait for the answers; return how the step ended if it did, them, and whether time was up."""
        by_node = self._answers.by_node
        try:
            done = self._talk.wait(
                lambda: by_node.keys() >= set(nodes), timeout_seconds=limit_seconds
            )
        except CommandTimeout as timeout:
            return timeout.completed, dict(by_node), True
        return None if done else self.end(), dict(by_node), False

    def end(self) -> Completed:
        """Send the workers away."""
        return self._talk.end(timeout_seconds=_END_SECONDS)
