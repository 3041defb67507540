"""The launcher as ``make`` builds it, in both modes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from launcher_support import NOBODY, Laboratory, laboratory

SOURCES = Path(__file__).parents[2] / "syscr" / "csrc"


@pytest.fixture(scope="session")
def binary() -> Iterator[str]:
    """The built launcher, in a place that every user can reach."""
    made = subprocess.run(
        ["make", "-s", "-C", str(SOURCES)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    folder = Path(tempfile.mkdtemp(prefix="syscr-launcher-"))
    folder.chmod(0o755)
    copy = folder / "syscr-launcher"
    shutil.copy(SOURCES / "bin" / "syscr-launcher", copy)
    copy.chmod(0o755)
    yield str(copy)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def hasty_binary(binary: str) -> str:
    """The same launcher with short limits, so that no test waits for the real ones."""
    path = f"{binary}-hasty"
    limits = ["-DTOOL_GRACE_SECONDS=0.1", "-DPARK_SECONDS=0.1", "-DAGENT_SECONDS=0.1"]
    limits += ["-DSAY_GONE_SECONDS=0.1", "-DTEND_PAUSE_MS=10", "-DEND_MS=100"]
    sources = sorted(map(str, (SOURCES / "launcher").glob("*.c")))
    made = subprocess.run(
        [os.environ.get("CC", "cc"), "-std=gnu11", "-static", *limits, "-o", path, *sources],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture
def hasty(hasty_binary: str) -> Iterator[Laboratory]:
    with laboratory(hasty_binary) as lab:
        yield lab


@pytest.fixture(scope="session")
def refusal(binary: str) -> str:
    """Why tasks cannot live in namespaces here; empty if they can."""
    with laboratory(binary, namespaces=True) as lab:
        status, _, errors = lab.run("true")
        assert status == 0
        return errors.strip()


@pytest.fixture
def plain(binary: str) -> Iterator[Laboratory]:
    with laboratory(binary) as lab:
        yield lab


@pytest.fixture
def inside(binary: str, refusal: str) -> Iterator[Laboratory]:
    """Tasks in namespaces."""
    if refusal:
        pytest.skip(refusal)
    with laboratory(binary, namespaces=True) as lab:
        yield lab


@pytest.fixture
def as_nobody(binary: str, refusal: str) -> Iterator[Laboratory]:
    """Tasks in namespaces of a user without any rights."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the other tests ran as an ordinary one")
    if refusal:
        pytest.skip(refusal)
    with laboratory(binary, namespaces=True, user=NOBODY) as lab:
        yield lab


@pytest.fixture(params=["plain", "inside"])
def detached(request: pytest.FixtureRequest) -> Laboratory:
    """Tasks outside of Slurm's tree, in both modes in turn."""
    chosen: Laboratory = request.getfixturevalue(request.param)
    chosen.detached = True
    return chosen


@pytest.fixture(params=["plain", "inside", "plain detached", "inside detached"])
def lab(request: pytest.FixtureRequest) -> Laboratory:
    """All modes in turn."""
    mode, _, detached = request.param.partition(" ")
    chosen: Laboratory = request.getfixturevalue(mode)
    chosen.detached = bool(detached)
    return chosen
