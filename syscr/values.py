"""What a setting is; its text -> value -> text; pure. The settings are declared in ``declared.py``."""

from __future__ import annotations

from typing import Literal, NamedTuple

from syscr.errors import RequestError

Kind = Literal["path", "program", "choice", "names", "seconds", "count"]
Value = str | float | int | tuple[str, ...]


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: ``section.key`` of the file, ``backends.<backend>.<key>`` for a backend's.
        attribute: Attribute of ``Settings``.
        kind: ``path`` (absolute, ``~`` and ``{user}`` are filled in), ``program`` (name or absolute
            path), ``choice``, ``names`` (list or comma-separated), ``seconds``, ``count``.
        default: Value where nobody says anything, as it would be written.
        help: One sentence.
        variables: Environment variables; the first wins.
        option: Command-line option and the verbs that have it; empty if none.
        choices: Allowed values of ``choice`` and ``names``.
        minimum: Smallest allowed number, itself included.
        may_be_empty: Whether an empty text is a value.
        example: Another sensible value, as it is written in the file.
        since: First version that has it.
    """

    name: str
    attribute: str
    kind: Kind
    default: str | float | int | tuple[str, ...]
    help: str
    variables: tuple[str, ...]
    option: str = ""
    choices: tuple[str, ...] = ()
    minimum: float = 0
    may_be_empty: bool = False
    example: str = ""
    since: str = "0.1"

    @property
    def section(self) -> str:
        """Return the table of the file, ``store`` or ``backends.criu``."""
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Return the key inside its table."""
        return self.name.rpartition(".")[2]


def parse_value(setting: Setting, raw: object, *, home: str, user: str) -> Value:
    """Turn what was written into a value; pure.

    Args:
        setting: Whose value.
        raw: Text (environment, command line), or what TOML gave.
        home: What a leading ``~`` stands for.
        user: What ``{user}`` stands for.

    Raises:
        ValueError: Not a value of this setting; the text says what would be.
    """
    if setting.kind in ("seconds", "count"):
        return _parse_number(setting, raw)
    if setting.kind == "names":
        return _parse_names(setting, raw)
    if not isinstance(raw, str):
        raise ValueError(f"must be text in quotes, not {raw!r}")
    text = raw.strip() if setting.kind == "choice" else raw
    if setting.kind == "choice":
        if text not in setting.choices:
            raise ValueError(f"must be one of {', '.join(setting.choices)}, not '{text}'")
        return text
    return _parse_path(setting, text, home=home, user=user)


def _parse_number(setting: Setting, raw: object) -> float | int:
    number: float
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError(f"must be a number, not {raw!r}")
    if isinstance(raw, str):
        try:
            number = float(raw)
        except ValueError:
            number = _parse_seconds(setting, raw)
    else:
        number = float(raw)
    if not setting.minimum <= number < float("inf"):
        raise ValueError(f"must be at least {setting.minimum:g}, not {number:g}")
    if setting.kind == "count":
        if number != int(number):
            raise ValueError(f"must be a whole number, not {number:g}")
        return int(number)
    return number


def _parse_seconds(setting: Setting, text: str) -> float:
    if setting.kind != "seconds":
        raise ValueError(f"must be a number, not '{text}'")
    from syscr.units import parse_duration  # each task of a job would pay for it

    try:
        return parse_duration(text)
    except RequestError as error:
        raise ValueError(
            f"must be a number of seconds, or such as 90s or 15m, not '{text}'"
        ) from error


def _parse_names(setting: Setting, raw: object) -> tuple[str, ...]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"must be a list of names, not {raw!r}")
    names = tuple(str(item).strip() for item in items)
    for name in names:
        if name not in setting.choices:
            raise ValueError(f"may hold {', '.join(setting.choices)}, not '{name}'")
    if not names or len(set(names)) < len(names):
        raise ValueError("must hold at least one name, and each at most once")
    return names


def _parse_path(setting: Setting, text: str, *, home: str, user: str) -> str:
    if not text:
        if setting.may_be_empty:
            return ""
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("must not hold a NUL byte")
    path = text.replace("{user}", user)
    if path == "~" or path.startswith("~/"):
        path = home.rstrip("/") + path[1:]
    if setting.kind == "program" and "/" not in path:
        return path
    if not path.startswith("/"):
        raise ValueError(f"must be an absolute path, not '{text}'")
    return path


def format_value(value: Value) -> str:
    r"""Write a value as TOML does.

    Example:
        >>> format_value('a"b'), format_value(600.0), format_value(("criu", "dmtcp"))
        ('"a\\"b"', '600', '["criu", "dmtcp"]')
    """
    if isinstance(value, str):
        return '"' + "".join(_ESCAPES.get(char) or _escape(char) for char in value) + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    return f"{value:.15g}"


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escape(char: str) -> str:
    # a surrogate stands for a byte that is not UTF-8; TOML cannot hold it, so it is shown as itself
    if char.isprintable() and not "\ud800" <= char <= "\udfff":
        return char
    return f"\\U{ord(char):08x}" if ord(char) > 0xFFFF else f"\\u{ord(char):04x}"
