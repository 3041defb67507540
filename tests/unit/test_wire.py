from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr import errors, wire
from syscr.errors import CheckpointError, RequestError, SyscrError, ToolReplyError
from syscr.model import (
    FileState,
    Finding,
    HostFacts,
    ImageFile,
    NodeReport,
    Severity,
    TaskImage,
    TaskSpec,
    Timings,
)
from syscr.ports import Capabilities
from syscr.result import NodeHealth

VALUES = (
    NodeReport,
    TaskSpec,
    Finding,
    TaskImage,
    FileState,
    ImageFile,
    HostFacts,
    Timings,
    NodeHealth,
    Capabilities,
    wire.WorkerRequest,
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.just("caf\udce9\n\x1b\u2028")
REPORTS = st.builds(
    NodeReport,
    node=st.sampled_from(["c1", "gpu-07"]),
    tasks=st.lists(
        st.builds(
            TaskSpec,
            number=st.integers(1, 9),
            step=st.just("batch"),
            rank=st.integers(0, 9),
            node=st.just("c1"),
            lineage=TEXT,
            checkpoint_dir=TEXT,
            backend=st.just("criu"),
            argv=st.lists(TEXT, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    findings=st.lists(
        st.builds(Finding, code=TEXT, severity=st.sampled_from(Severity), message=TEXT),
        max_size=2,
    ).map(tuple),
    images=st.lists(
        st.builds(
            TaskImage,
            rank=st.integers(0, 9),
            node=TEXT,
            data_dir=TEXT,
            open_files=st.lists(
                st.builds(FileState, path=TEXT, size_bytes=st.integers(0), writable=st.booleans()),
                max_size=2,
            ).map(tuple),
            state=st.dictionaries(
                TEXT, st.none() | st.booleans() | st.integers() | TEXT, max_size=2
            ),
        ),
        max_size=2,
    ).map(tuple),
    files=st.lists(
        st.builds(ImageFile, path=TEXT, size_bytes=st.integers(0), digest=st.just("d" * 64)),
        max_size=30,
    ).map(tuple),
    host=st.none()
    | st.builds(HostFacts, node=TEXT, cpu_flags=st.lists(TEXT, max_size=3).map(tuple)),
    timings=st.builds(
        Timings, frozen_us=st.none() | st.integers(0), dump_seconds=st.floats(0, 1e6)
    ),
    error=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
)


@pytest.mark.parametrize("value", VALUES)
def test_every_annotation_has_a_reader(value: type) -> None:
    for item in fields(value):
        assert str(item.type).removesuffix(" | None") in wire._READERS


@given(st.lists(REPORTS, min_size=1, max_size=3, unique_by=lambda report: report.node))
def test_reports_of_several_nodes_survive_any_mixing_of_their_lines(
    reports: list[NodeReport],
) -> None:
    texts = [wire.encode_report(report).split("\n") for report in reports]
    longest = max(map(len, texts))
    mixed = [lines[index] for index in range(longest) for lines in texts if index < len(lines)]
    assert max(map(len, mixed)) <= wire.MAX_LINE_BYTES
    assert all(line.isascii() for line in mixed)
    reader = wire.MessageReader()
    messages = [message for line in mixed if (message := reader.feed(f"{line}\n")) is not None]
    found = {report.node: report for report in map(wire.build_report, messages)}
    assert found == {report.node: report for report in reports}


@given(REPORTS)
def test_report_comes_back(report: NodeReport) -> None:
    assert wire.decode_report(wire.encode_report(report)) == report


def test_task_spec_comes_back_and_takes_defaults() -> None:
    spec = TaskSpec(5, "0", 1, "c1", "5", "/c/\udcff", "dmtcp", argv=("a b", "\n"))
    assert wire.decode_task_spec(wire.encode_task_spec(spec)) == spec
    short = '{"number":5,"step":"0","rank":1,"node":"c1","lineage":"5","checkpoint_dir":"/","backend":"x"'
    assert wire.decode_task_spec(short + ',"from_the_future":[1]}').argv == ()


def test_health_comes_back() -> None:
    health = NodeHealth(
        "c1", (Capabilities("criu", features={"a": True}, missing=("b",)),), {"k": "v"}
    )
    message = wire.MessageReader().feed(wire.encode_health(health))
    assert message is not None
    assert wire.build_health(message) == health


def test_request_comes_back() -> None:
    request = wire.WorkerRequest("dump", 5, "0", "/c/x y", 30.0, 600.0)
    assert wire.decode_request(wire.encode_request(request)) == request


@pytest.mark.parametrize(
    "values",
    [
        {"action": "format"},
        {"action": "finish", "finish_action": "explode"},
        {"action": "dump"},
    ],
)
def test_request_that_no_worker_can_do_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(RequestError):
        wire.WorkerRequest(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no report in it"),
        ("hello\n{}\n[1]\n", "no report in it"),
        ('{"type":"report"}', "'node' is missing"),
        ('{"type":"report","node":5}', "'node' is int, not str"),
        ('{"type":"report","node":"c","processes":true}', "'processes' is bool"),
        ('{"type":"report","node":"c","timings":{"dump_seconds":"1"}}', "'dump_seconds' is str"),
        (
            '{"type":"report","node":"c","images":[{"rank":0,"node":"c","data_dir":"d","stdio":["a"]}]}',
            "stdio",
        ),
        (
            '{"type":"report","node":"c","findings":[{"code":"a","severity":"bad","message":""}]}',
            "severity",
        ),
    ],
)
def test_report_that_is_none_is_a_tool_reply_error(text: str, match: str) -> None:
    with pytest.raises(ToolReplyError, match=match):
        wire.decode_report(text)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"number": 5}'])
def test_task_spec_that_is_none_is_a_tool_reply_error(text: str) -> None:
    with pytest.raises(ToolReplyError):
        wire.decode_task_spec(text)


@pytest.mark.parametrize("line", ["", "hello", "{", "[]", '{"node":"c1"}', "+c1", ".c1 x", "+ "])
def test_line_that_is_not_ours_is_passed_over(line: str) -> None:
    assert wire.MessageReader().feed(line) is None


@pytest.mark.parametrize("cls", [cls for cls in errors.iter_errors() if cls.exit_code])
def test_error_of_a_node_comes_back_as_the_same_class(cls: type[SyscrError]) -> None:
    sent = cls("disk is gone", hint="look at it", errno=5)
    error = wire.build_error(sent.to_dict(), "c7")
    assert type(error) is cls
    assert error.message == "node 'c7': disk is gone"
    assert error.hint == "look at it"
    assert error.details == {"errno": 5, "node": "c7"}


def test_error_without_known_code_is_a_checkpoint_error() -> None:
    error = wire.build_error({"code": "from_the_future", "details": [1]}, "c7")
    assert type(error) is CheckpointError
    assert "failed without a message" in error.message
