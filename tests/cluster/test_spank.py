"""Slurm's own srun, sbatch and salloc with the SPANK plugin: who asks, what is asked for, and who is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from cluster_support import NODES, Cluster, Work
from faults_support import find_processes

# What a task has around it: "syscr" in a namespace of its own, "slurm" without us.
WHERE = 'if grep -q " 1$" /proc/self/uid_map; then echo syscr; else echo slurm; fi'
pytestmark = pytest.mark.matrix

# As people wrote it up to 18.08; nothing in it is ours. Each number depends on all before.
SCRIPT_OF_2018 = """#!/bin/bash
#SBATCH --job-name=old
#SBATCH --checkpoint=1
#SBATCH --checkpoint-dir={images}
#SBATCH --output=old.out
x=1
for i in $(seq 1 16); do
    x=$(( (x * 1103515245 + 12345) % 2147483648 ))
    echo $i $x
    sleep 0.1
    if [ $((i % 8)) -eq 0 ]; then
        scontrol checkpoint create $SLURM_JOB_ID
        echo "answer $?"
    fi
done
exit 7
"""
COUNT = """#!/bin/bash
#SBATCH --job-name=count
#SBATCH --checkpoint-dir={images}
#SBATCH --output=out.txt
echo "started with $# arguments: $1"
python3 count.py 400 results.txt 7
code=$?
echo "count ended with $code"
exit $code
"""


@dataclass(frozen=True)
class Plugin:
    """The line of plugstack.conf, which is the same on all machines."""

    cluster: Cluster
    line: str

    def write(self, line: str, *nodes: str) -> None:
        for node in nodes:
            argv = ["sh", "-c", 'printf "%s\\n" "$0" >/etc/slurm/plugstack.conf', line]
            self.cluster.run("root", node, argv, check=True)

    @contextmanager
    def changed(self, line: str, *nodes: str) -> Iterator[None]:
        """Have another line on some machines for a while."""
        self.write(line, *nodes)
        try:
            yield
        finally:
            self.write(self.line, *nodes)


@pytest.fixture
def plugin(cluster: Cluster) -> Plugin:
    """The plugin as ``deploy`` has switched it on; skipped where it was told not to."""
    line = cluster.run("root", "login", ["cat", "/etc/slurm/plugstack.conf"]).stdout.strip()
    if not line:
        pytest.skip("the plugin is switched off (SYSCR_SPANK=off)")
    assert line.startswith("optional ")
    return Plugin(cluster, line)


def srun(work: Work, *argv: str, **env: str) -> str:
    return work.run("srun", *argv, env=env).stdout


def sbatch(work: Work, *argv: str, env: Mapping[str, str] | None = None, stdin: str = "") -> str:
    return work.run("sbatch", "--parsable", *argv, env=env, stdin=stdin).stdout.strip()


def read_record(work: Work, job: str) -> list[str]:
    """Return the options that the batch script's ``syscr run`` was given."""
    record = json.loads(work.read(f"images/{job}.ckpt/records/submission.json"))
    assert record["command"] == "spank"
    return sorted(record["options"])


def test_options_are_in_the_help_of_each_command(work: Work, plugin: Plugin) -> None:
    for tool in ("srun", "sbatch", "salloc"):
        text = work.run(tool, "--help").stdout
        found = [
            name for name in ("checkpoint", "checkpoint-dir", "restart-dir") if f"--{name}=" in text
        ]
        assert found == [
            "checkpoint",
            "checkpoint-dir",
            *(["restart-dir"] if tool != "salloc" else []),
        ]


def test_step_asks_by_each_option_and_each_variable(work: Work, plugin: Plugin) -> None:
    command = ("sh", "-c", f'{WHERE}; echo "$SLURM_CHECKPOINT_IMAGE_DIR"')
    assert srun(work, *command) == "slurm\n\n"
    assert srun(work, "--checkpoint=0", *command) == f"syscr\n{work.images}\n"
    assert srun(work, *command, SLURM_CHECKPOINT="0") == f"syscr\n{work.images}\n"
    assert srun(work, *command, SBATCH_CHECKPOINT="0") == "slurm\n\n"
    odd = f"{work.path}/a 'b\n$c"
    assert srun(work, f"--checkpoint-dir={odd}", *command) == f"syscr\n{odd}\n"
    assert srun(work, *command, SLURM_CHECKPOINT_DIR=odd) == f"syscr\n{odd}\n"
    other = srun(work, "--checkpoint-dir=rel", *command, SLURM_CHECKPOINT_DIR=odd)
    assert other == f"syscr\n{work.path}/rel\n"


def test_no_variable_of_the_plugin_is_left_in_the_task(work: Work, plugin: Plugin) -> None:
    text = srun(work, "--checkpoint=0", "--checkpoint-dir=d", "env", SLURM_CHECKPOINT="5")
    names = {line.partition("=")[0] for line in text.splitlines()}
    assert not [name for name in names if "SPANK" in name or name.startswith("SYSCR_TASK")]
    assert "SLURM_SYSCR_TRUNCATE" not in names


@pytest.mark.parametrize(
    ("script", "variable", "command", "recorded"),
    [
        ("10", None, None, "10"),
        ("10", "10:30", None, "10:30"),
        ("10", "20", "1-12:30", "2190"),
        ("10", "soon", "UNLIMITED", None),
        ("never", "2", None, "2"),
    ],
)
def test_command_line_wins_over_variable_over_script(
    work: Work,
    plugin: Plugin,
    script: str,
    variable: str | None,
    command: str | None,
    recorded: str | None,
) -> None:
    work.write("job.sh", f"#!/bin/sh\n#SBATCH --checkpoint={script} -o out.txt\n{WHERE}\n")
    env = {"SBATCH_CHECKPOINT": variable, "SBATCH_CHECKPOINT_DIR": work.images} if variable else {}
    options = [f"--checkpoint={command}"] if command else []
    job = sbatch(work, *options, "job.sh", env=env)
    work.wait_for_lines("out.txt", 1)
    interval = [f"--checkpoint={recorded}"] if recorded else []
    expected = sorted([f"--checkpoint-dir={work.images}", *interval])
    assert read_record(work, job) == expected
    assert work.read("out.txt") == "syscr\n"


def test_wrong_interval_is_refused_before_anything_is_submitted(work: Work, plugin: Plugin) -> None:
    text = "error: Invalid checkpoint interval specification\n"
    work.write("job.sh", "#!/bin/sh\n#SBATCH --checkpoint=1.5\n")
    for argv, env in (
        (("srun", "--checkpoint=xx", "true"), {}),
        (("srun", "true"), {"SLURM_CHECKPOINT": "5m"}),
        (("sbatch", "job.sh"), {}),
        (("sbatch", "--wrap=true"), {"SBATCH_CHECKPOINT": "-2"}),
        (("salloc", "--checkpoint=1:", "true"), {}),
    ):
        answer = work.run(*argv, env=env, check=False)
        assert (answer.exit_code, answer.stdout) == (1, ""), str(answer)
        assert answer.stderr == f"{argv[0]}: {text}"
    answer = work.run("srun", "--checkpoint=", "true", env={"SLURM_EXIT_ERROR": "9"}, check=False)
    assert answer.exit_code == 9
    answer = work.run("srun", "--checkpoint-dir=", "true", check=False)
    assert answer.stderr == "srun: error: Invalid --checkpoint-dir specification: it is empty\n"
    assert answer.exit_code == 1


def test_job_that_asks_for_nothing_is_as_without_the_plugin(
    cluster: Cluster, work: Work, plugin: Plugin
) -> None:
    """Same environment, same parent, output emptied as ever, no folder of ours."""
    work.write(
        "job.sh",
        "#!/bin/sh\n#SBATCH -o out.txt\nenv -0 | sort -z | tr '\\0' '\\n'\nps -o ppid= $$\n",
    )
    seen = []
    for line in (plugin.line, ""):
        with plugin.changed(line, "login", "c1"):
            work.write("out.txt", "old\n")
            job = sbatch(work, "-w", "c1", "job.sh", "--checkpoint=1")
            cluster.wait_for_end(job)
            steps = srun(work, "-w", "c1", "-J", "same", "env")
            text = work.read("out.txt") + steps
        assert "old" not in text
        volatile = (
            "SLURM_JOB_ID",
            "SLURM_JOB_SLUID",
            "SLURM_JOBID",
            "SLURM_TASK_PID",
            "SLURM_JOB_START",
            "SLURM_JOB_END",
        )
        more = (
            "SLURM_STEP_LAUNCHER_PORT",
            "SLURM_SRUN_COMM_PORT",
            "SLURM_LAUNCH_NODE",
            "SRUN_DEBUG",
            "_=",
        )
        names = [line for line in text.splitlines() if not line.startswith((*volatile, *more))]
        seen.append(sorted(line for line in names if not line.strip().isdigit()))
    assert seen[0] == seen[1]
    assert work.run("sh", "-c", "ls -d images", check=False).stdout == ""


@pytest.mark.parametrize(
    ("syscr", "words"),
    [
        ("/not/there", "cannot run '/not/there' on this node: No such file or directory"),
        ("{path}/interpreter", "its interpreter '/not/there/python3': No such file or directory"),
        ("{path}/half", "is broken on this node (ModuleNotFoundError: No module named 'syscr')"),
        ("{path}/crash", "is broken on this node (ended by signal 6)"),
        ("{path}/hang wait=1", "hangs on this node: it has not started the program within 1 s"),
    ],
)
def test_job_runs_where_syscr_is_missing_or_broken(
    cluster: Cluster, work: Work, plugin: Plugin, syscr: str, words: str
) -> None:
    work.write("interpreter", "#!/not/there/python3\n", mode="755")
    work.write("half", "#!/usr/bin/python3\nimport syscr\n", mode="755")
    work.write("crash", "#!/bin/sh\nkill -ABRT $$\n", mode="755")
    work.write("hang", "#!/bin/sh\nexec sleep 600\n", mode="755")
    work.write(
        "job.sh", f"#!/bin/sh\n#SBATCH --checkpoint=1 -o out.txt -e err.txt\n{WHERE}\nexit 7\n"
    )
    library = plugin.line.split()[1]
    with plugin.changed(f"optional {library} syscr={syscr.format(path=work.path)}", "c2"):
        job = sbatch(work, "-w", "c2", "job.sh", "an argument")
        assert cluster.wait_for_end(job).exit_code == "7:0"
        answer = work.run(
            "srun", "-w", "c2", "-n2", "--checkpoint=0", "sh", "-c", f"{WHERE}; exit 3", check=False
        )
    assert work.read("out.txt") == "slurm\n"
    for text in (work.read("err.txt"), answer.stderr):
        assert words in text
        assert "; the program runs without checkpoints\n" in text
        assert "Traceback" not in text
    assert (answer.exit_code, answer.stdout) == (3, "slurm\n" * 2)
    state = work.run("sinfo", "-h", "-n", "c2", "-N", "-p", "debug", "-o", "%T").stdout
    assert "drain" not in state


def test_steps_in_a_batch_script_ask_for_themselves(work: Work, plugin: Plugin) -> None:
    lines = [
        f"srun sh -c '{WHERE}'",
        f"srun --checkpoint=0 sh -c '{WHERE}'",
        f"srun --checkpoint=0 syscr run -- sh -c '{WHERE}; pgrep -c syscr-pid1'",
    ]
    work.write("job.sh", "\n".join(["#!/bin/sh", "#SBATCH -o out.txt", *lines, ""]))
    sbatch(work, f"--checkpoint-dir={work.images}", "--checkpoint=5", "job.sh")
    work.wait_for_lines("out.txt", 4)
    assert work.read("out.txt") == "slurm\nsyscr\nsyscr\n1\n"


def test_allocation_passes_its_options_to_its_steps(work: Work, plugin: Plugin) -> None:
    inner = f"srun sh -c '{WHERE}; echo $SLURM_CHECKPOINT_IMAGE_DIR'"
    words = ("salloc", "-Q", f"--checkpoint-dir={work.path}/mine", "sh", "-c")
    env = {"SLURM_CHECKPOINT_DIR": "/weaker"}
    assert work.run(*words, inner, env=env).stdout == f"syscr\n{work.path}/mine\n"
    stronger = inner.replace("srun", f"SLURM_CHECKPOINT_DIR={work.path}/step srun")
    assert work.run(*words, stronger).stdout == f"syscr\n{work.path}/step\n"
    once = f"syscr srun sh -c '{WHERE}; pgrep -c syscr-pid1'"
    assert work.run(*words, once).stdout == "syscr\n1\n"


@pytest.mark.parametrize("way", ["requeue", "submit"])
def test_job_goes_on_where_it_was(cluster: Cluster, work: Work, plugin: Plugin, way: str) -> None:
    """Submitted by plain sbatch, the environment without its options lost; output without gap or repeat.

    NIL, not NONE: that ends slurmd in these containers, plugin or not (slurm-test-cluster/README.md).
    """
    work.add_program("count.py")
    work.write("job.sh", COUNT.format(images=work.images))
    work.write("out.txt", "from another time\n")
    job = sbatch(work, "--export=NIL", "--checkpoint=60", "job.sh", "an argument")
    work.wait_for_lines("out.txt", 12)
    work.checkpoint(job)
    work.wait_for_lines("out.txt", work.count_lines("out.txt") + 3)
    work.cancel(job)
    options = ["--new-job"] if way == "submit" else []
    with plugin.changed("" if way == "submit" else plugin.line, "login", *NODES):
        result = work.restart(job, *options)
        assert result["method"] == way
        assert (result["job_id"] == job) == (way == "requeue")
        again = result["job_id"]
        work.wait_for_lines("out.txt", work.count_lines("out.txt") + 3)
        if way == "submit":  # a second round: the wrapper continues as well
            work.checkpoint(again)
            work.cancel(again)
            assert work.restart(again)["job_id"] == again
        assert work.finish(again).exit_code == "7:0"
    lines = work.read("out.txt").splitlines()
    assert lines[0] == "started with 1 arguments: an argument"
    steps = [line.split()[1] for line in lines if line.startswith("step ")]
    assert steps == [str(number) for number in range(1, 401)]
    assert lines[-1] == "count ended with 7"
    assert find_processes(cluster, NODES) == []


def test_step_goes_on_from_restart_dir(cluster: Cluster, work: Work, plugin: Plugin) -> None:
    work.add_program("count.py")
    script = f"#!/bin/sh\nsrun --checkpoint-dir={work.images} python3 count.py 60 results.txt\n"
    job = sbatch(work, "-o", "out.txt", stdin=script)
    work.wait_for_lines("out.txt", 10)
    work.checkpoint(f"{job}.0")
    work.cancel(job)
    work.run("touch", "finish")
    again = ("srun", f"--checkpoint-dir={work.path}/next")
    work.run(*again, f"--restart-dir={work.images}/{job}.0.ckpt", "true")
    steps = [line.split()[0] for line in work.read("results.txt").splitlines()]
    assert steps == [str(number) for number in range(1, 61)]
    # what was to go on and cannot does not begin: syscr's exit code stands
    gone = work.run("srun", f"--restart-dir={work.path}/gone", "echo", "ran", check=False)
    assert (gone.exit_code, gone.stdout) == (52, "")
    assert f"syscr: cannot continue from '{work.path}/gone': " in gone.stderr


def test_script_of_2018_survives_scancel(cluster: Cluster, work: Work, plugin: Plugin) -> None:
    """Plain sbatch, an unmodified script, and scontrol with its keyword back."""
    work.run("syscr", "scontrol", "--install-shim", f"{work.path}/bin")
    path = {"PATH": f"{work.path}/bin:/usr/local/bin:/usr/bin:/bin"}
    work.write("old.sh", SCRIPT_OF_2018.format(images=work.images))
    job = sbatch(work, "old.sh", env=path)
    cluster.wait_for(lambda: "answer 0" in work.read("old.out"), "it has its image")
    work.wait_for_lines("old.out", 11)
    work.cancel(job)
    answer = work.run("scontrol", "checkpoint", "restart", job, env=path)
    assert (answer.stdout, answer.stderr) == ("", "")
    assert cluster.wait_for_end(job, 90).exit_code == "7:0"
    x, lines = 1, []
    for n in range(1, 17):
        x = (x * 1103515245 + 12345) % 2147483648
        lines.append(f"{n} {x}")
    for after in (16, 8):
        lines.insert(after, "answer 0")
    assert [line for line in work.read("old.out").splitlines() if "slurmstepd" not in line] == lines
