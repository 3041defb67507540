"""restart: job or image, waiting or not, and what is told about the job."""

from __future__ import annotations

import json

import pytest
from cli_support import IMAGE_ID, FakeManager, Run, make_image

from syscr.errors import JobStateError, RestartTimeoutError
from syscr.model import JobId, Target
from syscr.request import RestartRequest
from syscr.result import RestartResult, SkippedImage

JOB = JobId(4711)


def result(**changes: object) -> RestartResult:
    values: dict[str, object] = {
        "image": make_image(), "job_id": JOB, "method": "requeue", "job_state": "running",
        "nodes": ("c1",), "wait_seconds": 3.4, **changes,
    }  # fmt: skip
    return RestartResult(**values)  # type: ignore[arg-type]


def test_running_again_names_node_image_and_time(run: Run, manager: FakeManager) -> None:
    manager.answers["restart"] = result()
    outcome = run("restart", "4711", "--stick-to-nodes")
    assert outcome.out == (
        "job 4711 runs again on c1\n"
        f"  image   {IMAGE_ID}, criu, 1.5 GiB in 2 files\n"
        "  method  requeued under the same job id\n"
        "  nodes   c1\n"
        "  took    3.4 s\n"
        "watch it with: syscr status 4711\n"
    )
    assert manager.calls == [
        ("restart", (RestartRequest(Target(JOB), stick_to_nodes=True, wait_seconds=300.0),))
    ]


def test_new_job_that_waits_is_named_with_its_origin(run: Run, manager: FakeManager) -> None:
    manager.answers["restart"] = result(
        job_id=JobId(4720), method="submit", job_state="pending", nodes=()
    )
    outcome = run("restart", "4711", "--no-wait", "--new-job")
    assert outcome.out.splitlines()[0] == (
        "job 4720 waits in the queue (continues job 4711); it continues when Slurm starts it"
    )
    assert "  nodes   as Slurm chooses" in outcome.out.splitlines()
    assert manager.calls[0][1][0] == RestartRequest(Target(JOB), new_job=True, wait_seconds=0.0)


@pytest.mark.parametrize(
    ("method", "job_id", "words"), [("requeue", JOB, "job 4711"), ("submit", None, "a new job")]
)
def test_dry_run_says_what_would_be_done(
    run: Run, manager: FakeManager, method: str, job_id: JobId | None, words: str
) -> None:
    manager.answers["restart"] = result(method=method, job_id=job_id, job_state="planned")
    outcome = run("restart", "4711", "--dry-run")
    assert outcome.out.splitlines()[0] == (
        f"would restart {words} from image {IMAGE_ID}; nothing was done (dry run)"
    )


def test_image_that_was_passed_over_is_a_warning(run: Run, manager: FakeManager) -> None:
    manager.answers["restart"] = result(
        skipped=(SkippedImage("20261124T120000Z-00000000", ("pages-1.img: size 3, not 4", "x")),)
    )
    outcome = run("restart", "4711")
    assert outcome.err == (
        "syscr: warning: image 20261124T120000Z-00000000 was passed over:"
        " pages-1.img: size 3, not 4; x\n"
    )


def test_image_id_or_prefix_stands_for_the_job(run: Run, manager: FakeManager) -> None:
    manager.answers["restart"] = result()
    run("restart", "20261124T")
    run("restart", "4711.0", "--image", IMAGE_ID)
    assert [call[1][0] for call in manager.calls] == [
        RestartRequest(None, image_id="20261124T"),
        RestartRequest(Target(JOB, "0"), image_id=IMAGE_ID),
    ]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((IMAGE_ID, "--image", IMAGE_ID), "two images are named"),
        (("4711", "--wait", "5", "--no-wait"), "--wait and --no-wait contradict"),
        (("4711", "--image", "newest"), "not an image id: 'newest'"),
        (("20261124",), None),
        (("2026T",), "not a job id: '2026T'"),
    ],
)
def test_contradictions_are_refused(
    run: Run, manager: FakeManager, argv: tuple[str, ...], message: str | None
) -> None:
    manager.answers["restart"] = result()
    outcome = run("restart", *argv)
    assert outcome.status == (2 if message else 0)
    assert (message or "") in outcome.err


def test_wait_comes_from_the_configuration(
    run: Run, manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSCR_RESTART_WAIT", "7")
    manager.answers["restart"] = result()
    run("restart", "4711")
    assert manager.calls[0][1][0].wait_seconds == 7


def test_quiet_prints_the_job_id_and_json_all(run: Run, manager: FakeManager) -> None:
    manager.answers["restart"] = result()
    assert run("restart", "4711", "-q").out == "4711\n"
    data = json.loads(run("restart", "4711", "--json").out)["data"]
    assert (data["job_id"], data["nodes"], data["wait_seconds"]) == ("4711", ["c1"], 3.4)


@pytest.mark.parametrize("error", [JobStateError("it runs"), RestartTimeoutError("not yet")])
def test_failure_has_its_own_code(run: Run, manager: FakeManager, error: Exception) -> None:
    manager.answers["restart"] = error
    assert run("restart", "4711").status in (12, 41)


def test_interrupt_says_that_it_may_still_come_back(run: Run, manager: FakeManager) -> None:
    manager.answers["restart"] = KeyboardInterrupt()
    assert run("restart", "4711").err == (
        "syscr: interrupted; job 4711 may still come back; look with 'syscr status 4711'\n"
    )
    assert "the job of image 20261124T may still" in run("restart", "20261124T").err
