"""What is judged: scores, and what is known of the model behind them."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import predictions
from nexperia_tf.evaluation import recipes_tried
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import choices


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What simple numbers alone say of the judged devices.

    Attributes:
        scored: the same devices.
        model: what was fitted on the numbers, in words.
        alone: AUC of single numbers here, by name, the best in training first.
        advice: what to try where the network does not beat it; "" where unknown.
    """

    scored: predictions.Predictions
    model: str
    alone: Mapping[str, float] = dataclasses.field(default_factory=dict)
    advice: str = ""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        name: how the report calls it.
        scored: the judged devices, all labelled.
        calibration: devices the threshold is chosen on; None takes `scored` itself.
        columns: further slices by name, text of shape `(devices,)`.
        training_groups: groups of the training split; None when unknown.
        in_force: what turns its scores into verdicts now; None when unknown.
        stores_threshold: whether nexperia evaluate can store another threshold in it.
        selection: models that the devices of `calibration`, else `scored`, chose among.
        seen: judged pictures that were trained on; None where nobody can tell.
        seen_calibration: the same of the devices that choose the threshold.
        baseline: what simple numbers reach; None where nobody knows.
        search: which recipes its training tried; None where it did not search.
        curves: picture of its learning curves; None where there is none.
    """

    name: str
    scored: predictions.Predictions
    calibration: predictions.Predictions | None = None
    columns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    training_groups: frozenset[str] | None = None
    in_force: run_folders.Calibration | None = None
    stores_threshold: bool = False
    selection: choices.Choices = choices.ASSUMED
    seen: training_pictures.Overlap | None = None
    seen_calibration: training_pictures.Overlap | None = None
    baseline: Baseline | None = None
    search: recipes_tried.Search | None = None
    curves: pathlib.Path | None = None

    @property
    def chosen_on(self) -> predictions.Predictions:
        """The devices that choose the threshold."""
        return self.calibration or self.scored


def average(subjects: Sequence[Subject]) -> Subject:
    """The mean of the scores, as one more run."""
    calibrations = [subject.calibration for subject in subjects]
    mean = _mean([subject.scored for subject in subjects])
    first = subjects[0]
    return Subject(
        name="average",
        scored=mean,
        calibration=None if None in calibrations else _mean(calibrations),
        columns=first.columns,
        training_groups=first.training_groups,
        selection=choices.product(subject.selection for subject in subjects),
        seen=_union([subject.seen for subject in subjects]),
        seen_calibration=_union(
            [s.seen_calibration for s in subjects if s.seen_calibration is not None]
        ),
    )


def _union(
    overlaps: Sequence[training_pictures.Overlap | None],
) -> training_pictures.Overlap | None:
    """What any of several models was trained on; None where nobody knows of one."""
    if not overlaps or None in overlaps:
        return None

    def names(attribute: str) -> set[str]:
        return {name for each in overlaps for name in getattr(each, attribute)}

    pictures = names("pictures")
    return training_pictures.Overlap(
        overlaps[0].of,
        tuple(sorted(pictures)),
        tuple(sorted(names("twins") - pictures)),
        tuple(sorted(names("by"))),
        tuple(sorted(names("unknown"))),
        max(each.unlisted for each in overlaps),
    )


def _mean(tables: Sequence[predictions.Predictions]) -> predictions.Predictions:
    tables = predictions.aligned(tables)
    score = np.mean([table.score for table in tables], axis=0)
    return dataclasses.replace(tables[0], score=score, source="mean of scores")
