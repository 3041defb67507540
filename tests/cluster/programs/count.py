"""A program whose every step depends on all steps before: count.py STEPS RESULTS [EXIT_CODE [PACE]].

Prints a line per step, appends a line to RESULTS ("%r" in it is the rank), and ends with EXIT_CODE. It does
not end, and takes its time, until there is a file ``finish`` in its directory: so no test has to be quick.
PACE 0 is for a run to compare with.
"""

import os
import random
import sys
import time

steps, results = int(sys.argv[1]), sys.argv[2]
exit_code = int(sys.argv[3]) if len(sys.argv) > 3 else 0
pace = float(sys.argv[4]) if len(sys.argv) > 4 else 0.1
rank = os.environ.get("SLURM_PROCID", "0")
numbers, x, kept = random.Random(f"seed {rank}"), 0.0, []
with open(results.replace("%r", rank), "w") as file:
    for step in range(1, steps + 1):
        for _ in range(1000):
            x = (x + numbers.random()) % 1.0
        kept.append(x)
        print("step", step, "rank", rank, repr(x), flush=True)
        file.write(f"{step} {x!r} {sum(kept)!r}\n")
        file.flush()
        if pace and not os.path.exists("finish"):
            time.sleep(pace)
            while step == steps - 1 and not os.path.exists("finish"):
                time.sleep(pace)
print("done", flush=True)
sys.exit(exit_code)
