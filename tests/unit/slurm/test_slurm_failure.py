from __future__ import annotations

import pytest

from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    SchedulerDeniedError,
    SchedulerReplyError,
    SchedulerUnavailableError,
)
from syscr.ports import Completed
from syscr.slurm.failure import build_failure, find_cause


def _failed(text: str, *argv: str) -> Completed:
    return Completed(argv or ("scontrol",), 1, "", text)


@pytest.mark.parametrize(
    ("text", "error", "cause"),
    [
        (
            "slurm_load_jobs error: Invalid job id specified\n",
            JobNotFoundError,
            "Invalid job id specified",
        ),
        (
            "squeue: error: slurm_receive_msg: Socket timed out on send/recv operation\n"
            "slurm_load_jobs error: Socket timed out on send/recv operation\n",
            SchedulerUnavailableError,
            "Socket timed out on send/recv operation",
        ),
        (
            "squeue: error: If munged is up, restart with --num-threads=10\n"
            'squeue: error: Munge encode failed: Failed to access "/run/munge/munge.socket.2"\n',
            SchedulerUnavailableError,
            "If munged is up, restart with --num-threads=10",
        ),
        ("Slurm backup controller in standby mode\n", SchedulerUnavailableError, None),
        ("Rate limit exceeded, please retry momentarily\n", SchedulerUnavailableError, None),
        ("Job is pending execution for job 5\n", JobStateError, "Job is pending execution"),
        ("Job is current suspended, requested operation disabled\n", JobStateError, None),
        (
            "Operation not permitted on individual component of heterogeneous job\n",
            JobStateError,
            None,
        ),
        ("Access/permission denied for job 5\n", SchedulerDeniedError, "Access/permission denied"),
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
            "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit"
            " limit, user's size and/or time limits)\n",
            SchedulerDeniedError,
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        ),
        ("something new\n", SchedulerReplyError, "something new"),
        ("", SchedulerReplyError, "'scontrol' said nothing (exit code 1)"),
    ],
)
def test_text_has_class_and_cause(text: str, error: type[Exception], cause: str | None) -> None:
    failure = build_failure("do it", _failed(text))
    assert type(failure) is error
    if cause is not None:
        assert failure.message == f"cannot do it: {cause}"


def test_tool_is_found_behind_env() -> None:
    failure = build_failure("submit", _failed("no", "env", "-u", "LC_ALL", "sbatch"))
    assert failure.details["tool"] == "sbatch"


def test_cause_on_standard_output_is_found() -> None:
    assert (
        find_cause(Completed(("scontrol",), 1, "Invalid job id specified\n"))
        == "Invalid job id specified"
    )
