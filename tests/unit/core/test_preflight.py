"""What speaks against a checkpoint, judged for the job as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_support import JOB, TARGET, task

from syscr import preflight
from syscr.errors import JobStateError, PreflightError, RequestError, SchedulerDeniedError
from syscr.model import Finding, Job, JobState, NodeReport, Severity, Target, TaskSpec

RUNNING = Job(JOB, 4711, "alice", 1000, JobState.RUNNING, "RUNNING")


def report(*tasks: TaskSpec, node: str = "c1", findings: tuple[Finding, ...] = ()) -> NodeReport:
    return NodeReport(node, tasks=tasks, findings=findings)


def test_owner_is_let_through() -> None:
    preflight.check_owner(RUNNING, 1000, "alice")


@pytest.mark.parametrize(("uid", "hint"), [(0, "runuser -u alice"), (1001, "ask its owner")])
def test_others_are_refused(uid: int, hint: str) -> None:
    with pytest.raises(SchedulerDeniedError, match="belongs to 'alice', not to 'me'") as caught:
        preflight.check_owner(RUNNING, uid, "me")
    assert hint in caught.value.hint
    assert caught.value.details["owner"] == "alice"


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.SIGNALING])
def test_running_job_is_let_through(state: JobState) -> None:
    preflight.check_state(replace(RUNNING, state=state), "checkpoint")


def test_state_is_named_in_slurms_own_words() -> None:
    job = replace(RUNNING, state=JobState.UNKNOWN, raw_state="DREAMING")
    with pytest.raises(JobStateError, match="cannot vacate job 4711: it is DREAMING"):
        preflight.check_state(job, "vacate")
    with pytest.raises(JobStateError, match="it is UNKNOWN"):
        preflight.check_state(replace(job, raw_state=""), "vacate")


@pytest.mark.parametrize(
    ("state", "reason", "hint"),
    [
        (JobState.PENDING, "Resources", "wait until it runs"),
        (JobState.PENDING, "JobHeldUser", "scontrol release 4711"),
        (JobState.CANCELLED, "None", "if it has an image, 'syscr restart 4711'"),
    ],
)
def test_hint_fits_the_state(state: JobState, reason: str, hint: str) -> None:
    with pytest.raises(JobStateError) as caught:
        preflight.check_state(replace(RUNNING, state=state, reason=reason), "checkpoint")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("named", "steps", "chosen"),
    [
        ("4711", ("batch",), "batch"),
        ("4711", ("0", "batch", "1"), "batch"),
        ("4711", ("7",), "7"),
        ("4711.1", ("batch", "0", "1"), "1"),
        ("4711.batch", ("batch", "0"), "batch"),
    ],
)
def test_step_that_is_meant(named: str, steps: tuple[str, ...], chosen: str) -> None:
    tasks = [task(step=step) for step in steps]
    assert preflight.choose_step(Target.parse(named), tasks) == chosen


def test_several_steps_are_named_in_their_order() -> None:
    tasks = [task(step=step) for step in ("10", "2", "0")]
    with pytest.raises(RequestError, match=r"4711\.0, 4711\.2, 4711\.10"):
        preflight.choose_step(TARGET, tasks)


@pytest.mark.parametrize(
    ("named", "steps", "reason"),
    [
        ("4711", (), "job 4711 was not started through syscr"),
        ("4711.0", (), "step 4711.0 was not started through syscr"),
        ("4711.0", ("1", "2"), "these can be checkpointed: 4711.1, 4711.2"),
    ],
)
def test_job_without_tasks_of_ours_is_refused(
    named: str, steps: tuple[str, ...], reason: str
) -> None:
    tasks = [task(step=step) for step in steps]
    with pytest.raises(PreflightError, match=reason) as caught:
        preflight.choose_step(Target.parse(named), tasks)
    assert "syscr sbatch job.sh" in caught.value.hint
    assert [finding.code for finding in caught.value.findings] == ["not_checkpointable"]


@pytest.mark.parametrize(
    ("running", "reason"),
    [
        (("1", "2"), r"job 4711 has no step 4711\.0 now; these can be checkpointed: 4711\.1;"),
        ((), r"no step 4711\.0 now; these can"),
        (("0",), r"step 4711\.0 was not started through syscr"),
    ],
)
def test_step_that_does_not_run_is_told_apart_from_one_that_is_not_ours(
    running: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(PreflightError, match=reason):
        preflight.choose_step(Target.parse("4711.0"), [task(step="1")], running)


def test_complete_step_has_no_findings() -> None:
    reports = [report(task(0, task_count=2)), report(task(1, task_count=2), node="c2")]
    assert preflight.check_tasks(TARGET, "batch", reports) == ()


@pytest.mark.parametrize(
    ("tasks", "code", "text"),
    [
        ((task(1, task_count=3),), "tasks_missing", "has 3 tasks, but 0, 2 ended"),
        ((task(0, task_count=20),), "tasks_missing", "1, 2, 3, 4, 5, 6, 7, 8 ... ended"),
        ((task(0), task(0)), "several_launchers", "more than once"),
        (
            (task(0, task_count=2), task(1, task_count=2, backend="dmtcp")),
            "tasks_differ",
            "backends",
        ),
        ((task(0, task_count=2), task(1, task_count=2, lineage="1")), "tasks_differ", "backends"),
        (
            (task(0, task_count=2), task(1, task_count=2, checkpoint_dir="/o")),
            "tasks_differ",
            "dir",
        ),
    ],
)
def test_incomplete_step_is_refused(tasks: tuple[TaskSpec, ...], code: str, text: str) -> None:
    (finding,) = preflight.check_tasks(TARGET, "batch", [report(*tasks)])
    assert (finding.code, finding.severity) == (code, Severity.ERROR)
    assert text in finding.message


def test_other_steps_do_not_count() -> None:
    assert preflight.check_tasks(TARGET, "0", [report(task(0, step="0"), task(0), task(0))]) == ()


def test_findings_are_sorted_by_weight_and_keep_their_order() -> None:
    found = [
        Finding(code, severity, "")
        for code, severity in (
            ("a", Severity.NOTE),
            ("b", Severity.WARNING),
            ("c", Severity.ERROR),
            ("d", Severity.WARNING),
        )
    ]
    findings = preflight.check_tasks(TARGET, "batch", [report(task(), findings=tuple(found))])
    assert [finding.code for finding in findings] == ["c", "b", "d", "a"]


def test_errors_refuse_and_the_first_is_the_message() -> None:
    one, two = (Finding(code, Severity.ERROR, f"{code} is bad", f"avoid {code}") for code in "ab")
    preflight.refuse_errors(TARGET, [replace(one, severity=Severity.WARNING)])
    with pytest.raises(
        PreflightError, match=r"4711: a is bad \(and 1 more\); the job is still"
    ) as caught:
        preflight.refuse_errors(TARGET, [one, two])
    assert caught.value.hint == "avoid a"
    assert caught.value.findings == (one, two)
    with pytest.raises(PreflightError, match=r"4711: b is bad; the job"):
        preflight.refuse_errors(TARGET, [two])
