"""The DMTCP backend against the real tool, both versions, without Slurm and without the launcher.

A small stand-in plays ``job/run.py`` and ``TaskControl``. Every scenario that restarts compares the
output with that of an uninterrupted run, byte by byte, and the exit code.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from syscr.backends.dmtcp import backend as backend_module
from syscr.backends.dmtcp import capture, dump
from syscr.backends.dmtcp.backend import DmtcpBackend
from syscr.backends.dmtcp.commands import PORT_FILE, PORT_MARK, build_command
from syscr.clock import SystemClock
from syscr.errors import CheckpointError, ImageIncompatibleError
from syscr.model import FileState, TaskImage, TaskSpec
from syscr.ports import Completed, DumpReport, LaunchPlan
from syscr.process.replace import start_sidecar
from syscr.process.runner import LocalRunner
from syscr.procfs.tree import list_tree

pytestmark = pytest.mark.tool

PREFIXES = {"4.2.0": "/opt/dmtcp", "main": "/opt/dmtcp-main"}

COUNT_PY = """
import os, sys
import time
steps, path, code = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
scratch = open(path + ".scratch", "w+")
os.unlink(path + ".scratch")
scratch.write("kept in a deleted file")
scratch.flush()
state, kept = 1, []
with open(path, "w") as results:
    for step in range(steps):
        state = state * 1103515245 % 2147483647
        kept.append(bytearray(20000))
        print(step, state, flush=True)
        results.write(f"{step} {state}\\n")
        results.flush()
        time.sleep(0.01)
scratch.seek(0)
print(scratch.read())
sys.exit(code)
"""

COUNT_C = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total[4];
static int steps;
static void *work(void *data) {
    long number = (long)data;
    for (int i = 0; i < steps; i++) {
        char *kept = malloc(20000);
        kept[0] = 1;
        pthread_mutex_lock(&lock);
        total[number] += i * (number + 1);
        pthread_mutex_unlock(&lock);
        usleep(10000);
    }
    return NULL;
}
int main(int argc, char **argv) {
    if (argc < 4) return 99;
    steps = atoi(argv[1]);
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    FILE *results = fopen(argv[2], "a");
    for (int i = 0; i < steps; i++) {
        printf("%d\n", i); fflush(stdout);
        fprintf(results, "%d %d\n", i, i * i); fflush(results);
        usleep(10000);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) printf("thread %d: %ld\n", i, total[i]);
    return atoi(argv[3]);
}
"""

PIPE_PY = """
import os, sys, time
steps, path, code = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.close(reader)
    for step in range(steps):
        os.write(writer, f"{step:06d}\\n".encode())
        time.sleep(0.01)
    os._exit(code)
os.close(writer)
with os.fdopen(reader, "rb") as lines, open(path, "w") as results:
    for line in lines:
        print("got", line.decode().strip(), flush=True)
        results.write(line.decode())
        results.flush()
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""

PIPELINE_SH = """
steps=$1; results=$2; code=$3
python3 -c 'import sys, time
for i in range(int(sys.argv[1])):
    print(i, flush=True); time.sleep(0.01)' "$steps" |
while read -r line; do echo "$line $((line * line))"; done | tee "$results"
exit "$code"
"""


@pytest.fixture(params=PREFIXES, scope="module")
def prefix(request: pytest.FixtureRequest) -> str:
    """One installed version of DMTCP; skipped with the backend's own reason where it is not there."""
    path = os.environ.get(
        "SYSCR_DMTCP_PREFIX" if request.param == "4.2.0" else "SYSCR_DMTCP_MAIN_PREFIX"
    )
    path = path or PREFIXES[request.param]
    obstacle = DmtcpBackend(LocalRunner(), SystemClock(), prefix=path).find_obstacle()
    if obstacle:
        if "dmtcp" in os.environ.get("SYSCR_REQUIRE", "").split(","):
            pytest.fail(f"SYSCR_REQUIRE names dmtcp: {obstacle}")
        pytest.skip(f"DMTCP {request.param}: {obstacle}")
    return path


class Task:
    """A task under DMTCP: plays the launcher and its control socket."""

    def __init__(self, spec: TaskSpec, plan: LaunchPlan, stdout: Path, cwd: Path) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        port = str(listener.getsockname()[1])
        env = {
            **os.environ,
            **{key: value.replace(PORT_MARK, port) for key, value in plan.env.items()},
        }
        assert plan.sidecar_listen_fd is not None
        self.coordinator = start_sidecar(
            plan.sidecar,
            env=env,
            log_path=f"{spec.run_dir}/sidecar.log",
            cwd=spec.run_dir,
            listen_fd=(listener.fileno(), plan.sidecar_listen_fd),
        )
        listener.close()
        argv: Sequence[str] = plan.argv
        if plan.no_randomize:
            argv = ("setarch", "-R", *argv)
        self.errors = Path(spec.run_dir, "stderr")
        with stdout.open("ab") as output, self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=cwd
            )
        self.spec = spec
        self.launcher_pid = os.getpid()
        self.held: list[int] = []

    def pids(self) -> tuple[int, ...]:
        tree = list_tree(self.process.pid)
        return tuple(process.pid for process in tree if not process.is_zombie)

    def root_pid(self) -> int:
        return self.process.pid

    def run_inside(
        self, argv: Sequence[str], *, timeout_seconds: float, hold_seconds: float = 0
    ) -> Completed:
        raise NotImplementedError

    def hold(self, seconds: float) -> None:
        self.held = list(self.pids())
        for pid in self.held:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self.held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.held = []

    def kill(self) -> None:
        self.hold(0)  # nobody is to see another one die
        for pid in self.held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.end()

    def end(self, timeout: float = 30.0) -> int:
        """Wait for the end of the program and of the coordinator."""
        code = self.process.wait(timeout)
        for _ in range(200):
            if os.waitpid(self.coordinator, os.WNOHANG)[0]:
                return code
            time.sleep(0.01)
        os.kill(self.coordinator, signal.SIGKILL)
        os.waitpid(self.coordinator, 0)
        return code


class Site:
    """A directory in which tasks of one program live, one life after the other."""

    def __init__(self, root: Path, prefix: str) -> None:
        self.root = root
        self.work = root / "work dir"
        self.work.mkdir()
        self.stdout = root / "stdout.txt"
        self.backend = DmtcpBackend(
            LocalRunner(), SystemClock(), prefix=prefix, environ={**os.environ, "SLURM_JOB_ID": "7"}
        )
        self.tasks: list[Task] = []

    def spec(self, argv: Sequence[str]) -> TaskSpec:
        life = len(self.tasks)
        run_dir = self.root / "7.ckpt" / "run" / f"7.{life}.0"
        run_dir.mkdir(parents=True, mode=0o700)
        return TaskSpec(
            7,
            "batch",
            0,
            "node",
            "7",
            str(self.root),
            "dmtcp",
            run_dir=str(run_dir),
            argv=tuple(argv),
        )

    def launch(self, argv: Sequence[str]) -> Task:
        spec = self.spec(argv)
        task = Task(spec, self.backend.build_launch(spec), self.stdout, self.work)
        self.tasks.append(task)
        return task

    def checkpoint(self, task: Task, **options: float) -> tuple[DumpReport, TaskImage, Path]:
        data = self.root / "7.ckpt" / f"image{len(self.tasks)}" / "data" / "0"
        data.mkdir(parents=True, mode=0o700)
        report = self.backend.checkpoint(
            task, str(data), timeout_seconds=options.pop("timeout_seconds", 20.0), **options
        )
        image = TaskImage(
            0,
            "node",
            "data/0",
            str(self.work),
            open_files=report.open_files,
            state=dict(report.state),
        )
        return report, image, data

    def restore(self, image: TaskImage, data: Path, argv: Sequence[str]) -> Task:
        spec = self.spec(argv)
        for file in image.open_files:
            roll_back(file, data)
        task = Task(
            spec, self.backend.build_restore(spec, image, str(data)), self.stdout, self.work
        )
        self.tasks.append(task)
        return task


def roll_back(file: FileState, data: Path) -> None:
    """Do what ``job/rollback.py`` does."""
    path = Path(file.path)
    if file.copy:
        path.unlink(missing_ok=True)
        shutil.copyfile(data / file.copy, path)
        path.chmod(file.mode)
    elif file.writable:
        os.truncate(path, file.size_bytes)


@pytest.fixture
def site(tmp_path: Path, prefix: str) -> Iterator[Site]:
    """An empty site; ends what a failed test has left."""
    found = Site(tmp_path, prefix)
    yield found
    for task in found.tasks:
        if task.process.poll() is None:
            task.kill()


def wait_for_lines(path: Path, count: int) -> None:
    """Wait until a file has so many lines."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"'{path}' has fewer than {count} lines after 20 s")


def compile_c(directory: Path, *flags: str) -> str:
    """Compile the C program."""
    source = directory / "count.c"
    source.write_text(COUNT_C)
    program = directory / "count"
    subprocess.run(["gcc", "-O1", *flags, "-pthread", "-o", program, source], check=True)
    return str(program)


def write_script(directory: Path, name: str, text: str) -> str:
    """Write a program text."""
    path = directory / name
    path.write_text(text)
    return str(path)


BUILDERS: Mapping[str, Callable[[Path], list[str]]] = {
    "python": lambda folder: ["/usr/bin/python3", write_script(folder, "count.py", COUNT_PY)],
    "c pie threads": lambda folder: [compile_c(folder, "-fPIE", "-pie")],
    "c fixed threads": lambda folder: [compile_c(folder, "-fno-pie", "-no-pie")],
    "fork and pipe": lambda folder: ["/usr/bin/python3", write_script(folder, "pipe.py", PIPE_PY)],
    "bash pipeline": lambda folder: ["/bin/bash", write_script(folder, "line.sh", PIPELINE_SH)],
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_task_two_rounds_of_restart_gives_identical_output(site: Site, kind: str) -> None:
    steps, code = 160, 9
    command = BUILDERS[kind](site.root)
    results = site.work / "results.txt"
    plain = subprocess.run(
        [*command, str(steps), str(results), str(code)],
        capture_output=True,
        cwd=site.work,
        check=False,
    )
    expected_results = results.read_bytes()
    results.unlink()
    argv = [*command, str(steps), str(results), str(code)]

    task = site.launch(argv)
    for lines in (20, 70):
        wait_for_lines(results, lines)
        report, image, data = site.checkpoint(task)
        assert report.frozen_us is not None
        before = results.read_bytes().count(b"\n")
        wait_for_lines(results, before + 15)
        task.kill()
        task = site.restore(image, data, argv)
        site.backend.wait_restored(task, image, timeout_seconds=10)
    assert task.end() == plain.returncode == code
    assert site.stdout.read_bytes() == plain.stdout
    assert results.read_bytes() == expected_results
    assert [life.errors.read_text() for life in site.tasks] == ["", "", ""]


def test_task_without_personality_survives_restart_by_padded_heap(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with Docker's default seccomp filter."""
    for module in (backend_module, dump):
        monkeypatch.setattr(module, "can_fix_addresses", lambda: False)
    results = site.work / "results.txt"
    argv = ["/usr/bin/python3", write_script(site.root, "c.py", COUNT_PY), "120", str(results), "4"]
    task = site.launch(argv)
    wait_for_lines(results, 20)
    _, image, data = site.checkpoint(task)
    assert not image.state["needs_fixed_addresses"]
    task.kill()
    task = site.restore(image, data, argv)
    assert task.end() == 4
    assert results.read_bytes().count(b"\n") == 120


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_coordinator_ignores_other_users(site: Site) -> None:
    if not site.backend.probe().features["coordinator_guard"]:
        pytest.skip("libsyscr-dmtcp-coordinator.so is not built")
    task = site.launch(
        ["/usr/bin/python3", write_script(site.root, "c.py", COUNT_PY), "500", "r", "0"]
    )
    wait_for_lines(site.stdout, 3)
    port = (Path(task.spec.run_dir) / PORT_FILE).read_text()
    idle = (
        "import os, socket, time\n"
        "os.setuid(65534)\n"
        f"link = socket.create_connection(('127.0.0.1', {port.strip()}))\n"
        "assert link.recv(1) == b''\n"
    )
    subprocess.run(["/usr/bin/python3", "-c", idle], check=True, timeout=10)
    command = site.backend.installation.get_tool().program("dmtcp_command")
    for verb in ("--kill", "--checkpoint", "--status"):
        argv = [command, "--coord-host", "127.0.0.1", "--coord-port", port.strip(), verb]
        foreign = subprocess.run(argv, user=65534, capture_output=True, check=False, timeout=20)
        assert foreign.returncode != 0
    site.checkpoint(task)
    task.kill()


def test_coordinator_survives_signals_to_the_whole_step(site: Site) -> None:
    task = site.launch(
        ["/usr/bin/python3", write_script(site.root, "c.py", COUNT_PY), "500", "r", "0"]
    )
    wait_for_lines(site.stdout, 3)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        os.kill(task.coordinator, number)
    site.checkpoint(task)
    task.kill()


def test_check_of_plain_program_finds_nothing(site: Site) -> None:
    task = site.launch(
        ["/usr/bin/python3", write_script(site.root, "c.py", COUNT_PY), "500", "r", "0"]
    )
    wait_for_lines(site.stdout, 3)
    findings = site.backend.check(task)
    assert [finding for finding in findings if finding.severity != "note"] == []
    task.kill()


def test_checkpoint_after_an_abandoned_one_works_and_cleans_up(site: Site) -> None:
    """As after the death of a node worker right after its request."""
    task = site.launch(
        ["/usr/bin/python3", write_script(site.root, "c.py", COUNT_PY), "500", "r", "0"]
    )
    wait_for_lines(site.stdout, 3)
    tool = site.backend.installation.get_tool()
    port = int((Path(task.spec.run_dir) / PORT_FILE).read_text())
    LocalRunner().run(build_command(tool, port, "--checkpoint"))
    report, _, data = site.checkpoint(task)
    assert len(list(data.glob("*.dmtcp"))) == len(report.state["images"]) == 1  # type: ignore[arg-type]
    assert not list(Path(task.spec.run_dir).glob("ckpt_*"))
    task.kill()


def test_hold_after_checkpoint_stops_the_task(site: Site) -> None:
    task = site.launch(
        ["/usr/bin/python3", write_script(site.root, "c.py", COUNT_PY), "500", "r", "0"]
    )
    wait_for_lines(site.stdout, 3)
    site.checkpoint(task, hold_seconds=30)
    size = site.stdout.stat().st_size
    time.sleep(0.1)
    assert site.stdout.stat().st_size == size
    task.resume()
    wait_for_lines(site.stdout, site.stdout.read_bytes().count(b"\n") + 3)
    task.kill()


def test_signal_usr2_reaches_the_program(site: Site) -> None:
    program = write_script(
        site.root,
        "usr2.py",
        "import signal, sys\n"
        "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(5))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()\n",
    )
    if not site.backend.probe().features["checkpoint_signal"]:
        pytest.skip("libsyscr-dmtcp-task.so is not built")
    task = site.launch(["/usr/bin/python3", program])
    wait_for_lines(site.stdout, 1)
    site.checkpoint(task)
    os.kill(task.process.pid, signal.SIGUSR2)
    assert task.end() == 5


def test_process_killed_during_checkpoint_is_a_failure(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_RESUME_SECONDS", 2.0)
    program = write_script(
        site.root,
        "pair.py",
        "import os, time\n"
        "child = os.fork()\n"
        "memory = os.urandom(1 << 20) * (300 if child == 0 else 1)\n"
        "print(os.getpid(), flush=True)\n"
        "while True: time.sleep(0.01)\n",
    )
    task = site.launch(["/usr/bin/python3", program])
    wait_for_lines(site.stdout, 2)
    victim = task.pids()[1]

    def kill_while_writing() -> None:
        run_dir = Path(task.spec.run_dir)
        while not any(file.stat().st_size > 1 << 20 for file in run_dir.glob("ckpt_*/*.temp")):
            time.sleep(0.0005)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_while_writing)
    killer.start()
    with pytest.raises(CheckpointError, match="stands still") as caught:
        site.checkpoint(task, timeout_seconds=30)
    killer.join()
    assert caught.value.details["task_state"] == "frozen"
    task.kill()


def test_image_of_other_version_is_refused(site: Site) -> None:
    image = TaskImage(0, "node", "data/0", state={"tool_version": "3.0.0"})
    with pytest.raises(ImageIncompatibleError, match=r"3\.0\.0"):
        site.backend.build_restore(site.spec(["true"]), image, str(site.root))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_disk_nearly_full_is_refused_beforehand(site: Site, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    try:
        site.root = small
        task = site.launch(
            ["/usr/bin/python3", write_script(tmp_path, "c.py", COUNT_PY), "500", "r", "0"]
        )
        wait_for_lines(site.stdout, 3)
        assert "not_enough_space" in {finding.code for finding in site.backend.check(task)}
        with pytest.raises(CheckpointError, match=r"nothing was dumped, the task runs on"):
            site.checkpoint(task)
        wait_for_lines(site.stdout, site.stdout.read_bytes().count(b"\n") + 3)
        task.kill()
    finally:
        subprocess.run(["umount", "-l", small], check=False)


def test_static_program_is_refused(site: Site) -> None:
    source = site.root / "static.c"
    source.write_text("#include <unistd.h>\nint main(void) { sleep(20); return 0; }\n")
    program = site.root / "static"
    subprocess.run(["gcc", "-static", "-o", program, source], check=True)
    task = site.launch(["/bin/bash", "-c", f"'{program}'; true"])
    time.sleep(0.5)
    assert "static_program" in {finding.code for finding in site.backend.check(task)}
    task.kill()


def test_connection_to_outside_is_refused_and_loopback_inside_is_taken(site: Site) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    text = (
        "import socket, sys, time\n"
        "inside = socket.create_server(('127.0.0.1', 0))\n"
        "one = socket.create_connection(inside.getsockname())\n"
        "two = inside.accept()[0]\n"
        "outside = socket.create_connection(('127.0.0.1', int(sys.argv[1]))) if sys.argv[1] != '0' else 0\n"
        "print('ready', flush=True)\n"
        "time.sleep(30)\n"
    )
    program = write_script(site.root, "net.py", text)
    for port, expected in ((str(server.getsockname()[1]), {"socket_to_outside"}), ("0", set())):
        task = site.launch(["/usr/bin/python3", program, port])
        wait_for_lines(site.stdout, len(site.tasks))
        found = {finding.code for finding in site.backend.check(task) if finding.severity != "note"}
        assert found == expected
        if not expected:
            site.checkpoint(task)
        task.kill()
    server.close()
