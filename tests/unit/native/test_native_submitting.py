"""When ``syscr sbatch`` and ``srun`` are left to Slurm's own commands, and with which words."""

from __future__ import annotations

import pytest
from native_world import World

from syscr.handing_over import HandOver


def hand_over(world: World) -> HandOver:
    return HandOver(world.scheduler.version, world.controller)


def test_todays_slurm_is_asked_for_its_version_and_for_nothing_else(world: World) -> None:
    world.slurm.state.update(version="24.11.5", plugin="")
    assert hand_over(world).find_words("sbatch", ["--checkpoint=5", "job.sh"]) is None
    assert world.slurm.state["log"] == [["sinfo", "-V"]]


@pytest.mark.parametrize("version", ["", "unknown", "24", "v18.08"])
def test_slurm_of_no_known_version_counts_as_todays(world: World, version: str) -> None:
    doubtful = HandOver(lambda: version, world.controller)
    assert doubtful.find_words("sbatch", ["--checkpoint=5", "job.sh"]) is None
    assert world.slurm.state["log"] == []


@pytest.mark.parametrize(
    ("tool", "words", "left"),
    [
        ("sbatch", ["--checkpoint=5", "job.sh", "--x"], ["--checkpoint=5", "job.sh", "--x"]),
        ("sbatch", ["--backend=auto", "-n", "2"], ["-n", "2"]),
        ("sbatch", ["--backend", "auto", "--wrap=a b"], ["--wrap=a b"]),
        (
            "srun",
            ["-vn2", "--restart-dir=/d", "--", "-x"],
            ["-vn2", "--restart-dir=/d", "--", "-x"],
        ),
        ("srun", ["a.out", "--", "--backend=auto"], ["a.out", "--", "--backend=auto"]),
        ("srun", ["--version"], None),
        ("srun", ["--backend=criu", "a.out"], None),
        ("sbatch", ["--no-such-option", "job.sh"], None),
    ],
)
def test_words_are_slurms(
    world: World, tool: str, words: list[str], left: list[str] | None
) -> None:
    found = hand_over(world).find_words(tool, words)
    assert found == (None if left is None else tuple(left))


def test_silent_controller_leaves_the_submission_with_syscr(world: World) -> None:
    world.slurm.state["down"] = True
    assert hand_over(world).find_words("sbatch", ["job.sh"]) is None
