"""Text of the command line -> values: targets, image ids, seconds, durations, directories."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from syscr.errors import RequestError
from syscr.model import Target
from syscr.units import parse_duration

_IMAGE_ID = re.compile(r"\d{8}T[0-9A-Za-z-]*")


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only in newer versions of click


class _Parsed(_ParamType):
    """A type that is one of our own parse functions; RequestError passes through with its hint."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's
        ctx: click.Context | None,  # noqa: ARG002 - click's
    ) -> Any:
        """Read text; a value that is none (a default) is left alone."""
        return self._parse(value) if isinstance(value, str) else value


def is_image_id(text: str) -> bool:
    """Return whether text is an image id or a prefix that reaches its ``T``, so never a job; pure."""
    return _IMAGE_ID.fullmatch(text) is not None


def parse_image_id(text: str) -> str:
    """Read an image id or prefix.

    Raises:
        RequestError: Neither.
    """
    if not is_image_id(text):
        raise RequestError(
            f"not an image id: '{text}'",
            hint="an id looks like 20261124T061900Z-9f3c21ab and may be cut anywhere after its T",
        )
    return text


def parse_seconds(text: str) -> float:
    """Read a bare number of seconds.

    Raises:
        RequestError: Anything else.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds < float("inf"):
        raise RequestError(f"not a number of seconds: '{text}'", hint="write for example 600")
    return seconds


def parse_directory(text: str) -> str:
    """Return the absolute form of a directory's name; it need not exist.

    Raises:
        RequestError: It is empty.
    """
    if not text:
        raise RequestError("the name of a directory is empty", hint="name a directory")
    return os.path.abspath(text)


TARGET = _Parsed("target", Target.parse)
IMAGE_ID = _Parsed("image", parse_image_id)
SECONDS = _Parsed("seconds", parse_seconds)
DURATION = _Parsed("duration", parse_duration)
DIRECTORY = _Parsed("directory", parse_directory)
