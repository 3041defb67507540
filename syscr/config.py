"""Collects the settings: defaults, system file, user file, environment, command line; later wins.

What can be set is declared in ``declared.py``. Importing this is cheap (``syscr run`` does it in each
task): the TOML reader is loaded only if a file exists. Only this module and ``process/`` look at
``os.environ``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from syscr.declared import BY_NAME, SETTINGS
from syscr.errors import ConfigError
from syscr.settings import Settings, suggest
from syscr.values import Setting, Value, parse_value

SYSTEM_FILE = "/etc/syscr.toml"
COMMAND_LINE = "command line"
DEFAULT = "default"
COMPLETION_VARIABLE = "_SYSCR_COMPLETE"
# Variables of ours that are no settings.
OTHER_VARIABLES = ("SYSCR_CONFIG", "SYSCR_REQUIRE", "SYSCR_SRUN")


class ConfigFile(NamedTuple):
    """One place where settings may lie.

    Attributes:
        path: Absolute path.
        role: ``system`` or ``user``.
        must_exist: It was named, so that its absence is an error.
    """

    path: str
    role: str
    must_exist: bool


class _Source(NamedTuple):
    """Values of one place: setting -> (raw value, origin in words, line or None)."""

    values: Mapping[str, tuple[object, str]]
    is_users: bool
    text: str = ""


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    config_file: str | None = None,
    overrides: Mapping[str, object] | None = None,
    system_file: str | None = None,
    is_privileged: bool | None = None,
) -> Settings:
    """Collect and check all settings.

    Contract: reads at most two files, changes nothing. With privilege (setuid, or root through sudo)
    the user's file and environment are not looked at: only the system file and the command line count.

    Args:
        environ: Environment; None: this process's.
        config_file: File that stands in for the user's (``--config``).
        overrides: Setting -> value of the command line; a None value is no value.
        system_file: System file; None: ``/etc/syscr.toml``.
        is_privileged: Whether this acts for another user; None: found out.

    Raises:
        ConfigError: A file cannot be read, a name is unknown, a value is wrong or a setting is locked.
    """
    env = os.environ if environ is None else environ
    privileged = has_privilege(env) if is_privileged is None else is_privileged
    sources: list[_Source] = []
    locked: dict[str, str] = {}
    for file in find_files(
        env, config_file=config_file, system_file=system_file, is_privileged=privileged
    ):
        source, names = _read_file(file)
        sources.append(source)
        locked.update(dict.fromkeys(names, file.path))
    if not privileged:
        sources.append(_read_environment(env))
    given = {
        name: (raw, COMMAND_LINE) for name, raw in (overrides or {}).items() if raw is not None
    }
    for name in given:
        if name not in BY_NAME:
            raise ConfigError(f"unknown setting '{name}'", hint=suggest(name), setting=name)
    sources.append(_Source(given, is_users=os.getuid() != 0))
    return _merge(sources, locked, home=find_home(env), user=find_user(env, privileged))


def find_files(
    environ: Mapping[str, str],
    *,
    config_file: str | None = None,
    system_file: str | None = None,
    is_privileged: bool = False,
) -> tuple[ConfigFile, ...]:
    """Return the files that count, the weakest first, whether they exist or not."""
    system = ConfigFile(SYSTEM_FILE if system_file is None else system_file, "system", False)
    named = config_file or ("" if is_privileged else environ.get("SYSCR_CONFIG", ""))
    if named:
        return (system, ConfigFile(os.path.abspath(named), "user", True))
    if is_privileged:
        return (system,)
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):  # XDG: a relative path is invalid and ignored
        base = f"{find_home(environ)}/.config"
    return (system, ConfigFile(f"{base.rstrip('/')}/syscr/config.toml", "user", False))


def has_privilege(environ: Mapping[str, str]) -> bool:
    """Return whether this process acts with more rights than its caller's: setuid, or sudo to root."""
    if os.getuid() != os.geteuid():
        return True
    return os.geteuid() == 0 and environ.get("SUDO_UID", "0") != "0"


def find_home(environ: Mapping[str, str]) -> str:
    """Return the home directory: HOME, else the user database, else ``/``."""
    home = environ.get("HOME", "")
    if home.startswith("/"):
        return home.rstrip("/") or "/"
    entry = _password_entry()
    return str(entry[5]) if entry is not None else "/"


def find_user(environ: Mapping[str, str], is_privileged: bool) -> str:
    """Return the user's name from the user database, else USER, else the number."""
    entry = _password_entry()
    if entry is not None:
        return str(entry[0])
    return ("" if is_privileged else environ.get("USER", "")) or str(os.getuid())


def find_unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the SYSCR_ variables that mean nothing, sorted; they are legal, and often a slip."""
    known = {variable for setting in SETTINGS for variable in setting.variables}
    return tuple(
        sorted(
            name
            for name in environ
            if name.startswith("SYSCR_") and name not in known and name not in OTHER_VARIABLES
        )
    )


def export_config_file(path: str) -> None:
    """Let ``path`` be the user's file for the rest of this process and for its children."""
    os.environ["SYSCR_CONFIG"] = os.path.abspath(path)


def completion_question() -> str:
    """Return what a shell's completion asks (``bash_complete``); empty: this is no such call."""
    return os.environ.get(COMPLETION_VARIABLE, "")


def _password_entry() -> Any:
    import pwd  # not needed where HOME is set and no value holds {user}

    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        return None


def _read_environment(environ: Mapping[str, str]) -> _Source:
    """Take what is set; an empty variable counts as not set."""
    values: dict[str, tuple[object, str]] = {}
    for setting in SETTINGS:
        for variable in setting.variables:
            if environ.get(variable):
                values[setting.name] = (environ[variable], variable)
                break
    return _Source(values, is_users=True)


def _read_file(file: ConfigFile) -> tuple[_Source, tuple[str, ...]]:
    """Return the values of a file and the names it locks."""
    try:
        with open(file.path, "rb") as stream:
            data = stream.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        if not file.must_exist:
            return _Source({}, is_users=False), ()
        raise _file_error(file.path, error.strerror or "not found") from error
    except OSError as error:
        raise _file_error(file.path, error.strerror or str(error)) from error
    import tomllib  # costs 3 ms: only where there is a file

    try:
        text = data.decode("utf-8")
        table = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = str(error)
        raise _file_error(file.path, reason[:1].lower() + reason[1:]) from error
    locked = _read_policy(file, table.pop("policy", None), text)
    values: dict[str, tuple[object, str]] = {}
    for name, raw in _flatten(table):
        if name not in BY_NAME:
            raise ConfigError(
                f"cannot use {_locate(file.path, text, name)}: unknown key '{name}'",
                hint=suggest(name),
                path=file.path,
                setting=name,
            )
        values[name] = (raw, file.path)
    return _Source(values, is_users=file.role == "user", text=text), locked


def _read_policy(file: ConfigFile, policy: object, text: str) -> tuple[str, ...]:
    """Return the names that a system file locks."""
    if policy is None:
        return ()
    if file.role != "system":
        raise ConfigError(
            f"cannot use {_locate(file.path, text, 'policy')}: only the system file may hold [policy]",
            hint=f"remove [policy], or ask the administrator for it in {SYSTEM_FILE}",
            path=file.path,
        )
    unknown = sorted(set(policy) - {"locked"}) if isinstance(policy, dict) else ["policy"]
    if unknown:
        raise ConfigError(
            f"cannot use {_locate(file.path, text, unknown[0])}: unknown key 'policy.{unknown[0]}'",
            hint='[policy] holds: locked = ["section.key", ...]',
            path=file.path,
        )
    names = policy.get("locked", []) if isinstance(policy, dict) else []
    for name in names if isinstance(names, list) else [names]:
        if name not in BY_NAME:
            raise ConfigError(
                f"cannot use {_locate(file.path, text, 'locked')}: policy.locked names '{name}',"
                " which is no setting",
                hint=suggest(str(name)),
                path=file.path,
            )
    return tuple(names)


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield (dotted name, value) of nested tables; a table that belongs to nothing counts as a key."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        is_section = any(known.startswith(f"{name}.") for known in BY_NAME)
        if isinstance(value, dict) and is_section:
            yield from _flatten(value, f"{name}.")
        elif isinstance(value, dict) and value:
            yield f"{name}.{next(iter(value))}", value
        else:
            yield name, value


def _merge(sources: list[_Source], locked: Mapping[str, str], *, home: str, user: str) -> Settings:
    """Let later sources win, and refuse users' values for locked settings."""
    values: dict[str, Value] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        values[setting.attribute] = parse_value(setting, setting.default, home=home, user=user)
        origins[setting.name] = DEFAULT
        for source in sources:
            if setting.name not in source.values:
                continue
            raw, origin = source.values[setting.name]
            value = _check(setting, raw, origin, source.text, home=home, user=user)
            if setting.name in locked and source.is_users and value != values[setting.attribute]:
                raise ConfigError(
                    f"cannot set '{setting.name}' from {origin}: locked in {locked[setting.name]}",
                    hint=f"leave it out; the administrator's value is used: {values[setting.attribute]}",
                    setting=setting.name,
                    origin=origin,
                )
            values[setting.attribute] = value
            origins[setting.name] = origin
    arguments: dict[str, Any] = dict(values)
    return Settings(**arguments, origins=origins)


def _check(setting: Setting, raw: object, origin: str, text: str, *, home: str, user: str) -> Value:
    try:
        return parse_value(setting, raw, home=home, user=user)
    except ValueError as error:
        where = _locate(origin, text, setting.key) if text else origin
        raise ConfigError(
            f"cannot use '{setting.name}' from {where}: {error}",
            hint=f"for example: {setting.key} = {setting.example}",
            setting=setting.name,
            origin=origin,
        ) from error


def _locate(path: str, text: str, name: str) -> str:
    """Return ``path`` with the line on which a key stands, if that is plain."""
    key = name.rpartition(".")[2]
    for number, line in enumerate(text.splitlines(), 1):
        word = line.split("=")[0].split("#")[0].strip().strip("[]").strip().strip("\"'")
        if word in (name, key):
            return f"{path}, line {number}"
    return path


def _file_error(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f"cannot read configuration file '{path}': {reason}",
        hint="check it with 'syscr config check', or name another with --config FILE",
        path=path,
    )
