"""One old Slurm for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from native_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "ckpt", {"min_job_age": 300, "purge_seconds": 345})
    world.slurm.add_job(2)
    return world
