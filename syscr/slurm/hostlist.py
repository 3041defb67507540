"""Node lists: ``c[1-3,7]`` <-> ``("c1", "c2", "c3", "c7")``; pure.

The only module that knows ClusterShell, which is imported where it is needed: most jobs have one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from syscr.errors import RequestError

_NO_NODES = frozenset({"", "(null)", "n/a", "N/A", "None", "None assigned"})


def parse_hostlist(text: str) -> tuple[str, ...]:
    """Expand a node list.

    Contract: pieces stay in their order, names within one bracket are sorted, a name that occurs
    again is dropped. That is Slurm's order, because Slurm prints lists from its node table.

    Returns:
        Node names; empty for the words that Slurm prints where there are none.

    Raises:
        RequestError: The text is no node list.

    Example:
        >>> parse_hostlist("c[09-11],login")
        ('c09', 'c10', 'c11', 'login')
    """
    stripped = text.strip()
    if stripped in _NO_NODES:
        return ()
    pieces = _iter_pieces(stripped)
    names = (name for piece in pieces for name in _expand(piece))
    return tuple(dict.fromkeys(names))


def fold_hostlist(nodes: Sequence[str]) -> str:
    """Fold node names into the form that Slurm's options take.

    Example:
        >>> fold_hostlist(["c2", "c1", "c3"])
        'c[1-3]'
    """
    if len(nodes) < 2:
        return "".join(nodes)
    return str(_read_set(",".join(nodes)))


def _iter_pieces(text: str) -> Iterator[str]:
    """Split at the commas outside brackets."""
    depth = start = 0
    for position, character in enumerate(text):
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]


def _expand(piece: str) -> Sequence[str]:
    if not piece or any(character in piece for character in "@&!^ \t\n"):
        raise RequestError(f"not a node list: '{piece}'", hint="write names as in c1,c[3-5]")
    if not any(character in piece for character in "[]%"):
        return (piece,)
    return tuple(_read_set(piece))


def _read_set(text: str) -> Iterable[str]:
    from ClusterShell.NodeSet import (
        RESOLVER_NOGROUP,
        NodeSet,
        NodeSetException,
    )

    try:
        nodes: Iterable[str] = NodeSet(text, resolver=RESOLVER_NOGROUP)
    except NodeSetException as error:
        raise RequestError(
            f"not a node list: '{text}': {error}", hint="write names as in c1,c[3-5]"
        ) from error
    return nodes
