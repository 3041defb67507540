"""Run the commands of pages on a cluster and put their real output into the pages.

    SYSCR_CLUSTER=NAME python tests/docs/record_docs.py docs/tutorial.md ...

The cluster must be one of your own, up, with syscr on it, and made with SYSCR_EXTRA_CONF=FirstJobId=4711:
job numbers in the pages have four digits. alice's images and her jobs there are removed first. Lines shown
as ``...`` stand for output that is left out: they are lost, put them back by hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs_support import REPOSITORY, Command, Reader, read_blocks, read_commands

CLUSTER = str(REPOSITORY / "slurm-test-cluster" / "cluster")


class Recorder(Reader):
    """A reader that believes what it sees; ids that the page has already stay as they are."""

    numbers: list[str]

    def _compare(self, command: Command, code: int, output: str) -> None:
        if code:
            print(
                f"line {command.line}: '{command.text}' ended with {code}:\n{output}",
                file=sys.stderr,
            )
        with contextlib.suppress(AssertionError):
            super()._compare(command, code, output)
        found = re.search(r"^Submitted batch job ([0-9]+)$", output, re.MULTILINE)
        if found and found[1] not in self.known.values():
            free = [number for number in self.numbers if number not in self.known]
            self.known[free[0] if free else found[1]] = found[1]

    def restore(self, output: str) -> str:
        """Put the page's ids in the place of this run's."""
        for name, real in self.known.items():
            output = re.sub(
                rf"(?<![\w.-]){re.escape(real)}(?![A-Za-z0-9-]|_[A-Za-z])", f"@{name}@", output
            )
        return output.replace("@", "")


def run_in(folder: str, user: str, text: str) -> tuple[int, str]:
    """Run one command line in a folder of alice's; both streams together."""
    script = f"cd {folder} && {{ {text}\n}} 2>&1"
    done = subprocess.run(
        [CLUSTER, "run", user, "login", "timeout", "180", "bash", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def write_in(folder: str, name: str, body: str) -> None:
    """Write a file of a page."""
    run_in(folder, "alice", f"cat > {name} <<'END OF FILE'\n{body}END OF FILE\n")


def read_all(text: str) -> list[Command]:
    """Return all commands of a page that are run."""
    return [c for block in read_blocks(text) if block.is_run for c in read_commands(block)]


def main(paths: list[str]) -> None:
    """Record each page in a folder of its own."""
    if os.environ.get("SYSCR_CLUSTER", "syscr") == "syscr":
        sys.exit(
            "record_docs: SYSCR_CLUSTER must name a cluster of your own: alice's images are removed"
        )
    for path in map(Path, paths):
        text = path.read_text()
        folder = f"/home/alice/{path.stem}"
        run_in(
            "/",
            "alice",
            f"scancel -u alice; rm -rf {folder} ~/.syscr ~/.local/state/syscr; mkdir {folder}",
        )

        reader = Recorder(partial(run_in, folder), partial(write_in, folder))
        typed = " ".join(command.text for command in read_all(text))
        reader.numbers = list(dict.fromkeys(re.findall(r"\b4[78][0-9]{2}\b", typed)))
        outputs = iter([reader.restore(output) for _, output in reader.follow(text)])
        for block in read_blocks(text):
            if block.is_run:
                lines = []
                for command in read_commands(block):
                    prompt = "$ " if command.user == "alice" else "# "
                    lines += [prompt + command.text.replace("\n", "\n> ")]
                    lines += [line.rstrip() for line in next(outputs).splitlines()]
                text = text.replace(
                    f"```console\n{block.body}```", "```console\n" + "\n".join(lines) + "\n```", 1
                )
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
