"""The declarations themselves, and text -> value -> text."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.declared import BY_NAME, SETTINGS
from syscr.errors import ConfigError
from syscr.settings import Settings, get_setting, suggest
from syscr.values import Setting, format_value, parse_value


def parse(name: str, raw: object) -> object:
    return parse_value(BY_NAME[name], raw, home="/home/alice", user="alice")


def test_declarations_match_the_attributes_of_settings() -> None:
    attributes = [name for name in Settings._fields if name != "origins"]
    assert sorted(setting.attribute for setting in SETTINGS) == sorted(attributes)
    assert len(BY_NAME) == len(SETTINGS)


def test_variables_are_unique() -> None:
    variables = [variable for setting in SETTINGS for variable in setting.variables]
    assert len(set(variables)) == len(variables)
    assert all(variable.startswith("SYSCR_") for variable in variables)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_default_and_example_are_values(setting: Setting) -> None:
    parse(setting.name, setting.default)
    example = tomllib.loads(f"x = {setting.example}")["x"]
    parse(setting.name, example)
    assert setting.help.endswith(".")
    assert setting.since


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("store.checkpoint_dir", "~/x", "/home/alice/x"),
        ("store.checkpoint_dir", "~", "/home/alice"),
        ("store.checkpoint_dir", "/a/{user}/b c\n\udcff", "/a/alice/b c\n\udcff"),
        ("store.digest", " sha256 ", "sha256"),
        ("checkpoint.order", "dmtcp, criu", ("dmtcp", "criu")),
        ("checkpoint.order", ["criu"], ("criu",)),
        ("checkpoint.max_wait", "90", 90.0),
        ("checkpoint.max_wait", "1.5m", 90.0),
        ("checkpoint.max_wait", 1, 1.0),
        ("retention.keep_last", "3", 3),
        ("backends.criu.path", "criu-dev", "criu-dev"),
        ("backends.criu.path", "/opt/criu", "/opt/criu"),
        ("launcher.path", "", ""),
        ("log.file", "", ""),
    ],
)
def test_value_is_read(name: str, raw: object, value: object) -> None:
    assert parse(name, raw) == value


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("store.checkpoint_dir", "relative/dir", "must be an absolute path, not 'relative/dir'"),
        ("store.checkpoint_dir", "", "must not be empty"),
        ("store.checkpoint_dir", "/a\0b", "NUL"),
        ("store.checkpoint_dir", 3, "must be text in quotes, not 3"),
        ("store.digest", "md5", "must be one of blake3, sha256, not 'md5'"),
        ("store.digest", True, "must be text"),
        ("checkpoint.order", "criu,criu", "each at most once"),
        ("checkpoint.order", [], "at least one name"),
        ("checkpoint.order", "blcr", "may hold criu, dmtcp, not 'blcr'"),
        ("checkpoint.order", [1], "must be a list of names"),
        ("checkpoint.order", 1, "must be a list of names"),
        ("checkpoint.max_wait", "0", "must be at least 1, not 0"),
        ("checkpoint.max_wait", "nan", "must be at least 1"),
        ("checkpoint.max_wait", "inf", "must be at least 1"),
        ("checkpoint.max_wait", "soon", "must be a number of seconds"),
        ("checkpoint.max_wait", True, "must be a number, not True"),
        ("checkpoint.max_wait", [1], "must be a number"),
        ("retention.keep_last", "1.5", "must be a whole number"),
        ("retention.keep_last", "3m", "must be a number, not '3m'"),
        ("retention.keep_last", -1, "must be at least 0"),
        ("backends.criu.path", "bin/criu", "must be an absolute path"),
    ],
)
def test_wrong_value_is_refused_with_the_reason(name: str, raw: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        parse(name, raw)


def test_unknown_setting_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'store\.digset'") as caught:
        get_setting("store.digset")
    assert caught.value.hint == "did you mean 'store.digest'?"
    assert suggest("zzzz") == ConfigError.default_hint


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_text_written_as_toml_reads_back(text: str) -> None:
    assert tomllib.loads(f"x = {format_value(text)}")["x"] == text


@given(st.floats(min_value=0, max_value=1e9))
def test_number_written_as_toml_reads_back(number: float) -> None:
    assert tomllib.loads(f"x = {format_value(number)}")["x"] == pytest.approx(number)
