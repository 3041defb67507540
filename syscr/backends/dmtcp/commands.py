"""Argument lists and environments for DMTCP's programs; pure.

Replies are read in ``parse.py``; when each command is used, and what may be believed of its answer, is
in ``backend.py``. The port of a coordinator is not known before ``job/run.py`` has bound it: it travels
in the environment, as ``PORT_MARK``, never in an argument list that also holds the user's words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

HOST = "127.0.0.1"
LISTEN_FD = 821
"""Descriptor on which a coordinator expects a listening socket that is already bound.

Source: dmtcp ``include/protectedfds.h`` (PROTECTED_COORD_FD) and ``src/dmtcp_coordinator.cpp``, 4.2.0
and 2bef5cf8; checked 2026-11.
"""

# Source: dmtcp include/protectedfds.h, PROTECTED_FD_START 820 and 21 more, 4.2.0 and 2bef5cf8.
OWN_DESCRIPTORS = range(820, 860)
"""Descriptors that DMTCP keeps for itself in each process."""

PORT_MARK = "{port}"
PORT_FILE = "dmtcp-port"
ENVIRONMENT_FILE = "dmtcp_env.txt"
CKPT_SIGNAL = 61
TOP_PAD = "glibc.malloc.top_pad=1100000000"

_STALE_SECONDS = 300
_TEMP_DIR = "dmtcp"
_MAX_DIR_BYTES = 400
_MAX_ENVIRONMENT_BYTES = 12000
_MAX_VALUE_CHARS = 900
_PLAIN_VALUE = re.compile(r"[\w.,:/@%+=\[\]()-]*", re.ASCII)
_RENEWED_NAME = re.compile(r"(?:SLURM|SLURMD)_\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tool:
    """One installation of DMTCP.

    Attributes:
        bin_dir: Directory of its programs.
        unique_plugin: Path of the plugin that gives each generation a directory (4.x); empty where
            ``dmtcp_launch`` has an option for it (5.0).
        task_library: Path of our library for the programs of a task (csrc/dmtcp/task.c); empty if it is not
            built.
        guard: Path of our library that keeps other users away from the coordinator; empty likewise.
        json: Whether ``dmtcp_command`` knows ``--json``.
    """

    bin_dir: str
    unique_plugin: str = ""
    task_library: str = ""
    guard: str = ""
    json: bool = False

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        return str(PurePath(self.bin_dir, name))


def build_coordinator(tool: Tool, run_dir: str) -> tuple[str, ...]:
    """Return how to start the coordinator of one task; it listens on descriptor ``LISTEN_FD``.

    It stays in the foreground, so that the launcher is its parent, and leaves with the last process of
    the task. Its checkpoint interval is 0 whatever the user's environment says.
    """
    guard = ("env", f"LD_PRELOAD={tool.guard}") if tool.guard else ()
    return (
        *guard,
        tool.program("dmtcp_coordinator"),
        *("--exit-on-last", "--stale-timeout", str(_STALE_SECONDS), "--interval", "0"),
        *("--port-file", str(PurePath(run_dir, PORT_FILE)), "--ckptdir", run_dir),
    )


def build_launch(tool: Tool, run_dir: str, argv: Sequence[str]) -> tuple[str, ...]:
    """Return how to start a program under DMTCP; the coordinator's port is in the environment.

    ``--modify-env`` renews Slurm's variables at a restart; DMTCP builds the name of its file in 512
    bytes without a sufficient check (``plugin/modify-env/modify-env.c``), so it is left out for deep
    directories.
    """
    words = [tool.program("dmtcp_launch"), "--join-coordinator", "--ckptdir", run_dir]
    if len(run_dir.encode(errors="surrogateescape")) <= _MAX_DIR_BYTES:
        words.append("--modify-env")
    if tool.task_library:
        words += ["--ckpt-signal", str(CKPT_SIGNAL)]
    if tool.unique_plugin:
        words += ["--with-plugin", tool.unique_plugin]
    else:
        words.append("--enable-unique-checkpoint-filenames")
    return (*words, *argv)


def build_restart(tool: Tool, run_dir: str, images: Sequence[str]) -> tuple[str, ...]:
    """Return how to bring back the processes of one task from all of its image files."""
    restart = tool.program("dmtcp_restart")
    return (restart, "--join-coordinator", "--ckptdir", run_dir, *images)


def build_environment(
    tool: Tool,
    run_dir: str,
    environ: Mapping[str, str],
    *,
    launch: bool,
    pad_heap: bool = False,
) -> dict[str, str]:
    """Return the variables for coordinator, launch and restart.

    Args:
        tool: Installation.
        run_dir: Private directory of the task; images are written below it.
        environ: The task's environment, where ours is joined with the user's.
        launch: For ``dmtcp_launch``; else for ``dmtcp_restart``.
        pad_heap: Let glibc ask for heap ahead of need: cure of the crash after the restart of non-PIE
            programs where address randomisation cannot be switched off at the restart.

    DMTCP's notes and warnings are kept out of the job's output (DMTCP_QUIET; errors are printed all the
    same). Its temporary directory is a private one: the default one, ``/tmp/dmtcp-USER@HOST``, can be
    taken by anybody. A user's own DMTCP_* variables for the same things lose.
    """
    env = {
        "DMTCP_COORD_HOST": HOST,
        "DMTCP_COORD_PORT": PORT_MARK,
        "DMTCP_CHECKPOINT_DIR": run_dir,
        "DMTCP_TMPDIR": str(PurePath(run_dir, _TEMP_DIR)),
        "DMTCP_GZIP": "0",
        "DMTCP_QUIET": "2",
    }
    if launch and tool.task_library:
        env["LD_PRELOAD"] = _join(tool.task_library, environ.get("LD_PRELOAD"))
    if launch and pad_heap:
        env["GLIBC_TUNABLES"] = _join(environ.get("GLIBC_TUNABLES"), TOP_PAD)
    return env


def _join(*words: str | None) -> str:
    return ":".join(word for word in words if word)


def build_command(tool: Tool, port: int, verb: str) -> tuple[str, ...]:
    """Return a request to a coordinator: ``--status``, ``--list``, ``--checkpoint``.

    Not used, and why (measured, 2026-11): ``--bcheckpoint`` does not block in 4.2.0; ``--kcheckpoint``
    says "killed" when it was refused; ``--interval`` does nothing in 4.2.0.
    """
    json = ("--json",) if tool.json else ()
    command = tool.program("dmtcp_command")
    return (command, *json, "--coord-host", HOST, "--coord-port", str(port), verb)


def build_json_probe(tool: Tool) -> tuple[str, ...]:
    """Return a command that ends with 0 where ``--json`` is known (1 where it is not, 4.2.0)."""
    return (tool.program("dmtcp_command"), "--json", "--version")


def build_version(tool: Tool) -> tuple[str, ...]:
    """Return the command that prints the version and ends with 0."""
    return (tool.program("dmtcp_launch"), "--version")


def build_environment_file(environ: Mapping[str, str]) -> str:
    r"""Return ``dmtcp_env.txt``: Slurm's variables of the new life, for ``getenv`` in the restored program.

    DMTCP's reader has fixed buffers (1000 bytes for a value, 12288 for the file) and its own quoting:
    long and unusual values are left out, and so keep what they were.

    Source: dmtcp ``plugin/modify-env/modify-env.c``, 4.2.0 and 2bef5cf8; checked 2026-11.

    Example:
        >>> build_environment_file({"SLURM_JOB_ID": "7", "HOME": "/root", "SLURM_X": "a b"})
        'SLURM_JOB_ID=7\n'
    """
    lines: list[str] = []
    size = 0
    for name in sorted(environ):
        value = environ[name]
        if not _RENEWED_NAME.fullmatch(name) or not _PLAIN_VALUE.fullmatch(value):
            continue
        line = f"{name}={value}\n"
        if len(value) > _MAX_VALUE_CHARS or size + len(line) > _MAX_ENVIRONMENT_BYTES:
            continue
        lines.append(line)
        size += len(line)
    return "".join(lines)
