"""Frozen dataclasses <-> JSON objects, exact also for text that is not Unicode; pure.

One rule for all fields: the key is the field's name, a missing key is the field's default, an
unknown key is ignored; a field with ``model.NOT_STORED`` has no key. Text that is not Unicode (a path, an argument) stands as an approximation
under its own key and as exact bytes under ``<key>_b64``. What else a manifest must be is in
``manifest.py``.
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from syscr.model import NOT_STORED

T = TypeVar("T")
Json = Mapping[str, Any]
_Reader = Callable[[Any, Json, str], Any]
_EXACT = "_b64"


class CodecError(ValueError):
    """A value does not fit; the text begins with where: ``tasks[0].rank: not an integer``."""


def encode(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON object, keys in the order of its fields.

    Raises:
        CodecError: A value has no JSON form (NaN, a time without a zone).
    """
    document: dict[str, Any] = {}
    for field in stored_fields(value):
        name = field.name
        try:
            document[name], exact = _encode_item(getattr(value, name))
        except ValueError as error:
            raise CodecError(f"{name}: {error}") from error
        if exact is not None:
            document[name + _EXACT] = exact
    return document


def stored_fields(cls: Any) -> tuple[Field[Any], ...]:
    """Return the fields of a dataclass that have a key."""
    return tuple(field for field in fields(cls) if field.metadata != NOT_STORED)


def _encode_item(item: Any) -> tuple[Any, Any]:
    """Return (JSON value, exact bytes or None)."""
    if isinstance(item, str):
        return _encode_text(item)
    if isinstance(item, tuple):
        if all(isinstance(part, str) for part in item):
            pairs = [_encode_text(part) for part in item]
            exact = [pair[1] for pair in pairs]
            return [pair[0] for pair in pairs], exact if any(exact) else None
        return [encode(part) for part in item], None
    if isinstance(item, datetime):
        return _encode_time(item), None
    if is_dataclass(item):
        return encode(item), None
    if isinstance(item, float) and not math.isfinite(item):
        raise CodecError(f"not a finite number: {item}")
    return item, None


def _encode_text(text: str) -> tuple[str, str | None]:
    if text.isascii():
        return text, None
    raw = text.encode("utf-8", "surrogateescape")
    shown = raw.decode("utf-8", "replace")
    return shown, None if shown == text else base64.b64encode(raw).decode("ascii")


def _encode_time(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise CodecError("a time without a zone")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def decode(cls: type[T], document: object) -> T:
    """Return the dataclass ``cls`` of a JSON object.

    Raises:
        CodecError: A key is missing that has no default, or a value is of the wrong kind.
    """
    return cls(**decode_fields(cls, document))


def decode_fields(
    cls: type, document: object, skip: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the values of the fields of ``cls`` except ``skip``, defaults filled in."""
    if type(document) is not dict:
        raise CodecError("not an object")
    values: dict[str, Any] = {}
    for name, read, default in _plan(cls, skip):
        raw = document.get(name, MISSING)
        if read is _read_text and type(raw) is str and raw.isascii():
            values[name] = raw  # most fields; a call less for each counts in long listings
        elif raw is MISSING:
            values[name] = _default(name, default)
        else:
            try:
                values[name] = read(raw, document, name)
            except CodecError as error:
                raise CodecError(_join(name, str(error))) from None
    return values


def _default(name: str, default: Any) -> Any:
    if default is MISSING:
        raise CodecError(f"{name}: missing")
    return default() if callable(default) else default


def _join(name: str, text: str) -> str:
    """Put a name in front of ``rank: not ...`` (inner key), ``[0]: ...`` (index) or a bare text."""
    if text.startswith("["):
        return name + text
    return f"{name}.{text}" if ": " in text else f"{name}: {text}"


@functools.cache
def _plan(cls: type, skip: frozenset[str]) -> tuple[tuple[str, _Reader, Any], ...]:
    """Return (field, reader, default or its factory or MISSING) for each field but ``skip``."""
    hints = get_type_hints(cls)
    return tuple(
        (
            field.name,
            _reader(hints[field.name]),
            field.default_factory if field.default_factory is not MISSING else field.default,
        )
        for field in stored_fields(cls)
        if field.name not in skip
    )


def _reader(hint: Any) -> _Reader:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _optional(_reader(next(part for part in arguments if part is not type(None))))
    if origin is tuple and arguments[0] is str:
        return _texts(None if arguments[-1] is Ellipsis else len(arguments))
    if origin is tuple:
        return _objects(arguments[0])
    if origin is dict:
        return _read_object
    if isinstance(hint, type) and is_dataclass(hint):
        return _object(hint)
    raise TypeError(f"no JSON form for {hint!r}")


def _read_text(raw: Any, document: Json, key: str) -> str:
    if type(raw) is not str:
        raise CodecError("not a text")
    if raw.isascii():
        return raw
    return _exact_text(raw, document.get(key + _EXACT))


def _exact_text(shown: Any, exact: Any) -> str:
    if type(shown) is not str:
        raise CodecError("not a text")
    if exact is None:
        try:
            shown.encode("utf-8")
        except UnicodeEncodeError:
            raise CodecError("not Unicode, and its exact bytes are missing") from None
        return shown
    try:
        raw = base64.b64decode(exact, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise CodecError(f"its {_EXACT} is not base64") from None
    if raw.decode("utf-8", "replace") != shown:
        raise CodecError(f"its {_EXACT} is another text")
    return raw.decode("utf-8", "surrogateescape")


def _read_int(raw: Any, _document: Json, _key: str) -> int:
    if type(raw) is not int:
        raise CodecError("not an integer")
    return raw


def _read_float(raw: Any, _document: Json, _key: str) -> float:
    if type(raw) not in (int, float):
        raise CodecError("not a number")
    try:
        number = float(raw)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise CodecError("not a finite number")
    return number


def _read_bool(raw: Any, _document: Json, _key: str) -> bool:
    if type(raw) is not bool:
        raise CodecError("not true or false")
    return raw


def _read_time(raw: Any, _document: Json, _key: str) -> datetime:
    try:
        moment = datetime.fromisoformat(raw)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise CodecError("not an RFC 3339 time with a zone") from None


def _read_object(raw: Any, _document: Json, _key: str) -> dict[str, Any]:
    if type(raw) is not dict:
        raise CodecError("not an object")
    return raw


def _optional(read: _Reader) -> _Reader:
    return lambda raw, document, key: None if raw is None else read(raw, document, key)


def _texts(length: int | None) -> _Reader:
    def read(raw: Any, document: Json, key: str) -> tuple[str, ...]:
        if type(raw) is not list or (length is not None and len(raw) != length):
            raise CodecError("not a list" if length is None else f"not a list of {length}")
        exact = document.get(key + _EXACT)
        if exact is None:
            if all(type(text) is str and text.isascii() for text in raw):
                return tuple(raw)
            exact = [None] * len(raw)
        elif type(exact) is not list or len(exact) != len(raw):
            raise CodecError(f"its {_EXACT} is not a list of {len(raw)}")
        return tuple([_exact_text(*pair) for pair in zip(raw, exact, strict=True)])

    return read


def _object(cls: type) -> _Reader:
    return lambda raw, _document, _key: decode(cls, raw)


def _objects(cls: type) -> _Reader:
    def read(raw: Any, _document: Json, _key: str) -> tuple[Any, ...]:
        if type(raw) is not list:
            raise CodecError("not a list")
        items: list[Any] = []
        for index, part in enumerate(raw):
            try:
                items.append(decode(cls, part))
            except CodecError as error:
                raise CodecError(_join(f"[{index}]", str(error))) from None
        return tuple(items)

    return read


_SIMPLE: dict[Any, _Reader] = {
    str: _read_text,
    int: _read_int,
    float: _read_float,
    bool: _read_bool,
    datetime: _read_time,
}
