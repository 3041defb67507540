"""Argument lists of Slurm's commands; pure. What they answer is read in ``parse.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syscr.model import Job, JobId
from syscr.slurm.hostlist import fold_hostlist

# Fields without user text. The reason stands last: it is Slurm's own text and may hold a "|".
# Source: squeue manual, 24.11, "--format"; recorded with 20.11 to 26.05 in tests/data/slurm, 2026-11.
JOB_FORMAT = "%i|%A|%F|%K|%U|%u|%T|%N|%B|%P|%l|%e|%r"
# Numbers only, so that blanks separate them.
GEOMETRY_FORMAT = "numnodes:.12,numtasks:.12,cpus-per-task:.12,restartcnt:.12,requeue:.12"
# Each is user text and therefore asked for alone: a newline in it can forge a whole record.
TEXT_FORMATS: Mapping[str, str] = {
    "name": "%j",
    "account": "%a",
    "qos": "%q",
    "working_dir": "%Z",
    "features": "%f",
}
PATH_FIELDS: Mapping[str, str] = {"stdout_path": "STDOUT", "stderr_path": "StdErr"}

# Times as seconds since 1970, so that the reader needs no time zone. Source: Slurm
# src/common/parse_time.c, slurm_make_time_str, 20.11 to 26.05: any other word is a strftime format.
TIME_ENVIRONMENT: Mapping[str, str] = {"SLURM_TIME_FORMAT": "%s"}

_STEP_START_SECONDS = 20
_COMMON_STEP_OPTIONS = (
    "--mpi=none",
    "--propagate=NONE",
    "--chdir=/",
    "--job-name=syscr",
    "--quiet",
)
# Variables that our runner sets for what we read ourselves; a job must not inherit them.
_RUNNER_VARIABLES = ("LC_ALL", "SLURM_TIME_FORMAT")


def build_version() -> tuple[str, ...]:
    """Ask for the version; answers without the controller."""
    return ("sinfo", "-V")


def build_get_jobs(job_ids: Sequence[JobId]) -> tuple[str, ...]:
    """Ask for jobs in all states and partitions; an unknown id is an error only where it is alone."""
    return (*_build_squeue(",".join(map(str, job_ids))), "-o", JOB_FORMAT)


def build_find_own_jobs(uid: int | None = None) -> tuple[str, ...]:
    """Ask for the caller's jobs that have not ended; by ``uid`` where squeue has no ``--me``.

    Source: Slurm ``src/squeue/opts.c``: ``--me`` came with 20.02; checked 2026-11.
    """
    whose = ("--me",) if uid is None else ("-u", str(uid))
    return ("squeue", "-h", "-a", *whose, "-o", JOB_FORMAT)


def build_get_text(job_id: JobId, field: str) -> tuple[str, ...]:
    """Ask for one field (a key of ``TEXT_FORMATS``) that holds user text."""
    return (*_build_squeue(str(job_id)), "-o", TEXT_FORMATS[field])


def build_get_path(job_id: JobId, field: str) -> tuple[str, ...]:
    """Ask for one output path (a key of ``PATH_FIELDS``), padded on the left."""
    return (*_build_squeue(str(job_id)), "-O", f"{PATH_FIELDS[field]}:.4096")


def build_get_geometry(job_id: JobId) -> tuple[str, ...]:
    """Ask for the numbers of ``GEOMETRY_FORMAT``."""
    return (*_build_squeue(str(job_id)), "-O", GEOMETRY_FORMAT)


def build_show_job(job_id: JobId) -> tuple[str, ...]:
    """Ask for everything about a job as JSON; 24.11 and later."""
    return ("scontrol", "show", "job", str(job_id), "--json")


def build_find_steps(job_id: JobId) -> tuple[str, ...]:
    """Ask for the steps that run now."""
    return ("squeue", "-h", "-a", "-s", "-j", str(job_id), "-o", "%i")


def build_submit(
    options: Sequence[str],
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Submit the batch script that stands on standard input.

    Args:
        options: Options of sbatch, in order.
        arguments: Arguments of the script.
        environment: Variables to restore for sbatch and hence for the job.

    Source: sbatch manual, 24.11: without a file name the script is read from standard input; it takes
    arguments only after a file name. ``/dev/stdin`` works for both; measured with 24.11.5, 2026-11.
    """
    unset = (word for name in _RUNNER_VARIABLES for word in ("-u", name))
    settings = (f"{name}={value}" for name, value in (environment or {}).items())
    script = ("/dev/stdin", *arguments) if arguments else ()
    return ("env", *unset, *settings, "sbatch", "--parsable", *options, *script)


def build_requeue(job_id: JobId, *, hold: bool) -> tuple[str, ...]:
    """Put a job back into the queue."""
    return ("scontrol", "requeuehold" if hold else "requeue", str(job_id))


def build_release(job_id: JobId) -> tuple[str, ...]:
    """Release a held job."""
    return ("scontrol", "release", str(job_id))


def build_update(job_id: JobId, key: str, value: str) -> tuple[str, ...]:
    """Change one property of a job."""
    return ("scontrol", "update", f"JobId={job_id}", f"{key}={value}")


def build_cancel(job_id: JobId, step: str | None = None) -> tuple[str, ...]:
    """Cancel a job or a step."""
    return ("scancel", str(job_id) if step is None else f"{job_id}.{step}")


def build_signal(job_id: JobId, name: str) -> tuple[str, ...]:
    """Signal the batch script of a job, not its steps."""
    return ("scancel", "--batch", f"--signal={name}", str(job_id))


def build_get_batch_script(job_id: JobId) -> tuple[str, ...]:
    """Write the batch script of a job to standard output."""
    return ("scontrol", "write", "batch_script", str(job_id), "-")


def build_worker_step(
    job: Job,
    command: Sequence[str],
    *,
    timeout_seconds: float,
    as_owner: bool = False,
    keep_input: bool = False,
) -> tuple[str, ...]:
    """Run one short process on each node of a running job.

    Args:
        job: The job; its plain number is asked for, as ``--jobid`` takes no other form.
        command: What each node runs, by absolute path: node and caller may have different PATHs.
        timeout_seconds: After that Slurm ends the step itself, should nobody else do it.
        as_owner: Become the owner of the job first; root may not add steps to others' jobs.
        keep_input: Send standard input to every process; it is empty otherwise.

    Source: measured with 24.11.5, 2026-11: 3 nodes 45 to 70 ms, also with all CPUs and memory in use;
    a suspended job makes srun wait, so ``--immediate``; of ``--wait`` and ``--kill-on-bad-exit`` a site
    may have other defaults, which would end the nodes that take longer than the first or are well;
    ``--propagate=NONE`` keeps the caller's limits (file size, CPU time) away from the dump; with
    ``--input=all`` each of 3 nodes got all lines of standard input, long ones too, and its end. All
    options are in 20.11 to 26.05.
    """
    count = str(len(job.nodes))
    owner = ("runuser", "-u", job.user_name, "--") if as_owner else ()
    return (
        *owner,
        "srun",
        f"--jobid={job.number}",
        "--overlap",
        f"--nodes={count}",
        f"--ntasks={count}",
        "--ntasks-per-node=1",
        f"--nodelist={fold_hostlist(job.nodes)}",
        "--mem=0",
        "--gres=none",
        "--cpu-bind=none",
        "--kill-on-bad-exit=0",
        "--wait=0",
        f"--immediate={_STEP_START_SECONDS}",
        f"--time={_minutes(timeout_seconds)}",
        f"--input={'all' if keep_input else 'none'}",
        *_COMMON_STEP_OPTIONS,
        *command,
    )


def build_probe_step(
    node: str, command: Sequence[str], *, timeout_seconds: float
) -> tuple[str, ...]:
    """Run one short process on one node, in a job of its own with the least that can be asked for."""
    return (
        "srun",
        "--nodes=1",
        "--ntasks=1",
        f"--nodelist={node}",
        "--mem=64M",
        f"--immediate={_STEP_START_SECONDS}",
        f"--time={_minutes(timeout_seconds)}",
        "--input=none",
        *_COMMON_STEP_OPTIONS,
        *command,
    )


def _minutes(seconds: float) -> int:
    """Return whole minutes that are more than ``seconds``."""
    return int(seconds // 60) + 2


def _build_squeue(job_ids: str) -> tuple[str, ...]:
    return ("squeue", "-h", "-a", "-t", "all", "-j", job_ids)
