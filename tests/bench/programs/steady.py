"""A numerical program that watches how long it stands still: steady.py MEGABYTES GAPS_FILE.

Goes round a loop every millisecond; a round that took more than 4 ms becomes a line "END SECONDS" in
GAPS_FILE, END on CLOCK_MONOTONIC. The file is opened only to write such a line.
"""

import sys
import time

size, path = int(sys.argv[1]) << 20, sys.argv[2]
memory = None
if size:
    import numpy

    memory = numpy.random.default_rng(7).random(size // 8)
print("ready", flush=True)
step, last = 0, time.monotonic()
while True:
    time.sleep(0.001)
    now = time.monotonic()
    if now - last > 0.004:
        with open(path, "a") as file:
            file.write(f"{now:.6f} {now - last:.6f}\n")
        now = time.monotonic()
    if memory is not None:
        memory[step * 4097 % memory.size] += 1.0
    step, last = step + 1, now
