"""Logs of a failed dump or restore -> cause and advice; pure.

CRIU prints its first error nearest to the cause, and goes on complaining on its way out. A few
complaints are harmless in ROOTLESS mode; they are listed here too.

Source: texts as CRIU 4.1.1, 4.2 and 4.2.1 print them (tests/data/criu/); checked 2026-11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# CRIU's own lines, and those of the hook, whose output goes into the same log.
_ERROR = re.compile(r"(?:Error \([^)]*\):|^syscr:) ?(?P<text>.*)", re.MULTILINE)
_HARMLESS = (
    "net: Unexpected error: -1(Operation not permitted)",
    "rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted",
)
_CLOSING = re.compile(
    r"(?:Dumping FAILED|Restoring FAILED|Dump files \(pid|Dump mappings \(pid|Can't dump unix socket)"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why CRIU failed.

    Attributes:
        code: Stable identifier, snake case; ``unknown`` if no known text was found.
        cause: In words a user knows, CRIU's own where there are none better.
        hint: One action.
        lines: CRIU's error lines, without the harmless ones, at most 20.
    """

    code: str
    cause: str
    hint: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Case:
    pattern: re.Pattern[str]
    code: str
    cause: str
    hint: str


def _case(pattern: str, code: str, cause: str, hint: str) -> _Case:
    return _Case(re.compile(pattern), code, cause, hint)


_DOCTOR = "run 'syscr doctor' on this node"
_DMTCP = "start the job with '--backend dmtcp'"
_UPDATE = "install CRIU 4.2 or newer on this node"

_DUMP_CASES = (
    _case(
        r"No space left on device",
        "no_space",
        "no space left in the checkpoint directory",
        "free space with 'syscr image prune', or use another --image-dir",
    ),
    _case(
        r"Disk quota exceeded",
        "no_space",
        "the disk quota of the checkpoint directory is exceeded",
        "free space with 'syscr image prune', or use another --image-dir",
    ),
    _case(
        r"inet: Connected TCP socket",
        "tcp_connection",
        "a process has a TCP connection",
        f"close it before a checkpoint, or {_DMTCP}",
    ),
    _case(
        r"inet: In-flight connection",
        "tcp_in_flight",
        "a connection waits to be accepted on a listening socket",
        "try again",
    ),
    _case(
        r"unix: (?:External socket is used|Unix socket \d+ (?:without|with unreachable) peer"
        r"|Can't dump half of stream)",
        "socket_to_outside",
        "a unix socket is connected to a process outside of the task",
        "close the connection before a checkpoint",
    ),
    _case(
        r"unix: Dangling connection",
        "socket_to_outside",
        "a unix socket waits for a process outside of the task",
        "try again, or close the connection before a checkpoint",
    ),
    _case(
        r"sockets: Can't get \d+:\d+ opt",
        "tool_too_old",
        "this CRIU cannot dump sockets on this kernel",
        _UPDATE,
    ),
    _case(
        r"vdso: Unexpected rt vDSO area bounds",
        "tool_too_old",
        "this CRIU does not know this kernel",
        _UPDATE,
    ),
    _case(
        r"Can't dump ghost file (?P<path>.*) of (?P<size>\d+) size",
        "deleted_file_too_big",
        "the deleted file '/{path}' of {size} bytes is too big for an image",
        "keep big temporary files under a name in a shared directory",
    ),
    _case(
        r"Can't create link remap for (?P<path>.*)\. Use link-remap|Can't link .*link_remap",
        "deleted_file_with_links",
        "an open file was deleted under one of its names ({path})",
        "remove the other names (hard links) too, or keep this one",
    ),
    _case(
        r"Can't open mapped \[(?P<path>.*?)(?: \(deleted\))?\]",
        "deleted_mapping",
        "the deleted file '{path}' is mapped into memory",
        f"POSIX semaphores and unlinked shared memory: {_DMTCP}",
    ),
    _case(
        r"tty: Found slave peer index \d+ without",
        "terminal",
        "a process has a terminal open",
        "run without --pty, tmux or script",
    ),
    _case(
        r"fsnotify: (?:Handle .* cannot be opened|\s*Can't dump that handle)",
        "file_watch",
        "a process watches files (inotify)",
        "switch file watching off in the program",
    ),
    _case(
        r"send_fds failed \(-22\)",
        "io_uring",
        "a process uses io_uring",
        "switch io_uring off in the program (for libuv: UV_USE_IO_URING=0)",
    ),
    _case(
        r"Can't dump file \d+ of that type \[\w+\] \((?:anon )?anon_inode:\[?(?P<kind>[^\])]*)\]?\)",
        "unsupported_descriptor",
        "a process uses {kind}",
        "close it before a checkpoint",
    ),
    _case(
        r"of that type \[\w+\] \(chr 195:|handle_device_vma plugin failed|non-regular mapping",
        "gpu",
        "a process uses a GPU or another device",
        "use a program that saves its own state (backend 'application')",
    ),
    _case(
        r"Can't dump file \d+ of that type \[\w+\] \((?P<kind>[^)]*)\)",
        "device_file",
        "a process uses a device or a kind of file that CRIU cannot dump ({kind})",
        "close it before a checkpoint",
    ),
    _case(
        r"Some file locks are hold",
        "file_lock",
        "a file lock is shared with a process outside of the task",
        "release the lock before a checkpoint",
    ),
    _case(
        r"SysVIPC shmem map", "sysv_shared_memory", "a process uses System V shared memory", _DMTCP
    ),
    _case(
        r"Can't dump nested (?P<kind>\w+) namespace|Can't make \w+ns id",
        "nested_namespace",
        "a process lives in a namespace of its own ({kind})",
        "run without a container (podman, apptainer, unshare) inside the task",
    ),
    _case(
        r"Unseizable non-zombie (?P<pid>\d+)",
        "traced",
        "a process is traced by another one",
        "detach the debugger, strace or profiler",
    ),
    _case(
        r"Can't lookup mount=\d+ for fd=-?\d+ path=(?P<path>.*)",
        "file_from_outside",
        "the file '{path}' was opened before the task had its own namespace",
        "open it in the program instead of passing it on",
    ),
    _case(
        r"Script .* exited with",
        "hook_failed",
        "the open files could not be recorded",
        "check the space in the checkpoint directory and try again",
    ),
    _case(
        r"Running as non-root requires|needs to have the CAP_|Unable to initialize id-s|Can't get rlimit",
        "privilege",
        "CRIU lacks a right in the task's namespace",
        _DOCTOR,
    ),
)

_RESTORE_CASES = (
    _case(
        r"File (?P<path>.*) has bad size (?P<size>\d+) \(expect (?P<expected>\d+)\)",
        "file_changed",
        "the file '/{path}' has {size} bytes, at the checkpoint it had {expected}",
        "put the file back as it was, or restart from a newer image",
    ),
    _case(
        r"File (?P<path>.*) has bad mode",
        "file_changed",
        "the file '/{path}' is of another kind than at the checkpoint",
        "put the file back as it was",
    ),
    _case(
        r"Can't open file (?P<path>.*) on restore: (?P<reason>.*)",
        "file_missing",
        "cannot open '/{path}': {reason}",
        "put the file back, or restart on a node that has it",
    ),
    _case(
        r"Can't fork for (?P<pid>\d+): File exists",
        "pid_in_use",
        "the process number {pid} is taken",
        _DOCTOR,
    ),
    _case(
        r"unix: FATAL: Peer \d+ unresolved",
        "socket_to_outside",
        "the image has a unix socket to a process outside of the task",
        "restart from another image",
    ),
    _case(
        r"Can't bind inet socket.*: (?P<reason>Address already in use|Cannot assign requested address)",
        "address",
        "an address or port of the task is not free here: {reason}",
        "restart on another node, or on the old one with --stick-to-nodes",
    ),
    _case(
        r"Connected TCP socket in image|Can't connect inet socket back",
        "tcp_connection",
        "the image has a TCP connection",
        "restart from another image",
    ),
    _case(
        r"tty: (?:Don't have tty|Can't setup uid)",
        "terminal",
        "the image has a terminal",
        "restart from another image",
    ),
    _case(
        r"CPU (?:instruction capabilities|xfeatures|xsave size)",
        "cpu",
        "this node's CPU lacks features that the task used",
        "restart with --stick-to-nodes, or on nodes of the same kind",
    ),
    _case(
        r"[Mm]agic doesn't match|Failed unpacking object|Read \d+ bytes while|Unexpected EOF"
        r"|Can't read pages data",
        "image_corrupt",
        "the image is damaged",
        "check it with 'syscr image verify', and restart from another one",
    ),
    _case(
        r"\d+ (?:stopped|killed|exited).*signal \d+|Restorer fail",
        "crashed",
        "a process ended while it was restored",
        "restart from another image",
    ),
)


def find_error_lines(log: str) -> tuple[str, ...]:
    """Return the texts of CRIU's errors in order, without those that are harmless in ROOTLESS mode."""
    texts = (match["text"].strip() for match in _ERROR.finditer(log))
    return tuple(text for text in texts if text and not text.startswith(_HARMLESS))


def explain_dump(log: str) -> Failure:
    """Say why a dump failed, from its log."""
    return _explain(log, _DUMP_CASES)


def explain_restore(log: str) -> Failure:
    """Say why a restore failed, from its log."""
    return _explain(log, _RESTORE_CASES)


def find_hidden_failure(log: str) -> Failure | None:
    """Find the errors of a dump that CRIU does not count as failures although the image is useless.

    Source: CRIU 4.2, criu/cr-dump.c, ``dump_task_mm``: a failing ``dump_task_exe_link`` leaves the
    result at 0, mm-PID.img is missing, and the restore crashes. Seen with 4.2.1.
    """
    lines = find_error_lines(log)
    return (
        _explain(log, _DUMP_CASES) if any("Can't lookup mount" in line for line in lines) else None
    )


def _explain(log: str, cases: tuple[_Case, ...]) -> Failure:
    lines = find_error_lines(log)
    for case in cases:
        for line in lines:
            match = case.pattern.search(line)
            if match is not None:
                groups = {key: value or "unknown" for key, value in match.groupdict().items()}
                return Failure(case.code, case.cause.format(**groups), case.hint, lines[-20:])
    cause = next((line for line in lines if not _CLOSING.match(line)), "CRIU does not say why")
    return Failure("unknown", cause, "see the log, and report this", lines[-20:])
