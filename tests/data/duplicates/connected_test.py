import collections

import numpy as np

from nexperia_tf.data.duplicates import connected


def walked(ties, nodes):
    """The same, by walking from node to node."""
    neighbours = collections.defaultdict(set)
    for a, b in ties:
        neighbours[a].add(b)
        neighbours[b].add(a)
    groups, seen = [], set()
    for start in sorted({*nodes, *neighbours}):
        if start in seen:
            continue
        reached, ahead = {start}, [start]
        while ahead:
            new = neighbours[ahead.pop()] - reached
            reached |= new
            ahead.extend(new)
        seen |= reached
        groups.append(sorted(reached))
    return groups


def test_groups_are_those_that_a_walk_reaches_in_the_same_order():
    rng = np.random.default_rng(0)
    for count in (0, 1, 5, 40, 200):
        ties = [
            tuple(f"n{end}" for end in pair)
            for pair in rng.integers(0, 150, (count, 2)).tolist()
        ]
        nodes = [f"n{number}" for number in range(0, 150, 3)]
        assert connected.components(ties, nodes=nodes) == walked(ties, nodes)
        assert connected.components(reversed(ties)) == walked(ties, [])


def test_nothing_is_in_no_group():
    assert connected.components([]) == []
