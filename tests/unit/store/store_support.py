"""What several tests of the store share."""

from __future__ import annotations

import os

from syscr.ports import StoreKey

KEY = StoreKey("4711")


def write_data(staging_dir: str, rank: int = 0, text: bytes = b"pages") -> None:
    """Write what a tool might leave for one rank."""
    os.makedirs(os.path.join(staging_dir, f"data/{rank}"), exist_ok=True)
    for name, data in {"core-2.img": b"core", "pages-1.img": text * 1000, "empty": b""}.items():
        with open(os.path.join(staging_dir, f"data/{rank}", name), "wb") as file:
            file.write(data)
