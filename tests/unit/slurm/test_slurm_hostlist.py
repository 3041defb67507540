from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.errors import RequestError
from syscr.slurm.hostlist import fold_hostlist, parse_hostlist


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("c1", ["c1"]),
        ("c[1-3,7]", ["c1", "c2", "c3", "c7"]),
        ("c[08-11]", ["c08", "c09", "c10", "c11"]),
        ("z1,a[1-2]", ["z1", "a1", "a2"]),
        ("rack[1-2]n[1-2]", ["rack1n1", "rack1n2", "rack2n1", "rack2n2"]),
        ("c1,c[1-2]", ["c1", "c2"]),
        ("a-b.c_d", ["a-b.c_d"]),
        ("", []),
        ("(null)", []),
        ("n/a", []),
        ("None assigned", []),
    ],
)
def test_hostlist_is_expanded(text: str, nodes: list[str]) -> None:
    assert parse_hostlist(text) == tuple(nodes)


@pytest.mark.parametrize("text", ["c[1-", "c[a-b]", "@group", "c1,,c2", "c1 c2", "c1!c2", "c1,"])
def test_hostlist_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="not a node list"):
        parse_hostlist(text)


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=40, unique=True), st.integers(1, 5))
def test_fold_then_expand_gives_the_same_nodes(numbers: list[int], width: int) -> None:
    nodes = [f"node{number:0{width}d}" for number in numbers]
    assert set(parse_hostlist(fold_hostlist(nodes))) == set(nodes)


def test_fold_of_nothing_is_empty() -> None:
    assert fold_hostlist([]) == ""
