"""The command line as a process: a reader that goes away, and a real interrupt."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def test_reader_that_has_gone_is_no_reason_to_say_anything() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "syscr", "config", "show"],
        stdout=writer, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_interrupt_from_the_terminal_is_130_with_a_word() -> None:
    code = (
        "import os, signal, sys\n"
        "from syscr.cli.app import App\n"
        "from syscr.cli.main import main\n"
        "class Manager:\n"
        "    def checkpoint(self, request, *, progress=None):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        signal.pause()\n"
        "    vacate = requeue = checkpoint\n"
        "sys.exit(main(['checkpoint', '4711'], app=App(build_manager=lambda _: Manager(), is_root=lambda: False)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, env=environment(), cwd=ROOT, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == (
        "syscr: interrupted; job 4711 keeps running, and an unfinished image is never used\n"
    )


def test_completion_works_in_a_real_bash(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    command = tmp_path / "syscr"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m syscr "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(syscr completion bash)"\n'
        "COMP_WORDS=(syscr image prune --keep-) COMP_CWORD=3\n"
        '_syscr_completion syscr\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = {**environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [bash, "-c", script], capture_output=True, text=True, env=env, check=False, timeout=60
    )
    assert done.stdout.split() == ["--keep-last", "--keep-within", "--keep-tag"], done.stderr
