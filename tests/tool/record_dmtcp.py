"""Record replies of an installed DMTCP into tests/data/dmtcp/<name>/, for the parser tests.

Usage: python tests/tool/record_dmtcp.py PREFIX NAME, as in: /opt/dmtcp 4.2.0
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import test_dmtcp_real as real

from syscr.backends.dmtcp import commands
from syscr.backends.dmtcp.coordinator import read_port
from syscr.process.runner import LocalRunner

DATA = Path(__file__).parent.parent / "data" / "dmtcp"


def shorten(label: str, text: str) -> str:
    """Cut licence and usage texts: they are DMTCP's, and no parser reads them."""
    return text.split("\n", 1)[0] if label in {"version", "json-probe"} else text


def keep_facts(script: str) -> str:
    """Leave out the program text of a restart script, for the same reason."""
    lines = script.splitlines(keepends=True)
    facts = [line for line in lines if line.startswith(("# Number of", "given_ckpt_files="))]
    return "".join([*facts, lines[-1]])


def main(prefix: str, name: str) -> None:
    """Run each command once and keep what it said."""
    target = DATA / name
    target.mkdir(parents=True, exist_ok=True)
    runner = LocalRunner()

    def record(label: str, argv: tuple[str, ...]) -> None:
        reply = runner.run(argv)
        fields = {
            "argv": [Path(argv[0]).name, *argv[1:]],
            "exit_code": reply.exit_code,
            "stdout": shorten(label, reply.stdout),
            "stderr": shorten(label, reply.stderr),
        }
        (target / f"{label}.json").write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")

    with tempfile.TemporaryDirectory(prefix="syscr record ") as folder:
        site = real.Site(Path(folder), prefix)
        tool = site.backend.installation.get_probed_tool()
        record("version", commands.build_version(tool))
        record("json-probe", commands.build_json_probe(tool))
        task = site.launch(["/bin/bash", "-c", "sleep 30 | cat"])
        time.sleep(0.5)
        port = read_port(task.spec)
        record("status", commands.build_command(tool, port, "--status"))
        record("list", commands.build_command(tool, port, "--list"))
        record("checkpoint", commands.build_command(tool, port, "--checkpoint"))
        record("checkpoint-refused", commands.build_command(tool, port, "--checkpoint"))
        record("list-checkpointing", commands.build_command(tool, port, "--list"))
        record("status-checkpointing", commands.build_command(tool, port, "--status"))
        time.sleep(1)
        for script in Path(task.spec.run_dir).glob("dmtcp_restart_script_*.sh"):
            (target / "restart-script.txt").write_text(keep_facts(script.read_text()))
        task.kill()
        record("no-coordinator", commands.build_command(tool, port, "--status"))
        record("no-coordinator-checkpoint", commands.build_command(tool, port, "--checkpoint"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
