"""``reply("jobs_running")``: a recorded reply, for each version in turn."""

from __future__ import annotations

import pytest
from slurm_replies import VERSIONS, Read, read_reply


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reply(version: str) -> Read:
    return lambda case: read_reply(version, case)
