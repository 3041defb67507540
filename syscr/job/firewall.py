"""The agent's side of the launcher's question: may SIGTERM be passed on? See ``csrc/launcher/agent.c``."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

_LINE_BYTES = 500  # csrc/launcher/agent.c reads as much


class Firewall:
    """Answers the launcher from a thread of its own, so that a dump that goes on delays no answer."""

    def __init__(
        self,
        link: socket.socket,
        keeps_back: Callable[[], bool],
        on_own_signal: Callable[[], None],
    ) -> None:
        """Keep the socket and who decides.

        Args:
            link: Packets from and to the launcher.
            keeps_back: Called for each SIGTERM; says whether the program shall not get it (yet).
            on_own_signal: Called for each signal that the site has made the agent's own.
        """
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
                packet = self._link.recv(1)
            except OSError:
                return
            if not packet:
                return  # the launcher has gone
            is_question = packet[0] == signal.SIGTERM
            keeps = False
            try:
                if is_question:
                    keeps = self._keeps_back()
                else:
                    self._on_own_signal()
            except Exception:
                log.exception("fault in syscr; the program gets SIGTERM")
            if is_question:
                self._answer(b"h" if keeps else b"f")

    def _answer(self, word: bytes) -> None:
        self._send(word + bytes([signal.SIGTERM]))

    def _send(self, packet: bytes) -> None:
        try:
            self._link.send(packet)
        except OSError as error:
            log.info("the launcher has gone: %s", error)
