"""The lives of a job: who lives, since when, and how the others ended."""

from syscr.lives.book import LifeBook
from syscr.lives.ends import End, close_life, find_open, parse_end, read_end
from syscr.lives.names import (
    AGENT_GONE,
    FENCE,
    NO_AGENT,
    RECORD,
    SOCKET_NOTE,
    ended_folder,
    name_copy,
    run_folder,
)
from syscr.lives.sums import add_image, sum_earlier, sum_time

__all__ = [
    "AGENT_GONE",
    "FENCE",
    "NO_AGENT",
    "RECORD",
    "SOCKET_NOTE",
    "End",
    "LifeBook",
    "add_image",
    "close_life",
    "ended_folder",
    "find_open",
    "name_copy",
    "parse_end",
    "read_end",
    "run_folder",
    "sum_earlier",
    "sum_time",
]
