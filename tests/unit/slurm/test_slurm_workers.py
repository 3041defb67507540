from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from unittest.mock import ANY

import pytest

from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    JobStateError,
    OperationUnsupportedError,
    StoreFullError,
    ToolReplyError,
)
from syscr.model import ImageFile, Job, JobId, JobState, NodeReport, TaskSpec
from syscr.ports import Capabilities
from syscr.result import NodeHealth
from syscr.slurm import commands
from syscr.slurm.command_line import split_command
from syscr.slurm.workers import SrunWorkers
from syscr.testing.runner import ANSWER_END, FakeRunner
from syscr.wire import (
    WorkerRequest,
    decode_request,
    encode_health,
    encode_progress,
    encode_report,
    encode_request,
)

JOB = Job(
    JobId(12, 3), 40, "alice", 1000, JobState.RUNNING, "RUNNING", "None", "c[1-2]", ("c1", "c2")
)


def _argv(request: WorkerRequest, job: Job = JOB, *, as_owner: bool = False) -> tuple[str, ...]:
    command = ("/opt/syscr", "worker", "--request", encode_request(request))
    return commands.build_worker_step(
        job, command, timeout_seconds=request.timeout_seconds, as_owner=as_owner
    )


INSPECT = WorkerRequest("inspect", 40, None, timeout_seconds=60.0)
DUMP = WorkerRequest(
    "dump", 40, "0", "/ckpt/s", hold_seconds=0.0, timeout_seconds=100.0, node_count=2
)


def _out(*messages: str) -> str:
    return "".join(f"{message}\n" for message in messages)


def _dump(
    workers: SrunWorkers, hold_seconds: float = 0.0, seen: list[Mapping[str, object]] | None = None
) -> tuple[NodeReport, ...]:
    return workers.dump(
        JOB,
        step="0",
        staging_dir="/ckpt/s",
        hold_seconds=hold_seconds,
        timeout_seconds=100.0,
        progress=(seen if seen is not None else []).append,
    )


def test_inspect_returns_reports_in_node_order_whatever_comes_first() -> None:
    big = NodeReport("c2", files=tuple(ImageFile(f"data/{n}", n, "d" * 64) for n in range(100)))
    lines = encode_report(big).split("\n")
    strange = ["welcome to c1", encode_progress("c1", "look")]
    mixed = [lines[0], encode_report(NodeReport("c1")), *strange, *lines[1:]]
    with FakeRunner() as runner:
        runner.expect(_argv(INSPECT), stdout=_out(*mixed))
        reports = SrunWorkers(runner, ["/opt/syscr"]).inspect(JOB, step=None)
    assert reports == (NodeReport("c1"), big)
    assert runner.calls[0].timeout_seconds == 90.0


def test_dump_passes_progress_on_and_asks_only_nodes_with_tasks() -> None:
    task = TaskSpec(40, "0", 0, "c2", "12", "/c", "criu")
    seen: list[Mapping[str, object]] = []
    there = replace(JOB, nodes=("c2",))
    report = NodeReport("c2", tool_version="4.2")
    with FakeRunner() as runner:
        reply = _out(encode_report(NodeReport("c1")), encode_report(NodeReport("c2", (task,))))
        runner.expect(_argv(INSPECT), stdout=reply)
        runner.expect(
            _argv(replace(DUMP, node_count=1), there),
            stdout=_out(encode_progress("c2", "dump", 5, 10), encode_report(report)),
        )
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None)
        assert _dump(workers, seen=seen) == (report,)
    assert seen == [
        {"type": "progress", "node": "c2", "phase": "dump", "bytes_done": 5, "bytes_total": 10}
    ]


def test_node_without_answer_is_named() -> None:
    with FakeRunner() as runner:
        runner.expect(
            _argv(INSPECT),
            stdout=_out(encode_report(NodeReport("c1"))),
            stderr="srun: error: c2: task 1: Killed\n",
            exit_code=137,
        )
        with pytest.raises(CheckpointError, match=re.escape("node 'c2' did not answer (Killed)")):
            SrunWorkers(runner, ["/opt/syscr"]).inspect(JOB, step=None)


def test_dump_past_its_limit_is_a_time_out_with_the_nodes_that_hang() -> None:
    with FakeRunner() as runner:
        runner.expect(_argv(DUMP), stdout=_out(encode_report(NodeReport("c1"))), times_out=True)
        with pytest.raises(CheckpointTimeoutError, match="node 'c2' did not answer in time"):
            _dump(SrunWorkers(runner, ["/opt/syscr"]))


def test_all_answers_count_even_if_srun_fails() -> None:
    reply = _out(encode_report(NodeReport("c1")), encode_report(NodeReport("c2")))
    with FakeRunner() as runner:
        runner.expect(_argv(INSPECT), stdout=reply, exit_code=1, stderr="srun: error: x\n")
        assert len(SrunWorkers(runner, ["/opt/syscr"]).inspect(JOB, step=None)) == 2


def test_error_of_one_node_comes_back_as_its_class_and_ends_the_hold_of_the_others() -> None:
    full: dict[str, object] = {"code": "store_full", "message": "no space", "hint": None}
    request = replace(DUMP, hold_seconds=30.0)
    resume = WorkerRequest("finish", 40, "0", timeout_seconds=60.0, finish_action="resume")
    ok = _out(encode_report(NodeReport("c1")), encode_report(NodeReport("c2")))
    failed = _out(encode_report(NodeReport("c1")), encode_report(NodeReport("c2", error=full)))
    with FakeRunner() as runner:
        runner.expect(_argv(request), stdout=failed)
        runner.expect(_argv(resume), stdout=ok)
        with pytest.raises(StoreFullError, match=r"step 12_3\.0: node 'c2': no space"):
            _dump(SrunWorkers(runner, ["/opt/syscr"]), 30.0)


def test_hold_that_cannot_be_ended_is_a_note_not_another_error() -> None:
    with FakeRunner() as runner:
        runner.expect(
            [ANY] * len(_argv(DUMP)), exit_code=1, stderr="srun: error: Slurm job 40 has expired\n"
        )
        runner.expect(
            [ANY] * len(_argv(DUMP)), exit_code=1, stderr="srun: error: Slurm job 40 has expired\n"
        )
        with pytest.raises(JobStateError) as caught:
            _dump(SrunWorkers(runner, ["/opt/syscr"]), 30.0)
    assert "go on when their hold ends" in caught.value.__notes__[0]


@pytest.mark.parametrize("state", [JobState.SUSPENDED, JobState.PENDING, JobState.COMPLETING])
def test_job_that_does_not_run_is_refused_without_srun(state: JobState) -> None:
    job = replace(JOB, state=state, raw_state=state.value)
    with FakeRunner() as runner, pytest.raises(JobStateError, match=state.value):
        SrunWorkers(runner, ["/opt/syscr"]).inspect(job, step=None)


def test_report_not_understood_is_a_tool_reply_error() -> None:
    reply = _out('{"type":"report","node":"c1"}', '{"type":"report","node":"c2","tasks":5}')
    with FakeRunner() as runner:
        runner.expect(_argv(INSPECT), stdout=reply)
        with pytest.raises(ToolReplyError, match="'tasks' is int"):
            SrunWorkers(runner, ["/opt/syscr"]).inspect(JOB, step=None)


def test_finish_says_what_to_do() -> None:
    kill = WorkerRequest("finish", 40, "batch", timeout_seconds=60.0, finish_action="kill")
    reply = _out(encode_report(NodeReport("c1")), encode_report(NodeReport("c2")))
    with FakeRunner() as runner:
        runner.expect(_argv(kill), stdout=reply)
        SrunWorkers(runner, ["/opt/syscr"]).finish(JOB, step="batch", action="kill")


def test_administrator_becomes_the_owner() -> None:
    argv = _argv(INSPECT, as_owner=True)
    assert argv[:5] == ("runuser", "-u", "alice", "--", "srun")


@pytest.mark.parametrize("as_owner", [True, False])
def test_step_has_only_options_that_every_srun_knows(as_owner: bool) -> None:
    argv = _argv(INSPECT, as_owner=as_owner)
    split = split_command("srun", argv[argv.index("srun") + 1 :])
    names = {option.name for option in split.parsed}
    assert {"jobid", "overlap", "kill-on-bad-exit", "wait", "propagate", "immediate"} <= names
    assert split.program[0] == "/opt/syscr"


def test_probe_asks_node_by_node_and_keeps_failures_apart() -> None:
    health = NodeHealth("c1", (Capabilities("criu", "4.2", missing=("no",)),), {"kernel": "6"})
    request = WorkerRequest("probe", timeout_seconds=60.0)
    command = ("/opt/syscr", "worker", "--request", encode_request(request))
    with FakeRunner() as runner:
        runner.expect(
            commands.build_probe_step("c1", command, timeout_seconds=60.0),
            stdout=_out(encode_health(health)),
        )
        runner.expect(
            commands.build_probe_step("c9", command, timeout_seconds=60.0),
            stderr="srun: error: Unable to allocate resources: Invalid node name specified\n",
            exit_code=1,
        )
        first, second = SrunWorkers(runner, ["/opt/syscr"]).probe_nodes(["c1", "c9"])
    assert first == health
    assert second.node == "c9"
    assert "Invalid node name specified" in second.error


KEPT = replace(INSPECT, keep_seconds=600.0)


def _kept_argv() -> tuple[str, ...]:
    command = ("/opt/syscr", "worker", "--request", encode_request(KEPT))
    return commands.build_worker_step(JOB, command, timeout_seconds=660.0, keep_input=True)


def _waiting(*nodes: str, tasks: Mapping[str, TaskSpec] = {}) -> str:
    return _out(
        *(
            encode_report(
                NodeReport(node, (tasks[node],) if node in tasks else (), is_waiting=True)
            )
            for node in nodes
        )
    )


def test_kept_step_serves_inspection_dump_and_end_of_the_hold() -> None:
    task = TaskSpec(40, "0", 0, "c2", "12", "/c", "criu")
    answers = [
        _waiting("c2", "c1", tasks={"c2": task}),
        _waiting("c2"),
        _out(encode_report(NodeReport("c2"))),
    ]
    with FakeRunner() as runner:
        runner.expect(_kept_argv(), stdout=ANSWER_END.join(answers))
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        assert [report.node for report in _dump(workers, 30.0)] == ["c2"]
        [talk] = runner.conversations
        assert not talk.ended
        workers.finish(JOB, step="0", action="kill")
    dump, finish = (decode_request(line) for line in talk.sent)
    assert (dump.action, dump.nodes, dump.node_count, dump.keep_seconds) == (
        "dump",
        ("c2",),
        1,
        60.0,
    )
    assert (finish.action, finish.finish_action, finish.nodes) == ("finish", "kill", ("c2",))
    assert talk.ended


def test_worker_that_does_not_wait_is_started_again() -> None:
    with FakeRunner() as runner:
        runner.expect(_kept_argv(), stdout=_out(*(encode_report(NodeReport(n)) for n in JOB.nodes)))
        runner.expect(_argv(DUMP), stdout=_out(*(encode_report(NodeReport(n)) for n in JOB.nodes)))
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        assert runner.conversations[0].ended
        assert len(_dump(workers)) == 2


def test_step_that_cannot_be_started_is_started_once() -> None:
    """Srun of Slurm 18.08 and 19.05 answers so."""
    text = "srun: unrecognized option '--overlap'\nTry \"srun --help\" for more information\n"
    with FakeRunner() as runner:
        runner.expect(_kept_argv(), stderr=text, exit_code=255)
        workers = SrunWorkers(runner, ["/opt/syscr"])
        with pytest.raises(OperationUnsupportedError, match="srun of this Slurm has no --overlap"):
            workers.inspect(JOB, step=None, keep_seconds=600.0)
    assert len(runner.conversations) == 1


def test_hold_is_ended_by_a_new_step_where_the_kept_one_has_gone() -> None:
    with FakeRunner() as runner:
        runner.expect(
            _kept_argv(), stdout=ANSWER_END.join([_waiting("c1", "c2"), _waiting("c1", "c2")])
        )
        resume = replace(INSPECT, action="finish", step="0", finish_action="resume")
        runner.expect(
            _argv(resume), stdout=_out(*(encode_report(NodeReport(n)) for n in JOB.nodes))
        )
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        _dump(workers, 30.0)
        assert len(workers.finish(JOB, step="0", action="resume")) == 2


def test_kept_step_that_dies_in_a_dump_is_not_asked_again() -> None:
    with FakeRunner() as runner:
        runner.expect(
            _kept_argv(),
            stdout=ANSWER_END.join([_waiting("c1", "c2"), _waiting("c1")]),
            stderr="srun: error: c2: task 1: Killed\n",
            exit_code=137,
        )
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        with pytest.raises(CheckpointError, match=re.escape("node 'c2' did not answer (Killed)")):
            _dump(workers)


def test_kept_step_past_its_limit_is_a_time_out() -> None:
    with FakeRunner() as runner:
        runner.expect(_kept_argv(), stdout=_waiting("c1", "c2"), times_out=True)
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        with pytest.raises(CheckpointTimeoutError, match="nodes 'c1', 'c2' did not answer in time"):
            _dump(workers)


def test_release_sends_workers_away_and_is_harmless_twice() -> None:
    with FakeRunner() as runner:
        runner.expect(_kept_argv(), stdout=_waiting("c1", "c2"))
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        workers.release(JOB)
        workers.release(JOB)
    assert runner.conversations[0].ended


def test_kept_step_says_after_a_failed_dump_what_became_of_the_tasks() -> None:
    """It needs no controller for that, which may be what has failed."""
    failure = CheckpointError("cannot checkpoint task 0: full").to_dict()
    failed = [encode_report(NodeReport(n, error=failure, is_waiting=True)) for n in JOB.nodes]
    task = TaskSpec(40, "0", 0, "c1", "12", "/c", "criu")
    answers = [_waiting("c1", "c2"), _out(*failed), _waiting("c1", "c2", tasks={"c1": task})]
    with FakeRunner() as runner:
        runner.expect(_kept_argv(), stdout=ANSWER_END.join(answers))
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        with pytest.raises(CheckpointError, match="full"):
            _dump(workers)
        found = workers.inspect(JOB, step="0")
        assert [report.tasks for report in found] == [(task,), ()]
        workers.release(JOB)
    [talk] = runner.conversations
    assert [decode_request(line).action for line in talk.sent] == ["dump", "inspect"]
    assert talk.ended


def test_workers_that_are_told_to_leave_are_not_waited_for_until_the_end() -> None:
    with FakeRunner() as runner:
        runner.expect(
            _kept_argv(), stdout=ANSWER_END.join([_waiting("c1", "c2"), _waiting("c1", "c2")])
        )
        workers = SrunWorkers(runner, ["/opt/syscr"])
        workers.inspect(JOB, step=None, keep_seconds=600.0)
        _dump(workers)
        workers.release(JOB, wait=False)
        [talk] = runner.conversations
        assert not set(decode_request(talk.sent[-1]).nodes) & set(JOB.nodes)
        assert not talk.ended
        workers.release(JOB)
        assert talk.ended
