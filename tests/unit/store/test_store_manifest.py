"""Manifest <-> bytes: exact, additive, and never believed when altered."""

from __future__ import annotations

import json
import os
import random
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syscr.errors import ManifestError, StoreAccessError
from syscr.model import (
    FileState,
    HostFacts,
    ImageFile,
    Manifest,
    Submission,
    TaskImage,
    Timings,
)
from syscr.ports import StoreKey
from syscr.store.manifest import (
    HEAVY,
    check_place,
    format_manifest,
    parse_manifest,
    parse_summary,
    read_summary,
    seal,
)
from syscr.store.schema import build_schema, format_schema
from syscr.testing.images import sample_manifest

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/data/manifest/1/manifest.json"
SCHEMA = ROOT / "docs/reference/manifest.schema.json"

any_text = st.binary(max_size=12).map(os.fsdecode)
inner_path = st.lists(
    st.binary(min_size=1, max_size=8)
    .filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
    .map(os.fsdecode),
    min_size=1,
    max_size=3,
).map("/".join)
sizes = st.integers(0, 1 << 60)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=6,
)
images = st.builds(
    TaskImage,
    rank=st.integers(0, 9),
    node=any_text,
    data_dir=inner_path,
    working_dir=any_text,
    argv=st.lists(any_text, max_size=3).map(tuple),
    stdio=st.tuples(any_text, any_text, any_text),
    open_files=st.lists(
        st.builds(FileState, path=any_text, size_bytes=sizes, writable=st.booleans()), max_size=2
    ).map(tuple),
    resident_bytes=sizes,
    state=st.dictionaries(st.text(max_size=4), json_values, max_size=2),
)
manifests = st.builds(
    Manifest,
    image_id=st.just("20261122T061900Z-9f3c21ab"),
    created_at=st.datetimes(
        datetime(1990, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])
    ),
    lineage=st.integers(1, 1 << 31).map(str),
    number=sizes,
    job_id=any_text,
    step=st.sampled_from(["batch", "0", "17"]),
    backend=any_text,
    job_name=any_text,
    nodes=st.lists(any_text, max_size=3).map(tuple),
    time_limit_seconds=st.none() | st.floats(0, 1e12),
    submission=st.builds(Submission, options=st.lists(any_text, max_size=3).map(tuple)),
    tags=st.lists(any_text, max_size=2).map(tuple),
    tasks=st.lists(images, max_size=2).map(tuple),
    hosts=st.lists(st.builds(HostFacts, node=any_text, cpu_model=any_text), max_size=1).map(tuple),
    files=st.lists(
        st.builds(
            ImageFile,
            path=inner_path.filter(lambda path: path != "manifest.json"),
            size_bytes=sizes,
            digest=st.just("ab" * 32),
            rank=st.none() | st.integers(0, 9),
        ),
        max_size=3,
        unique_by=lambda file: file.path,
    ).map(tuple),
    timings=st.builds(Timings, frozen_us=st.none() | sizes),
    notes=st.lists(any_text, max_size=2).map(tuple),
)


def parse(data: bytes) -> Manifest:
    return parse_manifest(data, path="/x/manifest.json")


def reseal(document: Any) -> bytes:
    """Return the bytes of an altered document whose own digest fits again."""
    document = {key: value for key, value in document.items() if key != "manifest_sha256"}
    text = json.dumps(document, indent=0)
    return seal(text.removesuffix("\n}").encode("ascii"))


@given(manifests)
@settings(max_examples=200)
def test_manifest_any_bytes_round_trip_exactly(manifest: Manifest) -> None:
    data = format_manifest(manifest)
    again = parse(data)
    assert again == manifest
    assert format_manifest(again) == format_manifest(replace(manifest, created_at=again.created_at))
    jsonschema.validate(json.loads(data), build_schema())


def test_manifest_golden_is_still_understood() -> None:
    data = GOLDEN.read_bytes()
    manifest = parse(data)
    assert manifest.job_name == "café \udcff"
    assert manifest.files[2].path == "data/1/odd \udcfe\n.img"
    assert manifest.tasks[1].open_files[0].append
    assert manifest.hosts[0].cpu_flags[0] == "flag_000"
    old, new = json.loads(data), json.loads(format_manifest(manifest))
    del old["manifest_sha256"], new["manifest_sha256"]
    assert old["timings"].pop("publish_seconds") == 0  # early manifests said so, which was not true
    assert manifest.timings.publish_seconds is None
    assert new == old, "schema 1 may only grow; if it did, write the golden manifest anew"


def test_time_of_publishing_is_not_in_a_manifest_which_is_written_before() -> None:
    manifest = replace(parse(GOLDEN.read_bytes()), timings=Timings(publish_seconds=2.5))
    document = json.loads(format_manifest(manifest))
    assert "publish_seconds" not in document["timings"]
    assert "publish_seconds" not in build_schema()["$defs"]["Timings"]["properties"]


def test_properties_have_no_time_limit() -> None:
    """On a machine that is busy any example can take long; a limit for each says nothing of the code."""
    assert settings.default is not None
    assert settings.default.deadline is None


def test_manifest_of_a_version_that_recorded_no_times_is_read() -> None:
    document = json.loads(GOLDEN.read_bytes())
    for task in document["tasks"]:
        for file in task["open_files"]:
            del file["modified_ns"]
    assert parse(reseal(document)).tasks[1].open_files[0].modified_ns == 0


def test_manifest_golden_fits_the_published_schema() -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(GOLDEN.read_bytes()), schema)


def test_schema_file_is_what_the_model_says() -> None:
    assert SCHEMA.read_text() == format_schema(), (
        "write it anew: python -c 'from syscr.store.schema import format_schema as f; "
        'open("docs/reference/manifest.schema.json", "w").write(f())\''
    )


def test_schema_every_field_has_a_description() -> None:
    schema = build_schema()
    for name, part in [("Manifest", schema), *schema["$defs"].items()]:
        for key, value in part["properties"].items():
            assert value.get("description") or key == "schema_version", f"{name}.{key}"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schema_version": 1}',
        b"[" * 100_000,
        b'{"schema_version": 1, "uid": ' + b"9" * 5000 + b"}",
    ],
)
def test_manifest_that_is_no_manifest_names_the_file(broken: bytes) -> None:
    with pytest.raises(ManifestError, match=r"cannot read manifest '/x/manifest.json': "):
        parse(broken)


@pytest.mark.parametrize("version", [0, 2, 99, "1", 1.0, None, True, [1]])
def test_manifest_unknown_schema_version_is_named(version: object) -> None:
    document = json.loads(GOLDEN.read_bytes()) | {"schema_version": version}
    with pytest.raises(ManifestError) as caught:
        parse(reseal(document))
    assert "/x/manifest.json" in caught.value.message
    assert f"schema version {json.dumps(version)} is not known" in caught.value.message
    assert "version 1" in caught.value.hint


def test_manifest_unknown_keys_are_ignored() -> None:
    document = json.loads(GOLDEN.read_bytes())
    document["new"] = {"a": 1}
    document["tasks"][0]["new"] = []
    document["timings"]["new_seconds"] = 1.5
    assert parse(reseal(document)) == parse(GOLDEN.read_bytes())


def test_manifest_missing_keys_take_their_default() -> None:
    document = json.loads(GOLDEN.read_bytes())
    del document["notes"], document["timings"], document["tasks"][0]["state"]
    manifest = parse(reseal(document))
    assert manifest.notes == ()
    assert manifest.timings == Timings()
    assert manifest.tasks[0].state == {}


@given(st.integers(0, 1 << 30), st.integers(1, 255))
@settings(max_examples=300)
def test_manifest_any_flipped_byte_is_noticed(place: int, mask: int) -> None:
    data = bytearray(GOLDEN.read_bytes())
    data[place % len(data)] ^= mask
    if bytes(data).rstrip() == GOLDEN.read_bytes().rstrip():
        return
    with pytest.raises(ManifestError):
        parse(bytes(data))


@given(st.integers(0, 1 << 30))
def test_manifest_cut_anywhere_is_noticed(length: int) -> None:
    data = GOLDEN.read_bytes().rstrip()
    with pytest.raises(ManifestError):
        parse(data[: length % len(data)])


def _mutate(value: Any, source: random.Random) -> Any:
    """Return JSON with one random place changed."""
    odd: list[Any] = [
        None,
        True,
        -1,
        1 << 70,
        1e308,
        "",
        "x",
        "../x",
        "\ud800",
        [],
        [1],
        {},
        {"a": []},
    ]
    if isinstance(value, dict) and value and source.random() < 0.9:
        key = source.choice(list(value))
        if source.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return value | {key: _mutate(value[key], source)}
    if isinstance(value, list) and value and source.random() < 0.9:
        index = source.randrange(len(value))
        if source.random() < 0.2:
            return [*value, value[index]]
        return [*value[:index], _mutate(value[index], source), *value[index + 1 :]]
    return source.choice(odd)


@given(st.integers(0, 1 << 40), st.integers(1, 3))
@settings(max_examples=500)
def test_manifest_random_changes_raise_nothing_else(seed: int, count: int) -> None:
    source = random.Random(seed)
    document = json.loads(GOLDEN.read_bytes())
    for _ in range(count):
        document = _mutate(document, source)
    if not isinstance(document, dict):
        return
    for read in (parse, lambda data: parse_summary(data, path="/x/manifest.json")):
        try:
            manifest = read(reseal(document))
        except ManifestError as error:
            assert "cannot read manifest" in error.message  # noqa: PT017
        else:
            assert manifest is None or manifest.image_id


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"image_id": "../../x"}, "image_id: not an image id"),
        ({"lineage": "../1"}, "lineage"),
        ({"step": "0/../../x"}, "lineage"),
        ({"files": [{"path": "../x", "size_bytes": 0, "digest": "ab" * 32}]}, "files[0].path"),
        ({"files": [{"path": "/x", "size_bytes": 0, "digest": "ab" * 32}]}, "files[0].path"),
        ({"files": [{"path": "x", "size_bytes": -1, "digest": "ab" * 32}]}, "files[0].size_bytes"),
        ({"files": [{"path": "x", "size_bytes": 0, "digest": "--"}]}, "files[0].digest"),
        ({"files": 2 * [{"path": "x", "size_bytes": 0, "digest": "ab" * 32}]}, "named twice"),
        ({"files": [{"size_bytes": 0, "digest": "ab" * 32}]}, "files[0].path: missing"),
        ({"files": [{"path": 1, "size_bytes": 0, "digest": ""}]}, "files[0].path: not a text"),
        ({"tasks": [{"rank": 0, "node": "c", "data_dir": "/etc"}]}, "tasks[0].data_dir"),
        ({"tasks": [{"rank": 0, "node": "c", "data_dir": "d", "stdio": ["", ""]}]}, "list of 3"),
        ({"uid": True}, "uid: not an integer"),
        ({"created_at": "2026-11-22T06:19:00"}, "created_at: not an RFC 3339 time with a zone"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "created_at: not an RFC 3339 time"),
        ({"time_limit_seconds": 1e999}, "time_limit_seconds: not a finite number"),
        ({"job_name": "\udcff", "job_name_b64": None}, "exact bytes are missing"),
        ({"job_name": "é", "job_name_b64": "!"}, "not base64"),
        ({"job_name": "é", "job_name_b64": "AAAA"}, "another text"),
        ({"nodes": ["é"], "nodes_b64": []}, "not a list of 1"),
    ],
)
def test_manifest_contradiction_is_refused_by_name(change: dict[str, Any], complaint: str) -> None:
    document = json.loads(GOLDEN.read_bytes()) | change
    with pytest.raises(ManifestError) as caught:
        parse(reseal(document))
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": "x"},
        {"time_limit_seconds": float("nan")},
        {"created_at": datetime(2026, 1, 1)},
        {"job_name": "\ud800"},
        {"files": (ImageFile("../x", 1, "ab" * 32),)},
        {"files": (ImageFile("manifest.json", 1, "ab" * 32),)},
        {"tasks": (TaskImage(0, "c1", "data/0", state={"a": float("inf")}),)},
        {"tasks": (TaskImage(0, "c1", "data/0", state={"a": object()}),)},
        {
            "tasks": (
                TaskImage(0, "c1", "d", open_files=(FileState("/x", 1, True, copy="../../x"),)),
            )
        },
    ],
)
def test_format_manifest_what_has_no_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="cannot write manifest"):
        format_manifest(replace(sample_manifest(), **change))


def test_manifest_file_has_the_head_first_and_one_file_on_each_line() -> None:
    lines = format_manifest(sample_manifest()).decode("ascii").splitlines()
    keys = [line.split('"')[1] for line in lines if line.startswith(' "')]
    assert keys[0] == "schema_version"
    assert keys[-1] == "manifest_sha256"
    assert tuple(key for key in keys if key in HEAVY) == HEAVY
    assert sum(line.startswith('  {"path": ') for line in lines) == 30


def test_summary_reads_the_head_and_equals_the_whole(tmp_path: Path) -> None:
    manifest = sample_manifest(job_name="café \udcff", notes=("\udcff",))
    path = tmp_path / "manifest.json"
    path.write_bytes(format_manifest(manifest))
    summary = read_summary(str(path))
    path.rename(tmp_path / "elsewhere")
    assert summary.size_bytes == manifest.size_bytes
    light = [field.name for field in fields(Manifest) if field.name not in HEAVY]
    assert all(getattr(summary, name) == getattr(manifest, name) for name in light)
    with pytest.raises(ManifestError, match="cannot read manifest"):
        _ = summary.files
    (tmp_path / "elsewhere").rename(path)
    assert summary.files == manifest.files
    assert summary == manifest
    assert manifest == summary
    assert replace(summary, tags=("keep",)) == replace(manifest, tags=("keep",))
    assert repr(summary.tasks) == repr(manifest.tasks)
    assert summary.__eq__("something else") is NotImplemented
    with pytest.raises(AttributeError):
        _ = summary.nonsense  # type: ignore[attr-defined]


def test_summary_of_a_reformatted_or_long_manifest_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    long = sample_manifest(nodes=tuple(f"node{number:05}" for number in range(5000)))
    path.write_bytes(format_manifest(long))
    assert read_summary(str(path)) == long
    path.write_bytes(reseal(json.loads(format_manifest(sample_manifest()))))
    assert read_summary(str(path)) == sample_manifest()


def test_summary_altered_tail_is_noticed_when_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    data = format_manifest(sample_manifest())
    path.write_bytes(data.replace(b'"size_bytes": 1048576', b'"size_bytes": 1048577'))
    summary = read_summary(str(path))
    with pytest.raises(ManifestError, match="altered"):
        _ = summary.files


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
def test_summary_of_a_pipe_or_link_is_refused(tmp_path: Path, make: Any) -> None:
    path = str(tmp_path / "manifest.json")
    make(path)
    with pytest.raises((OSError, ManifestError, StoreAccessError)):
        read_summary(path)


def test_check_place_moved_manifest_is_refused() -> None:
    manifest = sample_manifest(lineage="4711", step="0")
    right = {"image_id": manifest.image_id, "key": StoreKey("4711", "0")}
    check_place(manifest, path="/x", **right)  # type: ignore[arg-type]
    with pytest.raises(ManifestError, match=r"it belongs in '4711.0.ckpt'"):
        check_place(manifest, image_id=manifest.image_id, key=StoreKey("4712", "0"), path="/x")
    with pytest.raises(ManifestError, match="it describes image"):
        check_place(
            manifest, image_id="20261122T061900Z-00000000", key=StoreKey("4711", "0"), path="/x"
        )
