"""checkpoint, vacate and requeue: one target, several, and everything that can go wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_support import IMAGE_ID, FakeManager, Run, make_image

from syscr.errors import (
    CheckpointTimeoutError,
    JobNotFoundError,
    PreflightError,
    StoreLockedError,
)
from syscr.model import Finding, JobId, Severity, Target
from syscr.request import CheckpointRequest
from syscr.result import CheckpointResult

TARGET = Target(JobId(4711), "batch")
DONE = CheckpointResult(TARGET, make_image(), "running")


def test_checkpoint_says_what_was_written_and_what_to_do_next(
    run: Run, manager: FakeManager
) -> None:
    manager.answers["checkpoint"] = DONE
    outcome = run("checkpoint", "4711")
    assert outcome.status == 0
    assert outcome.err == ""
    assert outcome.out == (
        "job 4711: image written, the job keeps running\n"
        f"  image   {IMAGE_ID}\n"
        "  size    1.5 GiB in 2 files\n"
        "  frozen  812 ms\n"
        "  total   2.3 s\n"
        "restart with: syscr restart 4711\n"
    )


def test_options_reach_the_request(run: Run, manager: FakeManager, tmp_path: Any) -> None:
    manager.answers["checkpoint"] = DONE
    run(
        "checkpoint",
        "4711.0",
        "--image-dir",
        "my dir",
        "--tag",
        "a",
        "--tag",
        "b",
        "--max-wait",
        "5",
    )
    assert manager.calls == [
        (
            "checkpoint",
            (
                CheckpointRequest(
                    Target(JobId(4711), "0"),
                    image_dir=str(tmp_path / "my dir"),
                    max_wait_seconds=5.0,
                    tags=("a", "b"),
                ),
            ),
        )
    ]


def test_image_dir_is_part_of_the_advice(run: Run, manager: FakeManager, tmp_path: Any) -> None:
    manager.answers["checkpoint"] = DONE
    outcome = run("checkpoint", "4711", "--image-dir", "my dir")
    assert f"syscr restart 4711 --image-dir '{tmp_path}/my dir'" in outcome.out


def test_limit_comes_from_the_configuration(
    run: Run, manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSCR_MAX_WAIT", "42")
    manager.answers["checkpoint"] = DONE
    run("checkpoint", "4711")
    assert manager.calls[0][1][0].max_wait_seconds == 42


def test_quiet_prints_just_the_image_id(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = CheckpointResult(
        TARGET, make_image(), "running", warnings=("w",)
    )
    outcome = run("-q", "checkpoint", "4711")
    assert (outcome.out, outcome.err) == (f"{IMAGE_ID}\n", "")
    assert run("checkpoint", "4711", "-q").out == f"{IMAGE_ID}\n"


def test_json_is_one_document(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = CheckpointResult(
        TARGET, make_image(), "running", warnings=("w",)
    )
    outcome = run("checkpoint", "4711", "--json")
    document = json.loads(outcome.out)
    assert document["command"] == "checkpoint"
    assert document["warnings"] == [{"code": "remark", "message": "w"}]
    (reply,) = document["data"]["results"]
    assert (reply["target"], reply["ok"], reply["error"]) == ("4711", True, None)
    assert reply["result"]["target"] == "4711.batch"
    assert reply["result"]["image"]["image_id"] == IMAGE_ID
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("verb", "state", "line", "advice"),
    [
        ("vacate", "ended", "the job has ended", "restart with: syscr restart 4711"),
        ("requeue", "requeued", "the job is back in the queue", "watch it with: syscr status 4711"),
        ("requeue", "pending", "the job waits in the queue", "watch it with: syscr status 4711"),
    ],
)
def test_fate_of_the_job_is_told(
    run: Run, manager: FakeManager, verb: str, state: str, line: str, advice: str
) -> None:
    manager.answers[verb] = CheckpointResult(TARGET, make_image(), state)
    outcome = run(verb, "4711")
    assert outcome.out.splitlines()[0] == f"job 4711: image written, {line}"
    assert outcome.out.splitlines()[-1].endswith(advice)


def test_step_is_called_a_step(run: Run, manager: FakeManager) -> None:
    manager.answers["vacate"] = CheckpointResult(Target(JobId(4711), "0"), make_image(), "ended")
    outcome = run("vacate", "4711.0")
    assert outcome.out.startswith("step 4711.0: image written, the step has ended\n")
    assert outcome.out.endswith("restart with: syscr restart 4711.0\n")


def test_dry_run_shows_findings_and_does_nothing(run: Run, manager: FakeManager) -> None:
    finding = Finding(
        "big", Severity.WARNING, "image will be 200.0 GiB", "use --image-dir", "c1", 12
    )
    manager.answers["checkpoint"] = CheckpointResult(TARGET, None, "running", (finding,))
    outcome = run("checkpoint", "4711", "--dry-run")
    assert manager.calls[0][1][0].dry_run
    assert outcome.out == (
        "job 4711 can be checkpointed; nothing was done (dry run)\n"
        "  warning: image will be 200.0 GiB (node c1, pid 12)\n"
        "    use --image-dir\n"
    )


def test_warning_goes_to_standard_error(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = CheckpointResult(
        TARGET, make_image(), "running", warnings=("lock of 'c9' taken over\x1b[0m",)
    )
    assert run("checkpoint", "4711").err == "syscr: warning: lock of 'c9' taken over\\x1b[0m\n"


def test_failure_is_told_with_hint_and_its_own_code(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = CheckpointTimeoutError(
        "cannot checkpoint job 4711: 31.0 s, limit 30 s; the job is still running"
    )
    outcome = run("checkpoint", "4711")
    assert (outcome.status, outcome.out) == (31, "")
    assert outcome.err == (
        "syscr: cannot checkpoint job 4711: 31.0 s, limit 30 s; the job is still running\n"
        "hint: give it longer with --max-wait SECONDS\n"
    )


def test_failure_with_json_is_one_object_on_standard_error(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = StoreLockedError("locked", holder="c1")
    outcome = run("checkpoint", "4711", "--json")
    assert (outcome.status, outcome.out) == (57, "")
    error = json.loads(outcome.err)
    assert (error["code"], error["transient"], error["details"]) == (
        "store_locked", True, {"holder": "c1"},
    )  # fmt: skip


def test_preflight_findings_are_listed(run: Run, manager: FakeManager) -> None:
    finding = Finding(
        "socket_to_outside", Severity.ERROR, "socket to 10.0.0.9:80", "close it", "c1", 7
    )
    for findings in ([finding], [finding.to_dict()]):
        manager.answers["checkpoint"] = PreflightError(
            "cannot checkpoint job 4711: refused; the job is still running", findings=findings
        )
        outcome = run("checkpoint", "4711")
        assert outcome.status == 5
        assert outcome.err.splitlines()[1:] == [
            "  error: socket to 10.0.0.9:80 (node c1, pid 7)",
            "    close it",
        ]


def mixed(request: CheckpointRequest) -> object:
    if request.target.job_id.number == 4711:
        return CheckpointResult(request.target, make_image(), "running")
    return JobNotFoundError(f"no job {request.target}", job_id=str(request.target))


def test_several_targets_are_done_one_by_one_and_partly(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = mixed
    outcome = run("checkpoint", "12", "4711", "12")
    assert outcome.status == 4
    assert [str(call[1][0].target) for call in manager.calls] == ["12", "4711"]
    assert "job 4711: image written" in outcome.out
    assert outcome.err.splitlines()[0] == "syscr: no job 12"
    assert outcome.err.splitlines()[-1] == "syscr: cannot checkpoint 1 of 2 targets"


def test_several_targets_partly_in_json(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = mixed
    outcome = run("--json", "checkpoint", "12", "4711")
    results = json.loads(outcome.out)["data"]["results"]
    assert [(reply["target"], reply["ok"]) for reply in results] == [("12", False), ("4711", True)]
    assert results[0]["error"]["exit_code"] == 11
    assert json.loads(outcome.err)["details"]["results"] == results


def test_several_targets_that_all_fail_alike_give_that_code(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = mixed
    outcome = run("checkpoint", "12", "13")
    assert outcome.status == 11
    assert outcome.err.splitlines()[-1] == "syscr: cannot checkpoint any of 2 targets"


def test_several_targets_that_fail_differently_give_partial(run: Run, manager: FakeManager) -> None:
    def differ(request: CheckpointRequest) -> object:
        return (
            StoreLockedError("x") if request.target.job_id.number == 12 else JobNotFoundError("y")
        )

    manager.answers["checkpoint"] = differ
    assert run("checkpoint", "12", "13").status == 4


def test_requeue_of_a_step_is_refused_before_anything(run: Run, manager: FakeManager) -> None:
    outcome = run("requeue", "4711.0")
    assert (outcome.status, manager.calls) == (2, [])
    assert "hint: end the step with an image: 'syscr vacate 4711.0'" in outcome.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("checkpoint", "47x"), "syscr: not a job id: '47x'"),
        (("checkpoint", "1234_[0-9]"), "syscr: not a job id: '1234_[0-9]'"),
        (("checkpoint", "4711.x"), "syscr: not a step id: '4711.x'"),
        (("checkpoint", "4711", "--max-wait", "10m"), "syscr: not a number of seconds: '10m'"),
        (
            ("checkpoint", "4711", "--max-wait", "0"),
            "syscr: --max-wait must be more than 0 s, not 0 s",
        ),
        (("checkpoint", "4711", "--image-dir", ""), "syscr: the name of a directory is empty"),
        (("checkpoint",), "syscr: cannot read the command line: missing argument"),
        (("checkpoint", "--nope", "1"), "syscr: cannot read the command line: no such option"),
        (("chekpoint", "1"), "syscr: cannot read the command line: no such command 'chekpoint'"),
    ],
)
def test_usage_error_is_2_and_touches_nothing(
    run: Run, manager: FakeManager, argv: tuple[str, ...], message: str
) -> None:
    outcome = run(*argv)
    assert (outcome.status, outcome.out, manager.calls) == (2, "", [])
    assert outcome.err.startswith(message)
    assert "hint: " in outcome.err


def test_usage_error_with_json_is_an_object_wherever_json_stands(run: Run) -> None:
    for argv in (
        ("--json", "checkpoint"),
        ("checkpoint", "--json"),
        ("checkpoint", "--nope", "--json"),
    ):
        outcome = run(*argv)
        error = json.loads(outcome.err)
        assert (outcome.status, error["code"], error["exit_code"]) == (2, "usage", 2)
        assert error["hint"] == "see 'syscr checkpoint --help'"


def test_mistyped_command_gets_the_nearest(run: Run) -> None:
    assert run("chekpoint").err.endswith("hint: did you mean 'syscr checkpoint'?\n")
    assert run("image", "lst").err.endswith("hint: did you mean 'syscr image list'?\n")


@pytest.mark.parametrize(
    ("verb", "words"), [("checkpoint", "job 4711 keeps running"), ("vacate", "syscr status 4711")]
)
def test_interrupt_says_what_is_true_of_the_job(
    run: Run, manager: FakeManager, verb: str, words: str
) -> None:
    manager.answers[verb] = KeyboardInterrupt()
    outcome = run(verb, "4711")
    assert outcome.status == 130
    assert outcome.err.startswith("syscr: interrupted; ")
    assert words in outcome.err
    assert "unfinished image is never used" in outcome.err


def test_unexpected_exception_is_a_fault_in_syscr(run: Run, manager: FakeManager) -> None:
    manager.answers["checkpoint"] = KeyError("boom")
    outcome = run("checkpoint", "4711")
    assert outcome.status == 1
    assert outcome.err == (
        "syscr: fault in syscr: KeyError: 'boom'\n"
        "hint: run it again with --debug and report what it prints\n"
    )
    assert "Traceback" in run("--debug", "checkpoint", "4711").err
    assert (
        json.loads(run("checkpoint", "4711", "--json", "-q").err.splitlines()[-1])["code"]
        == "fault"
    )


def test_option_that_is_nearly_right_is_named(run: Run) -> None:
    assert run("checkpoint", "4711", "--dry-rum").err == (
        "syscr: cannot read the command line: no such option: --dry-rum\nhint: did you mean '--dry-run'?\n"
    )
    assert (
        run("checkpoint", "4711", "--xyzzy").err.splitlines()[-1]
        == "hint: see 'syscr checkpoint --help'"
    )
