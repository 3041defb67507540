"""The cluster of this session, and one test's work on it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cluster_support import BACKENDS, DRIVER, REPOSITORY, Backend, Cluster, Work
from session_support import ENVIRON, EXERCISED
from times_support import SPENT

LOGS = REPOSITORY / "slurm-test-cluster" / ".state" / "test-logs"
_FAILED = pytest.StashKey[bool]()
_COMING = pytest.StashKey["Coming"]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("cluster")


class Coming:
    """The cluster of this session; its image is built, and it comes up, while the other tests run."""

    def __init__(self, *, keep: bool) -> None:
        self.cluster = Cluster(project_name(), ENVIRON)
        self._keep = keep
        self._aside = ThreadPoolExecutor(1, "cluster")
        self._up = self._aside.submit(self._bring_up)

    def wait(self, session: pytest.Session) -> None:
        """Wait until it is there; the session ends where it cannot be had."""
        fault = self._up.exception()
        if fault is not None:
            why = f"no cluster, so its tests did not run: {fault}"
            session.shouldfail = why  # a worker of pytest-xdist hands over this, not the exit
            pytest.exit(why, returncode=3)

    def end(self) -> None:
        self._aside.shutdown()
        if not self._keep:
            self.cluster.drive("down")

    def _bring_up(self) -> None:
        if not self._keep:
            self.cluster.drive("down")  # one that a killed session has left
        self.cluster.drive("up", timeout=1800)
        self.cluster.drive("deploy")


def project_name() -> str:
    """Return a name of this checkout's own: another one's cluster may be up on this machine."""
    checkout = hashlib.sha256(os.fsencode(REPOSITORY)).hexdigest()[:6]
    name = ENVIRON.get("SYSCR_TEST_CLUSTER", f"syscr-test-{checkout}")
    worker = ENVIRON.get("PYTEST_XDIST_WORKER", "")  # each has its own
    return f"{name}-{worker}" if worker else name


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let the cluster come up where tests need it."""
    config = session.config
    if not config.getoption("--cluster") or config.getoption("collectonly"):
        return
    if config.pluginmanager.has_plugin("dsession"):
        return  # the workers do it
    if any(item.get_closest_marker("cluster") for item in session.items):
        session.stash[_COMING] = Coming(keep=config.getoption("--keep-cluster"))


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Wait for the cluster before the clock of a test that needs it starts."""
    coming = item.session.stash.get(_COMING, None)
    if coming is not None and item.get_closest_marker("cluster"):
        coming.wait(item.session)
    yield


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take the cluster down, however the session ends."""
    coming = session.stash.get(_COMING, None)
    if coming is None:
        return
    if session.stash.get(_FAILED, False):
        coming.cluster.save_logs(LOGS / coming.cluster.name)
    coming.end()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    if outcome.get_result().failed:  # type: ignore[attr-defined]
        item.stash[_FAILED] = True
        item.session.stash[_FAILED] = True


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return project_name()


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    return f"{DRIVER} compose"


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(REPOSITORY / "slurm-test-cluster" / "compose.yaml")


@pytest.fixture(scope="session")
def docker_setup() -> tuple[str, ...]:
    """Return nothing: the driver brings it up, which has more to decide than the compose tool."""
    return ()


@pytest.fixture(scope="session")
def docker_cleanup() -> tuple[str, ...]:
    return ()


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest,
    record_testsuite_property: Callable[[str, object], None],
) -> Cluster:
    """A cluster with this checkout's syscr on it; it goes when the session ends, however it ends."""
    cluster = request.session.stash[_COMING].cluster
    exercised = request.config.stash[EXERCISED]

    def note_image(backend: str, version: str, label: str) -> None:
        name = f"{backend} {version}" + (" (main)" if label.endswith("-main") else "")
        exercised[name] = exercised.get(name, 0) + 1

    cluster.on_image = note_image
    cluster.on_spent = request.config.stash[SPENT].append
    for name, version in cluster.read_versions().items():
        record_testsuite_property(name, version)
    return cluster


def _make_work(cluster: Cluster, request: pytest.FixtureRequest, backend: Backend | None) -> Work:
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[-60:]
    path = cluster.run(
        "alice", "login", ["mktemp", "-d", f"/shared/{name}.XXXXXX"], check=True
    ).stdout.strip()
    return Work(cluster, path, backend, title=request.node.name)


@pytest.fixture
def work(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Work]:
    """A private directory of alice, on shared storage; what runs there is ended with the test."""
    backend = request.getfixturevalue("backend") if "backend" in request.fixturenames else None
    yield from _work(cluster, request, backend)


def _work(
    cluster: Cluster, request: pytest.FixtureRequest, backend: Backend | None
) -> Iterator[Work]:
    work = _make_work(cluster, request, backend)
    yield work
    if request.node.stash.get(_FAILED, False):
        request.node.add_report_section("teardown", f"files in {work.path}", work.describe())
    work.clean_up()


@pytest.fixture
def linuxproc(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster whose Slurm knows a job's processes by their parent links; another one where this one does not."""
    told = cluster.run("root", "login", ["scontrol", "show", "config"], check=True).stdout
    if re.search(r"^ProctrackType *= proctrack/linuxproc$", told, re.MULTILINE):
        yield cluster
        return
    other = Cluster(f"{cluster.name}-lp", {**ENVIRON, "SYSCR_PROCTRACK": "linuxproc"})
    other.on_image, other.on_spent = cluster.on_image, cluster.on_spent
    other.drive("down")  # one that a killed session has left
    try:
        other.drive("up")
        other.drive("deploy")
        yield other
    finally:
        other.drive("down")


@pytest.fixture
def linuxproc_work(linuxproc: Cluster, request: pytest.FixtureRequest) -> Iterator[Work]:
    """As ``work``, there."""
    yield from _work(linuxproc, request, None)


@pytest.fixture
def small(cluster: Cluster) -> Iterator[str]:
    """A file system of 100 MB that only c1 has; commands that use it run there, too."""
    path = "/shared/small"
    mount = f"mkdir -p {path} && mount -t tmpfs -o size=100m,mode=1777 tmpfs {path}"
    cluster.run("root", "c1", ["sh", "-c", mount], check=True)
    yield path
    script = f"umount -l {path}; rm -rf {path} /tmp/syscr-test-big"
    cluster.run("root", "c1", ["sh", "-c", script])


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.label)
def backend(request: pytest.FixtureRequest, cluster: Cluster) -> Backend:
    """Each backend in turn; skipped, with syscr's own reason, where the nodes don't have it."""
    wanted: Backend = request.param
    missing = _find_missing(cluster, wanted)
    if missing:
        required = ENVIRON.get("SYSCR_REQUIRE", "").replace(",", " ").split()
        text = f"{wanted.label}: {missing}"
        if wanted.name in required or wanted.label in required:
            pytest.fail(f"required by SYSCR_REQUIRE, but {text}")
        pytest.skip(text)
    return wanted


def _find_missing(cluster: Cluster, backend: Backend) -> str:
    """Return why the nodes can't use a backend; asked of syscr itself, and of the file system."""
    argv = ["syscr", "--json", "doctor", "--node", "c1"]
    answer = cluster.run("alice", "login", argv, env=backend.env)
    for node in answer.data["nodes"]:
        for found in node["backends"]:
            if found["name"] == backend.name:
                return "; ".join(found["missing"])
    return f"doctor does not know it: {answer}"
