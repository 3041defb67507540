"""``scontrol checkpoint`` as it was, on today's Slurm: the recorded commands, and what they are for.

Every recorded answer of tests/data/scontrol is compared in text and exit code. The differences that are
meant stand in tests/scontrol_transcripts.py and docs/reference/compatibility.md; none is silent.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from cluster_support import BACKENDS, Backend, Cluster, Result, Work
from scontrol_transcripts import Call, judge, read_calls

LOOP = "#!/bin/bash\nfor i in $(seq 1 400); do echo $i; sleep 0.25; done\n"
SELF = """\
#!/bin/bash
#SBATCH --job-name=y2018
#SBATCH --output=self.out
#SBATCH --checkpoint=60
#SBATCH --checkpoint-dir={images}
for i in $(seq 1 24); do
    echo $i
    if [ $((i % 8)) = 0 ]; then
        scontrol checkpoint {operation} $SLURM_JOB_ID
        echo "answer $?"
    fi
    sleep 0.25
done
exit 7
"""


def scontrol(work: Work, *words: str, timeout: float = 90) -> Result:
    return work.run("syscr", "scontrol", *words, check=False, timeout=timeout)


def replay(work: Work, prefix: str, names: Mapping[str, str]) -> list[str]:
    """Run the recorded calls of one kind; returns what is wrong with the answers."""
    return [wrong for call in read_calls(prefix) if (wrong := try_call(work, call, names))]


def try_call(work: Work, call: Call, names: Mapping[str, str]) -> str:
    answer = scontrol(work, *call.words(names))
    return judge(call, answer.exit_code, answer.stdout, answer.stderr)


def submit_loop(work: Work, *options: str) -> str:
    work.write("loop.sh", LOOP)
    job = work.submit(*options, "loop.sh")
    work.wait_until_running(job)
    return job


def sbatch(work: Work, *words: str) -> str:
    """Submit with Slurm's own sbatch: nothing of it can be checkpointed."""
    return work.run("sbatch", "--parsable", "--output=plain.out", *words).stdout.strip()


def steps_of(work: Work, job: str) -> list[str]:
    """Return the numbered steps that run now."""
    shown = work.run("squeue", "-h", "-s", "-j", job, "-o", "%i").stdout.split()
    return [step for step in shown if step.rpartition(".")[2].isdigit()]


@contextmanager
def foreign_job(cluster: Cluster) -> Iterator[str]:
    """A running job of bob's."""
    argv = ["sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 300"]
    job = cluster.run("bob", "login", argv, check=True).stdout.strip()
    try:
        cluster.wait_for(lambda: cluster.job(job).state == "RUNNING", f"job {job} runs")
        yield job
    finally:
        cluster.run("bob", "login", ["scancel", job])


@pytest.mark.matrix
def test_recorded_refusals_are_the_same(cluster: Cluster, work: Work) -> None:
    plain = sbatch(work, "--wrap=srun sleep 300")
    held = sbatch(work, "--hold", "--wrap=true")
    finished = sbatch(work, "--wrap=true")
    cluster.wait_for_end(finished)
    work.wait_until_running(plain)
    cluster.wait_for(lambda: f"{plain}.0" in steps_of(work, plain), f"step {plain}.0 runs")
    with foreign_job(cluster) as foreign:
        names = {
            "plain": plain,
            "plain_step": f"{plain}.0",
            "no_step": f"{plain}.7",
            "held": held,
            "finished": finished,
            "foreign": foreign,
            "unknown": "999999",
        }
        prefixes = ("id-", "operation-", "words-", "key-", "none-", "restart-", "no-such-")
        wrong = [
            text
            for prefix in (*prefixes, "finished", "held", "foreign")
            for text in replay(work, prefix, names)
        ]
    assert wrong == [], "\n".join(wrong)
    assert cluster.job(plain).state == "RUNNING"


@pytest.mark.matrix
def test_recorded_life_of_a_batch_job_is_the_same(cluster: Cluster, work: Work) -> None:
    """In the recorded order: disabled, enabled, dumped, vacated and brought back, requeued."""
    job = submit_loop(work, "--output=out.txt")
    work.wait_for_lines("out.txt", 4)
    names = {"batch": job, "dir": work.path}
    wrong: list[str] = []
    for call in read_calls("blcr-"):
        if call.name == "blcr-requeue-step":
            work.wait_for_lines("out.txt", work.count_lines("out.txt") + 2)
        wrong.append(try_call(work, call, names))
        if call.name == "blcr-vacate":
            assert cluster.wait_for_end(job).state == "CANCELLED"
        if call.name == "blcr-create-relative":
            assert work.run("ls", "relative").stdout == f"{job}.ckpt\n"
    assert list(filter(None, wrong)) == [], "\n".join(wrong)
    work.wait_until_running(job, restarts=2)
    count = work.wait_for_lines("out.txt", work.count_lines("out.txt") + 4)
    assert work.read("out.txt").splitlines()[:count] == [str(n + 1) for n in range(count)]


@pytest.mark.matrix
def test_recorded_life_of_an_allocation_is_the_same(cluster: Cluster, work: Work) -> None:
    alloc = work.run("salloc", "-N2", "-n2", "--no-shell", "-J", "alloc").stderr
    job = re.findall(r"job allocation (\d+)", alloc)[-1]
    wrong = replay(work, "alloc-able-empty", {"empty": job})
    wrong += replay(work, "alloc-create-empty", {"empty": job, "dir": work.path})
    script = f"syscr srun --jobid={job} -N2 -n2 sh {work.path}/task.sh >srun.out 2>srun.err &"
    work.write("task.sh", "for i in $(seq 1 400); do echo $SLURM_PROCID $i; sleep 0.25; done\n")
    try:
        work.run("sh", "-c", f"nohup {script}")
        work.wait_for_lines("srun.out", 8)
        (name,) = steps_of(work, job)
        names = {"alloc": job, "alloc_step": name, "dir": work.path}
        for prefix in ("alloc-create", "alloc-error", "alloc-requeue", "alloc-vacate"):
            for call in read_calls(prefix):
                if call.name != "alloc-create-empty":
                    wrong.append(try_call(work, call, names))
        assert work.run("ls", "c").stdout == f"{name}.ckpt\n"
    finally:
        work.run("scancel", job)
    assert list(filter(None, wrong)) == [], "\n".join(wrong)


def test_recorded_array_is_the_same_and_its_tasks_have_names(cluster: Cluster, work: Work) -> None:
    work.write("loop.sh", LOOP)
    job = work.submit("--array=0-1", "--output=out.%a", "loop.sh")
    for index in "01":
        work.wait_for_lines(f"out.{index}", 2)
    names = {"array": job, "dir": work.path}
    wrong = replay(work, "array-", names)
    assert list(filter(None, wrong)) == [], "\n".join(wrong)
    dumped = work.syscr("image", "list", f"--image-dir={work.path}/c").data["images"]
    assert sorted(image["job_id"] for image in dumped) == [f"{job}_0", f"{job}_1"]


def test_able_says_since_when_while_a_checkpoint_goes_on(cluster: Cluster, work: Work) -> None:
    """And MaxWait ends it: the old number and text, the job running on, nothing left behind."""
    work.write(
        "big.py",
        "import time\nx = bytearray(b'x') * 1_500_000_000\nprint('up', flush=True)\ntime.sleep(300)\n",
    )
    job = work.submit("--output=out.txt", "--wrap=exec python3 big.py")
    work.wait_for_lines("out.txt", 1)
    answers: list[Result] = []
    thread = threading.Thread(
        target=lambda: answers.append(scontrol(work, "checkpoint", "create", job))
    )
    thread.start()
    try:
        began = cluster.wait_for(
            lambda: (
                (text := scontrol(work, "checkpoint", "able", job).stdout).startswith("Began")
                and text
            ),
            "able says that it has begun",
            timeout=20,
        )
        busy = scontrol(work, "checkpoint", "create", job)
    finally:
        thread.join()
    assert re.fullmatch(r"Began at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\n", str(began))
    if busy.exit_code:  # it may just have ended
        assert busy.stderr == "scontrol_checkpoint error: Operation already in progress\n"
    assert answers[0].exit_code == 0, answers[0]
    late = scontrol(work, "checkpoint", "create", job, "MaxWait=1", f"ImageDir={work.path}/late")
    assert late.exit_code == 1
    assert late.stderr.startswith(
        "scontrol_checkpoint error: Communication connection failure\nsyscr: "
    )
    error = scontrol(work, "checkpoint", "error", job)
    assert error.stdout == "error(1001): Communication connection failure\n"
    assert cluster.job(job).state == "RUNNING"
    assert (
        work.syscr("image", "list", f"--image-dir={work.path}/late", check=False).stdout.count(
            "image_id"
        )
        == 0
    )


def test_stick_to_nodes_waits_for_them(cluster: Cluster, work: Work) -> None:
    job = submit_loop(work, "--output=out.txt", "--nodelist=c2")
    work.wait_for_lines("out.txt", 3)
    assert scontrol(work, "checkpoint", "vacate", job).exit_code == 0
    cluster.wait_for_end(job)
    with cluster.drained("c2"):
        assert scontrol(work, "checkpoint", "restart", job, "StickToNodes").exit_code == 0
        assert cluster.job(job).state == "PENDING"
    work.run("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
    assert work.wait_until_running(job, restarts=1).nodes == ("c2",)


@pytest.mark.matrix
@pytest.mark.parametrize("backend", BACKENDS[:2], indirect=True, ids=lambda backend: backend.label)
def test_script_of_2018_dumps_itself_and_survives_scancel(
    cluster: Cluster, backend: Backend, work: Work
) -> None:
    """Unmodified, with the shim as its scontrol; the caller is in the tree that is dumped."""
    shim = work.run("syscr", "scontrol", "--install-shim", f"{work.path}/bin").stdout
    assert shim.startswith(f"wrote {work.path}/bin/scontrol")
    path = f"{work.path}/bin:/usr/local/bin:/usr/bin:/bin"
    work.write("self.sh", SELF.format(images=work.images, operation="create"))
    argv = ["syscr", "sbatch", "--parsable", f"--backend={backend.name}", "self.sh"]
    job = work.run(*argv, env={"PATH": path}).stdout.strip()
    cluster.wait_for(lambda: "answer 0" in work.read("self.out"), "it has its image")
    work.wait_for_lines("self.out", 12)
    work.run("scancel", job)
    cluster.wait_for_end(job)
    answer = work.run("scontrol", "checkpoint", "restart", job, env={"PATH": path}, check=False)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")
    assert cluster.wait_for_end(job, 90).exit_code == "7:0"
    lines = [str(n) for n in range(1, 25)]
    for after in (24, 16, 8):
        lines.insert(after, "answer 0")
    assert [
        line for line in work.read("self.out").splitlines() if "slurmstepd" not in line
    ] == lines
    images = work.syscr("image", "list", job).data["images"]
    if backend.name == "criu":
        assert max(image["size_bytes"] for image in images) < 4 << 20, "no Python is in the image"


def test_script_vacates_itself_and_goes_on_behind_the_call(cluster: Cluster, work: Work) -> None:
    work.run("syscr", "scontrol", "--install-shim", f"{work.path}/bin")
    path = f"{work.path}/bin:/usr/local/bin:/usr/bin:/bin"
    script = SELF.format(images=work.images, operation="vacate").replace("seq 1 24", "seq 1 12")
    work.write("self.sh", script)
    job = work.run("syscr", "sbatch", "--parsable", "self.sh", env={"PATH": path}).stdout.strip()
    assert cluster.wait_for_end(job).state == "CANCELLED"
    assert scontrol(work, "checkpoint", "restart", job).exit_code == 0
    assert cluster.wait_for_end(job).exit_code == "7:0"
    lines = [line for line in work.read("self.out").splitlines() if "slurmstepd" not in line]
    assert lines == [*map(str, range(1, 9)), "answer 0", *map(str, range(9, 13))]


PASSED = (
    ("show", "hostnames", "c[1-2]"),
    ("--foo",),
    ("show", "bogus"),
    ("bogus",),
    ("-V",),
    ("show", "job", "checkpoint"),
    ("--help",),
    ("-o", "show", "node", "c1"),
    ("show", "hostnames", "c1", "--oneliner"),
    ("write",),
    ("c",),
)


@pytest.mark.matrix
@pytest.mark.parametrize("words", PASSED, ids=" ".join)
def test_other_commands_are_the_real_ones(work: Work, words: tuple[str, ...]) -> None:
    real = work.run("scontrol", *words, check=False)
    for argv in (("syscr", "scontrol", "--", *words), (f"{work.path}/bin/scontrol", *words)):
        work.run("syscr", "scontrol", "--install-shim", f"{work.path}/bin")
        ours = work.run(*argv, check=False)
        assert (ours.exit_code, mask(ours.stdout), mask(ours.stderr)) == (
            real.exit_code,
            mask(real.stdout),
            mask(real.stderr),
        )


def mask(text: str) -> str:
    """Hide what changes from call to call, and scontrol's own path in front of getopt's messages."""
    return re.sub(
        r"(CPULoad|FreeMem|CurrentWatts)=\S+", "", re.sub(r"(?m)^\S*scontrol: ", "scontrol: ", text)
    )


PROMPTS = (
    "",
    "\n",
    "!!\n",
    "exit\n",
    "show hostnames c[1-2]\nquit\n",
    "bogus\nexit now\nshow hostnames c1\n",
    "quiet\nbogus\nverbose\n\nquit",
    'show hostnames c1\n!!\nshow hostnames "c1"\nshow hostnames c"1 2"\n -o show hostnames c1\n',
    "oneliner\nshow node c1\ndetails\nall\nhide\nquit extra\n",
    "he\nhid\nshow hostnames\n",
)


@pytest.mark.matrix
@pytest.mark.parametrize("text", PROMPTS)
def test_prompt_is_the_real_one(work: Work, text: str) -> None:
    real = work.run("scontrol", stdin=text, check=False)
    ours = work.run("syscr", "scontrol", stdin=text, check=False)
    assert ours.exit_code == real.exit_code
    assert mask(ours.stdout) == mask(real.stdout)
    # "no input" at the end of the input has a newline in 26.05 and none before
    assert mask(ours.stderr).replace("no input\n", "no input") == mask(real.stderr).replace(
        "no input\n", "no input"
    )


@pytest.mark.matrix
def test_prompt_knows_the_keyword(work: Work) -> None:
    text = "checkpoint able 999999\nquiet\nch able 999999\nshow hostnames c1\n"
    ours = work.run("syscr", "scontrol", stdin=text, check=False)
    assert ours.exit_code == 1
    assert ours.stderr == "scontrol_checkpoint error: Invalid job id specified\n"
    assert ours.stdout.endswith("scontrol: show hostnames c1\nc1\nscontrol: \n")


@pytest.mark.matrix
def test_shim_without_syscr_is_the_real_scontrol(work: Work) -> None:
    work.run("syscr", "scontrol", "--install-shim", f"{work.path}/bin")
    work.run("sed", "-i", "s|^syscr=.*|syscr=/gone/syscr|", f"{work.path}/bin/scontrol")
    path = {"PATH": f"{work.path}/bin:{work.path}/bin:/usr/bin:/bin"}
    gone = work.run("scontrol", "checkpoint", "able", "1", env=path, check=False)
    assert (gone.exit_code, gone.stderr) == (1, "invalid keyword: checkpoint\n")
    assert work.run("scontrol", "show", "hostnames", "c1", env=path).stdout == "c1\n"
