"""A task that shares a file with the others: append.py STEPS FILE.

Appends "RANK STEP" lines to FILE, each with one write. Does not end before there is a file ``finish``.
"""

import os
import sys
import time

steps, rank = int(sys.argv[1]), os.environ.get("SLURM_PROCID", "0")
shared = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for step in range(1, steps + 1):
    os.write(shared, f"{rank} {step}\n".encode())
    if not os.path.exists("finish"):
        time.sleep(0.02)
        while step == steps - 1 and not os.path.exists("finish"):
            time.sleep(0.05)
