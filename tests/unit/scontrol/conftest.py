"""Lets these tests use the cluster in memory of ``tests/unit/core``."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from core_support import World
from scontrol_support import Site


@pytest.fixture
def site() -> Site:
    """A cluster without jobs."""
    return Site(World())
