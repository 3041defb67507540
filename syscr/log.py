"""Handlers and formatters of the log; only the command line installs them.

Library code uses ``logging.getLogger(__name__)``. Fields of an operation are bound once with ``bound``
and stand in each record that is written meanwhile; a record's own ``extra`` fields go before them.
"""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TextIO

from syscr.errors import ConfigError
from syscr.units import format_time

# The fields that a record may carry, in the order in which text shows them.
FIELDS = (
    "op",
    "command",
    "job_id",
    "step_id",
    "node",
    "backend",
    "image_id",
    "phase",
    "duration_seconds",
)
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_ROOT = "syscr"
_NO_FIELDS: Mapping[str, object] = MappingProxyType({})
_bound: contextvars.ContextVar[Mapping[str, object]] = contextvars.ContextVar(
    "bound",
    default=_NO_FIELDS,
)


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Add fields to every record of the block; unknown names are refused with ValueError."""
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise ValueError(f"no log field: {', '.join(unknown)}")
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class _BindFields(logging.Filter):
    """Puts the bound fields into the record, in the thread that made it."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _bound.get().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    return {
        name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None
    }


class TextFormatter(logging.Formatter):
    """One line for people: time, weight, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on lines of its own."""
        fields = " ".join(f"{name}={_short(value)}" for name, value in _fields_of(record).items())
        text = f"{_time_of(record)} {record.levelname.lower()} {_one_line(record.getMessage())}"
        text += f" ({fields})" if fields else ""
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, fields; ``exception`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "type": "log",
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, sort_keys=True, default=str)


def configure(
    *, level: str, form: str, file: str = "", stream: TextIO | None = None
) -> logging.Logger:
    """Install the handlers of syscr's logger, replacing those of an earlier call.

    Args:
        level: Name in ``LEVELS``.
        form: ``text`` or ``json``.
        file: Absolute path that gets the same lines, appended; empty: none.
        stream: Where the lines go; None: standard error.

    Raises:
        ConfigError: The file cannot be opened.
    """
    logger = logging.getLogger(_ROOT)
    release()
    handlers: list[logging.Handler] = [
        logging.StreamHandler(sys.stderr if stream is None else stream)
    ]
    if file:
        try:
            handlers.append(logging.FileHandler(file, encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            raise ConfigError(
                f"cannot write log file '{file}': {error.strerror}",
                hint="set log.file to a file in an existing directory, or to nothing",
                path=file,
            ) from error
    formatter = JsonFormatter() if form == "json" else TextFormatter()
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(_BindFields())
        logger.addHandler(handler)
    logger.setLevel(LEVELS[level])
    logger.propagate = False
    return logger


def release() -> None:
    """Take all handlers off syscr's logger and close them."""
    logger = logging.getLogger(_ROOT)
    for handler in tuple(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def choose_level(configured: str, *, verbosity: int, is_quiet: bool) -> str:
    """Return the level: ``-q`` error, ``-v`` info, ``-vv`` debug, else the configured one; pure."""
    if is_quiet:
        return "error"
    if verbosity >= 2:
        return "debug"
    return "info" if verbosity == 1 and configured != "debug" else configured


def _time_of(record: logging.LogRecord) -> str:
    return format_time(datetime.fromtimestamp(record.created, UTC))


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n").replace("\x1b", "\\x1b")


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else _one_line(str(value))
