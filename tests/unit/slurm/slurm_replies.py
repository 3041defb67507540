"""Replies of Slurm's commands, recorded from real clusters by tests/data/slurm/record.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from syscr.model import JobId
from syscr.ports import Completed

DATA = Path(__file__).resolve().parents[2] / "data" / "slurm"
VERSIONS = sorted(folder.name for folder in DATA.iterdir() if folder.is_dir())


@dataclass(frozen=True)
class Reply:
    """One recorded command."""

    completed: Completed
    text_id: str | None

    @property
    def job_id(self) -> JobId:
        assert self.text_id is not None
        return JobId.parse(self.text_id)


Read = Callable[[str], Reply]


def read_reply(version: str, case: str) -> Reply:
    record = json.loads((DATA / version / f"{case}.json").read_text())
    completed = Completed(
        tuple(record["argv"]), record["exit_code"], record["stdout"], record["stderr"]
    )
    return Reply(completed, record["job_id"])
