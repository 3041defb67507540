"""What a restart from an older image cuts off comes back with a newer one, however often that goes on."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syscr.errors import RestartError
from syscr.job.ends import KeptEnd, Piece, append_pieces, plan_pieces, read_ends
from syscr.job.rollback import Rollback, apply_rollback, file_size, plan_rollback
from syscr.model import FileState, TaskImage

ACTS = st.lists(
    st.one_of(st.integers(1, 4), st.just("image"), st.integers(-9, -1).map(str)), max_size=25
)


class Line:
    """A line of lives that write one file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "result"
        self.file.write_bytes(b"")
        self.cut_dir = folder / "cut"
        self.life = 0
        self.images: list[tuple[float, bytes]] = []

    def write(self, count: int) -> None:
        """Let the current life write bytes that no other one writes."""
        with self.file.open("ab") as stream:
            stream.write(bytes([65 + self.life % 50]) * count)

    def take_image(self) -> None:
        self.images.append((time.time(), self.file.read_bytes()))

    def restart(self, number: int) -> None:
        """Start the next life from an image."""
        taken_at, content = self.images[number]
        self.life += 1
        kept = read_ends(str(self.cut_dir), 0, after=taken_at)
        state = FileState(str(self.file), len(content), writable=True)
        task = TaskImage(0, "c1", "data/0", open_files=(state,))
        plan = plan_rollback(task, frozenset(), file_size, kept)
        assert plan.problems == ()
        apply_rollback(plan, "/none", str(self.cut_dir / f"7.{self.life}.0"))
        assert self.file.read_bytes() == content


@given(ACTS)
@settings(deadline=None, max_examples=150)
def test_every_image_gets_its_file_back_in_any_order(acts: list[int | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        line = Line(Path(folder))
        for act in acts:
            if isinstance(act, int):
                line.write(act)
            elif act == "image":
                line.take_image()
            elif line.images:
                line.restart(int(act) % len(line.images))


def test_own_bytes_and_pieces_are_chosen_by_what_was_cut_since() -> None:
    ends = [
        KeptEnd("/a", 4, 6, "/one", 1.0),
        KeptEnd("/b", 1, 9, "/b", 2.0),
        KeptEnd("/a", 2, 5, "/two", 3.0),
    ]
    assert plan_pieces("/a", 8, ends) == (2, (Piece("/two", 2), Piece("/one", 4)))
    assert plan_pieces("/a", 3, ends) == (2, (Piece("/two", 1),))
    assert plan_pieces("/a", 2, ends) == (2, ())
    assert plan_pieces("/a", 99, ends) == (99, ())  # not all of it was kept


def test_file_that_is_too_short_for_its_pieces_is_a_problem(tmp_path: Path) -> None:
    state = FileState("/a", 8, writable=True)
    kept = [KeptEnd("/a", 4, 6, "/one", 1.0)]
    task = TaskImage(0, "c1", "data/0", open_files=(state,))
    assert plan_rollback(task, frozenset(), lambda _: 3, kept).problems
    assert plan_rollback(task, frozenset(), lambda _: 4, kept).cuts == ()
    assert plan_rollback(task, frozenset(), lambda _: 6, kept).cuts == (("/a", 4),)


def test_only_own_rank_and_what_came_after_count(tmp_path: Path) -> None:
    file = tmp_path / "f"
    for life in ("7.1.0", "7.1.10", "7.2.0"):
        file.write_bytes(b"12345")
        apply_rollback(Rollback(cuts=((str(file), 2),)), "/none", str(tmp_path / "cut" / life))
    first, second = read_ends(str(tmp_path / "cut"), 0, after=0.0)
    assert (first.offset, first.size_bytes) == (2, 3)
    assert read_ends(str(tmp_path / "cut"), 0, after=first.cut_at) == (second,)
    assert read_ends(str(tmp_path / "missing"), 0, after=0.0) == ()


def test_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    file, list_file = tmp_path / "f", tmp_path / "cut" / "7.1.0.jsonl"
    file.write_bytes(b"12345")
    apply_rollback(Rollback(cuts=((str(file), 2),)), "/none", str(tmp_path / "cut" / "7.1.0"))
    whole = list_file.read_text()
    list_file.write_text(whole + whole[:20])
    assert len(read_ends(str(tmp_path / "cut"), 0, after=0.0)) == 1


def test_kept_end_that_is_gone_or_short_is_an_error(tmp_path: Path) -> None:
    file, end = tmp_path / "f", tmp_path / "end"
    file.write_bytes(b"12")
    plan = Rollback(ends=((str(file), (Piece(str(end), 3),)),))
    with pytest.raises(RestartError, match="cannot put back the end"):
        apply_rollback(plan, "/none", str(tmp_path / "cut" / "7.1.0"))
    end.write_bytes(b"3")
    with pytest.raises(OSError, match="shorter than it was"):
        append_pieces(str(file), [Piece(str(end), 3)])
