"""Parts of the training split, each left out of training in turn to be judged."""

from collections.abc import Sequence

from nexperia_tf import labels
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import splits
from nexperia_tf.statistics import clustered
from nexperia_tf.training.search import plan

MOST, FEWEST = 3, 2
FEWEST_DEVICES = 5  # of each class in a part: in fewer every recipe looks alike


def of(rows: Sequence[manifest.Row], *, seed: int) -> list[frozenset[str]]:
    """The image ids of each part; groups, copies and twins stay in one.

    Args:
        rows: of the training split.
        seed: chooses among equally good ones.

    Returns:
        three parts, or two where groups or defects are too few for three; none where
        they are too few for any.
    """
    groups = clustered.count([row.group for row in rows])
    for count in range(min(MOST, groups), FEWEST - 1, -1):
        names = splits.folds(rows, count, seed=seed)
        parts = [
            [row for row, name in zip(rows, names) if name == str(number + 1)]
            for number in range(count)
        ]
        if all(_can_judge(part) for part in parts):
            return [frozenset(row.image_id for row in part) for part in parts]
    return []


def counted(
    rows: Sequence[manifest.Row], parts: Sequence[frozenset[str]]
) -> tuple[plan.Part, ...]:
    """Devices and defects of each part, by which a plan knows them again."""
    defects = {row.image_id for row in rows if row.label == labels.DEFECT}
    return tuple(plan.Part(len(part), len(part & defects)) for part in parts)


def _can_judge(part: Sequence[manifest.Row]) -> bool:
    n_defect = sum(row.label == labels.DEFECT for row in part)
    return min(n_defect, len(part) - n_defect) >= FEWEST_DEVICES
