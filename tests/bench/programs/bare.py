"""Runs in the job of a program under syscr, on its node: the bare tools on that program, without syscr's worker.

bare.py criu JOB FOLDER [plain]      dump from inside the task's namespaces; "plain": without the action script
bare.py dmtcp JOB FOLDER             dmtcp_command at the task's coordinator
bare.py copy SOURCE TARGET           dd conv=fsync, the source being in memory
bare.py join FOLDER TARGET           all bytes of a folder as one file
bare.py restore CHECKPOINT_DIR IMAGE_ID GAPS_FILE   criu restore through the launcher, until the program goes on
bare.py touch BYTES                  use so much memory once
bare.py started JOB                  when the task of a job was started (CLOCK_MONOTONIC)

The last line printed is a JSON object. Times are seconds; what is on disk is synced before the clock starts.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from syscr import wire
from syscr.backends.criu.backend import CriuBackend
from syscr.backends.criu.parse import parse_stats
from syscr.config import load_settings
from syscr.job import fresh
from syscr.job.control import LauncherControl, find_tasks
from syscr.model import TaskSpec
from syscr.process.runner import LocalRunner
from syscr.wiring.parts import build_backends, open_store

LIMIT_SECONDS = 120.0


class _Recorded(Exception):
    """Carries the argument list that the backend would have run."""


class _Recorder(LauncherControl):
    def run_inside(self, argv, **_):
        raise _Recorded(*argv)


def find_task(number):
    [task] = find_tasks(int(number))
    return task


def measure(act):
    """Call ``act`` with nothing left to be written; return what it returned and the times."""
    os.sync()
    started = time.monotonic()
    result = act()
    ended = time.monotonic()
    return result, {"seconds": ended - started, "started": started, "ended": ended}


def size_of(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def criu(number, folder, *variant):
    """Dump with the very options that syscr gives."""
    task = find_task(number)
    backend = build_backends(load_settings(os.environ))["criu"]
    os.makedirs(folder)
    recorder = _Recorder(task.spec, task.launcher_pid)
    try:
        backend.checkpoint(recorder, folder, timeout_seconds=LIMIT_SECONDS)
    except _Recorded as recorded:
        argv = list(recorded.args)
    if "plain" in variant:
        place = argv.index("--action-script")
        del argv[place : place + 2]
    argv += [word for word in variant if word.startswith("-")]
    done, times = measure(lambda: task.run_inside(argv, timeout_seconds=LIMIT_SECONDS))
    if not done.is_ok:
        raise SystemExit(f"{argv} ended with {done.exit_code}: {done.stderr}")
    frozen = parse_stats(Path(folder, "stats-dump").read_bytes()).frozen_us / 1e6
    return {**times, "frozen": frozen, "size_bytes": size_of(folder)}


def dmtcp(number, folder):
    """Ask the coordinator, and wait until the program runs again; DMTCP itself does not wait."""
    from syscr.backends.dmtcp.coordinator import Coordinator, read_port
    from syscr.backends.dmtcp.generation import (
        discard_generation,
        list_generations,
        read_generation,
    )
    from syscr.clock import SystemClock

    task = find_task(number)
    run_dir = task.spec.run_dir
    tool = build_backends(load_settings(os.environ))["dmtcp"].installation.get_probed_tool()
    coordinator = Coordinator(LocalRunner(), SystemClock(), tool, read_port(task.spec))
    peers = coordinator.get_status().peers
    before = set(list_generations(run_dir))

    def act():
        limit = time.monotonic() + LIMIT_SECONDS
        coordinator.request_checkpoint(limit)
        while time.monotonic() < limit:
            names = set(list_generations(run_dir)) - before
            if names and (found := read_generation(run_dir, names.pop())).script is not None:
                coordinator.wait_running(peers, limit)
                return found
            time.sleep(0.002)
        raise SystemExit("dmtcp_command: no generation was completed")

    found, times = measure(act)
    size = size_of(found.path)
    if not Path(folder).exists():
        os.rename(found.path, folder)
    discard_generation(run_dir, found.name)
    return {**times, "size_bytes": size}


def join(folder, target):
    with open(target, "wb") as file:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                file.write(path.read_bytes())
    return {"size_bytes": os.path.getsize(target)}


def copy(source, target):
    with open(source, "rb") as file:
        while file.read(1 << 22):
            pass
    argv = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync", "status=none"]
    _, times = measure(lambda: subprocess.run(argv, check=True))
    os.unlink(target)
    return times


def touch(size):
    """A virtual machine may get memory from its host only at the first use, which takes seconds per GiB."""
    return {"size_bytes": len(b"\1" * int(size))}


def read_resumed(path, since):
    """Return when the program went on after ``since``; None if it has not yet."""
    for line in Path(path).read_text().splitlines():
        ended, seconds = map(float, line.split())
        if ended > since and seconds > ended - since:
            return ended
    return None


def restore(checkpoint_dir, image_id, gaps):
    """Bring the program back as syscr's launcher does, without ``syscr run`` in front; then end it."""
    image = open_store(checkpoint_dir).get_image(image_id)
    [task] = image.manifest.tasks
    backend = CriuBackend(LocalRunner(), launcher_path=str(task.state["launcher_path"]))
    control = fresh.open_control()
    control.set_inheritable(True)
    run_dir = f"{checkpoint_dir}/bare-restore"
    os.makedirs(run_dir, exist_ok=True)
    for state in task.open_files:
        if state.writable and os.path.getsize(state.path) > state.size_bytes:
            os.truncate(state.path, state.size_bytes)
    spec = TaskSpec(
        number=int(os.environ["SLURM_JOB_ID"]),
        step="batch",
        rank=0,
        node=os.environ["SLURMD_NODENAME"],
        lineage=os.environ["SLURM_JOB_ID"],
        checkpoint_dir=checkpoint_dir,
        backend="criu",
        run_dir=run_dir,
        argv=task.argv,
    )
    spec = replace(spec, control=control.getsockname()[1:].decode())
    plan = backend.build_restore(spec, task, f"{image.path}/{task.data_dir}")
    argv = [str(task.state["launcher_path"]), "restore", "--namespaces", "--log", plan.log_path]
    argv += ["--control-fd", str(control.fileno()), "--task", wire.encode_task_spec(spec), "--"]
    argv += plan.argv

    def act():
        started = time.monotonic()
        process = subprocess.Popen(argv, close_fds=False, cwd=task.working_dir)
        while (resumed := read_resumed(gaps, started)) is None:
            if process.poll() is not None or time.monotonic() - started > LIMIT_SECONDS:
                raise SystemExit(f"criu restore: {Path(plan.log_path).read_text()[-2000:]}")
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return {"seconds": resumed - started}

    return measure(act)[0]


def started(number):
    """The kernel counts in hundredths of a second from the start of the machine."""
    stat = Path(f"/proc/{find_task(number).launcher_pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return {"started": int(fields[19]) / os.sysconf("SC_CLK_TCK") - asleep}


ACTS = {act.__name__: act for act in (criu, dmtcp, copy, join, restore, touch, started)}
print(json.dumps(ACTS[sys.argv[1]](*sys.argv[2:])))
