"""For all tests: an environment of nobody, the option ``--cluster``, and the closing line.

The tests on the dockerized cluster carry the mark ``cluster`` and run only with ``--cluster``, last. What a
test can't do here it skips with the reason; ``SYSCR_REQUIRE=criu,dmtcp`` makes such skips failures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from session_support import EXERCISED
from times_support import SPENT, Spent, render_spent

from syscr import log

_SCRUBBED = ("SYSCR_", "_SYSCR", "SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "DMTCP_", "CRIU_")
_CLUSTER_TIMEOUT_SECONDS = 600
_NO_CLUSTER = "needs the Slurm cluster in containers: pytest --cluster, or make test"

# A limit for each example (200 ms by default) fails where a machine is busy, and says nothing of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("syscr")
    group.addoption(
        "--cluster", action="store_true", help="run the tests on the dockerized Slurm cluster, too"
    )
    group.addoption(
        "--keep-cluster",
        action="store_true",
        help="use the test cluster if it is up and leave it up; for work on tests",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[EXERCISED] = {}
    config.stash[SPENT] = []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the cluster's tests behind all others; after pytest-randomly has shuffled."""
    on_cluster = [item for item in items if item.get_closest_marker("cluster")]
    items[:] = [item for item in items if not item.get_closest_marker("cluster")] + on_cluster
    for item in on_cluster:
        if not config.getoption("--cluster"):
            item.add_marker(pytest.mark.skip(reason=_NO_CLUSTER))
        elif item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_CLUSTER_TIMEOUT_SECONDS))


@pytest.fixture(autouse=True)
def _environment_of_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Hide the user's settings: no variables of ours, of Slurm or of the tools, another home.

    What a test has set up of the log is taken down: the next one reads records, and wants them to arrive.
    """
    home = tmp_path_factory.mktemp("home", numbered=True)
    for name in list(os.environ):
        if name.startswith(_SCRUBBED):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    for name in ("CONFIG", "CACHE", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(Path(home, name.lower())))
    yield
    log.release()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures of a worker (``pytest -n 2``) over to who prints them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["exercised"] = session.config.stash[EXERCISED]
        output["spent"] = [asdict(one) for one in session.config.stash[SPENT]]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up the figures of all workers."""
    output = getattr(node, "workeroutput", {})
    exercised = node.config.stash[EXERCISED]
    for name, count in output.get("exercised", {}).items():
        exercised[name] = exercised.get(name, 0) + count
    node.config.stash[SPENT] += [Spent(**one) for one in output.get("spent", [])]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say at the very end which backends were at work; a green run without any proves little.

    Before it, of jobs that keep themselves alive, how much of their time they could use.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    exercised = config.stash.get(EXERCISED, {})
    if reporter is None or config.getoption("collectonly", default=False):
        return
    spent: list[Spent] = config.stash.get(SPENT, [])
    table = render_spent(spent)
    if table:
        reporter.write_line(table)
    if exercised:
        text = ", ".join(sorted(exercised))
    else:
        text = "none" if config.getoption("--cluster") else "none (no --cluster)"
    reporter.write_line(f"backends exercised for real: {text}")
