"""A program that is asked to end in many ways: signals.py WAY STEPS; see the ways below."""

import os
import signal
import subprocess
import sys
import time

way, steps = sys.argv[1], int(sys.argv[2])


def on_usr1(*_: object) -> None:
    print("got USR1", flush=True)


def on_term(*_: object) -> None:
    print("got TERM", flush=True)
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit(9)


signal.signal(signal.SIGUSR1, on_usr1)
if way == "term":
    signal.signal(signal.SIGTERM, on_term)
if way == "children":
    subprocess.Popen(["sleep", "999"])
    subprocess.Popen(["setsid", "sleep", "998"])
if way == "background":
    subprocess.Popen(["sh", "-c", "sleep 0.1; echo background 1; sleep 20; echo background 2"])
for step in range(steps):
    print("step", step, flush=True)
    time.sleep(0.05)
if way.startswith("exit"):
    sys.exit(int(way[4:]))
if way.startswith("signal"):
    os.kill(os.getpid(), int(way[6:]))
time.sleep(999 if way in {"term", "children"} else 0)
