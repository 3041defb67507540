"""Where settings come from, which one wins, and how a slip is reported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from syscr import config
from syscr.config import load_settings
from syscr.declared import SETTINGS
from syscr.errors import ConfigError
from syscr.settings import Settings

Load = Callable[..., Settings]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    (path / ".config" / "syscr").mkdir(parents=True)
    return path


@pytest.fixture
def system_file(tmp_path: Path) -> Path:
    return tmp_path / "syscr.toml"


@pytest.fixture
def load(home: Path, system_file: Path) -> Load:
    def call(env: dict[str, str] | None = None, **kwargs: object) -> Settings:
        environ = {"HOME": str(home), "USER": "alice", **(env or {})}
        return load_settings(environ, system_file=str(system_file), **kwargs)  # type: ignore[arg-type]

    return call


def write_user(home: Path, text: str) -> Path:
    path = home / ".config" / "syscr" / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_settings_without_any_source_are_the_defaults(load: Load, home: Path) -> None:
    settings = load()
    assert settings.checkpoint_dir == f"{home}/.syscr/checkpoints"
    assert settings.order == ("criu", "dmtcp")
    assert settings.max_wait_seconds == 600
    assert set(settings.origins.values()) == {"default"}
    assert set(settings.origins) == {setting.name for setting in SETTINGS}


def test_later_source_wins_step_by_step(load: Load, home: Path, system_file: Path) -> None:
    name = "checkpoint.max_wait"
    system_file.write_text("[checkpoint]\nmax_wait = 1\n")
    assert (load().max_wait_seconds, load().origin(name)) == (1, str(system_file))
    user = write_user(home, '[checkpoint]\nmax_wait = "2m"\n')
    assert (load().max_wait_seconds, load().origin(name)) == (120, str(user))
    env = {"SYSCR_MAX_WAIT": "3"}
    assert (load(env).max_wait_seconds, load(env).origin(name)) == (3, "SYSCR_MAX_WAIT")
    given = load(env, overrides={name: "4"})
    assert (given.max_wait_seconds, given.origin(name)) == (4, "command line")


def test_override_of_none_is_no_override(load: Load) -> None:
    assert load(overrides={"checkpoint.max_wait": None}).origin("checkpoint.max_wait") == "default"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_named_file_replaces_the_users_and_keeps_the_systems(
    load: Load, home: Path, system_file: Path, tmp_path: Path, how: str
) -> None:
    system_file.write_text('[store]\ndigest = "sha256"\n')
    write_user(home, "[checkpoint]\nmax_wait = 2\n")
    other = tmp_path / "other.toml"
    other.write_text("[retention]\nkeep_last = 5\n")
    if how == "option":
        settings = load(config_file=str(other))
    else:
        settings = load({"SYSCR_CONFIG": str(other)})
    assert (settings.keep_last, settings.max_wait_seconds, settings.digest) == (5, 600, "sha256")


def test_named_file_that_is_missing_is_an_error(load: Load, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"cannot read configuration file '.*none\.toml': No such file"
    ):
        load(config_file=str(tmp_path / "none.toml"))


def test_xdg_directory_is_used_and_a_relative_one_ignored(
    load: Load, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "xdg" / "syscr").mkdir(parents=True)
    (tmp_path / "xdg" / "syscr" / "config.toml").write_text("[retention]\nkeep_last = 7\n")
    write_user(home, "[retention]\nkeep_last = 8\n")
    assert load({"XDG_CONFIG_HOME": str(tmp_path / "xdg")}).keep_last == 7
    assert load({"XDG_CONFIG_HOME": "xdg"}).keep_last == 8


def test_unknown_key_names_file_line_and_the_nearest(load: Load, home: Path) -> None:
    path = write_user(home, "# mine\n[checkpoint]\nmax_wiat = 3\n")
    with pytest.raises(ConfigError) as caught:
        load()
    assert caught.value.message == f"cannot use {path}, line 3: unknown key 'checkpoint.max_wiat'"
    assert caught.value.hint == "did you mean 'checkpoint.max_wait'?"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "name", "hint"),
    [
        ("max_wait = 3\n", "max_wait", "did you mean 'checkpoint.max_wait'?"),
        (
            "[stroe]\ncheckpoint_dir = '/x'\n",
            "stroe.checkpoint_dir",
            "did you mean 'store.checkpoint_dir'?",
        ),
        ("[nonsense]\n", "nonsense", "see the allowed keys"),
        (
            "[backends.crui]\npath = 'x'\n",
            "backends.crui.path",
            "did you mean 'backends.criu.path'?",
        ),
        ("store = 3\n", "store", "see the allowed keys"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(
    load: Load, home: Path, text: str, name: str, hint: str
) -> None:
    write_user(home, text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert f"unknown key '{name}'" in caught.value.message
    assert hint in caught.value.hint


def test_wrong_value_names_file_line_and_example(load: Load, home: Path) -> None:
    path = write_user(home, '[store]\n\ndigest = "md5"\n')
    with pytest.raises(ConfigError) as caught:
        load()
    assert caught.value.message == (
        f"cannot use 'store.digest' from {path}, line 3: must be one of blake3, sha256, not 'md5'"
    )
    assert caught.value.hint == 'for example: digest = "sha256"'


def test_broken_toml_names_file_and_line(load: Load, home: Path) -> None:
    path = write_user(home, "[store\n")
    with pytest.raises(ConfigError, match=f"cannot read configuration file '{path}': .*line 1"):
        load()


def test_file_that_is_not_unicode_is_an_error(load: Load, home: Path) -> None:
    (home / ".config" / "syscr" / "config.toml").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match="cannot read configuration file"):
        load()


def test_directory_in_place_of_a_file_is_an_error(load: Load, system_file: Path) -> None:
    system_file.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load()


@pytest.mark.parametrize("source", ["file", "variable", "option"])
def test_locked_setting_cannot_be_changed_by_users(
    load: Load, home: Path, system_file: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    system_file.write_text('[policy]\nlocked = ["store.digest"]\n[store]\ndigest = "sha256"\n')
    env: dict[str, str] = {}
    overrides: dict[str, object] = {}
    if source == "file":
        write_user(home, '[store]\ndigest = "blake3"\n')
    elif source == "variable":
        env = {"SYSCR_DIGEST": "blake3"}
    else:
        overrides = {"store.digest": "blake3"}
    with pytest.raises(ConfigError) as caught:
        load(env, overrides=overrides)
    assert f"locked in {system_file}" in caught.value.message
    assert "sha256" in caught.value.hint


def test_locked_setting_with_the_same_value_is_no_change(load: Load, system_file: Path) -> None:
    system_file.write_text('[policy]\nlocked = ["store.digest"]\n')
    assert load({"SYSCR_DIGEST": "blake3"}).digest == "blake3"


def test_policy_in_the_users_file_is_refused(load: Load, home: Path) -> None:
    write_user(home, '[policy]\nlocked = ["store.digest"]\n')
    with pytest.raises(ConfigError, match="line 1: only the system file may hold"):
        load()


@pytest.mark.parametrize(
    "text", ['[policy]\nlocked = ["store.digst"]\n', "[policy]\nlokced = []\n", "policy = 3\n"]
)
def test_wrong_policy_is_refused(load: Load, system_file: Path, text: str) -> None:
    system_file.write_text(text)
    with pytest.raises(ConfigError, match="policy"):
        load()


def test_privilege_leaves_only_system_file_and_command_line(
    load: Load, home: Path, system_file: Path
) -> None:
    write_user(home, "[retention]\nkeep_last = 5\n")
    system_file.write_text('[store]\ndigest = "sha256"\n')
    settings = load(
        {"SYSCR_MAX_WAIT": "5", "SYSCR_CONFIG": "/nowhere"},
        overrides={"restart.wait": "1"},
        is_privileged=True,
    )
    assert (settings.keep_last, settings.max_wait_seconds) == (0, 600)
    assert (settings.digest, settings.restart_wait_seconds) == ("sha256", 1)


def test_privilege_is_sudo_and_setuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not config.has_privilege({})
    assert config.has_privilege({"SUDO_UID": "1000"})
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert config.has_privilege({})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not config.has_privilege({"SUDO_UID": "1000"})


def test_second_variable_counts_where_the_first_is_not_set(load: Load) -> None:
    assert load({"SYSCR_DMTCP_PREFIX": "/a"}).dmtcp_prefix == "/a"
    both = load({"SYSCR_DMTCP_PREFIX": "/a", "SYSCR_DMTCP__PREFIX": "/b"})
    assert (both.dmtcp_prefix, both.origin("backends.dmtcp.prefix")) == (
        "/b",
        "SYSCR_DMTCP__PREFIX",
    )


def test_empty_variable_counts_as_not_set(load: Load) -> None:
    assert (
        load({"SYSCR_MAX_WAIT": "", "SYSCR_CONFIG": ""}).origin("checkpoint.max_wait") == "default"
    )


def test_variable_with_a_wrong_value_is_named(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"'checkpoint\.max_wait' from SYSCR_MAX_WAIT: must be"):
        load({"SYSCR_MAX_WAIT": "soon"})


def test_unknown_override_is_an_error(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'store\.nothing'"):
        load(overrides={"store.nothing": 1})


def test_user_name_is_filled_in(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_password_entry", lambda: None)
    assert load({"SYSCR_CHECKPOINT_DIR": "/scratch/{user}/c"}).checkpoint_dir == "/scratch/alice/c"


def test_home_comes_from_the_user_database_where_home_is_unset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        config, "_password_entry", lambda: ("bob", "x", 1, 1, "", "/home/bob", "/bin/sh")
    )
    assert config.find_home({}) == "/home/bob"
    assert config.find_user({"USER": "eve"}, is_privileged=False) == "bob"
    monkeypatch.setattr(config, "_password_entry", lambda: None)
    assert config.find_home({"HOME": "relative"}) == "/"
    assert config.find_user({"USER": "eve"}, is_privileged=True) == str(os.getuid())


def test_unknown_variables_are_found() -> None:
    environ = {"SYSCR_MAXWAIT": "1", "SYSCR_MAX_WAIT": "1", "SYSCR_CONFIG": "x", "HOME": "/"}
    assert config.find_unknown_variables(environ) == ("SYSCR_MAXWAIT",)


def test_export_config_file_is_seen_by_the_next_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYSCR_CONFIG", "")
    file = tmp_path / "c.toml"
    file.write_text("[retention]\nkeep_last = 4\n")
    config.export_config_file(str(file))
    assert load_settings(system_file=str(tmp_path / "none")).keep_last == 4


def test_import_of_the_configuration_stays_light() -> None:
    code = "import sys, syscr.config; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    for name in (
        "click",
        "rich",
        "tomllib",
        "difflib",
        "subprocess",
        "json",
        "syscr.model",
        "syscr.units",
        "dataclasses",
        "logging",
    ):
        assert name not in loaded
