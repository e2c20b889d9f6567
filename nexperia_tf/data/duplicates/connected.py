"""What hangs together, directly or through others."""

import collections
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

Node = TypeVar("Node", str, int)


def components(
    ties: Iterable[tuple[Node, Node]], *, nodes: Iterable[Node] = ()
) -> list[list[Node]]:
    """The groups of nodes that ties connect.

    Args:
        ties: pairs of nodes.
        nodes: further ones, which may have no tie.

    Returns:
        Each group sorted, the groups by their first node.

    >>> components([("b", "d"), ("d", "c")], nodes=["a"])
    [['a'], ['b', 'c', 'd']]
    """
    ties = list(ties)
    names = sorted({*nodes, *(name for tie in ties for name in tie)})
    place = {name: number for number, name in enumerate(names)}
    ends = np.array([(place[a], place[b]) for a, b in ties], int).reshape(-1, 2).T
    graph = sparse.coo_array(
        (np.ones(len(ties), bool), (ends[0], ends[1])), shape=(len(names), len(names))
    )
    _, group_of = csgraph.connected_components(graph, directed=False)
    groups = collections.defaultdict(list)
    for name, group in zip(names, group_of.tolist()):
        groups[group].append(name)
    return list(groups.values())
