"""The public names, and that each function asks the manager for what it says."""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import syscr
from syscr import errors
from syscr.config import load_settings
from syscr.errors import RequestError
from syscr.model import JobId, Target
from syscr.request import CheckpointRequest, PruneRequest, RestartRequest
from syscr.settings import Settings

Calls = list[tuple[str, tuple[Any, ...], dict[str, Any]]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"HOME": str(tmp_path)}, system_file=str(tmp_path / "none"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made: Calls = []

    class Recorder:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def record(*args: Any, **kwargs: Any) -> Any:
                made.append((name, args, kwargs))
                return ((), ()) if name == "list_images" else f"result of {name}"

            return record

    monkeypatch.setattr("syscr.wiring.manager.build_manager", lambda _: Recorder())
    return made


def test_every_public_name_is_importable() -> None:
    for name in syscr.__all__:
        assert getattr(syscr, name) is not None
    assert dir(syscr) == sorted(syscr.__all__)
    assert len(syscr.__all__) <= 25


def test_public_names_are_those_of_their_homes() -> None:
    assert sorted({*syscr._HOME_OF, "__version__"}) == sorted(syscr.__all__)


def test_no_module_takes_the_place_of_a_public_name() -> None:
    """Importing ``syscr.x`` sets ``x`` of the package, whatever was there."""
    modules = {module.name for module in pkgutil.iter_modules(syscr.__path__)}
    assert not modules & set(syscr.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'syscr' has no attribute 'save'"):
        _ = syscr.save


FUNCTIONS = [name for name in syscr.__all__ if inspect.isfunction(getattr(syscr, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_documented_and_its_errors_exist(name: str) -> None:
    function = getattr(syscr, name)
    text = inspect.getdoc(function) or ""
    assert text
    _, _, raises = text.partition("Raises:")
    for word in re.findall(r"^ {4}(\w+):", raises, re.MULTILINE):
        assert hasattr(errors, word)
    parameters = list(inspect.signature(function).parameters.values())
    positional = [item for item in parameters if item.kind is item.POSITIONAL_OR_KEYWORD]
    assert len(positional) <= 1


@pytest.mark.parametrize("verb", ["checkpoint", "vacate", "requeue"])
@pytest.mark.parametrize(
    "target", [4711, "4711", JobId(4711), Target(JobId(4711))], ids=["int", "str", "job", "target"]
)
def test_checkpoint_verbs_build_the_request(
    calls: Calls, settings: Settings, verb: str, target: Any
) -> None:
    result = getattr(syscr, verb)(target, image_dir=Path("x"), tags=["a"], settings=settings)
    assert result == f"result of {verb}"
    request = CheckpointRequest(
        Target(JobId(4711)), image_dir=os.path.abspath("x"), max_wait_seconds=600.0, tags=("a",)
    )
    assert calls == [(verb, (request,), {"progress": None})]


def test_restart_builds_the_request(calls: Calls, settings: Settings) -> None:
    syscr.restart("4711.0", stick_to_nodes=True, wait_seconds=0, settings=settings)
    syscr.restart(image_id="20261124T1", settings=settings)
    assert [call[1][0] for call in calls] == [
        RestartRequest(Target(JobId(4711), "0"), stick_to_nodes=True, wait_seconds=0),
        RestartRequest(None, image_id="20261124T1", wait_seconds=300.0),
    ]
    with pytest.raises(RequestError):
        syscr.restart(settings=settings)


def test_status_and_doctor_take_any_number(calls: Calls, settings: Settings) -> None:
    syscr.status(settings=settings)
    syscr.status(1, "2_3", settings=settings)
    syscr.doctor("c1", settings=settings)
    assert [call[1] for call in calls] == [
        ((),),
        ((Target(JobId(1)), Target(JobId(2, 3))),),
        (("c1",),),
    ]


def test_image_functions_hand_over(calls: Calls, settings: Settings) -> None:
    image: Any = object()
    assert syscr.images(4711, checkpoint_dir="/d", settings=settings) == ()
    syscr.get_image("20261124T", settings=settings)
    syscr.verify_image(image, level="sizes", settings=settings)
    syscr.delete_image(image, settings=settings)
    syscr.undelete_image("20261124T", checkpoint_dir="/d", settings=settings)
    syscr.prune(job=4711, keep_last=2, settings=settings)
    assert calls[:-1] == [
        (
            "list_images",
            (),
            {"checkpoint_dir": "/d", "target": Target(JobId(4711)), "deleted": False},
        ),
        ("get_image", ("20261124T",), {"checkpoint_dir": None, "deleted": False}),
        ("verify_image", (image,), {"level": "sizes"}),
        ("delete_image", (image,), {}),
        ("undelete_image", ("20261124T",), {"checkpoint_dir": "/d"}),
    ]
    assert calls[-1][1][0] == PruneRequest(settings.checkpoint_dir, job_id=JobId(4711), keep_last=2)


def test_settings_are_loaded_where_none_are_given(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [key for key in os.environ if key.startswith("SYSCR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SYSCR_MAX_WAIT", "33")
    syscr.checkpoint(1)
    assert calls[0][1][0].max_wait_seconds == 33
