"""Becoming another program, and starting a helper that the new program inherits.

Imported by every task that starts, so it stays small.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from syscr.errors import ToolMissingError

_USER_PATH = "/usr/local/bin:/usr/bin:/bin"
_ACCEPTED = os.F_OK | os.X_OK

# Descriptor that leads to the task's starter, in a list; empty: this process is the task itself.
_starter: list[int] = []


def find_executable(name: str, path: str | None = None) -> str:
    """Return the absolute path of an executable.

    Raises:
        ToolMissingError: It is not in PATH or may not be run.
    """
    folders = os.environ.get("PATH", os.defpath) if path is None else path
    candidates = [name] if "/" in name else [os.path.join(f, name) for f in folders.split(":") if f]
    for candidate in candidates:
        if os.access(candidate, _ACCEPTED) and not os.path.isdir(candidate):
            return candidate
    raise ToolMissingError(f"cannot run '{name}': no such executable in PATH", tool=name)


def replace_process(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, executable: str | None = None
) -> NoReturn:
    """Become another program; descriptors marked inheritable stay open.

    Args:
        argv: Argument list.
        env: Its whole environment; None: ours.
        executable: Path of the program; None: the first of ``argv``, looked up in PATH.

    Raises:
        ToolMissingError: The executable does not exist or may not be run.
    """
    full_env = dict(os.environ if env is None else env)
    path = executable or find_executable(argv[0], full_env.get("PATH"))
    if _starter:
        _hand_over(path, argv, full_env)
    try:
        os.execve(path, list(argv), full_env)  # noqa: S606 - an argument list, never a shell
    except OSError as error:
        raise ToolMissingError(f"cannot run '{argv[0]}': {error.strerror}", tool=argv[0]) from error


def serve_starter(descriptor: str) -> None:
    """From now on hand over to the task's starter what this process should become.

    Args:
        descriptor: Number of the socket that leads there. Source: ``csrc/spank/start.c``, our own.
    """
    if descriptor.isdecimal():
        _starter[:] = [int(descriptor)]
        os.set_inheritable(_starter[0], False)


def tell_decided() -> None:
    """Tell the task's starter, where there is one, not to run the program whatever comes of this process."""
    for descriptor in _starter:
        os.write(descriptor, b"D")


def _hand_over(path: str, argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Let the starter become it, with our directory and inheritable descriptors; helpers become its own."""
    import socket  # only under a starter

    try:
        directory = os.getcwd()
    except OSError:
        directory = ""
    kept = [number for number in _list_descriptors() if number > 2 and number not in _starter]
    words = [path, directory, " ".join(map(str, kept)), str(len(argv)), str(len(env)), *argv]
    words += [f"{name}={value}" for name, value in env.items()]
    body = b"".join(os.fsencode(word) + b"\0" for word in words)
    with socket.socket(fileno=_starter[0]) as link:
        socket.send_fds(link, [b"X"], kept)
        link.sendall(b"%d\0%b" % (len(body), body))
    os._exit(0)


def _list_descriptors() -> list[int]:
    """Return our inheritable descriptors."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that read the folder
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return sorted(found)


def start_sidecar(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log_path: str,
    cwd: str,
    listen_fd: tuple[int, int] | None = None,
) -> int:
    """Start a helper that outlives this program image (``replace_process`` follows).

    Args:
        argv: Helper and arguments.
        env: Its whole environment.
        log_path: File (0600) for its output.
        cwd: Its directory.
        listen_fd: (our descriptor, the number it shall have in the helper), or None.

    Returns:
        Its pid.

    Raises:
        ToolMissingError: The executable does not exist or may not be run.
    """
    import signal  # only where a sidecar is started

    executable = find_executable(argv[0], env.get("PATH"))
    actions: list[Any] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    if listen_fd is not None:
        actions.append((os.POSIX_SPAWN_DUP2, *listen_fd))
    previous = os.getcwd()
    os.chdir(cwd)
    try:
        # All signals stay blocked in the helper: Slurm signals every process of a step (linuxproc), and
        # a program under DMTCP dies with its coordinator. The launcher ends it with KILL.
        return os.posix_spawn(
            executable,
            list(argv),
            dict(env),
            file_actions=actions,
            setsid=True,
            setsigmask=signal.valid_signals(),
        )
    except OSError as error:
        raise ToolMissingError(f"cannot run '{argv[0]}': {error.strerror}", tool=argv[0]) from error
    finally:
        os.chdir(previous)


def replace_user(user_name: str, argv: Sequence[str]) -> NoReturn:
    """Give up root and become another program as an ordinary user.

    Of the environment only the language, Slurm's configuration and the terminal stay.

    Raises:
        ToolMissingError: There is no such user, or the executable may not be run.
    """
    import pwd

    try:
        entry = pwd.getpwnam(user_name)
    except KeyError as error:
        raise ToolMissingError(f"there is no user '{user_name}' on this machine") from error
    kept = ("LANG", "LC_ALL", "SLURM_CONF", "TERM", "NO_COLOR")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"HOME": entry.pw_dir, "USER": user_name, "LOGNAME": user_name, "PATH": _USER_PATH}
    os.initgroups(user_name, entry.pw_gid)
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    replace_process(argv, env=env)
