"""A command line with a fake manager, in this process, in an environment of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cli_support import NOW, FakeManager, Outcome, Run

from syscr import config, log
from syscr.cli.app import App
from syscr.cli.main import main
from syscr.settings import Settings


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(
            ("SYSCR_", "_SYSCR", "SLURM_", "SBATCH_", "DMTCP_", "CRIU_", "SUDO_", "XDG_")
        ):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(config, "SYSTEM_FILE", str(tmp_path / "syscr.toml"))
    monkeypatch.chdir(tmp_path)
    yield
    log.release()


@pytest.fixture
def manager() -> FakeManager:
    return FakeManager()


@pytest.fixture
def passed() -> list[tuple[str, tuple[str, ...], Settings]]:
    """Return what was handed to sbatch, srun and salloc."""
    return []


@pytest.fixture
def app(manager: FakeManager, passed: list[tuple[str, tuple[str, ...], Settings]]) -> App:
    def pass_through(verb: str, argv: Sequence[str], settings: Settings) -> int:
        passed.append((verb, tuple(argv), settings))
        return 7

    return App(
        build_manager=lambda _: manager,
        pass_through=pass_through,
        now=lambda: NOW,
        is_root=lambda: False,
    )


@pytest.fixture
def run(app: App, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*argv: str) -> Outcome:
        status = main(argv, app=app)
        out, err = capsys.readouterr()
        return Outcome(status, out, err)

    return call
