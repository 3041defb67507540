"""The version matrix: the tests marked ``matrix``, on a cluster of each version of Slurm, one after the other.

Run by ``make test-matrix``; needs what ``make setup`` sets up. Results lie in ``results.json`` beside this
file; ``--write`` keeps them there and puts the table into docs/explanation/slurm-versions.md. Exit code 1: a
version did not come up, or a test failed there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.json"
PAGE = ROOT / "docs" / "explanation" / "slurm-versions.md"
STATE = ROOT / "slurm-test-cluster" / ".state" / "matrix"
sys.path.insert(0, str(HERE))

from matrix_results import SuiteResult, parse_junit, read_result  # noqa: E402
from matrix_table import format_table, replace_block  # noqa: E402

# oldest first; what is in them: slurm-test-cluster/versions.env
SUITES = ("bullseye", "bookworm", "trixie", "sid")
_LIMIT_SECONDS = 2700  # an image built from nothing is part of it
_GRACE_SECONDS = 120  # to take the cluster down


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the table; returns the exit status."""
    options = _parse(argv)
    results = load()
    failed = False
    for suite in [] if options.table else options.suite or SUITES:
        result = run_suite(suite, options.pytest)
        if result is None:
            failed = True
            continue
        results[suite] = result
        failed |= any(group.failed for group in result.groups.values())
        if options.write:
            save(results)
    table = format_table({suite: results[suite] for suite in SUITES if suite in results})
    print(table)
    if options.write:
        PAGE.write_text(replace_block(PAGE.read_text(), table))
    return int(failed)


def run_suite(suite: str, more: Sequence[str]) -> SuiteResult | None:
    """Run the tests with one version; None if nothing can be said of it."""
    STATE.mkdir(parents=True, exist_ok=True)
    report = STATE / f"{suite}.xml"
    report.unlink(missing_ok=True)
    _say(f"Debian {suite}")
    # DMTCP's unreleased version has the whole test suite, on the default version
    argv = [sys.executable, "-m", "pytest", "--cluster", "-m", "matrix", "-k", "not dmtcp-main"]
    argv += ["-p", "no:randomly", f"--junit-xml={report}", *more, "tests/cluster"]
    _run(argv, {**os.environ, "SUITE": suite})
    try:
        return parse_junit(report.read_text())
    except (OSError, ValueError) as error:
        _say(f"Debian {suite}: no result: {error}")
        return None


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run pytest; where it takes too long it is interrupted, and takes its cluster down."""
    with subprocess.Popen(argv, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL) as process:
        try:
            process.wait(_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            _say(f"interrupted after {_LIMIT_SECONDS} s")
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def load() -> dict[str, SuiteResult]:
    """Return the results that are kept; none before the first run."""
    if not RESULTS.exists():
        return {}
    kept = json.loads(RESULTS.read_text())
    return {suite: read_result(values) for suite, values in kept.items()}


def save(results: Mapping[str, SuiteResult]) -> None:
    """Keep the results."""
    values = {suite: results[suite].to_dict() for suite in SUITES if suite in results}
    RESULTS.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test-matrix MATRIX=", description=__doc__)
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one; repeat it")
    parser.add_argument("--write", action="store_true", help="keep the results, and the page")
    parser.add_argument("--table", action="store_true", help="run nothing: print what is kept")
    parser.add_argument("pytest", nargs="*", help="more options for pytest, after --")
    return parser.parse_args(argv)


def _say(text: str) -> None:
    print(f"matrix: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
