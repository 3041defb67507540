"""Monte Carlo simulation of a magnet (two-dimensional Ising model); seeded, so each run is the same.

Prints a line per step and writes a results file as it goes. It knows nothing of checkpoints.
"""

import argparse
import hashlib
import time

import numpy as np

SIZE = 300
SWEEPS = 40
TEMPERATURE = 2.2

parser = argparse.ArgumentParser()
parser.add_argument("results", help="file to write")
parser.add_argument("--steps", type=int, default=100)
parser.add_argument(
    "--step-seconds", type=float, default=0.5, help="a step takes at least this long"
)
options = parser.parse_args()

random = np.random.default_rng(seed=42)
spins = random.choice(np.array([-1, 1], dtype=np.int8), size=(SIZE, SIZE))
rows, columns = np.indices(spins.shape)
colours = [(rows + columns) % 2 == colour for colour in (0, 1)]


def neighbours() -> np.ndarray:
    """Return the sum of the four neighbours of each spin."""
    return sum(np.roll(spins, shift, axis) for shift in (-1, 1) for axis in (0, 1))


with open(options.results, "w") as results:
    for step in range(1, options.steps + 1):
        started = time.monotonic()
        for _ in range(SWEEPS):
            for colour in colours:
                cost = 2.0 * spins * neighbours()
                flip = colour & (random.random(spins.shape) < np.exp(-cost / TEMPERATURE))
                spins[flip] *= -1
        energy = float(-(spins * neighbours()).sum() / (2 * spins.size))
        magnetisation = float(spins.mean())
        print(f"step {step}: energy {energy:.6f}, magnetisation {magnetisation:+.6f}", flush=True)
        state = hashlib.sha256(spins.tobytes()).hexdigest()
        results.write(f"{step} {energy!r} {magnetisation!r} {state}\n")
        results.flush()
        time.sleep(max(0.0, options.step_seconds - (time.monotonic() - started)))

print("done", flush=True)
