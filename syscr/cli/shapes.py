"""The shape of every JSON document, read off the values themselves: keys, types, meanings.

Types come from the annotations of the dataclasses, meanings from their docstrings, so that neither
docs/reference/json.md nor docs/reference/json-schema.json can drift from what is printed; pure.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from syscr.cli.encode import (
    CheckpointReply,
    ImageDetails,
    ImageReply,
    ImageSummary,
    TargetFailure,
    is_path_key,
)
from syscr.cli.output import SCHEMA_VERSION
from syscr.model import Image, JobId, StepId, Target
from syscr.result import JobStatus, NodeHealth, PruneResult, RestartResult, SimulationResult
from syscr.spank import BuiltPlugin

Schema = dict[str, Any]


class Key(NamedTuple):
    """One key of an object that is no dataclass.

    Attributes:
        annotation: Type of the value in Python.
        meaning: What it says.
    """

    annotation: Any
    meaning: str


_ORDER = "in the order of the command line"
DOCUMENTS: Mapping[str, Mapping[str, Key] | type] = {
    "checkpoint": {"results": Key(tuple[CheckpointReply, ...], f"One per target, {_ORDER}.")},
    "vacate": {"results": Key(tuple[CheckpointReply, ...], f"One per target, {_ORDER}.")},
    "requeue": {"results": Key(tuple[CheckpointReply, ...], f"One per target, {_ORDER}.")},
    "restart": RestartResult,
    "status": {
        "jobs": Key(
            tuple[JobStatus, ...],
            f"One per job of which something is known, {_ORDER}, else by job id.",
        ),
        "errors": Key(
            tuple[TargetFailure, ...], f"One per other job that was named, {_ORDER}; else empty."
        ),
    },
    "simulate": {"result": Key(SimulationResult, "What became of the job.")},
    "image list": {"images": Key(tuple[Image, ...], "Images, oldest first.")},
    "image show": ImageDetails,
    "image verify": {"results": Key(tuple[ImageReply, ...], f"One per image, {_ORDER}.")},
    "image delete": {"results": Key(tuple[ImageReply, ...], f"One per image, {_ORDER}.")},
    "image undelete": {"results": Key(tuple[ImageReply, ...], f"One per image, {_ORDER}.")},
    "image prune": PruneResult,
    "doctor": {"nodes": Key(tuple[NodeHealth, ...], f"One per node, {_ORDER}.")},
    "spank build": BuiltPlugin,
    "config show": {
        "settings": Key(
            tuple[dict[str, object], ...],
            "name, value and origin of each setting, in the order of docs/reference/config.md.",
        )
    },
    "config path": {
        "files": Key(
            tuple[dict[str, object], ...], "path, role and exists of each file, weakest first."
        )
    },
    "config check": {
        "files": Key(
            tuple[dict[str, object], ...], "path, role and exists of each file, weakest first."
        ),
        "changed_count": Key(int, "Settings that have an origin other than the default."),
        "unknown_variables": Key(tuple[str, ...], "SYSCR_ variables that mean nothing, sorted."),
    },
}


def build_schema() -> Schema:
    """Return the JSON Schema of all documents: ``$defs`` by name, the documents under ``documents``."""
    definitions: dict[str, Schema] = {}
    documents = {
        command: {
            "type": "object",
            "description": f"Answer of 'syscr {command} --json'.",
            "additionalProperties": False,
            "required": ["command", "data", "schema_version", "syscr_version", "warnings"],
            "properties": {
                "command": {"const": command},
                "data": _document(shape, definitions),
                "schema_version": {"const": SCHEMA_VERSION},
                "syscr_version": {"type": "string"},
                "warnings": {"type": "array", "items": {"$ref": "#/$defs/Warning"}},
            },
        }
        for command, shape in DOCUMENTS.items()
    }
    definitions["Warning"] = _fixed({"code": "string", "message": "string"})
    definitions["Error"] = _fixed(
        {
            "code": "string",
            "details": "object",
            "exit_code": "integer",
            "hint": ["string", "null"],
            "message": "string",
            "transient": "boolean",
        }
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"syscr --json, schema version {SCHEMA_VERSION}",
        "$defs": dict(sorted(definitions.items())),
        "documents": documents,
    }


def _fixed(keys: Mapping[str, Any]) -> Schema:
    properties = {name: {"type": kind} for name, kind in keys.items()}
    return _closed(properties)


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
        "required": sorted(properties),
    }


def _document(shape: Mapping[str, Key] | type, definitions: dict[str, Schema]) -> Schema:
    if isinstance(shape, type):
        return _schema(shape, definitions)
    return _closed(
        {
            name: {**_schema(key.annotation, definitions), "description": key.meaning}
            for name, key in shape.items()
        }
    )


_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    JobId: {"type": "string"},
    StepId: {"type": "string"},
    Target: {"type": "string"},
    type(None): {"type": "null"},
    object: {},
}


def _schema(annotation: Any, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of one type, adding what it refers to."""
    if annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {"enum": [member.value for member in annotation]}
    if annotation is Image:
        annotation = ImageSummary
    if isinstance(annotation, type) and is_dataclass(annotation):
        name = annotation.__name__
        if name not in definitions:
            definitions[name] = {}  # a type may hold itself
            definitions[name] = _object(annotation, definitions)
        return {"$ref": f"#/$defs/{name}"}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _either([_schema(item, definitions) for item in arguments])
    if origin is tuple:
        return _list(arguments, definitions)
    return {"type": "object"}  # a mapping: its keys are data


def _list(arguments: tuple[Any, ...], definitions: dict[str, Schema]) -> Schema:
    schema: Schema = {"type": "array", "items": _schema(arguments[0], definitions)}
    if Ellipsis not in arguments:
        schema.update(minItems=len(arguments), maxItems=len(arguments))
    return schema


def _either(schemas: list[Schema]) -> Schema:
    if all(set(schema) == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": schemas}


def _object(cls: type, definitions: dict[str, Schema]) -> Schema:
    hints = typing.get_type_hints(cls)
    meanings = read_attributes(cls)
    properties: dict[str, Schema] = {}
    for item in fields(cls):
        schema = _schema(hints[item.name], definitions)
        if hints[item.name] is str or item.name == "uid":  # empty is unknown, unknown is null
            schema = _either([schema, {"type": "null"}])
        properties[item.name] = {**schema, "description": meanings[item.name]}
        if is_path_key(item.name):
            properties[f"{item.name}_b64"] = {
                "type": ["string", "null"],
                "description": f"Exact bytes of `{item.name}` in base64 where it is not Unicode.",
            }
    return {**_closed(properties), "description": _first_line(cls)}


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n", 1)[0]


def read_attributes(cls: type) -> dict[str, str]:
    """Return field -> meaning from the ``Attributes`` section of a docstring.

    Fields that it does not mention get an empty meaning; a test looks for them.
    """
    meanings = {item.name: "" for item in fields(cls)}
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:")
    name = ""
    for line in section.splitlines():
        match = re.match(r" {4}(\w+): (.*)", line)
        if match:
            name = match[1]
            meanings[name] = match[2].strip()
        elif name and line.startswith(" " * 8):
            meanings[name] += f" {line.strip()}"
        elif line.strip():
            break
    return meanings


def type_words(schema: Schema) -> str:
    """Return a schema's type in words, for the tables of json.md."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(type_words(item) for item in schema["anyOf"])
    if "enum" in schema:
        return "one of " + " ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    if kinds == "array":
        return f"list of {type_words(schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    words = {"string": "text", "boolean": "true or false"}
    names = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join(words.get(kind, str(kind)) for kind in names)
