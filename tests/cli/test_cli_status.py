"""status and doctor."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from cli_support import FakeManager, Run, make_image, make_job, make_task

from syscr.cli.app import App
from syscr.errors import (
    JobNotFoundError,
    RequestError,
    SchedulerUnavailableError,
    SyscrError,
)
from syscr.model import Finding, JobId, JobState, Severity, Target
from syscr.ports import Capabilities
from syscr.result import JobStatus, NodeHealth

TARGET = Target(JobId(4711))
ERROR = Finding("io_uring", Severity.ERROR, "uses io_uring", "switch it off", "c1", 12)
HEALTHY = NodeHealth(
    "c1",
    (
        Capabilities("criu", "4.2", features={"rootless": True, "tcp_repair": False}),
        Capabilities("dmtcp", missing=("no bin/dmtcp_launch below '/opt/dmtcp'",)),
    ),
    {"kernel": "6.12.9", "Slurm": "24.11.5"},
)


def test_job_that_runs_gets_the_command_for_an_image(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = (
        JobStatus(TARGET, make_job(), tasks=(make_task(),), images=(make_image(),)),
    )
    assert run("status", "4711").out == (
        "job 4711: RUNNING on c1, of alice\n"
        "  checkpoint  possible (1 task of step batch, criu)\n"
        "  newest      20261124T114500Z-9f3c21ab, 15 min ago, 1.5 GiB in 2 files\n"
        "  images      1\n"
        "write an image with: syscr checkpoint 4711\n"
    )


def test_job_with_findings_is_refused_with_the_reason(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = (
        JobStatus(TARGET, make_job(), tasks=(make_task("0"), make_task("0")), findings=(ERROR,)),
    )
    assert run("status", "4711").out == (
        "job 4711: RUNNING on c1, of alice\n"
        "  checkpoint  refused (2 tasks of step 0, criu)\n"
        "  images      none\n"
        "  error: uses io_uring (node c1, pid 12)\n"
        "    switch it off\n"
    )


@pytest.mark.parametrize(
    ("status", "last"),
    [
        (JobStatus(TARGET, None, images=(make_image(),)), "bring it back with: syscr restart 4711"),
        (
            JobStatus(TARGET, make_job(state=JobState.TIMEOUT), images=(make_image(),)),
            "bring it back with: syscr restart 4711",
        ),
        (
            JobStatus(TARGET, make_job()),
            "it was not started through syscr; start the next one with: syscr sbatch SCRIPT",
        ),
        (JobStatus(TARGET, make_job(state=JobState.COMPLETING)), "  images      none"),
        (
            JobStatus(TARGET, make_job(state=JobState.PENDING, reason="JobHeldUser", node_list="")),
            "it is held; let it go with: scontrol release 4711",
        ),
        (JobStatus(TARGET, make_job(), busy="alice on login1"), "  images      none"),
        (
            JobStatus(TARGET, make_job(state=JobState.PENDING, reason="Resources", node_list="")),
            "  images      none",
        ),
    ],
)
def test_last_line_is_what_to_do_next(
    run: Run, manager: FakeManager, status: JobStatus, last: str
) -> None:
    manager.answers["status"] = (status,)
    if status.busy:
        last = "it was not started through syscr; start the next one with: syscr sbatch SCRIPT"
    assert run("status", "4711").out.splitlines()[-1] == last


def test_pending_job_has_its_reason(run: Run, manager: FakeManager) -> None:
    job = make_job(state=JobState.PENDING, reason="Resources", node_list="")
    manager.answers["status"] = (JobStatus(TARGET, job),)
    assert run("status", "4711").out.startswith("job 4711: PENDING (Resources), of alice\n")


def test_without_a_job_all_are_shown_one_line_each(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = (
        JobStatus(TARGET, make_job(), tasks=(make_task(),), images=(make_image(),)),
        JobStatus(Target(JobId(4712)), make_job(4712, JobState.PENDING, node_list="")),
        JobStatus(Target(JobId(9)), None, busy="x"),
    )
    assert run("status").out == (
        "JOB   STATE             NODES  CHECKPOINT     IMAGES  NEWEST\n"
        "4711  RUNNING           c1     possible       1       20261124T114500Z-9f3c21ab, 15 min ago\n"
        "4712  PENDING           -      not possible   0       -\n"
        "9     unknown to Slurm  -      being written  0       -\n"
    )
    assert run("status", "-q").out == "4711\n4712\n9\n"
    assert len(json.loads(run("status", "--json").out)["data"]["jobs"]) == 3


def test_without_any_job_that_is_said(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = ()
    assert run("status").out.startswith("you have no jobs in the queue")
    assert run("status", "-q").out == ""


def test_controller_that_does_not_answer_is_10(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = SchedulerUnavailableError("no answer")
    assert run("status").status == 10


def answer_with(errors: dict[int, SyscrError]) -> Callable[[Sequence[Target]], object]:
    """Return a status that knows all jobs but some; of those it raises the error, as Slurm's own does."""

    def status(targets: Sequence[Target]) -> object:
        for target in targets:
            if target.job_id.number in errors:
                raise errors[target.job_id.number]
        return tuple(JobStatus(one, make_job(one.job_id.number)) for one in targets)

    return status


UNKNOWN = JobNotFoundError("job 77777 is not known to Slurm and has no images", hint="look")
ARRAY = RequestError("job 8 is a whole job array: 8_0, 8_1", hint="name one part of it, as in 8_0")


def test_jobs_beside_one_that_does_not_exist_are_shown(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = answer_with({77777: UNKNOWN})
    outcome = run("status", "3", "77777", "5")
    assert outcome.status == 11
    shown = [line for line in outcome.out.splitlines() if line.startswith("job ")]
    assert shown == ["job 3: RUNNING on c1, of alice", "job 5: RUNNING on c1, of alice"]
    assert outcome.err == f"syscr: {UNKNOWN.message}\nhint: look\n"


def test_json_has_the_jobs_and_the_errors(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = answer_with({77777: UNKNOWN})
    outcome = run("status", "3", "77777", "--json")
    data = json.loads(outcome.out)["data"]
    assert [job["target"] for job in data["jobs"]] == ["3"]
    assert [(one["target"], one["error"]["exit_code"]) for one in data["errors"]] == [("77777", 11)]
    assert (json.loads(outcome.err)["code"], outcome.status) == ("job_not_found", 11)


def test_one_job_that_does_not_exist_is_an_error_alone(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = answer_with({77777: UNKNOWN})
    outcome = run("status", "77777", "77777", "--json")
    assert (outcome.status, outcome.out) == (11, "")


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ({8: ARRAY, 9: RequestError("job 9 is a whole job array: 9_0")}, 2),
        ({8: ARRAY, 77777: UNKNOWN}, 4),
    ],
)
def test_several_errors_are_all_said_and_have_a_code_of_their_own_if_they_differ(
    run: Run, manager: FakeManager, errors: dict[int, SyscrError], status: int
) -> None:
    manager.answers["status"] = answer_with(errors)
    outcome = run("status", "3", *map(str, errors))
    assert outcome.status == status
    assert outcome.out.startswith("job 3: RUNNING")
    assert all(error.message in outcome.err for error in errors.values())
    assert outcome.err.splitlines()[-1] == "syscr: cannot show 2 of 3 jobs"
    details = json.loads(run("status", "3", *map(str, errors), "--json").err)["details"]
    assert [one["ok"] for one in details["results"]] == [True, False, False]


def test_slurm_that_falls_silent_is_asked_no_more(run: Run, manager: FakeManager) -> None:
    manager.answers["status"] = answer_with({4: SchedulerUnavailableError("no answer")})
    outcome = run("status", "3", "4", "5", "--json")
    assert outcome.status == 10
    assert [target.job_id.number for _, ((target,),) in manager.calls] == [3, 4]
    data = json.loads(outcome.out)["data"]
    assert [one["target"] for one in data["jobs"] + data["errors"]] == ["3", "4", "5"]
    assert run("status", "3", "4", "5").err.count("no answer") == 1


def test_doctor_shows_what_works_and_why_not(run: Run, manager: FakeManager) -> None:
    manager.answers["doctor"] = (HEALTHY,)
    outcome = run("doctor", "--node", "c1")
    assert outcome.status == 0
    assert outcome.out == (
        "node c1\n"
        "  Slurm   24.11.5\n"
        "  kernel  6.12.9\n"
        "  criu 4.2: works\n"
        "    without tcp_repair\n"
        "  dmtcp: does not work\n"
        "    no bin/dmtcp_launch below '/opt/dmtcp'\n"
    )
    assert manager.calls == [("doctor", (("c1",),))]


@pytest.mark.parametrize(
    ("healths", "status"),
    [
        ((HEALTHY, NodeHealth("c2", error="node c2 is down")), 4),
        ((NodeHealth("c2", error="node c2 is down"),), 10),
        ((HEALTHY, NodeHealth("c2", (Capabilities("criu", missing=("none",)),))), 22),
        ((NodeHealth("c2"),), 22),
    ],
)
def test_doctor_that_finds_something_fails_after_the_report(
    run: Run, manager: FakeManager, healths: tuple[NodeHealth, ...], status: int
) -> None:
    manager.answers["doctor"] = healths
    outcome = run("doctor", "--node", "c2")
    assert outcome.status == status
    assert "node c2" in outcome.out
    assert "c2" in outcome.err


def test_what_a_tool_said_stands_below_the_remark(run: Run, manager: FakeManager) -> None:
    warning = "node 'c1' did not answer (Terminated)\n| srun: error: c1: \x1b[31mtask 0"
    manager.answers["status"] = (JobStatus(TARGET, make_job(), warnings=(warning,)),)
    assert run("status", "4711").err == (
        "syscr: warning: node 'c1' did not answer (Terminated)\n"
        "  | srun: error: c1: \\x1b[31mtask 0\n"
    )


@pytest.mark.parametrize("argv", [("status", "4711"), ("simulate", "4711", "--timeout")])
def test_root_acts_as_the_owner_of_a_job(
    run: Run, app: App, manager: FakeManager, argv: tuple[str, ...]
) -> None:
    """Root's own directories know nothing of its images and lives."""
    became: list[tuple[str, tuple[str, ...]]] = []

    def become(user: str, args: Sequence[str]) -> None:
        became.append((user, tuple(args)))
        raise SystemExit(0)  # the process goes on as that user

    app.is_root, app.become = lambda: True, become
    manager.answers["find_owner"] = "alice"
    with pytest.raises(SystemExit):
        run(*argv)
    assert became == [("alice", argv)]
    assert [name for name, _ in manager.calls] == ["find_owner"]


def test_root_is_shown_the_jobs_of_root_where_none_is_named(
    run: Run, app: App, manager: FakeManager
) -> None:
    app.is_root = lambda: True
    manager.answers["status"] = ()
    run("status")
    assert manager.calls == [("status", ((),))]
