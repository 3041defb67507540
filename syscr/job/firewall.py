"""The agent's side of the launcher's question: may SIGTERM be passed on? See ``csrc/launcher/agent.c``."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_LINE_BYTES = 500  # csrc/launcher/agent.c reads as much
_QUESTION_BYTES = 64  # and writes as much


class Firewall:
    """Answers the launcher from a thread of its own, so that a dump that goes on delays no answer."""

    def __init__(
        self,
        link: socket.socket,
        keeps_back: Callable[[float, float], bool],
        on_own_signal: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the socket and who decides.

        Args:
            link: Packets from and to the launcher.
            keeps_back: Called for each SIGTERM with the seconds since the launcher has asked, and since the
                signal came; says whether the program shall not get it (yet).
            on_own_signal: Called for each signal that the site has made the agent's own.
            monotonic: The clock that the launcher reads, too.
        """
        self._monotonic = monotonic
        self._on_own_signal = on_own_signal
        self._link = link
        self._keeps_back = keeps_back

    def start(self) -> threading.Thread:
        """Begin to answer; the thread ends with the launcher."""
        thread = threading.Thread(target=self._serve, daemon=True, name="firewall")
        thread.start()
        return thread

    def pass_on(self) -> None:
        """Let the program have the signal that was kept back."""
        self._answer(b"f")

    def say(self, text: str) -> None:
        """Let the launcher write a line into the job's error output."""
        line = "".join(char if char.isprintable() else " " for char in text)
        self._send(b"s" + line.encode("utf-8", "replace")[:_LINE_BYTES])

    def _serve(self) -> None:
        while True:
            try:
                packet = self._link.recv(_QUESTION_BYTES)
            except OSError:
                return
            if not packet:
                return  # the launcher has gone
            is_question = packet[0] == signal.SIGTERM
            keeps = False
            try:
                if is_question:
                    keeps = self._keeps_back(*self._read_times(packet[1:]))
                else:
                    self._on_own_signal()
            except Exception:
                log.exception("fault in syscr; the program gets SIGTERM")
            if is_question:
                self._answer(b"h" if keeps else b"f")

    def _read_times(self, text: bytes) -> tuple[float, float]:
        """Return how long ago the two moments of a question were; a launcher of an older release tells none."""
        now = self._monotonic()
        try:
            asked_at, came_at = map(float, text.split())
        except ValueError:
            return 0.0, 0.0
        return now - asked_at, now - came_at

    def _answer(self, word: bytes) -> None:
        self._send(word + bytes([signal.SIGTERM]))

    def _send(self, packet: bytes) -> None:
        try:
            self._link.send(packet)
        except OSError as error:
            log.info("the launcher has gone: %s", error)
