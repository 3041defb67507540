"""Runs in the cluster: times commands, in turns, one after the other.

Reads {"commands": [[WORD, ...], ...], "rounds": N} on standard input, if wanted with "before": one command for each
of "commands" that is run before it, untimed, and prints for each round a list with one
object per command, in the order of "commands": seconds, started and ended (CLOCK_MONOTONIC), status, output. Of two
rounds the second goes through the commands backwards, so that none is always the first.
"""

import json
import subprocess
import sys
import time

STREAMS = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
request = json.load(sys.stdin)
commands = request["commands"]
rounds = []
for number in range(request.get("rounds", 1)):
    results = {}
    places = range(len(commands))
    for place in reversed(places) if number % 2 else places:
        if "before" in request:
            subprocess.run(request["before"][place], check=True, **STREAMS)
        started = time.monotonic()
        done = subprocess.run(commands[place], **STREAMS)
        ended = time.monotonic()
        results[place] = {
            "seconds": ended - started,
            "started": started,
            "ended": ended,
            "status": done.returncode,
            "output": done.stdout if len(done.stdout) < 20000 else "",
            "errors": done.stderr[-2000:],
        }
    rounds.append([results[place] for place in places])
print(json.dumps(rounds))
