"""Ends that were cut off files: kept, and written down so that a newer image can have them back.

A restart from an older image cuts files that a newer one needs longer. So each life of a task that cuts
has, beside its folder ``cut/<life>/``, a list ``cut/<life>.jsonl``: one line per end, written before the cut.
``plan_pieces`` is pure.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeptEnd:
    """One end.

    Attributes:
        path: File it was cut off.
        offset: Where, in bytes.
        size_bytes: Its size.
        file: Where it is kept.
        cut_at: When, seconds since the epoch.
    """

    path: str
    offset: int
    size_bytes: int
    file: str
    cut_at: float


@dataclass(frozen=True, slots=True)
class Piece:
    """The first bytes of a kept end.

    Attributes:
        file: Where it is kept.
        size_bytes: How much of it.
    """

    file: str
    size_bytes: int


def record_end(keep_dir: str, path: str, offset: int, file: str) -> None:
    """Write down an end that is kept already, before it is cut off; synced."""
    end = KeptEnd(path, offset, os.stat(file).st_size, file, time.time())
    with open(f"{keep_dir}.jsonl", "a", encoding="ascii") as lines:
        os.fchmod(lines.fileno(), 0o600)
        lines.write(json.dumps(asdict(end)) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def read_ends(cut_dir: str, rank: int, *, after: float) -> tuple[KeptEnd, ...]:
    """Return the ends that a rank's lives have cut off since a moment, oldest first.

    Args:
        cut_dir: Folder ``cut`` of the line.
        rank: Rank.
        after: Seconds since the epoch: when the image was taken.
    """
    found: list[KeptEnd] = []
    for lines in Path(cut_dir).glob(f"*.{rank}.jsonl"):
        for line in lines.read_text(encoding="ascii").splitlines():
            try:
                found.append(KeptEnd(**json.loads(line)))
            except (ValueError, TypeError):
                continue  # a writer was killed in the middle of it, and has cut nothing then
    return tuple(sorted((end for end in found if end.cut_at > after), key=lambda end: end.cut_at))


def plan_pieces(
    path: str, size_bytes: int, ends: Iterable[KeptEnd]
) -> tuple[int, tuple[Piece, ...]]:
    """Return how a file becomes what it was at an image: its own first bytes, then pieces in order.

    Contract: files only grow between cuts. What a life wrote after its cut is not in the result.

    Args:
        path: File.
        size_bytes: Its size at the image.
        ends: What was cut off since the image, oldest first.

    Example:
        >>> plan_pieces("/a", 9, [KeptEnd("/a", 4, 8, "/kept", 0.0)])
        (4, (Piece(file='/kept', size_bytes=5),))
    """
    own, pieces = size_bytes, []
    for end in ends:
        if end.path == path and end.offset < own <= end.offset + end.size_bytes:
            pieces.append(Piece(end.file, own - end.offset))
            own = end.offset
    return own, tuple(reversed(pieces))


def append_pieces(path: str, pieces: Sequence[Piece]) -> None:
    """Write pieces behind a file; synced. Raises OSError."""
    with open(path, "ab") as target:
        for piece in pieces:
            left = piece.size_bytes
            with open(piece.file, "rb") as source:
                while left:
                    chunk = source.read(min(left, 1 << 20))
                    if not chunk:
                        raise OSError(errno.EIO, "a kept end is shorter than it was", piece.file)
                    target.write(chunk)
                    left -= len(chunk)
        target.flush()
        os.fsync(target.fileno())
