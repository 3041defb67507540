"""Jobs that keep themselves alive under random faults, for long; not among the default tests.

``make soak`` runs it, for an hour on ten jobs; ``SYSCR_SOAK="MINUTES JOBS SEED"`` chooses. Each job's output,
results and exit code must be those of a run that nobody disturbed. At the end it prints how much of the time
that Slurm gave was kept.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from alive_support import find_spent
from cluster_support import Backend, Work
from faults_support import AGENT, killed, paused
from session_support import ENVIRON
from times_support import Spent, render_spent

_MINUTES, _JOBS, _SEED, *_ = (*ENVIRON.get("SYSCR_SOAK", "").split(), "", "", "")
MINUTES, JOBS, SEED = float(_MINUTES or 60), int(_JOBS or 10), int(_SEED or time.time())
EXIT_CODE = 3
PACE = 0.1
INTERVAL = "0:30"
NODE_SECONDS = 30.0  # for what Slurm still sends to a node after it has failed
BACKENDS = (Backend("criu", "criu"), Backend("dmtcp", "dmtcp"))


@dataclass
class Herd:
    """All jobs of a soak.

    Attributes:
        work: Where they live.
        steps: Steps of each program.
        jobs: Job id -> name of its files.
        hurried: Job id -> when Slurm was last asked to start it at once.
        calm_until: Nobody is hurried before that, monotonic seconds: after a node has failed Slurm may end a
            new life by the kill that was meant for the old one (24.11.5, 2026-11: two jobs that were started on
            that node 3 s after NODE_FAIL). Its own wait of two minutes keeps them apart.
    """

    work: Work
    steps: int
    jobs: dict[str, str] = field(default_factory=dict)
    hurried: dict[str, float] = field(default_factory=dict)
    calm_until: float = 0.0

    def submit(self, count: int, *options: str) -> None:
        """Submit jobs, of both backends in turn."""
        program = self.work.add_program("count.py")
        for number in range(count):
            name = f"job{number}"
            self.work.backend = BACKENDS[number % len(BACKENDS)]
            script = self.work.write(
                f"{name}.sh",
                f"#!/bin/bash\n#SBATCH --output={self.work.path}/{name}.out\n"
                f"exec python3 {program} {self.steps} {self.work.path}/{name}.txt {EXIT_CODE} {PACE}\n",
            )
            self.jobs[self.work.submit(*options, script)] = name
        self.work.backend = None

    def submit_array(self, count: int, *options: str) -> None:
        """Submit the tasks of an array, each with a folder of its own."""
        program = self.work.add_program("count.py")
        script = self.work.write(
            "array.sh",
            f"#!/bin/bash\n#SBATCH --output={self.work.path}/task%a.out\n"
            f"mkdir -p {self.work.path}/$SLURM_ARRAY_TASK_ID; cd {self.work.path}/$SLURM_ARRAY_TASK_ID\n"
            f"exec python3 {program} {self.steps} {self.work.path}/task$SLURM_ARRAY_TASK_ID.txt "
            f"{EXIT_CODE} {PACE}\n",
        )
        array = self.work.submit(f"--array=0-{count - 1}", *options, script)
        self.jobs.update((f"{array}_{index}", f"task{index}") for index in range(count))

    def let_done_ones_end(self) -> int:
        """Let the tasks end that have done their work; returns how many there are."""
        script = (
            'for f in task*.out; do [ "$(grep -c ^step $f)" -ge "$0" ] && n=${f#task} && '
            'touch "${n%.out}/finish" && echo; done; :'
        )
        return self.work.run("sh", "-c", script, str(self.steps - 1)).stdout.count("\n")

    def hurry(self) -> None:
        """Cut Slurm's wait of two minutes short for all jobs that wait for nothing else."""
        if time.monotonic() < self.calm_until:
            return
        waiting = self.work.run("squeue", "-h", "--me", "-t", "PD", "-o", "%i %r", check=False)
        for line in waiting.stdout.splitlines():
            job, _, reason = line.partition(" ")
            now = time.monotonic()
            if job in self.jobs and reason == "BeginTime" and now > self.hurried.get(job, 0) + 8:
                self.hurried[job] = now  # asked again and again it would never start
                self.work.run("scontrol", "update", f"JobId={job}", "StartTime=now+2", check=False)
            if job in self.jobs and "held" in reason.lower():
                self.work.run("scontrol", "release", job, check=False)

    def check_that_none_is_lost(self) -> None:
        """Before they may end, all jobs wait or run; said at once, while Slurm still knows why."""
        answer = self.work.run("squeue", "-h", "--me", "-o", "%i", check=False)
        lost = sorted(set(self.jobs) - set(answer.stdout.split()))
        if answer.exit_code == 0 and lost:
            told = "\n".join(map(self.tell_end, lost))
            raise AssertionError(f"jobs {lost} are lost\n{told}")

    def tell_end(self, job: str) -> str:
        """Return what Slurm, the agent and the launcher have said of the last lives of a job."""
        script = (
            'sacct -D -j "$0" | tail -n 8; scontrol show job "$0"; syscr status "$0"; '
            'for run in $(ls -t images/"$0".ckpt/run | head -n 3); do echo "== $run"; '
            'tail -n 30 images/"$0".ckpt/run/"$run"/agent.log; done; grep ^syscr: "$1.out" | tail -n 9'
        )
        return self.work.run("sh", "-c", script, job, self.jobs[job], check=False).stdout

    def find_running(self) -> list[str]:
        """Return the ids of the jobs that run."""
        answer = self.work.run("squeue", "-h", "--me", "-t", "R", "-o", "%i", check=False)
        return [job for job in answer.stdout.split() if job in self.jobs]

    def check(self) -> None:
        """Let all programs end, and compare them with one that nobody disturbed."""
        work, cluster = self.work, self.work.cluster
        work.run("touch", "finish")
        for job in self.jobs:

            def is_over(job: str = job) -> bool:
                self.hurry()
                return cluster.job(job).is_final

            cluster.wait_for(is_over, f"job {job} has ended", 600)
        expected = work.run(
            *("python3", "count.py", str(self.steps), "expected.txt", str(EXIT_CODE), "0"),
            check=False,
            timeout=300,
        )
        results = work.read("expected.txt")
        problems = []
        for job, name in self.jobs.items():
            own = [
                line
                for line in work.read(f"{name}.out").splitlines(keepends=True)
                if not line.startswith(("slurmstepd-", "syscr: "))
            ]
            if "".join(own) != expected.stdout:
                problems.append(f"job {job} ({name}): its output differs")
            if work.read(f"{name}.txt") != results:
                problems.append(f"job {job} ({name}): its results differ")
            if cluster.job(job).exit_code != f"{EXIT_CODE}:0":
                problems.append(f"job {job} ({name}): {cluster.job(job)}")
        assert not problems, "\n".join(problems)

    def find_spent(self) -> list[Spent]:
        """Return how the time that Slurm gave each job was spent."""
        return [find_spent(self.work, job, name) for job, name in self.jobs.items()]

    def report(self) -> str:
        """Return how the lives of each job ended, and how much of what Slurm gave it was of use."""
        lines = []
        for job, name in self.jobs.items():
            status = self.work.syscr("status", job).data["jobs"][0]
            ends = Counter(life["reason"] or "running" for life in status["lives"])
            told = ", ".join(f"{count} {reason}" for reason, count in ends.items())
            lines.append(f"job {job} ({name}): {len(status['lives'])} lives ({told})")
        return "\n".join([*lines, render_spent(self.find_spent())])


@dataclass
class Faults:
    """What happens to the jobs.

    Attributes:
        herd: The jobs.
        source: Chance.
        counts: What has happened how often.
    """

    herd: Herd
    source: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def happen(self) -> None:
        """Let one thing happen."""
        faults: list[tuple[int, Callable[[str], None]]] = [
            (4, self.simulate_preemption),
            (4, self.simulate_limit),
            (3, self.simulate_loss),
            (3, self.requeue),
            (3, self.preempt),
            (4, self.checkpoint),
            (2, self.silence_controller),
            (2, self.damage_newest_and_lose),
            (2, self.two_at_once),
            (1, self.lose_node),
        ]
        running = self.herd.find_running()
        if not running:
            return
        (fault,) = self.source.choices([one for _, one in faults], [weight for weight, _ in faults])
        self.counts[fault.__name__] += 1
        fault(self.source.choice(running))

    def simulate_preemption(self, job: str) -> None:
        self.herd.work.syscr("simulate", job, "--preempt", check=False)

    def simulate_limit(self, job: str) -> None:
        self.herd.work.syscr("simulate", job, "--timeout", check=False)

    def simulate_loss(self, job: str) -> None:
        self.herd.work.syscr("simulate", job, "--node-failure", check=False)

    def requeue(self, job: str) -> None:
        self.herd.work.run("scontrol", "requeue", job, check=False)

    def preempt(self, _: str) -> None:
        node = f"c{self.source.randint(1, 3)}"
        self.herd.work.run(
            *("sbatch", "--partition=high", f"--nodelist={node}", "--exclusive", "--time=1"),
            *("--output=/dev/null", "--wrap=true"),
        )

    def checkpoint(self, job: str) -> None:
        self.herd.work.syscr("checkpoint", job, check=False)

    def two_at_once(self, job: str) -> None:
        self.herd.work.run(
            "sh", "-c", f"syscr checkpoint {job} & scontrol requeue {job}; wait", check=False
        )

    def damage_newest_and_lose(self, job: str) -> None:
        """Two images there must be (who has one only begins afresh), and none that is just being restored."""
        tasks = self.herd.work.syscr("status", job, check=False).data["jobs"][0]["tasks"]
        if not tasks:
            return
        answer = self.herd.work.syscr("image", "list", job, check=False)
        paths = [image["path"] for image in answer.data["images"]] if not answer.exit_code else []
        if len(paths) > 1:
            script = (
                'for f in "$0"/data/0/*.img "$0"/data/0/*.dmtcp; do [ -s "$f" ] && : >"$f"; done'
            )
            self.herd.work.run("sh", "-c", script, paths[-1], check=False)
            self.simulate_loss(job)

    def silence_controller(self, _: str) -> None:
        with paused(self.herd.work.cluster, "slurmctld"):
            time.sleep(self.source.uniform(1, 12))  # the fault itself

    def lose_node(self, _: str) -> None:
        with killed(self.herd.work.cluster, f"c{self.source.randint(1, 3)}"):
            pass  # it is gone, and there again
        self.herd.calm_until = time.monotonic() + NODE_SECONDS


@pytest.mark.timeout(0)
def test_five_minutes_of_work_under_a_limit_of_one(work: Work) -> None:
    """In at most 8 lives, under one job id."""
    work.settings.update({**AGENT, "SYSCR_AGENT_POLL": "10"})
    herd = Herd(work, 3000)
    herd.submit(2, "--time=1", f"--checkpoint={INTERVAL}")
    deadline = time.monotonic() + 1500

    def is_near_the_end() -> bool:
        herd.hurry()
        assert time.monotonic() < deadline
        return all(work.count_lines(f"{name}.out") >= 2900 for name in herd.jobs.values())

    work.cluster.wait_for(is_near_the_end, "five minutes of work are done", 1500)
    herd.check()
    print(f"\n{herd.report()}")
    for job in herd.jobs:
        assert len(work.syscr("status", job).data["jobs"][0]["lives"]) <= 8
    for spent in herd.find_spent():
        assert spent.useful >= 0.95 * spent.limit, spent


@pytest.mark.timeout(0)
def test_plain_function_of_submitit_outlives_its_limit(work: Work, tmp_path: Path) -> None:
    """Submitted by submitit itself, unchanged, to Slurm's own ``sbatch`` with the SPANK plugin."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
    ]
    subprocess.run([*pip, "submitit", "cloudpickle", "typing_extensions"], check=True, timeout=120)
    packed = subprocess.run(["tar", "c", "site"], cwd=tmp_path, capture_output=True, check=True)
    work.run("tar", "x", stdin=packed.stdout)
    program = work.add_program("plain_function.py")
    words = (work.path, "150")
    paths = {"PYTHONPATH": f"{work.path}/site:{work.path}"}
    job = work.run("python3", program, "submit", *words, env=paths).stdout.strip()
    herd = Herd(work, 0, {job: "plain"})

    def is_over() -> bool:
        herd.hurry()
        return work.cluster.job(job).is_final

    work.cluster.wait_for(is_over, f"job {job} has ended", 900)
    result = work.run("python3", program, "result", *words, job, env=paths).stdout
    assert result == work.run("python3", program, "here", *words).stdout
    print(f"\n{herd.report()}")
    assert len(work.syscr("status", job).data["jobs"][0]["lives"]) >= 3


@pytest.mark.timeout(0)
def test_array_of_twenty_tasks_on_two_nodes(work: Work) -> None:
    """More tasks than there is room for, with everything that happens to the others."""
    work.settings.update(AGENT)
    work.backend = BACKENDS[0]
    herd = Herd(work, 300)
    herd.submit_array(20, "--time=10", "--exclude=c3", f"--checkpoint={INTERVAL}")
    faults = Faults(herd, random.Random(SEED))
    end = time.monotonic() + 900
    while herd.let_done_ones_end() < 20:
        assert time.monotonic() < end, work.cluster.describe()
        herd.hurry()
        faults.happen()
    print(f"\nsoak: {dict(faults.counts)}, seed {SEED}")
    herd.check()
    print(herd.report())


@pytest.mark.timeout(0)
def test_random_faults_cost_no_byte(work: Work) -> None:
    print(f"\nsoak: {MINUTES:g} min, {JOBS} jobs, seed {SEED}")
    work.settings.update(AGENT)
    herd = Herd(work, round(MINUTES * 60 / PACE))
    herd.submit(JOBS, "--time=120", f"--checkpoint={INTERVAL}")
    faults = Faults(herd, random.Random(SEED))
    end = time.monotonic() + MINUTES * 60
    while time.monotonic() < end:
        herd.hurry()
        faults.happen()
        herd.check_that_none_is_lost()
    print(f"soak: {dict(faults.counts)}")
    herd.check()
    print(herd.report())
