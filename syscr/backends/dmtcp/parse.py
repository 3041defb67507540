"""Replies of DMTCP's programs, and the restart script as a list of image files; pure.

Exit code and both streams are read together: for ``dmtcp_command`` a non-zero code is often an answer.
Texts are matched by substring, for 4.2.0 and main alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from syscr.errors import CoordinatorError, ToolReplyError
from syscr.ports import Completed

_VERSION = re.compile(r"\(DMTCP\)\s+(\S+)")
_PEERS = re.compile(r"^\s*NUM_PEERS=(\d+)\s*$", re.MULTILINE)
_RUNNING = re.compile(r"^\s*RUNNING=(yes|no)\s*$", re.MULTILINE)
_CLIENT = re.compile(
    r"^\d+, (?P<name>.+)\[(?P<virtual>\d+):(?P<pid>\d+)\]@(?P<host>[^,]*), (?P<id>[^,]*), "
    r"WorkerState::(?P<state>\w+), (?P<barrier>.*)$"
)
_SCRIPT_COUNT = re.compile(r"^# Number of processes in the computation = (\d+)$", re.MULTILINE)
_SCRIPT_FILES = re.compile(r'^given_ckpt_files="([^"]*)"$', re.MULTILINE)
_SCRIPT_END = "$ckpt_files\n"
_EXCERPT_CHARS = 300

Reader = Callable[[Completed], object]
"""One of the functions below."""

_NOT_FOUND = "Coordinator not found"
_NOT_RUNNING = "computation not in running state"


@dataclass(frozen=True, slots=True)
class Status:
    """State of one computation.

    Attributes:
        peers: Connected processes; 0 is legal.
        running: Whether all of them run: no checkpoint and no restart is going on.
    """

    peers: int
    running: bool


@dataclass(frozen=True, slots=True)
class Client:
    """One process that the coordinator knows.

    Attributes:
        name: Program.
        pid: Real process id on the node.
        state: ``RUNNING``, ``CHECKPOINTING``, ``CHECKPOINTED`` and the like.
        barrier: Where it waits; empty while it runs.
    """

    name: str
    pid: int
    state: str
    barrier: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """What a restart script says about its generation.

    Attributes:
        process_count: Processes that took part.
        images: Paths of their image files, as DMTCP wrote them.
    """

    process_count: int
    images: tuple[str, ...]


def parse_version(reply: Completed) -> str:
    """Read the reply of ``dmtcp_launch --version``: ``dmtcp_launch (DMTCP) 4.2.0``.

    Raises:
        ToolReplyError: No version in it.
    """
    match = _VERSION.search(reply.stdout)
    if match is None or not reply.is_ok:
        raise _not_understood(reply, "version")
    return match[1]


def parse_status(reply: Completed) -> Status:
    """Read the reply of ``dmtcp_command --status``, text or JSON.

    Raises:
        CoordinatorError: No coordinator there.
        ToolReplyError: Anything else.

    Source: dmtcp ``src/dmtcp_command.cpp``, 4.2.0 and 2bef5cf8 (JSON schema 1); checked 2026-11.
    """
    fields = _read_json(reply)
    if fields is not None:
        peers, running = fields.get("num_peers"), fields.get("running")
        if isinstance(peers, int) and isinstance(running, bool):
            return Status(peers, running)
        raise _not_understood(reply, "status")
    peers_text, running_text = _PEERS.search(reply.stdout), _RUNNING.search(reply.stdout)
    if not reply.is_ok or peers_text is None or running_text is None:
        raise _not_understood(reply, "status")
    return Status(int(peers_text[1]), running_text[1] == "yes")


def parse_clients(reply: Completed) -> tuple[Client, ...]:
    """Read the reply of ``dmtcp_command --list``, text or JSON (which holds the same text).

    Returns:
        Processes in the coordinator's order; empty if none is connected.

    Raises:
        CoordinatorError: No coordinator there.
        ToolReplyError: Anything else.
    """
    fields = _read_json(reply)
    text = reply.stdout if fields is None else fields.get("workers")
    if not reply.is_ok or not isinstance(text, str) or "Client List" not in text:
        raise _not_understood(reply, "client list")
    matches = (_CLIENT.match(line) for line in text.splitlines())
    return tuple(
        Client(match["name"], int(match["pid"]), match["state"], match["barrier"].strip())
        for match in matches
        if match is not None
    )


def parse_request(reply: Completed) -> bool:
    """Read the reply of ``dmtcp_command --checkpoint``.

    Returns:
        True if the request was accepted (nothing is on disk yet); False if the computation was not in
        the running state, which also holds for a moment after each checkpoint.

    Raises:
        CoordinatorError: No coordinator there.
        ToolReplyError: Anything else.
    """
    fields = _read_json(reply)
    if fields is not None:
        status = fields.get("command_status")
        if status in {"DMT_COORD_SUCCESS", "DMT_COORD_NOT_RUNNING"}:
            return status == "DMT_COORD_SUCCESS"
        raise _not_understood(reply, "checkpoint request")
    if reply.is_ok:
        return True
    if _NOT_RUNNING in reply.stderr:
        return False
    raise _not_understood(reply, "checkpoint request")


def parse_script(text: str) -> Script | None:
    """Read a restart script of a computation on one node; the script itself is never run.

    Returns:
        None while the script is still being written: it appears before it is complete.

    Source: dmtcp ``src/restartscript.cpp``, 4.2.0 and 2bef5cf8; checked 2026-11.
    """
    count, files = _SCRIPT_COUNT.search(text), _SCRIPT_FILES.search(text)
    if count is None or files is None or not text.endswith(_SCRIPT_END):
        return None
    return Script(int(count[1]), _split_files(files[1]))


def _split_files(text: str) -> tuple[str, ...]:
    """Split `` /a b/x.dmtcp /a b/y.dmtcp``: paths may hold blanks, each ends in ``.dmtcp``."""
    parts = re.split(r"(?<=\.dmtcp) (?=/)", text.strip())
    return tuple(str(PurePath(part)) for part in parts if part)


def _read_json(reply: Completed) -> dict[str, object] | None:
    """Return the JSON object of a reply, None for a text reply; a missing coordinator is raised here."""
    fields: object = None
    if reply.stdout.lstrip().startswith("{"):
        try:
            fields = json.loads(reply.stdout)
        except ValueError as error:
            raise _not_understood(reply, "JSON") from error
    missing = isinstance(fields, dict) and fields.get("command_status") == "DMT_COORD_NOT_FOUND"
    if missing or _NOT_FOUND in reply.stderr:
        raise CoordinatorError("the DMTCP coordinator of the task is gone")
    return fields if isinstance(fields, dict) else None


def _not_understood(reply: Completed, what: str) -> ToolReplyError:
    text = (reply.stderr or reply.stdout).strip()[-_EXCERPT_CHARS:]
    end = f"exit code {reply.exit_code}" if reply.signal is None else f"signal {reply.signal}"
    return ToolReplyError(
        f"{what} of '{PurePath(reply.argv[0]).name}' not understood ({end}): {text!r}",
        argv=list(reply.argv),
    )
