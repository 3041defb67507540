"""``scontrol show job --json`` of 24.11.5 says "no such job" where nobody answers, and exits with 0."""

from __future__ import annotations

import pytest
from slurm_replies import read_reply

from syscr.errors import JobNotFoundError, SchedulerUnavailableError
from syscr.model import JobId
from syscr.slurm import commands
from syscr.slurm.scheduler import SlurmScheduler
from syscr.testing.clock import FakeClock
from syscr.testing.runner import FakeRunner

JOB = JobId(5)
EMPTY = read_reply("24.11.5", "show_unknown").completed.stdout
ROW = "5|5|N/A|N/A|1000|alice|RUNNING|c1|c1|debug|1:00|1764000000|None\n"


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        (
            "",
            "slurm_load_jobs error: Unable to contact slurm controller",
            SchedulerUnavailableError,
        ),
        ("", "slurm_load_jobs error: Invalid job id specified", JobNotFoundError),
        (ROW, "", SchedulerUnavailableError),  # back again in between
    ],
)
def test_empty_answer_about_a_job_is_asked_again(
    stdout: str, stderr: str, expected: type[Exception]
) -> None:
    with FakeRunner() as runner:
        runner.expect(commands.build_version(), stdout="slurm 24.11.5\n")
        runner.expect(commands.build_show_job(JOB), stdout=EMPTY)
        runner.expect(
            commands.build_get_jobs([JOB]),
            stdout=stdout,
            stderr=stderr,
            exit_code=1 if stderr else 0,
        )
        with pytest.raises(expected):
            SlurmScheduler(runner, FakeClock()).get_job_details(JOB)
