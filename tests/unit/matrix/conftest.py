"""Puts the version matrix's modules into the import path; they are no package of syscr."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "matrix"))
