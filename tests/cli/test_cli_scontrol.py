"""``syscr scontrol``: what goes to whom, and what is printed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli_support import Run

from syscr.cli.app import App
from syscr.scontrol.texts import DONE, Answer


@dataclass
class Wired:
    """Stands for ``wiring/``.

    Attributes:
        answer: What a ``checkpoint`` command answers.
        asked: (words, quiet, cluster, again), in order.
        called: Calls of the real scontrol from the prompt.
        became: What the process has become.
        managers: What it was answered with.
    """

    answer: Answer = DONE
    asked: list[tuple[tuple[str, ...], bool, str, tuple[str, ...]]] = field(default_factory=list)
    called: list[list[str]] = field(default_factory=list)
    became: list[list[str]] = field(default_factory=list)
    managers: list[object] = field(default_factory=list)


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Wired:
    found = Wired()

    def build(_: object, manager: object, cluster: str, again: Sequence[str]) -> Any:
        found.managers.append(manager)

        class Command:
            def run(self, words: Sequence[str], *, quiet: bool) -> Answer:
                found.asked.append((tuple(words), quiet, cluster, tuple(again)))
                return found.answer

        return Command()

    def become(argv: Sequence[str]) -> None:
        found.became.append(list(argv))
        raise SystemExit(3)

    def call(argv: Sequence[str]) -> int:
        found.called.append(list(argv))
        return 0

    monkeypatch.setattr("syscr.wiring.scontrol.build_scontrol", build)
    monkeypatch.setattr("syscr.wiring.handover.become_scontrol", become)
    monkeypatch.setattr("syscr.wiring.handover.call_scontrol", call)
    return found


def type_lines(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_checkpoint_is_answered_here(run: Run, wired: Wired) -> None:
    wired.answer = Answer(("Yes",), ("syscr: a\nb\x1b",), 1)
    outcome = run("scontrol", "-Q", "ch", "able", "12", "-M", "far")
    assert (outcome.status, outcome.out, outcome.err) == (1, "Yes\n", "syscr: a\\nb\\x1b\n")
    ((words, quiet, cluster, again),) = wired.asked
    assert (words, quiet, cluster) == (("ch", "able", "12"), True, "far")
    assert again == ("scontrol", "-Q", "ch", "able", "12", "-M", "far")
    assert wired.became == []


def test_slurm_is_asked_by_one_manager(
    run: Run, wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It remembers whether Slurm has checkpoints of its own."""
    built: list[object] = []

    class Manager:
        native = None

        def __init__(self, _: object) -> None:
            built.append(self)

    monkeypatch.setattr("syscr.wiring.manager.build_manager", Manager)
    run("scontrol", "ch", "able", "12")
    assert wired.managers == built
    assert len(built) == 1


@pytest.mark.parametrize(
    ("argv", "passed"),
    [
        (["show", "job"], ["show", "job"]),
        (["--", "--help"], ["--help"]),  # the shim's way
        (["--", "show"], ["show"]),
        (["-V"], ["-V"]),
        (["checkpoint", "able", "-5"], ["checkpoint", "able", "-5"]),
        (["show", "checkpoint"], ["show", "checkpoint"]),
    ],
)
def test_everything_else_becomes_the_real_one(
    run: Run, wired: Wired, argv: list[str], passed: list[str]
) -> None:
    with pytest.raises(SystemExit):
        run("scontrol", *argv)
    assert wired.became == [passed]


def test_help_is_ours_without_the_shim(run: Run, wired: Wired) -> None:
    assert run("scontrol", "--help").out.startswith("Usage: syscr scontrol")
    assert wired.became == []


def test_posix_order_of_options_is_honoured(
    run: Run, wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    run("scontrol", "ch", "able", "12", "-Q")
    assert wired.asked[0][0] == ("ch", "able", "12", "-Q")


def test_prompt_echoes_what_nobody_types(
    run: Run, wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_lines(monkeypatch, b"show x\nch able 12\n\xc3\xbc")
    outcome = run("scontrol", "-o")
    assert wired.called == [["-o", "--", "show", "x"], ["-o", "--", "\u00fc"]]
    assert wired.asked == [(("ch", "able", "12"), False, "", ())]
    assert outcome.out.startswith("scontrol: show x\nscontrol: ch able 12\n")
    assert outcome.out.endswith("\nscontrol: \n")


def test_prompt_of_root_lets_a_child_become_the_owner(
    run: Run, app: App, wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_lines(monkeypatch, b"quiet\nch able 12\n")
    own: list[list[str]] = []

    def call(argv: Sequence[str]) -> int:
        own.append(list(argv))
        return 7

    monkeypatch.setattr("syscr.wiring.handover.call_own", call)
    app.is_root = lambda: True
    assert run("scontrol").status == 7
    assert own == [["scontrol", "-Q", "ch", "able", "12"]]


def test_prompt_that_is_interrupted_ends_like_scontrol(
    run: Run, wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_lines(monkeypatch, b"show x\n")

    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("syscr.wiring.handover.call_scontrol", interrupt)
    assert run("scontrol").status == 130


def test_shim_is_installed(run: Run, tmp_path: Path) -> None:
    outcome = run("scontrol", "--install-shim", str(tmp_path / "a b"))
    assert outcome.status == 0
    assert outcome.out.startswith(f"wrote {tmp_path}/a b/scontrol; ")
    assert (tmp_path / "a b" / "scontrol").exists()
    assert run("scontrol", "--install-shim").status == 2
    assert run("scontrol", "--install-shim", "a", "b").status == 2
