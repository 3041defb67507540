"""Replies of Slurm's commands -> values; pure. Exit code and text decide together.

What Slurm says when something fails is told apart in ``failure.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from syscr.errors import JobNotFoundError, JobStateError, RequestError, SchedulerDeniedError
from syscr.model import Job, JobDetails, JobId, JobState
from syscr.ports import Completed
from syscr.slurm.failure import build_failure, build_reply_error, is_already_over
from syscr.slurm.hostlist import parse_hostlist
from syscr.units import parse_slurm_time

_VERSION = re.compile(r"slurm\S*\s+(\d+\.\d+\.\d+\S*)")
_SUBMITTED = re.compile(r"(\d+)(?:;.*)?")
_JOB_FIELDS = 13
_SHOWN_TASKS = 10


def parse_version(completed: Completed) -> str:
    """Read ``sinfo -V``: ``slurm-wlm 24.11.5`` (Debian) or ``slurm 24.11.5``."""
    match = _VERSION.search(completed.stdout)
    if not completed.is_ok or match is None:
        raise build_reply_error("read the version of Slurm", completed)
    return match[1]


def parse_jobs(completed: Completed, what: str = "look up the jobs") -> tuple[Job, ...]:
    """Read ``build_get_jobs``.

    Returns:
        One job per line, in Slurm's order. The tasks of an array that still wait are one line, which is
        left out unless it stands for a single task; ``select_job`` sees it in ``completed``.

    Raises:
        JobNotFoundError: The only id that was asked for is unknown.
    """
    if not completed.is_ok:
        raise build_failure(what, completed)
    jobs = (_parse_job(line, completed) for line in completed.stdout.splitlines() if line.strip())
    return tuple(job for job in jobs if job is not None)


def select_job(completed: Completed, job_id: JobId) -> Job:
    """Read ``build_get_jobs`` for one id.

    Contract: a plain number that is one task's own number finds that task (``12`` -> ``5_1``).

    Raises:
        JobNotFoundError: Slurm does not know it.
        RequestError: The number names a whole array or heterogeneous job; the message names its parts.
    """
    jobs = parse_jobs(completed, f"look up job {job_id}")
    exact = [job for job in jobs if job.job_id == job_id]
    if len(exact) > 1:
        raise build_reply_error(f"look up job {job_id}", completed, cause="two records of one job")
    if exact:
        return exact[0]
    if job_id.array_index is None and job_id.het_offset is None:
        parts = _find_parts(completed.stdout, job_id.number)
        if parts:
            raise _whole_job(job_id, parts)
        own = [job for job in jobs if job.number == job_id.number]
        if len(own) == 1:
            return own[0]
    raise JobNotFoundError(f"cannot find job {job_id}: Slurm does not know it", job_id=str(job_id))


def parse_geometry(completed: Completed) -> JobDetails:
    """Read ``build_get_geometry`` into details that hold nothing else."""
    words = completed.stdout.split()
    if not completed.is_ok:
        raise build_failure("look up the size of a job", completed)
    if not words:
        raise JobNotFoundError("cannot look up the size of the job: Slurm does not know it")
    try:
        nodes, tasks, cpus, restarts, requeue = (_number(word) for word in words)
    except ValueError as error:
        raise build_reply_error("look up the size of a job", completed) from error
    return JobDetails(
        node_count=max(nodes, 1),
        task_count=max(tasks, 1),
        cpus_per_task=max(cpus, 1),
        restart_count=restarts,
        can_requeue=requeue != 0,
    )


def parse_text(completed: Completed) -> str:
    """Read a field that was asked for alone; any byte of it but the last newline is the user's."""
    if not completed.is_ok:
        raise build_failure("look up a job", completed)
    text = completed.stdout.removesuffix("\n")
    return "" if text == "(null)" else text


def parse_path(completed: Completed) -> str:
    """Read ``build_get_path``: padding on the left, which no absolute path begins with."""
    text = parse_text(completed).lstrip(" ")
    return "" if text in {"(null)", "N/A"} else text


def parse_details(completed: Completed, job_id: JobId) -> JobDetails:
    """Read ``build_show_job``: the JSON of 24.11 (data_parser v0.0.42) to 26.05 (v0.0.45).

    Raises:
        JobNotFoundError: No such job; 24.11.5 then exits 0 with an empty list.
    """
    if not completed.is_ok:
        raise build_failure(f"look up job {job_id}", completed)
    try:
        records = json.loads(completed.stdout)["jobs"]
        record = next((item for item in records if _is_record_of(item, job_id)), None)
        if record is None:
            raise JobNotFoundError(
                f"cannot look up job {job_id}: Slurm does not know it", job_id=str(job_id)
            )
        return _read_details(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise build_reply_error(f"look up job {job_id}", completed) from error


def is_unknown_option(completed: Completed) -> bool:
    """Whether a command has refused an option that its version does not have."""
    return not completed.is_ok and "unrecognized option" in completed.stderr


def parse_steps(completed: Completed) -> tuple[str, ...]:
    """Read ``build_find_steps``: numbered steps in order; a job without steps prints nothing."""
    if not completed.is_ok:
        raise build_failure("look up the steps of a job", completed)
    steps = {line.strip().rpartition(".")[2] for line in completed.stdout.splitlines()}
    return tuple(sorted((step for step in steps if step.isdigit()), key=int))


def parse_submit(completed: Completed) -> JobId:
    """Read ``sbatch --parsable``: ``123`` or ``123;cluster``; a plugin may print before it."""
    if not completed.is_ok:
        raise build_failure("submit the job", completed, default=SchedulerDeniedError)
    for line in reversed(completed.stdout.splitlines()):
        match = _SUBMITTED.fullmatch(line.strip())
        if match is not None:
            return JobId(int(match[1]))
    raise build_reply_error("submit the job", completed, cause="sbatch printed no job id")


def parse_batch_script(completed: Completed, job_id: JobId) -> str:
    """Read ``build_get_batch_script``; 24.11.5 exits 0 when it fails."""
    if not completed.is_ok or not completed.stdout:
        raise build_failure(f"read the batch script of job {job_id}", completed)
    return completed.stdout


def parse_requeue(completed: Completed, job_id: JobId) -> None:
    """Read the answer to ``build_requeue``."""
    try:
        parse_act(completed, f"requeue job {job_id}")
    except JobStateError as error:
        if "presently disabled" in error.message:
            error.hint = f"allow it with 'scontrol update JobId={job_id} Requeue=1'"
        raise


def parse_cancel(completed: Completed, what: str) -> None:
    """Read the answer to ``build_cancel``; what has ended already is no error."""
    if not is_already_over(completed):
        parse_act(completed, what)


def parse_act(completed: Completed, what: str) -> None:
    """Read the answer to a command that changes something; raises what went wrong."""
    if not completed.is_ok:
        raise build_failure(what, completed)


def _parse_job(line: str, completed: Completed) -> Job | None:
    fields = line.split("|", _JOB_FIELDS - 1)
    if len(fields) != _JOB_FIELDS:
        raise build_reply_error("look up a job", completed, cause=f"unexpected line '{line}'")
    shown_id, number, _, _, uid, user_name, state, *rest = fields
    node_list, host, partition, limit, end, reason = rest
    if "[" in shown_id:
        return None
    try:
        nodes = parse_hostlist(node_list)
        return Job(
            job_id=JobId.parse(shown_id),
            number=int(number),
            user_name=user_name,
            uid=int(uid),
            state=JobState.parse(state),
            raw_state=state,
            reason=reason,
            node_list=node_list if nodes else "",
            nodes=nodes,
            batch_host=host if parse_hostlist(host) else "",
            partition=partition,
            time_limit_seconds=parse_slurm_time(limit),
            end_at=datetime.fromtimestamp(int(end), UTC) if end.isdigit() else None,
        )
    except (ValueError, RequestError) as error:
        raise build_reply_error(
            "look up a job", completed, cause=f"unexpected line '{line}'"
        ) from error


def _find_parts(text: str, number: int) -> tuple[str, ...]:
    """Return the ids of an array's tasks or of a heterogeneous job's components, as Slurm prints them."""
    ids = (line.partition("|")[0].strip() for line in text.splitlines())
    return tuple(shown for shown in ids if shown.startswith((f"{number}_", f"{number}+")))


def _whole_job(job_id: JobId, parts: Sequence[str]) -> RequestError:
    kind = "heterogeneous job" if "+" in parts[0] else "job array"
    shown = ", ".join(parts[:_SHOWN_TASKS]) + (", ..." if len(parts) > _SHOWN_TASKS else "")
    return RequestError(
        f"job {job_id} is a whole {kind}: {shown}",
        hint=f"name one part of it, as in {parts[-1] if '[' not in parts[-1] else f'{job_id}_0'}",
        job_id=str(job_id),
        parts=list(parts),
    )


def _number(text: str) -> int:
    return 0 if text in {"N/A", "(null)"} else int(text)


def _is_record_of(record: Mapping[str, object], job_id: JobId) -> bool:
    if job_id.array_index is not None:
        if _value(record["array_job_id"]) != job_id.number:
            return False
        index = _value(record["array_task_id"])
        return index == job_id.array_index or (index is None and bool(record["array_task_string"]))
    if job_id.het_offset is not None:
        same = _value(record["het_job_id"]) == job_id.number
        return same and _value(record["het_job_offset"]) == job_id.het_offset
    return record["job_id"] == job_id.number


def _value(item: object) -> int | None:
    """Read an optional number: a plain one (22.05) or ``{"set", "infinite", "number"}``."""
    if isinstance(item, dict):
        return int(item["number"]) if item["set"] else None
    return None if item is None else int(str(item))


def _read_details(record: Mapping[str, object]) -> JobDetails:
    working_dir = str(record["current_working_directory"])
    submitted = _value(record.get("submit_time"))
    return JobDetails(
        name=str(record["name"]),
        account=str(record["account"]),
        qos=str(record["qos"]),
        working_dir=working_dir,
        stdout_path=_path(record, ("stdout_expanded", "standard_output"), working_dir),
        stderr_path=_path(record, ("stderr_expanded", "standard_error"), working_dir),
        node_count=_value(record["node_count"]) or 1,
        task_count=_value(record["tasks"]) or 1,
        cpus_per_task=_value(record["cpus_per_task"]) or 1,
        restart_count=_value(record["restart_cnt"]) or 0,
        can_requeue=bool(record["requeue"]),
        features=str(record["features"]),
        exit_code=_exit_code(record.get("exit_code")),
        submitted_at=datetime.fromtimestamp(submitted, UTC) if submitted else None,
    )


def _exit_code(item: object) -> str:
    """Read the exit code of a job in JSON; empty where it is none."""
    if not isinstance(item, dict) or not isinstance(item.get("signal"), dict):
        return ""
    code, number = _value(item.get("return_code")), _value(item["signal"].get("id"))
    return "" if code is None and number is None else f"{code or 0}:{number or 0}"


def _path(record: Mapping[str, object], keys: Iterable[str], working_dir: str) -> str:
    """Return the first path that is there; 26.05 has raw and expanded ones, 24.11 expanded ones."""
    path = next((str(record[key]) for key in keys if record.get(key)), "")
    return f"{working_dir}/{path}" if path and not path.startswith("/") else path
