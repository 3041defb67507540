"""The tutorial and the how-tos, done as a reader does them: files made, commands typed, output compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_support import Cluster
from docs_support import DOCS, Reader, find_pages, read_blocks

PAGES = {
    str(page.relative_to(DOCS)): page
    for page in find_pages()
    if page.is_relative_to(DOCS) and any(block.is_run for block in read_blocks(page.read_text()))
}


@pytest.mark.parametrize("name", PAGES)
def test_page_does_what_it_says(cluster: Cluster, name: str) -> None:
    page: Path = PAGES[name]
    folder = f"/home/alice/{page.stem}"
    # alice begins with nothing: no images, no remembered directories
    clean = f"scancel -u alice; rm -rf {folder} ~/.syscr ~/.local/state/syscr && mkdir {folder}"
    cluster.run("alice", "login", ["bash", "-c", clean], check=True)
    cluster.wait_for(lambda: _is_idle(cluster), "alice has no jobs")

    def run(user: str, text: str) -> tuple[int, str]:
        script = f"{{ {text}\n}} 2>&1"
        typed = ["timeout", "170", "bash", "-c", script]  # a wait must not go on for ever
        done = cluster.run(user, "login", typed, cwd=folder, timeout=180)
        return done.exit_code, done.stdout

    def write(file: str, body: str) -> None:
        cluster.run("alice", "login", ["tee", file], stdin=body, cwd=folder, check=True)

    try:
        done = [command for command, _ in Reader(run, write).follow(page.read_text())]
    finally:
        cluster.run("root", "login", ["scancel", "-u", "alice"])
        cluster.run("root", "login", ["scontrol", "update", "NodeName=c[1-3]", "State=RESUME"])
    assert done


def _is_idle(cluster: Cluster) -> bool:
    return not cluster.run("alice", "login", ["squeue", "--me", "-h"], check=True).stdout
