"""JSON documents keep to the schema that is published, and values are encoded by one rule."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli_support import (
    IMAGE_ID,
    FakeManager,
    Run,
    check_golden,
    make_image,
    make_job,
    make_task,
)
from hypothesis import given
from hypothesis import strategies as st

from syscr.cli import encode, output, shapes
from syscr.errors import ImageNotFoundError, JobNotFoundError, SyscrError, iter_errors
from syscr.model import Finding, JobId, JobState, Life, Severity, StepId, StopReason, Target
from syscr.ports import Capabilities
from syscr.result import (
    CheckpointResult,
    Decision,
    JobStatus,
    NodeHealth,
    PruneResult,
    RestartResult,
    SimulationResult,
    SkippedImage,
)
from syscr.spank import BuiltPlugin

SCHEMA = shapes.build_schema()
TARGET = Target(JobId(4711), "batch")
LIFE = Life(
    4711, 0, "c1", datetime(2026, 11, 24, 11, tzinfo=UTC), "", datetime(2026, 11, 24, 12, tzinfo=UTC),
    StopReason.OWN_END, IMAGE_ID, datetime(2026, 11, 24, 11, 30, tzinfo=UTC), None, 3, "note",
)  # fmt: skip
FINDING = Finding("x", Severity.WARNING, "message", "", "c1", 3)
ANSWERS: dict[str, Any] = {
    "checkpoint": lambda request: (
        JobNotFoundError("none")
        if request.target.job_id.number == 12
        else CheckpointResult(TARGET, make_image(), "running", (FINDING,), ("w",))
    ),
    "restart": RestartResult(
        make_image(), JobId(4711), "requeue", "running", ("c1",), (SkippedImage("a", ("b",)),), ("w",), 1.5
    ),
    "status": lambda targets: (
        JobNotFoundError("none")
        if targets[0].job_id.number == 12
        else (
            JobStatus(
                TARGET, make_job(), (make_task(),), (FINDING,), (make_image(),), "bob", ("w",)
            ),
            JobStatus(TARGET, None, lives=(LIFE,), kept_seconds=60.0, lost_seconds=0.5),
        )
    ),
    "simulate": SimulationResult(TARGET, "preempt", LIFE, "PENDING"),
    "list_images": ((make_image(path="/d/\udcff"),), ("w",)),
    "get_image": lambda image_id, *_: (
        make_image() if image_id == IMAGE_ID else ImageNotFoundError("none")
    ),
    "verify_image": (),
    "delete_image": make_image(is_deleted=True),
    "undelete_image": make_image(),
    "prune": PruneResult((Decision(make_image(), keep=True, reason="newest"),), ("a",), ("w",)),
    "doctor": (
        NodeHealth("c1", (Capabilities("criu", "4.2", features={"a": True}),), {"kernel": "6"}),
    ),
}  # fmt: skip
ANSWERS["vacate"] = ANSWERS["requeue"] = ANSWERS["checkpoint"]


class FakeBuilder:
    """Stands for ``spank.PluginBuilder``."""

    def build(self, directory: str, *, include_dir: str, compiler: str) -> BuiltPlugin:
        assert (include_dir, compiler) == ("/usr/include", "cc")
        return BuiltPlugin(
            f"{directory}/syscr_spank.so", "24.11", "optional /opt/plugin/syscr_spank.so"
        )


CALLS: dict[str, tuple[str, ...]] = {
    "checkpoint": ("4711", "12"),
    "vacate": ("4711", "12"),
    "requeue": ("4711", "12"),
    "restart": ("4711",),
    "status": ("4711", "12"),
    "simulate": ("4711", "--preempt"),
    "image list": (),
    "image show": (IMAGE_ID,),
    "image verify": (IMAGE_ID, "20200101T"),
    "image delete": (IMAGE_ID, "20200101T"),
    "image undelete": (IMAGE_ID,),
    "image prune": ("--keep-last", "1"),
    "doctor": (),
    "spank build": ("/opt/plugin",),
    "config show": (),
    "config path": (),
    "config check": (),
}


def validate(document: object, schema: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]}).validate(document)


def test_every_document_has_a_call() -> None:
    assert set(CALLS) == set(shapes.DOCUMENTS)


@pytest.mark.parametrize("command", CALLS)
def test_document_keeps_to_its_schema(
    run: Run,
    manager: FakeManager,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager.answers.update(ANSWERS)
    monkeypatch.setattr("syscr.wiring.slurm.build_plugin_builder", FakeBuilder)
    outcome = run("--json", *command.split(), *CALLS[command])
    document = json.loads(outcome.out)
    validate(document, SCHEMA["documents"][command])
    assert document["command"] == command
    assert list(document) == sorted(document)
    if outcome.err:
        validate(json.loads(outcome.err.splitlines()[-1]), {"$ref": "#/$defs/Error"})
    if not command.startswith("config"):
        check_golden(
            f"json/{command.replace(' ', '-')}.json",
            json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
        )


def test_every_field_has_a_meaning() -> None:
    for name, definition in SCHEMA["$defs"].items():
        for key, schema in definition["properties"].items():
            if name not in ("Error", "Warning"):
                assert schema["description"], f"{name}.{key}: no line under Attributes"


def test_error_of_each_class_keeps_to_the_schema() -> None:
    for cls in iter_errors():
        validate(encode.to_json(cls("m", a=1).to_dict()), {"$ref": "#/$defs/Error"})


def test_ids_are_text_states_upper_and_own_enums_lower() -> None:
    values = (
        JobId(12, 3),
        StepId(JobId(1), "0"),
        Target(JobId(1)),
        JobState.RUNNING,
        Severity.ERROR,
    )
    assert encode.to_json(values) == ["12_3", "1.0", "1", "RUNNING", "error"]


def test_time_is_utc_and_unknown_is_null_and_zero_is_zero() -> None:
    assert encode.to_json(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"
    task = encode.to_json(make_task())
    assert isinstance(task, dict)
    assert (task["restored_from"], task["rank"], task["run_dir_b64"]) == (None, 0, None)
    assert encode.to_json(Path("/x")) == "/x"
    assert encode.to_json({"a": {1}}) == {"a": [1]}


def test_uid_that_is_unknown_is_null() -> None:
    manifest = encode.to_json(make_image(uid=-1).manifest)
    assert isinstance(manifest, dict)
    assert manifest["uid"] is None


@given(st.text())
def test_any_text_becomes_valid_unicode(text: str) -> None:
    encode.approximate(text).encode("utf-8")
    output.printable(text).encode("utf-8")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", output.printable(text))


@given(st.binary())
def test_bytes_of_a_path_survive(raw: bytes) -> None:
    import base64
    import os

    path = os.fsdecode(raw)
    exact = encode.exact_bytes(path)
    if exact is None:
        assert encode.approximate(path).encode() == raw
    else:
        assert base64.b64decode(exact) == raw


def test_type_words_read_well() -> None:
    words = shapes.type_words
    assert words({"type": ["string", "null"]}) == "text or null"
    assert words({"anyOf": [{"$ref": "#/$defs/Job"}, {"type": "null"}]}) == "[Job](#job) or null"
    assert words({"type": "array", "items": {"type": "boolean"}}) == "list of true or false"
    assert words({"enum": ["a", "b"]}) == "one of `a` `b`"
    assert words({}) == "any"


def test_attributes_are_read_off_docstrings() -> None:
    from syscr.model import Timings

    meanings = shapes.read_attributes(Timings)
    assert is_dataclass(Timings)
    assert list(meanings) == [item.name for item in fields(Timings)]
    assert "microseconds" in meanings["frozen_us"]
    assert meanings["frozen_us"].endswith("does not say.")


def test_finding_that_the_message_says_is_not_repeated() -> None:
    finding = Finding("x", Severity.ERROR, "step 1.7 is foreign", "use 'syscr srun'")
    error = SyscrError(
        "cannot do it: step 1.7 is foreign", findings=[finding.to_dict()], hint="use 'syscr srun'"
    )
    assert output.format_error(error).splitlines() == [
        "syscr: cannot do it: step 1.7 is foreign",
        "hint: use 'syscr srun'",
    ]


def test_tool_output_and_notes_are_detail_lines() -> None:
    error = SyscrError(
        "cannot do it: refused\nmore",
        tool_output="\n".join(map(str, range(30))),
        log_path="/l",
        hint="h",
    )
    error.add_note("staging is left")
    lines = output.format_error(error).splitlines()
    assert lines[:3] == ["syscr: cannot do it: refused", "  more", "| 10"]
    assert lines[-4:] == ["| 29", "  full log: /l", "  note: staging is left", "hint: h"]
