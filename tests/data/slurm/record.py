# ruff: noqa: E402 - the repository is put on the path first
"""Record what a real Slurm answers: python3 tests/data/slurm/record.py

Runs every command that syscr knows against a running test cluster (SYSCR_CLUSTER, SUITE: see
slurm-test-cluster/cluster) as alice, and writes tests/data/slurm/<version>/<case>.json. All jobs are
cancelled at the end. Takes about a minute.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))

from syscr.errors import SyscrError
from syscr.model import Job, JobId, JobState
from syscr.ports import Completed
from syscr.slurm import commands, parse

FORGED = "evil UserId=root(0)\nJobId=1 JobState=COMPLETED\n{0}|{0}|{0}|N/A|0|root|COMPLETED|c9|c9|x|1|1|x"
DETAILED = ("running", "forger", "array_running", "array_waiting", "unknown")
STUBBORN = "#!/bin/sh\ntrap '' TERM\nsleep 600 & wait; sleep 600\n"
SLEEPER = "#!/bin/sh\nsleep 600\n"
ENV = {"LC_ALL": "C.UTF-8", **commands.TIME_ENVIRONMENT}


def execute(
    argv: Sequence[str],
    *,
    user: str = "alice",
    stdin: str = "",
    env: Mapping[str, str] | None = None,
) -> Completed:
    settings = [f"{key}={value}" for key, value in {**ENV, **(env or {})}.items()]
    done = subprocess.run(
        [
            ROOT / "slurm-test-cluster" / "cluster",
            "run",
            user,
            "login",
            "env",
            "-C",
            "/shared",
            *settings,
            *argv,
        ],
        input=stdin.encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Completed(
        tuple(argv),
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
    )


class Recorder:
    def __init__(self) -> None:
        self.version = parse.parse_version(execute(commands.build_version()))
        self.folder = HERE / self.version
        self.folder.mkdir(exist_ok=True)
        self.jobs: list[JobId] = []

    def record(
        self,
        case: str,
        argv: Sequence[str],
        job_id: JobId | None = None,
        *,
        user: str = "alice",
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        completed = execute(argv, user=user, stdin=stdin, env=env)
        reply = {
            "job_id": None if job_id is None else str(job_id),
            "argv": list(argv),
            "exit_code": completed.exit_code,
            "stdout": completed.stdout,
            "stderr": completed.stderr,
        }
        (self.folder / f"{case}.json").write_text(json.dumps(reply, indent=1) + "\n")
        print(
            f"{self.version} {case}: {completed.exit_code} {(completed.stderr or completed.stdout)[:60]!r}"
        )
        return completed

    def submit(self, *options: str, script: str = SLEEPER, arguments: Sequence[str] = ()) -> JobId:
        completed = execute(commands.build_submit(options, arguments), stdin=script)
        job_id = parse.parse_submit(completed)
        self.jobs.append(job_id)
        return job_id

    def wait(self, job_id: JobId, state: JobState) -> Job:
        for _ in range(60):
            completed = execute(commands.build_get_jobs([job_id]))
            with contextlib.suppress(SyscrError):
                job = parse.select_job(completed, job_id)
                if job.state is state:
                    return job
            time.sleep(0.5)
        raise SystemExit(f"job {job_id} did not become {state}")

    def about(self, name: str, job_id: JobId, *, in_full: bool) -> None:
        """Record the questions about one job."""
        self.record(f"jobs_{name}", commands.build_get_jobs([job_id]), job_id)
        self.record(f"steps_{name}", commands.build_find_steps(job_id), job_id)
        if not in_full:
            return
        self.record(f"geometry_{name}", commands.build_get_geometry(job_id), job_id)
        for field in commands.TEXT_FORMATS:
            self.record(f"text_{field}_{name}", commands.build_get_text(job_id, field), job_id)
        for field in commands.PATH_FIELDS:
            self.record(f"path_{field}_{name}", commands.build_get_path(job_id, field), job_id)
        self.record(f"show_{name}", commands.build_show_job(job_id), job_id)
        self.record(f"script_{name}", commands.build_get_batch_script(job_id), job_id)

    @contextlib.contextmanager
    def cleaned(self) -> Iterator[None]:
        try:
            yield
        finally:
            for job_id in self.jobs:
                execute(commands.build_cancel(job_id))


def main() -> None:
    recorder = Recorder()
    record = recorder.record
    record("version", commands.build_version())
    with recorder.cleaned():
        unknown = JobId(999999)
        running = recorder.submit(
            "-N2",
            "-n2",
            "-t",
            "10",
            "-J",
            FORGED.format(1),
            "--comment",
            FORGED.format(1),
            "-o",
            "out-%j-%u.txt",
            script=STUBBORN,
        )
        recorder.wait(running, JobState.RUNNING)
        plain = recorder.submit(
            "-n1", "-o", "/dev/null", script="#!/bin/sh\nsrun sleep 600 &\nwait\n"
        )
        forger = recorder.submit(
            "-n1",
            "-o",
            "/dev/null",
            "-J",
            FORGED.format(running),
            "--comment",
            FORGED.format(running),
        )
        array = recorder.submit("-n1", "-o", "/dev/null", "--array=0-9%2")
        held = recorder.submit("-n1", "-o", "/dev/null", "--hold", "--no-requeue")
        ended = recorder.submit("-n1", "-o", "/dev/null", script="#!/bin/sh\ntrue\n")
        for job_id in (plain, forger, JobId(array.number, 0)):
            recorder.wait(job_id, JobState.RUNNING)
        recorder.wait(ended, JobState.COMPLETED)
        for name, job_id in {
            "running": running,
            "forger": forger,
            "array": array,
            "array_running": JobId(array.number, 0),
            "array_waiting": JobId(array.number, 5),
            "array_unknown": JobId(array.number, 77),
            "held": held,
            "ended": ended,
            "unknown": unknown,
        }.items():
            recorder.about(name, job_id, in_full=name in DETAILED)
        record("steps_srun", commands.build_find_steps(plain), plain)
        record(
            "jobs_many",
            commands.build_get_jobs([running, unknown, JobId(array.number, 0)]),
            running,
        )
        record("own_jobs", commands.build_find_own_jobs())
        record("script_foreign", commands.build_get_batch_script(running), running, user="bob")
        recorder.jobs.append(
            parse.parse_submit(
                record("submit", commands.build_submit(["-n1", "-H"]), stdin=SLEEPER)
            )
        )
        recorder.jobs.append(
            parse.parse_submit(
                record(
                    "submit_arguments",
                    commands.build_submit(["-n1", "-H"], ["a b", "c"]),
                    stdin=SLEEPER,
                )
            )
        )
        for name, option in {
            "option": "--nosuch",
            "partition": "--partition=nosuch",
            "time": "--time=x",
        }.items():
            record(f"submit_bad_{name}", commands.build_submit([option]), stdin=SLEEPER)
        record("submit_bad_script", commands.build_submit(["-n1"]), stdin="no script\n")
        record("act_update_nodes", commands.build_update(held, "ReqNodeList", "c[1-2]"), held)
        record("act_update_no_nodes", commands.build_update(held, "ReqNodeList", ""), held)
        record("act_update_bad_nodes", commands.build_update(held, "ReqNodeList", "nosuch"), held)
        record("act_start_now_unknown", commands.build_update(unknown, "StartTime", "now"), unknown)
        record("act_start_now_running", commands.build_update(running, "StartTime", "now"), running)
        record("act_requeue_unknown", commands.build_requeue(unknown, hold=False), unknown)
        waiting = recorder.submit("-n1", "-o", "/dev/null", "--hold")
        record("jobs_waiting", commands.build_get_jobs([waiting]), waiting)
        record("act_requeue_pending", commands.build_requeue(waiting, hold=False), waiting)
        record(
            "act_requeue_foreign", commands.build_requeue(running, hold=False), running, user="bob"
        )
        record("act_release_unknown", commands.build_release(unknown), unknown)
        record("act_release_ended", commands.build_release(ended), ended)
        record("act_cancel_unknown", commands.build_cancel(unknown), unknown)
        record("act_cancel_ended", commands.build_cancel(ended), ended)
        record("act_cancel_foreign", commands.build_cancel(running), running, user="bob")
        record("act_cancel_no_step", commands.build_cancel(running, "77"), running)
        record("act_cancel_step", commands.build_cancel(plain, "0"), plain)
        conf = "ClusterName=x\nSlurmctldHost=login\nSlurmctldPort=1\nMessageTimeout=2\n"
        conf += "NodeName=c1\nPartitionName=debug Nodes=c1\n"
        execute(["tee", "/tmp/down.conf"], stdin=conf)
        down = {"SLURM_CONF": "/tmp/down.conf"}
        record("jobs_down", commands.build_get_jobs([running]), running, env=down)
        record("act_requeue_down", commands.build_requeue(running, hold=False), running, env=down)
        fixed = recorder.submit("-n1", "-o", "/dev/null", "--no-requeue")
        recorder.wait(fixed, JobState.RUNNING)
        record("act_requeue_forbidden", commands.build_requeue(fixed, hold=False), fixed)
        job = recorder.wait(running, JobState.RUNNING)
        steps = commands.build_worker_step(job, ["/nosuch/syscr"], timeout_seconds=60)
        record("step_no_command", steps, running)
        steps = commands.build_worker_step(
            job,
            ["sh", "-c", "echo $SLURM_NODEID; echo log >&2; exit $SLURM_NODEID"],
            timeout_seconds=60,
        )
        record("step_exit", steps, running)
        steps = commands.build_worker_step(
            job, ["sh", "-c", "test $SLURM_NODEID = 0 || kill -9 $$"], timeout_seconds=60
        )
        record("step_killed", steps, running)
        steps = commands.build_worker_step(job, ["true"], timeout_seconds=60)
        record("step_ok", steps, running)
        record("step_foreign", steps, running, user="bob")
        execute(commands.build_cancel(fixed))
        record("probe_ok", commands.build_probe_step("c1", ["hostname"], timeout_seconds=60))
        record(
            "probe_unknown_node", commands.build_probe_step("nosuch", ["true"], timeout_seconds=60)
        )
        execute(commands.build_requeue(JobId(running.number), hold=False))
        record("jobs_completing", commands.build_get_jobs([running]), running)
        recorder.wait(running, JobState.PENDING)
        record("jobs_requeued", commands.build_get_jobs([running]), running)
        record("geometry_requeued", commands.build_get_geometry(running), running)
        record("show_requeued", commands.build_show_job(running), running)
        record("step_pending", steps, running)
        execute(commands.build_cancel(running))
        recorder.wait(running, JobState.CANCELLED)
        record("step_ended", steps, running)
        record("help_srun", ["srun", "--help"])
        record("help_sbatch", ["sbatch", "--help"])


if __name__ == "__main__":
    main()
