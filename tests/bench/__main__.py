"""The benchmark: what syscr costs beyond the bare tools. See docs/explanation/performance.md.

Run by ``make bench``; needs what ``make setup`` sets up. ``--write`` puts the table into that page. A missed aim is
printed and is no failure; the exit code is 1 only where a measurement could not be made.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "explanation" / "performance.md"
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster")]

from bench_figures import Comparison  # noqa: E402
from bench_groups import GROUPS  # noqa: E402
from bench_site import BenchError, Site, open_site, say  # noqa: E402
from bench_table import format_conditions, format_table, replace_block  # noqa: E402

from syscr.units import format_size, parse_size  # noqa: E402

_FAILURES = (BenchError, AssertionError, LookupError, ValueError, subprocess.TimeoutExpired)
_VERSIONS = (
    "sinfo -V; criu --version | sed -n 's/^Version: /CRIU /p'; "
    "for p in /opt/dmtcp/bin/dmtcp_launch; do [ ! -x $p ] || $p --version | head -n 1; done; syscr --version"
)
_DMTCP_PREFIX = "/opt/dmtcp"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    options = _parse(argv)
    started, lines, failed = time.monotonic(), list[Comparison](), False
    prefix = Path(os.environ.get("SYSCR_DMTCP_PREFIX", _DMTCP_PREFIX))
    names = [name for name in options.only or GROUPS if name != "dmtcp" or prefix.is_dir()]
    if len(names) < len(options.only or GROUPS):
        say(f"without DMTCP: there is no '{prefix}'")
    with open_site(
        options.cluster,
        rounds=options.rounds,
        megabytes=options.size >> 20,
        keep=options.keep_cluster,
    ) as site:
        conditions = read_conditions(site)
        for name in names:
            try:
                lines += GROUPS[name](site)
            except _FAILURES as error:
                say(f"FAILED {name}: {type(error).__name__}: {error}")
                failed = True
    conditions["took"] = f"{time.monotonic() - started:.0f} s"
    text = f"{format_table(lines)}\n\n{format_conditions(conditions)}"
    if lines:
        print(text)
    if options.write and not failed:
        PAGE.write_text(replace_block(PAGE.read_text(), text))
    return 1 if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition(".")[0])
    option = parser.add_argument
    option("--rounds", type=int, default=5, help="measurements of each kind (5)")
    option("--size", type=parse_size, default=1 << 30, help="memory of the large program (1G)")
    option("--only", action="append", choices=list(GROUPS), help="this group; may be repeated")
    option("--cluster", default="syscr-bench", help="name of the cluster (syscr-bench)")
    option("--keep-cluster", action="store_true", help="use it if it is up, and leave it up")
    option(
        "-w", "--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}"
    )
    options = parser.parse_args(argv)
    if options.write and options.only:
        parser.error("--write takes the whole table")
    if options.rounds < 1 or options.size < 1 << 20:
        parser.error("at least one round and 1M")
    return options


def read_conditions(site: Site) -> dict[str, str]:
    """Return what the figures were measured on."""
    load = os.getloadavg()[0]
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    models = [value.strip() for name, _, value in lines if name.strip() == "model name"]
    cpu = models[0] if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    file_system = site.run("df", "--output=fstype", site.work.path).split()[-1]
    versions = site.run("sh", "-c", _VERSIONS)
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; load average at the start {load:.1f}",
        "machine": f"{os.cpu_count()} x {cpu}, {format_size(memory)}, Linux {platform.release()}",
        "software": ", ".join(versions.split("\n")).strip(", "),
        "checkpoint directory": f"{file_system}, one disk for all; the nodes are containers on this machine",
        "program": f"{site.megabytes} MiB of random doubles, numpy; {site.rounds} rounds in turns",
    }


if __name__ == "__main__":
    sys.exit(main())
