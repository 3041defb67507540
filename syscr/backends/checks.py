"""What in a live task would make its image useless: process facts -> findings; pure.

Each function looks for one kind of thing; a backend calls those that matter to it. Several objects of
one kind in one process make one finding. The facts are read by ``procfs/facts.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from syscr.model import Finding, Severity
from syscr.procfs.facts import TreeFacts
from syscr.procfs.files import FileKind, OpenFile
from syscr.procfs.sockets import HeldSocket, Peer, SocketKind, SocketState
from syscr.units import format_size

Check = Callable[[TreeFacts], tuple[Finding, ...]]

SRUN_HINT = (
    "checkpoint the step instead: start it with 'syscr srun' and run 'syscr checkpoint JOB.STEP'"
)
# As csrc/launcher/hook.c has them.
_LOCAL_DIRS = ("/dev/shm/", "/tmp/", "/var/tmp/", "/run/")  # noqa: S108 - compared, not written
_BIG_FILE_BYTES = 1 << 30
_PLAIN_DEVICES = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})
_GPU_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")
_NETWORK_DEVICES = ("/dev/infiniband/", "/dev/hfi1", "/dev/cxi")


def find_srun(facts: TreeFacts) -> tuple[Finding, ...]:
    """A running srun holds connections to Slurm that no backend can restore."""
    return tuple(
        Finding(
            "srun_in_tree",
            Severity.ERROR,
            f"{facts.name(process.pid)} is running inside the task; a batch script cannot be"
            " checkpointed in the middle of an srun",
            SRUN_HINT,
            pid=process.pid,
        )
        for process in facts.processes
        if process.comm == "srun" and not process.is_zombie
    )


def find_other_users(facts: TreeFacts) -> tuple[Finding, ...]:
    """Processes of another user cannot be dumped by this one."""
    return tuple(
        Finding(
            "other_user",
            Severity.ERROR,
            f"{facts.name(process.pid)} runs as user id {process.effective_uid}, not as the job's"
            f" owner ({facts.uid})",
            "do not start set-user-id programs in the job",
            pid=process.pid,
        )
        for process in facts.processes
        if not process.is_zombie and {process.uid, process.effective_uid} != {facts.uid}
    )


def find_traced(facts: TreeFacts) -> tuple[Finding, ...]:
    """A traced process cannot be stopped by a second tracer."""
    return tuple(
        Finding(
            "traced",
            Severity.ERROR,
            f"{facts.name(process.pid)} is traced by process {process.tracer_pid}",
            "detach the debugger, strace or profiler",
            pid=process.pid,
        )
        for process in facts.processes
        if process.tracer_pid
    )


def find_namespaces(facts: TreeFacts) -> tuple[Finding, ...]:
    """Containers inside the task."""
    return tuple(
        Finding(
            "nested_namespace",
            Severity.ERROR,
            f"{facts.name(pid)} lives in a namespace of its own ({', '.join(kinds)})",
            "run without a container (podman, apptainer, unshare) inside the task",
            pid=pid,
        )
        for pid, kinds in facts.foreign_namespaces
    )


def find_outside_sockets(facts: TreeFacts) -> tuple[Finding, ...]:
    """Connections whose other end is not in the task and would not be there after a restart."""
    pmi = set(facts.pmi_fds)
    outside = [
        held
        for held in facts.sockets
        if held.peer in {Peer.NODE, Peer.ELSEWHERE}
        and held.kind in {SocketKind.TCP, SocketKind.UNIX_STREAM}
    ]
    slurm = [held for held in outside if (held.pid, held.fd) in pmi]
    other = [held for held in outside if (held.pid, held.fd) not in pmi]
    return _group_sockets(
        facts,
        slurm,
        "pmi_socket",
        "is connected to Slurm's PMI",
        "start the step with --mpi=none, or use a backend for MPI",
    ) + _group_sockets(
        facts,
        other,
        "socket_to_outside",
        "is connected to a process outside of the task",
        "close the connection before a checkpoint, or start that program inside the task",
    )


def find_tcp_connections(facts: TreeFacts) -> tuple[Finding, ...]:
    """TCP connections inside the task."""
    inside = [
        held
        for held in facts.sockets
        if held.kind is SocketKind.TCP
        and held.state is SocketState.CONNECTED
        and held.peer is Peer.INSIDE
    ]
    return _group_sockets(
        facts,
        inside,
        "tcp_connection",
        "has a TCP connection",
        "close it before a checkpoint, or start the job with '--backend dmtcp'",
    )


def find_bound_addresses(facts: TreeFacts) -> tuple[Finding, ...]:
    """Sockets bound to an address of this node: they come back on this node only."""
    bound = [
        held
        for held in facts.sockets
        if held.kind in {SocketKind.TCP, SocketKind.UDP}
        and held.state is not SocketState.CONNECTED
        and not held.is_loopback
        and not held.local.startswith(("0.0.0.0:", "[::]:"))
    ]
    return _group_sockets(
        facts,
        bound,
        "bound_to_node",
        "has a socket bound to this node's address",
        "restart with --stick-to-nodes",
        severity=Severity.WARNING,
    )


def find_terminals(facts: TreeFacts) -> tuple[Finding, ...]:
    """Terminals, which belong to a session outside of the task."""
    return _group_files(
        facts,
        (file for file in facts.files if file.kind is FileKind.TERMINAL),
        "terminal",
        "has a terminal open",
        "run without --pty, tmux or script",
    )


def find_devices(facts: TreeFacts) -> tuple[Finding, ...]:
    """Device files, open or mapped."""
    opened = {
        (file.pid, file.path)
        for file in facts.files
        if file.kind is FileKind.DEVICE and file.path not in _PLAIN_DEVICES
    }
    mapped = {
        (mapping.pid, mapping.path)
        for mapping in facts.mappings
        if mapping.path.startswith((*_GPU_DEVICES, *_NETWORK_DEVICES))
    }
    found: dict[tuple[int, str], list[str]] = {}
    for pid, path in sorted(opened | mapped):
        code = "device_file"
        if path.startswith(_GPU_DEVICES):
            code = "gpu"
        elif path.startswith(_NETWORK_DEVICES):
            code = "network_device"
        found.setdefault((pid, code), []).append(path)
    return tuple(
        Finding(
            code,
            Severity.ERROR,
            f"{facts.name(pid)} uses a device: {_quote_some(paths)}",
            "use a program that saves its own state (backend 'application')",
            pid=pid,
        )
        for (pid, code), paths in found.items()
    )


_ANON_FINE = frozenset({"eventfd", "eventpoll", "signalfd", "timerfd", "pidfd"})
_ANON_CODES = {
    "io_uring": "io_uring",
    "userfaultfd": "userfaultfd",
    "inotify": "file_watch",
    "fanotify": "file_watch",
}
_ANON_HINTS = {
    "io_uring": "switch io_uring off in the program (for libuv: UV_USE_IO_URING=0)",
    "userfaultfd": "start the job with '--backend dmtcp', or without userfaultfd",
    "file_watch": "switch file watching off in the program",
}


def find_anonymous(facts: TreeFacts) -> tuple[Finding, ...]:
    """Kernel objects behind a descriptor that CRIU cannot take (io_uring, inotify, perf, bpf)."""
    found = []
    for file in facts.files:
        name = file.anon_name
        if file.kind is not FileKind.ANON or name in _ANON_FINE:
            continue
        code = _ANON_CODES.get(name, "unsupported_descriptor")
        hint = _ANON_HINTS.get(code, "close it before a checkpoint")
        found += [(code, hint, file)]
    return tuple(
        Finding(
            code,
            Severity.ERROR,
            f"{facts.name(file.pid)} uses {file.anon_name} (descriptor {file.fd})",
            hint,
            pid=file.pid,
        )
        for code, hint, file in _first_of_each(found)
    )


def _first_of_each(
    found: Iterable[tuple[str, str, OpenFile]],
) -> tuple[tuple[str, str, OpenFile], ...]:
    first: dict[tuple[str, int, str], tuple[str, str, OpenFile]] = {}
    for entry in found:
        first.setdefault((entry[0], entry[2].pid, entry[2].anon_name), entry)
    return tuple(first.values())


_FINE_MAPPINGS = ("/memfd:", "/dev/zero", "/[aio]", "/anon_hugepage")
_SYSV = "/SYSV"


def find_deleted_mappings(facts: TreeFacts) -> tuple[Finding, ...]:
    """Mapped files without a name: only a privileged CRIU can open them."""
    found: dict[int, list[str]] = {}
    for mapping in facts.mappings:
        if mapping.is_deleted and not mapping.path.startswith((*_FINE_MAPPINGS, _SYSV)):
            found.setdefault(mapping.pid, []).append(mapping.path)
    return tuple(
        Finding(
            "deleted_mapping",
            Severity.ERROR,
            f"{facts.name(pid)} has a deleted file mapped: {_quote_some(paths)}",
            "POSIX semaphores and unlinked shared memory (python's multiprocessing) need"
            " '--backend dmtcp'"
            if paths[0].startswith("/dev/shm/")  # noqa: S108 - compared, not written
            else "a program or library was replaced while it ran; checkpoint the next run",
            pid=pid,
        )
        for pid, paths in found.items()
    )


def find_sysv_memory(facts: TreeFacts) -> tuple[Finding, ...]:
    """System V shared memory, which lives in the node's IPC namespace."""
    pids = sorted({entry.pid for entry in facts.mappings if entry.path.startswith(_SYSV)})
    return tuple(
        Finding(
            "sysv_shared_memory",
            Severity.ERROR,
            f"{facts.name(pid)} uses System V shared memory",
            "start the job with '--backend dmtcp'",
            pid=pid,
        )
        for pid in pids
    )


def find_deleted_links(facts: TreeFacts) -> tuple[Finding, ...]:
    """Open files whose name is gone while another name is left."""
    return _group_files(
        facts,
        (
            file
            for file in facts.files
            if file.kind is FileKind.REGULAR and file.is_deleted and file.link_count
        ),
        "deleted_file_with_links",
        "has a file open under a deleted name, and the file has other names",
        "remove the other name (hard link), or keep this one",
    )


def find_local_files(facts: TreeFacts) -> tuple[Finding, ...]:
    """Big node-local files: they are copied into the image while the task stands still."""
    sizes = {
        file.path: file.size_bytes
        for file in facts.files
        if file.kind is FileKind.REGULAR
        and not file.is_deleted
        and file.path.startswith(_LOCAL_DIRS)
    }
    total = sum(sizes.values())
    if total < _BIG_FILE_BYTES:
        return ()
    return (
        Finding(
            "big_local_file",
            Severity.WARNING,
            f"{format_size(total)} in open files on this node alone are copied into the image while"
            f" the task stands still: {_quote_some(sorted(sizes))}",
            "keep big files in a shared directory",
        ),
    )


def _group_sockets(
    facts: TreeFacts,
    sockets: Iterable[HeldSocket],
    code: str,
    what: str,
    hint: str,
    *,
    severity: Severity = Severity.ERROR,
) -> tuple[Finding, ...]:
    by_pid: dict[int, list[HeldSocket]] = {}
    for held in sockets:
        by_pid.setdefault(held.pid, []).append(held)
    return tuple(
        Finding(
            code,
            severity,
            f"{facts.name(pid)} {what}: {_describe_socket(held[0])}{_and_more(len(held))}",
            hint,
            pid=pid,
        )
        for pid, held in by_pid.items()
    )


def _describe_socket(held: HeldSocket) -> str:
    ends = " -> ".join(end for end in (held.local, held.remote) if end)
    return f"{held.kind.value} {ends or 'without a name'} (descriptor {held.fd})"


def _group_files(
    facts: TreeFacts, files: Iterable[OpenFile], code: str, what: str, hint: str
) -> tuple[Finding, ...]:
    by_pid: dict[int, list[str]] = {}
    for file in files:
        by_pid.setdefault(file.pid, []).append(file.path)
    return tuple(
        Finding(
            code, Severity.ERROR, f"{facts.name(pid)} {what}: {_quote_some(paths)}", hint, pid=pid
        )
        for pid, paths in by_pid.items()
    )


def _quote_some(paths: list[str]) -> str:
    distinct = list(dict.fromkeys(paths))
    return f"'{distinct[0]}'{_and_more(len(distinct))}"


def _and_more(count: int) -> str:
    return f" and {count - 1} more" if count > 1 else ""
