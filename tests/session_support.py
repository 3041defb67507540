"""What conftest files of several folders share: they can't import each other, all being named alike."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

ENVIRON: Mapping[str, str] = dict(os.environ)
"""The environment pytest was started with; the tests themselves don't see our variables in theirs."""

EXERCISED = pytest.StashKey[dict[str, int]]()
"""Backend and version -> how many restarts it did for real."""
