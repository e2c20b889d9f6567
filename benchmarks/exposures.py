"""Exposures of one part at another time: none may be dropped, all must be tied.

    python benchmarks/exposures.py RAW

RAW is the set of magnetic tiles (abin24/Magnetic-tile-defect-datasets.) with a
labels.csv of `path` and `group`. A picture exp3_num_108757.jpg is the third exposure of
some tile; a set is a run of exposures 1 to 6 in the sorted numbers of one kind, which
is a folder, no number more than 300 after the one before. Shorter runs are counted
beside them.
"""

import argparse
import collections
import csv
import itertools
import pathlib
import re
from collections.abc import Sequence

import dedupe_recall

from nexperia_tf.data.duplicates import search

EXPOSURES = 6
APART = 300  # of numbers; the data set's own gap between two tiles
_NAME = re.compile(r"exp(\d)_num_(\d+)\.")


def runs(paths: Sequence[str]) -> list[list[str]]:
    """Rising exposures in the order of numbers, each run of one kind.

    >>> runs([f"crack/exp{k}_num_{100 + k}.jpg" for k in (1, 2, 3, 5, 6)])[1]
    ['crack/exp5_num_105.jpg', 'crack/exp6_num_106.jpg']
    """
    ordered = []
    for path in paths:
        exposure, number = map(int, _NAME.search(path).groups())
        ordered.append(
            (str(pathlib.PurePosixPath(path).parent), number, exposure, path)
        )
    found, before = [], None
    for kind, number, exposure, path in sorted(ordered):
        follows = before and before[0] == kind and number - before[1] <= APART
        if follows and exposure == before[2] + 1:
            found[-1].append(path)
        else:
            found.append([path])
        before = kind, number, exposure
    return found


def tied(groups: Sequence[Sequence[str]], sets: Sequence[Sequence[str]]) -> list[tuple]:
    """The pairs of each set, and whether one group holds both."""
    group_of = {path: k for k, group in enumerate(groups) for path in group}
    return [
        (a, b, a in group_of and group_of[a] == group_of.get(b))
        for one in sets
        for a, b in itertools.combinations(one, 2)
    ]


def report(found: search.Findings, given: dict[str, str]) -> None:
    """Prints what was dropped and tied.

    Args:
        found: copies and twins.
        given: the group of each path.
    """
    dropped = [(group[0], path) for group in found.clusters for path in group[1:]]
    kinds = collections.Counter(pair.kind for pair in found.pairs)
    print(f"dropped {len(dropped)} of {len(given)}; pairs {dict(kinds)}")
    for pair in dropped:
        print("  ", *pair)
    groups = [*found.twin_groups, *found.clusters]
    sets = runs(sorted(given))
    for name, some in (
        ("complete", [one for one in sets if len(one) == EXPOSURES]),
        ("shorter", [one for one in sets if 1 < len(one) < EXPOSURES]),
    ):
        pairs = tied(groups, some)
        lost = [pair[:2] for pair in pairs if not pair[2]]
        share = 1 - len(lost) / max(1, len(pairs))
        print(
            f"{name} sets {len(some)}: pairs {len(pairs)}, "
            f"tied {len(pairs) - len(lost)} ({share:.2%}), not tied {len(lost)}"
        )
        for pair in lost:
            print("  ", *pair)
    spanning = [
        group for group in found.twin_groups if len({given[path] for path in group}) > 1
    ]
    sizes = collections.Counter(len(group) for group in found.twin_groups)
    print(f"twin groups {len(found.twin_groups)}, by size {sorted(sizes.items())}")
    print(f"twin groups of several given groups: {len(spanning)}")
    for group in spanning:
        print("  ", *sorted((given[path], path) for path in group))


def main(raw: pathlib.Path) -> None:
    """Searches and prints."""
    with (raw / "labels.csv").open(newline="") as file:
        given = {row["path"]: row["group"] for row in csv.DictReader(file)}
    report(dedupe_recall.found_in(raw, sorted(given)), given)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=pathlib.Path)
    main(parser.parse_args().raw)
