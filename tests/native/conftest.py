"""A stand-in for an old Slurm, of both versions that were recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from native_support import Site


@pytest.fixture(params=["18.08.9", "19.05.8"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site.build(tmp_path, version=request.param)


@pytest.fixture
def old(tmp_path: Path) -> Site:
    return Site.build(tmp_path)
