"""The JSON Schema of ``manifest.json``, made from the model, so that it cannot drift; pure.

docs/reference/manifest.schema.json is the text of ``format_schema``; a test compares them.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from dataclasses import MISSING, is_dataclass
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

from syscr.model import Manifest
from syscr.store.codec import stored_fields
from syscr.store.manifest import SCHEMA_VERSION

_ATTRIBUTE = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", re.MULTILINE | re.DOTALL)
_PATTERNS = {
    "image_id": "^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$",
    "lineage": "^[1-9][0-9]*$",
    "step": "^(batch|extern|interactive|0|[1-9][0-9]*)$",
    "digest": "^[0-9a-f]{32,128}$",
}
_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
}


def build_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema, draft 2020-12); unknown keys are allowed, as in reading."""
    definitions: dict[str, Any] = {}
    top = _build_object(Manifest, definitions)
    sha256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    top["properties"] = {
        "schema_version": {"const": SCHEMA_VERSION},
        **top["properties"],
        "file_count": {"type": "integer", "description": "Number of stored files."},
        "size_bytes": {"type": "integer", "description": "Total size of the stored files."},
        "manifest_sha256": {
            **sha256,
            "description": "SHA-256 of all bytes before this key's line.",
        },
    }
    top["required"] = ["schema_version", *top["required"], "size_bytes", "manifest_sha256"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "syscr manifest",
        **top,
        "$defs": definitions,
    }


def format_schema() -> str:
    """Return the schema as the text of docs/reference/manifest.schema.json."""
    return json.dumps(build_schema(), indent=2) + "\n"


def _build_object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    texts = _read_attributes(cls)
    properties: dict[str, Any] = {}
    required = []
    for field in stored_fields(cls):
        name, hint = field.name, hints[field.name]
        schema = _build_type(hint, definitions)
        if hint is str and name in _PATTERNS:
            schema = {**schema, "pattern": _PATTERNS[name]}
        if name == "size_bytes":
            schema = {**schema, "minimum": 0}
        properties[name] = {**schema, "description": texts.get(name, "").replace("``", "")}
        if field.default is MISSING and field.default_factory is MISSING:
            required.append(name)
        if _is_text(hint) and name not in _PATTERNS:
            properties[f"{name}_b64"] = _build_exact(hint, name)
    summary = (inspect.getdoc(cls) or "").split("\n", 1)[0]
    return {
        "type": "object",
        "description": summary,
        "properties": properties,
        "required": required,
    }


def _build_type(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = next(part for part in arguments if part is not type(None))
        return {"anyOf": [_build_type(inner, definitions), {"type": "null"}]}
    if origin is tuple:
        array: dict[str, Any] = {"type": "array", "items": _build_type(arguments[0], definitions)}
        if arguments[-1] is not Ellipsis:
            array |= {"minItems": len(arguments), "maxItems": len(arguments)}
        return array
    if is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}
            definitions[hint.__name__] = _build_object(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return {"type": "object"}


def _is_text(hint: Any) -> bool:
    return hint is str or (get_origin(hint) is tuple and get_args(hint)[0] is str)


def _build_exact(hint: Any, name: str) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}
    if hint is not str:
        text = {"type": "array", "items": {"anyOf": [text, {"type": "null"}]}}
    return {**text, "description": f"Exact bytes of {name}; only where they are not Unicode."}


def _read_attributes(cls: type) -> dict[str, str]:
    """Return field -> description from the section Attributes of a docstring."""
    _, _, section = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    return {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(section)}
