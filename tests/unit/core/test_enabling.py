from __future__ import annotations

import pytest
from core_support import KEY, TARGET, World, task

from syscr.enabling import CONTROL, Control, check_enabled, name_life
from syscr.errors import ManifestError, PreflightError
from syscr.request import CheckpointRequest

LIFE = name_life(4711, 0)


def test_record_comes_back() -> None:
    control = Control(LIFE, 3, 4027, "it broke")
    assert Control.read(LIFE, control.to_record()) == control


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"life": "4711.1", "disabled": 2},
        {"life": LIFE, "disabled": "2", "error_code": None},
        {"life": LIFE, "disabled": -1},
        {"life": LIFE, "disabled": 1 << 16},
    ],
)
def test_record_of_another_life_or_of_nonsense_does_not_count(
    record: dict[str, object] | None,
) -> None:
    assert Control.read(LIFE, record) == Control(LIFE)


def test_counter_stays_in_its_range() -> None:
    assert Control(LIFE).enable() == Control(LIFE)
    assert Control(LIFE).disable().disable().enable().disabled == 1
    assert Control(LIFE, 0xFFFF).disable().disabled == 0xFFFF


@pytest.mark.parametrize(("step", "name"), [("batch", "4711"), ("0", "4711.0")])
def test_finding_names_what_to_enable(step: str, name: str) -> None:
    record = Control(LIFE).disable().to_record()
    (finding,) = check_enabled(task(step=step), record)
    assert finding.hint.endswith(f"enable {name}'")
    assert check_enabled(task(step=step), None) == ()


def test_checkpoint_is_refused_before_anything_is_touched(world: World) -> None:
    world.add_job()
    world.home.write_record(KEY, CONTROL, Control(LIFE).disable().to_record())
    world.log.clear()
    with pytest.raises(PreflightError, match="checkpoints of 4711 are disabled"):
        world.manager.checkpoint(CheckpointRequest(TARGET))
    assert "dump" not in world.names()


def test_record_that_cannot_be_read_forbids_nothing(world: World) -> None:
    world.add_job()
    world.home.failures["read_record"] = ManifestError("no JSON object")
    world.manager.checkpoint(CheckpointRequest(TARGET))
    assert len(world.images()) == 1
