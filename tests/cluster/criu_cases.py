"""Runs ON A NODE, as the job's owner: each program below through launcher, check, dump and restore.

Prints one JSON object per case. ``test_criu_cases.py`` feeds this file to the node's python and judges.
It needs the installed syscr, CRIU and a shared directory; Slurm has no part in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import syscr
from syscr.backends.criu.backend import CriuBackend
from syscr.errors import SyscrError
from syscr.job.control import LauncherControl
from syscr.model import TaskImage, TaskSpec
from syscr.ports import LaunchPlan
from syscr.process.runner import LocalRunner

LAUNCHER = str(Path(syscr.__file__).parent / "csrc" / "bin" / "syscr-launcher")
TICKS = "\nimport time as _t\n_n = 0\nwhile True:\n    print('tick', _n, flush=True)\n    _n += 1\n    _t.sleep(0.05)\n"
CTYPES = "import ctypes\nlibc = ctypes.CDLL(None)\n"

# Name -> (program, code that check() must give; empty: the program comes back and goes on).
CASES: dict[str, tuple[str, str]] = {
    "counter": ("", ""),
    "threads": (
        "import threading, time\n"
        "for _ in range(4): threading.Thread(target=time.sleep, args=(999,), daemon=True).start()",
        "",
    ),
    "fork_and_pipe": (
        "import os, time\nr, w = os.pipe()\n"
        "if os.fork() == 0:\n    while True: os.write(w, b'x'); time.sleep(0.1)",
        "",
    ),
    "numpy": ("import numpy\na = numpy.random.default_rng(1).random(1 << 20)", ""),
    "named_shared_memory": (
        "from multiprocessing import shared_memory\n"
        "s = shared_memory.SharedMemory(create=True, size=1 << 20)",
        "",
    ),
    "memory_file": (
        "f = open(f'/dev/shm/syscr-{__import__(\"os\").getpid()}-x', 'w+'); f.write('a'); f.flush()",
        "",
    ),
    "temporary_file": ("f = open('/tmp/syscr case \\n:x', 'w+'); f.write('a'); f.flush()", ""),
    "deleted_file": (
        "import os\nf = open('a', 'w'); f.write('x' * 3000000); f.flush(); os.unlink('a')",
        "",
    ),
    "flock": ("import fcntl\nf = open('lock', 'w'); fcntl.flock(f, fcntl.LOCK_EX)", ""),
    "listening": (
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
        "u = socket.socket(type=socket.SOCK_DGRAM); u.bind(('127.0.0.1', 0))",
        "",
    ),
    "socketpair": (
        "import socket, os, time\na, b = socket.socketpair()\n"
        "if os.fork() == 0:\n    while True: b.send(b'x'); time.sleep(0.1)",
        "",
    ),
    "event_descriptors": (
        CTYPES + "import os, select\ne = select.epoll(); f = os.eventfd(0); e.register(f)\n"
        "p = os.pidfd_open(os.getpid()); t = libc.timerfd_create(1, 0); m = os.memfd_create('m')",
        "",
    ),
    "zombie": ("import os\nif os.fork() == 0: os._exit(0)", ""),
    "semaphore": ("import multiprocessing\ns = multiprocessing.Semaphore(1)", "deleted_mapping"),
    "tcp": (
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
        "c = socket.create_connection(s.getsockname()); a = s.accept()",
        "tcp_connection",
    ),
    "tcp_to_slurm": (
        "import socket\nc = socket.create_connection(('slurmctld', 6817))",
        "socket_to_outside",
    ),
    "munge": (
        "import socket\nc = socket.socket(socket.AF_UNIX); c.connect('/run/munge/munge.socket.2')",
        "socket_to_outside",
    ),
    "inotify": (
        CTYPES + "libc.inotify_add_watch(libc.inotify_init(), b'/shared', 2)",
        "file_watch",
    ),
    "io_uring": (CTYPES + "libc.syscall(425, 4, ctypes.create_string_buffer(256))", "io_uring"),
    "terminal": ("import os\nm, s = os.openpty()", "terminal"),
    "hard_link": (
        "import os\nf = open('a', 'w'); os.link('a', 'b'); os.unlink('a')",
        "deleted_file_with_links",
    ),
    "system_v": (
        CTYPES + "libc.shmat.restype = ctypes.c_void_p\ni = libc.shmget(0, 4096, 0o1600)\n"
        "libc.shmat(i, None, 0); libc.shmctl(i, 0, None)",
        "sysv_shared_memory",
    ),
    "container": (
        "import subprocess\nsubprocess.Popen(['unshare', '-Upf', 'sleep', '999'])",
        "nested_namespace",
    ),
    "traced": (
        CTYPES
        + "import os, time\nif os.fork() == 0:\n    libc.ptrace(0, 0, 0, 0); time.sleep(999)",
        "traced",
    ),
}


class Task:
    """One life of one case."""

    def __init__(
        self, name: str, role: str, plan: LaunchPlan, spec: TaskSpec, output: Path
    ) -> None:
        with socket.socket(socket.AF_UNIX) as control, output.open("a") as stream:
            control.bind(f"\0{spec.control}")
            control.listen()
            argv = [LAUNCHER, role, "--namespaces", "--control-fd", str(control.fileno())]
            argv += ["--log", plan.log_path] if plan.log_path else []
            self.process = subprocess.Popen(
                [*argv, "--task", json.dumps({"case": name}), "--", *plan.argv],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=[control.fileno()],
                start_new_session=True,
                cwd=output.parent,
            )
        self.control = LauncherControl(spec, self.process.pid)

    def end(self) -> None:
        """End it, whatever state it is in."""
        with contextlib.suppress(SyscrError):
            self.control.kill()
        self.process.terminate()
        self.process.wait(10)


def wait_for_ticks(path: Path, count: int) -> bool:
    """Wait until a life has printed that many lines more than now."""
    before, deadline = count_ticks(path), time.monotonic() + 20
    while time.monotonic() < deadline:
        if count_ticks(path) >= before + count:
            return True
        time.sleep(0.05)
    return False


def count_ticks(path: Path) -> int:
    """Return the number of lines."""
    return path.read_text().count("tick") if path.exists() else 0


def run_case(top: Path, name: str) -> dict[str, object]:
    """Run one case and say what became of it."""
    folder = top / name
    (folder / "run").mkdir(parents=True)
    program = folder / "program.py"
    program.write_text(CASES[name][0] + TICKS)
    spec = TaskSpec(
        number=1,
        step="0",
        rank=0,
        node="here",
        lineage="1",
        checkpoint_dir=str(top),
        backend="criu",
        run_dir=str(folder / "run"),
        control=f"syscr-case-{name}-{os.getpid()}",
        argv=(sys.executable, "-I", str(program)),
    )
    backend = CriuBackend(LocalRunner(), launcher_path=LAUNCHER)
    result: dict[str, object] = {"case": name}
    task = Task(name, "run", backend.build_launch(spec), spec, folder / "out1")
    try:
        result["started"] = wait_for_ticks(folder / "out1", 5)
        findings = backend.check(task.control)
        result["codes"] = sorted({one.code for one in findings if one.severity == "error"})
        if result["codes"]:
            result["running"] = wait_for_ticks(folder / "out1", 2)
            return result
        images = []
        for life in (1, 2):  # twice in a row: a restored task is dumped and restored again
            image = dump(backend, task, folder / f"image{life}")
            result["running"] = wait_for_ticks(folder / f"out{life}", 2)
            task.end()
            roll_back(image, folder / f"image{life}")
            plan = backend.build_restore(spec, image, str(folder / f"image{life}"))
            task = Task(name, "restore", plan, spec, folder / f"out{life + 1}")
            result["restored"] = wait_for_ticks(folder / f"out{life + 1}", 3)
            images.append(image)
        text = "".join((folder / f"out{life}").read_text() for life in (1, 2, 3))
        numbers = [int(line.split()[1]) for line in text.splitlines() if line.startswith("tick")]
        result["continuous"] = numbers == list(range(len(numbers)))
    except SyscrError as error:
        result["error"] = error.message
    finally:
        task.end()
    return result


def dump(backend: CriuBackend, task: Task, folder: Path) -> TaskImage:
    """Dump a task as a worker does."""
    folder.mkdir(mode=0o700)
    report = backend.checkpoint(task.control, str(folder), timeout_seconds=60)
    return TaskImage(
        rank=0,
        node="here",
        data_dir=folder.name,
        stdio=task.control.stdio(),
        open_files=report.open_files,
        state=dict(report.state),
    )


def roll_back(image: TaskImage, folder: Path) -> None:
    """Bring files back as ``job/rollback.py`` does."""
    for file in image.open_files:
        if file.copy:
            Path(file.path).unlink(missing_ok=True)
            shutil.copyfile(folder / file.copy, file.path)
            Path(file.path).chmod(file.mode)
        elif file.writable:
            os.truncate(file.path, file.size_bytes)


def main() -> None:
    """Run the cases named as arguments, or all, two at a time."""
    top = Path("/shared", f"criu-cases-{os.getpid()}")
    try:
        with ThreadPoolExecutor(2) as pool:
            for result in pool.map(lambda name: run_case(top, name), sys.argv[1:] or CASES):
                print(json.dumps(result), flush=True)
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    main()
