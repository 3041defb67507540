from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_support import Job, become

from syscr.job import fresh


@pytest.fixture(autouse=True)
def _closed_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the control sockets of tasks that never really become another program."""
    opened: list[socket.socket] = []
    real = fresh.open_control

    def open_control() -> socket.socket:
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(fresh, "open_control", open_control)
    yield
    for control in opened:
        control.close()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose tasks never really become another program."""
    monkeypatch.setattr("syscr.job.run.replace_process", become)
    monkeypatch.setattr("syscr.job.start.replace_process", become)
    monkeypatch.chdir(tmp_path)
    installed = tmp_path / "syscr-launcher"
    installed.write_bytes(b"binary")
    installed.chmod(0o755)
    job = Job(tmp_path, installed)
    monkeypatch.setattr("syscr.job.start.start_sidecar", job.start_sidecar)
    return job
