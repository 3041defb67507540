"""``make demo``: a Slurm job is checkpointed, killed and brought back, twice; its result is compared.

    demo.py [--backend auto|criu|dmtcp]

Each step says what it does, shows the command as alice types it, its real output and how long it took.
The exit code is 0 only if output and results equal those of an uninterrupted run, byte for byte.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLUSTER = str(HERE / "cluster")
FOLDER = "/home/alice/demo"
WIDTH = 100


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class Cluster:
    """Runs commands on the test cluster, shown or not."""

    def run(self, command: str, *, user: str = "alice", timeout: float = 120) -> tuple[int, str]:
        """Return exit code and output (both streams, as a terminal would show them)."""
        folder = FOLDER if user == "alice" else "/"
        script = f"cd {folder} && {{ {command}\n}} 2>&1"
        argv = [CLUSTER, "run", user, "login", "timeout", str(int(timeout)), "bash", "-c", script]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout + 10
            )
        except subprocess.TimeoutExpired:
            return 124, f"no answer within {timeout:.0f} s"
        return done.returncode, (done.stdout + done.stderr).rstrip("\n")

    def ask(self, command: str, *, user: str = "alice") -> str:
        """Return the output of a command that is not part of the story."""
        code, output = self.run(command, user=user)
        if code:
            raise DemoError(f"'{command}' ended with {code}:\n{output}")
        return output

    def show(self, command: str, *, user: str = "alice") -> str:
        """Print a command, run it, print what it says and how long it took."""
        where = "alice@login:~/demo$" if user == "alice" else "root@login:~#"
        print(f"\n  {where} {command}", flush=True)
        started = time.monotonic()
        code, output = self.run(command, user=user)
        for line in output.splitlines():
            print(f"  {line}")
        print(f"  [{time.monotonic() - started:.1f} s]", flush=True)
        if code:
            raise DemoError(f"'{command}' ended with {code}")
        return output

    def wait(
        self, what: str, condition: Callable[[], bool], *, timeout: float = 60, say: bool = True
    ) -> None:
        """Wait until a condition holds; the demo ends if it does not in time."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > timeout:
                raise DemoError(f"waited {timeout:.0f} s in vain until {what}")
            time.sleep(0.3)
        if say:
            print(f"\n  (waited {time.monotonic() - started:.1f} s until {what})", flush=True)

    def state(self, job: str) -> str:
        """Return state and node of a job, e.g. ``RUNNING c1``."""
        return self.ask(f"squeue -h -t all -j {job} -o '%T %N'").strip()

    def count(self, path: str) -> int:
        """Return the number of the last step in an output file."""
        code, output = self.run(f"grep -c ^step {shlex.quote(path)}")
        return int(output) if code in {0, 1} and output.isdigit() else 0

    def has_ended(self, job: str) -> bool:
        """Whether a job is over and its node is free of it."""
        state = self.state(job).split()
        return not state or state[0] in {"CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL"}


class Story:
    """Numbers the steps and keeps their durations."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.durations: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, title: str, words: str) -> Iterator[None]:
        """Print the heading of a step and, at its end, the time it took."""
        print(f"\n{len(self.durations) + 1}. {title}")
        print(
            textwrap.fill(words, WIDTH, initial_indent="   ", subsequent_indent="   "), flush=True
        )
        started = time.monotonic()
        yield
        self.durations.append((title, time.monotonic() - started))

    def print_durations(self) -> None:
        """Print what took how long."""
        print()
        for number, (title, seconds) in enumerate(self.durations, 1):
            print(f"  {number}. {title:<64} {seconds:6.1f} s")
        print(f"  {'all together':<67} {time.monotonic() - self.started:6.1f} s", flush=True)


def run_visibly(argv: Sequence[str], *, timeout: float) -> None:
    """Run a command of ours with its output shown, indented."""
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        deadline = time.monotonic() + timeout
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  {line.rstrip()}", flush=True)
            if time.monotonic() > deadline:
                process.terminate()
                raise DemoError(f"{argv[0]} was not ready after {timeout:.0f} s")
    if process.returncode:
        raise DemoError(f"{' '.join(argv)} ended with {process.returncode}")


def prepare(cluster: Cluster, backend: str) -> None:
    """Bring the cluster up, install syscr, put alice's files there."""
    run_visibly([CLUSTER, "up"], timeout=900)
    run_visibly([str(HERE / "deploy")], timeout=600)
    if backend == "dmtcp" and cluster.run("test -x /opt/dmtcp/bin/dmtcp_launch", user="root")[0]:
        raise DemoError(
            "the cluster has no DMTCP: no registry carries it, so build 4.2.0 into /opt/dmtcp of this "
            "machine (SYSCR_DMTCP_PREFIX names another place), then 'slurm-test-cluster/cluster up'"
        )
    code, _ = cluster.run(f"install -d -o alice -g alice {FOLDER}", user="root")
    if code:
        raise DemoError("the cluster does not answer: see 'slurm-test-cluster/cluster status'")
    tidy(cluster)
    cluster.ask(f"find {FOLDER} -mindepth 1 -delete")
    for source in sorted((HERE / "jobs").glob("ising.*")):
        cluster.ask(f"printf %s {shlex.quote(source.read_text())} > {source.name}")


def tidy(cluster: Cluster) -> None:
    """End what a demo has left in the queue, and give a drained node back."""
    jobs = cluster.run(f"squeue -h -u alice -o '%i %Z' | sed -n 's! {FOLDER}$!!p'")[1].split()
    if jobs:
        cluster.run(f"scancel {' '.join(jobs)}")
    for node in cluster.run(
        "sinfo -hN -p debug -t drain -o '%N %E' | grep 'syscr demo'", user="root"
    )[1].splitlines():
        cluster.run(f"scontrol update NodeName={node.split()[0]} State=RESUME", user="root")


def tell(cluster: Cluster, story: Story, backend: str) -> bool:
    """Go through the steps; returns whether the comparison holds."""
    with story.step(
        "A Slurm cluster with syscr on it",
        "Three compute nodes, a login node, slurmctld, slurmdbd and MariaDB, in containers; syscr is "
        "installed from a wheel into a shared directory, as a site would do it.",
    ):
        prepare(cluster, backend)
        cluster.show("sinfo -N -p debug -o '%N %T %c'; criu --version | head -n 1; syscr --version")

    with story.step(
        "alice submits a batch job",
        "An ordinary script around a seeded simulation of about a minute. 'syscr sbatch' takes all options "
        "of Slurm's sbatch and submits the script unchanged; its images will lie in 'images'.",
    ):
        cluster.show("grep -v '^# ' ising.sh")
        option = "" if backend == "auto" else f"--backend={backend} "
        job = cluster.show(
            f"syscr sbatch --checkpoint-dir=images {option}ising.sh results.txt"
        ).split()[-1]
        out = f"slurm-{job}.out"
        cluster.wait("it runs", lambda: cluster.state(job).startswith("RUNNING"), say=False)
        node = cluster.state(job).split()[1]
        print(
            f"\n   It runs on {node}. To compare with, the same script without syscr, never interrupted, "
            "on another node:"
        )
        reference = cluster.show(
            f"sbatch --exclude={node} --output=reference.out ising.sh reference.txt"
        ).split()[-1]

    first = run_until_lost(cluster, story, job, "the job is killed", 15)

    with story.step(
        "The job comes back on the same node",
        "'syscr restart' verifies the newest image, cuts the output files back to where they were when it "
        "was taken, and puts the job back into the queue under its own id; --stick-to-nodes asks for the "
        "node it ran on.",
    ):
        cluster.show(f"syscr restart {job} --stick-to-nodes")
        check_continues(cluster, job, first, on=node)

    second = run_until_lost(cluster, story, job, "the job is killed again", 45)

    with story.step(
        "The job comes back on another node",
        f"This time {node} is taken out of service first, so Slurm must choose another one: restart "
        "without --stick-to-nodes takes any.",
    ):
        cluster.show(
            f"scontrol update NodeName={node} State=DRAIN Reason='syscr demo'; "
            "sinfo -N -p debug -o '%N %T %E'",
            user="root",
        )
        try:
            cluster.show(f"syscr restart {job}")
            check_continues(cluster, job, second, away_from=node)
        finally:
            cluster.run(f"scontrol update NodeName={node} State=RESUME", user="root")
        print(f"\n   ({node} is back in service.)")

    with story.step("The job ends", "As any job; Slurm's accounting has its three lives."):
        cluster.wait("it has ended", lambda: cluster.has_ended(job), timeout=180)
        cluster.wait(
            "the uninterrupted run has ended",
            lambda: cluster.has_ended(reference),
            timeout=180,
            say=False,
        )
        cluster.show(f"tail -n 2 {out}")
        cluster.show(f"sacct -D -X -j {job},{reference} -o JobID,State,ExitCode,NodeList,Elapsed")

    with story.step(
        "Was anything lost, or done twice?",
        "Output and results of the interrupted job against those of the uninterrupted one, byte for byte.",
    ):
        cluster.show(f"wc -l {out} results.txt reference.out reference.txt | head -n 4")
        verdict = cluster.show(
            f"cmp {out} reference.out && cmp results.txt reference.txt && echo identical || echo DIFFERENT"
        )
        cluster.show(f"sha256sum {out} reference.out results.txt reference.txt")
        same = verdict == "identical" and cluster.count(out) == 100

    with story.step(
        "The images",
        "They stay until 'syscr image prune' or 'delete'; any of them can be restarted.",
    ):
        cluster.show(f"syscr image list {job} --image-dir images")
    return same


def run_until_lost(cluster: Cluster, story: Story, job: str, how: str, steps: int) -> int:
    """Checkpoint the job in mid-run and kill it later; returns the last step it had made."""
    out = f"slurm-{job}.out"
    with story.step(
        "A checkpoint while it runs",
        "The program stands still while its memory is written, then goes on. The image counts only when "
        "all of it is on disk, with its digests.",
    ):
        cluster.wait(f"it has made {steps} steps", lambda: cluster.count(out) >= steps)
        cluster.show(f"syscr checkpoint {job}")
    with story.step(
        how[0].upper() + how[1:],
        "It has gone on since the checkpoint: those steps are lost with it, and will be made again.",
    ):
        at_checkpoint = cluster.count(out)
        cluster.wait(
            "it has made 4 more steps", lambda: cluster.count(out) >= at_checkpoint + 4, say=False
        )
        cluster.show(f"scancel {job}")
        cluster.wait("it is gone", lambda: cluster.has_ended(job), say=False)
        cluster.show(
            f"grep ^step {out} | tail -n 1; sacct -X -n -j {job} -o JobID,State%20,NodeList"
        )
        return cluster.count(out)


def check_continues(
    cluster: Cluster, job: str, lost_at: int, *, on: str = "", away_from: str = ""
) -> None:
    """Show that a job runs where it should and goes on behind where it was killed."""
    out = f"slurm-{job}.out"
    state, _, node = cluster.state(job).partition(" ")
    if state != "RUNNING" or (on and node != on) or node == away_from:
        raise DemoError(f"job {job} is {state} on '{node}'")
    cluster.wait(
        f"it is beyond step {lost_at}, where it was killed", lambda: cluster.count(out) > lost_at
    )
    cluster.show(f"squeue -j {job} -o '%i %T %N'; tail -n 1 {out}")


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--backend", choices=("auto", "criu", "dmtcp"), default="auto")
    backend = parser.parse_args().backend
    cluster, story = Cluster(), Story()
    print(
        "syscr demo: a Slurm job is checkpointed, lost and brought back, on a real Slurm in containers"
    )
    try:
        same = tell(cluster, story, backend)
    except (DemoError, subprocess.TimeoutExpired) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        explain(cluster)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        tidy(cluster)
        return 130
    story.print_durations()
    if not same:
        print("\nThe result DIFFERS from that of the uninterrupted run.")
        return 1
    print(
        "\nThe job was killed twice, and its output and results are bit-identical to an uninterrupted run's."
    )
    print("The cluster stays up:  slurm-test-cluster/cluster shell    (log in as alice)")
    print("                       slurm-test-cluster/cluster down     (remove it)")
    return 0


def explain(cluster: Cluster) -> None:
    """Print what helps to understand a demo that went wrong, then tidy up."""
    code, output = cluster.run("squeue -t all -u alice; tail -n 5 slurm-*.out")
    if code in {0, 1}:
        print(textwrap.indent(output, "  | "), file=sys.stderr)
    tidy(cluster)


if __name__ == "__main__":
    sys.exit(main())
