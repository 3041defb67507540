"""Runs on a node: kills a process with SIGKILL as soon as a checkpoint has come to a certain stage.

kill_when.py FOLDER STAGE -- COMMAND...   kills the command that it starts
kill_when.py FOLDER STAGE NAME            kills a process of this user of that name, or with those arguments

FOLDER is a checkpoint directory and what the names of the .ckpt folders in it begin with.

Stages: planned locked staged dumping:MEGABYTES dumped described publishing published ending ended
        now after:SECONDS
Prints a JSON object: whether the stage was seen, and how the command ended.
"""

import glob
import json
import os
import signal
import subprocess
import sys
import time

images, stage = sys.argv[1], sys.argv[2]
command = sys.argv[4:] if sys.argv[3] == "--" else []
limit = time.monotonic() + 40


def find(pattern: str) -> list[str]:
    return glob.glob(f"{glob.escape(images)}*.ckpt/{pattern}")


def written() -> int:
    total = 0
    for top in find("staging/*/data/*"):
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    total += os.stat(os.path.join(folder, name)).st_size
                except OSError:
                    continue
    return total


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def is_ending() -> bool:
    """Whether the image is published and the command's step still runs, which is to end the tasks."""
    if not set(find("2*")) - before:
        return False
    for child in children(started.pid if started else 0):
        try:
            with open(f"/proc/{child}/cmdline") as file:
                if '"inspect"' in file.read():
                    return True
        except OSError:
            continue
    return False


def find_process(name: str) -> int:
    """Return a process of this user: by its name, or a python by words of its arguments."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if os.stat(f"/proc/{entry}").st_uid != os.getuid():
                continue
            with open(f"/proc/{entry}/comm") as file:
                comm = file.read().strip()
            with open(f"/proc/{entry}/cmdline") as file:
                arguments = file.read().replace("\0", " ")
        except OSError:
            continue
        if comm == name or (" " in name and name in arguments and arguments[0] == "/"):
            return int(entry)
    return 0


seen: set[str] = set()
before = set(find("2*"))
started = (
    subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) if command else None
)
victim = started.pid if started else 0
word, _, number = stage.partition(":")
begun = time.monotonic()


def reached() -> bool:
    if word == "now":
        return True
    if word == "after":
        return time.monotonic() - begun >= float(number)
    if word == "planned":  # it has a child: the look at the nodes goes on
        return started is not None and bool(children(started.pid))
    if word == "locked":
        return bool(find("locks/*.json"))
    if word == "staged":
        return bool(find("staging/*/data"))
    if word == "dumping":
        return written() >= int(number) << 20
    if word == "dumped":
        return bool(find("staging/*/data/*/stats-dump") or find("staging/*/data/*/*.dmtcp"))
    if word == "described":  # the probe goes just before publishing
        return bool(find("staging/*/data/0/*")) and not find("staging/*/shared-probe")
    if word == "publishing":
        return bool(find("staging/*/manifest.json") or find("staging/*/.*"))
    if word == "published":
        return bool(set(find("2*")) - before)
    if word in {"ending", "ended"}:
        seen.update({"ending"} if is_ending() else set())
        return "ending" in seen and (word == "ending" or not is_ending())
    raise SystemExit(f"unknown stage '{stage}'")


hit = False
while time.monotonic() < limit and (started is None or started.poll() is None):
    if reached():
        victim = victim or find_process(sys.argv[3])
        if victim:
            try:
                os.kill(victim, signal.SIGKILL)
                hit = True
            except ProcessLookupError:
                hit = False
            break
out, err = started.communicate() if started else (b"", b"")
print(
    json.dumps(
        {
            "hit": hit,
            "victim": victim,
            "seconds": round(time.monotonic() - begun, 3),
            "status": started.returncode if started else None,
            "stdout": out.decode(errors="replace"),
            "stderr": err.decode(errors="replace"),
        }
    )
)
