"""A program with much memory whose end depends on every byte: big.py STEPS RESULTS MEGABYTES [EXIT_CODE [PACE]].

Each step changes a part of the memory; the last line is a digest of all of it. STEPS is a number, or the
path of a file: it goes on until that is there.
"""

import hashlib
import os
import random
import sys
import time

steps, results, size = sys.argv[1], sys.argv[2], int(sys.argv[3]) << 20
exit_code = int(sys.argv[4]) if len(sys.argv) > 4 else 0
pace = float(sys.argv[5]) if len(sys.argv) > 5 else 0.05
numbers = random.Random(11)
block = 1 << 20
memory = bytearray(b"".join(numbers.randbytes(block) for _ in range(size // block)))
state, step = b"", 0
with open(results, "w") as file:
    while step < int(steps) if steps.isdigit() else not os.path.exists(steps):
        step += 1
        start = numbers.randrange(len(memory) - block)
        state = hashlib.blake2b(memory[start : start + block] + state).digest()
        other = numbers.randrange(len(memory) - block)
        memory[other : other + len(state)] = state
        print("step", step, state.hex()[:16], flush=True)
        file.write(f"{step} {state.hex()}\n")
        file.flush()
        time.sleep(pace)
    file.write(f"memory {hashlib.blake2b(memory).hexdigest()}\n")
print("done", flush=True)
sys.exit(exit_code)
