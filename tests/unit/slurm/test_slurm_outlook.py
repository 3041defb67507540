"""What Slurm has in mind for a job."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syscr.errors import JobNotFoundError, SchedulerReplyError, SchedulerUnavailableError
from syscr.model import JobId, JobState, Outlook, SiteTimes
from syscr.ports import CommandTimeout, Completed
from syscr.slurm.outlook import SlurmOutlook

END = datetime(2026, 11, 24, 18, 8, 57, tzinfo=UTC)  # 1795543737


def build(*answers: Completed | Exception) -> tuple[SlurmOutlook, list[tuple[str, ...]]]:
    """Return an adapter whose commands give these answers in turn, and the commands."""
    asked: list[tuple[str, ...]] = []
    left = list(answers)

    class Runner:
        def run(self, argv: tuple[str, ...], **_: object) -> Completed:
            asked.append(tuple(argv))
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    return SlurmOutlook(Runner(), 5.0), asked  # type: ignore[arg-type]


def done(stdout: str = "", *, stderr: str = "", code: int = 0) -> Completed:
    return Completed(("squeue",), exit_code=code, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize(
    ("line", "found"),
    [  # recorded with 24.11.5
        (
            "N/A                     0           1795543737              RUNNING                 None",
            Outlook(JobState.RUNNING, "RUNNING", "None", END),
        ),
        (
            "1795543700              3           1795543737              PENDING                 BeginTime",
            Outlook(
                JobState.PENDING,
                "PENDING",
                "BeginTime",
                END,
                datetime.fromtimestamp(1795543700, UTC),
                3,
            ),
        ),
        ("0 0 N/A RUNNING None", Outlook(JobState.RUNNING, "RUNNING")),
        ("N/A 0 N/A RUNNING", Outlook(JobState.RUNNING, "RUNNING")),
    ],
)
def test_outlook_is_read(line: str, found: Outlook) -> None:
    slurm, asked = build(done(line + "\n"))
    assert slurm.look(JobId(12, 3)) == found
    assert asked[0][:5] == ("squeue", "-h", "-a", "-j", "12_3")


def test_job_that_slurm_does_not_know() -> None:
    with pytest.raises(JobNotFoundError, match="12"):
        build(done(""))[0].look(JobId(12))
    unknown = done(stderr="slurm_load_jobs error: Invalid job id specified", code=1)
    with pytest.raises(JobNotFoundError, match="12"):
        build(unknown)[0].look(JobId(12))


@pytest.mark.parametrize("line", ["N/A", "N/A x N/A RUNNING None", "a b"])
def test_nonsense_is_no_outlook(line: str) -> None:
    with pytest.raises(SchedulerReplyError, match="job 12"):
        build(done(line))[0].look(JobId(12))


def test_silence_is_no_answer() -> None:
    silent = CommandTimeout(done(), 5.0)
    with pytest.raises(SchedulerUnavailableError):
        build(silent)[0].look(JobId(12))


@pytest.mark.parametrize(
    ("state", "is_draining"),
    [("mixed", False), ("draining", True), ("drained*", True), ("down*", False), ("", False)],
)
def test_draining_node_is_known_by_its_state(state: str, is_draining: bool) -> None:
    slurm, asked = build(done(state + "\n"))
    assert slurm.is_draining("c1") is is_draining
    assert asked == [("sinfo", "-h", "-N", "-n", "c1", "-o", "%T")]


def test_site_times_come_from_configuration_and_partition() -> None:
    slurm, asked = build(
        done("KillWait                = 5 sec\n"), done("  GraceTime=20 Hidden=NO")
    )
    assert slurm.site_times("debug") == SiteTimes(5.0, 20.0)
    assert [argv[:3] for argv in asked] == [
        ("scontrol", "show", "config"),
        ("scontrol", "show", "partition"),
    ]


def test_site_times_that_are_not_shown_are_slurms_defaults() -> None:
    assert build(done(), done())[0].site_times("debug") == SiteTimes(30.0, 0.0)
