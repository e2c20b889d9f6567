"""What is judged: scores, and what is known of the model behind them."""

import dataclasses
from collections.abc import Mapping, Sequence

from nexperia_tf import predictions
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import choices


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
        chose: models that the devices of `calibration`, else `scored`, chose among.
        seen: judged pictures that were trained on; None where nobody can tell.
        seen_calibration: the same of the devices that choose the threshold.
    """

    name: str
    scored: predictions.Predictions
    calibration: predictions.Predictions | None = None
    columns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    training_groups: frozenset[str] | None = None
    in_force: run_folders.Calibration | None = None
    stores_threshold: bool = False
    chose: choices.Choices = choices.ASSUMED
    seen: training_pictures.Found | None = None
    seen_calibration: training_pictures.Found | None = None

    @property
    def chosen_on(self) -> predictions.Predictions:
        """The devices that choose the threshold."""
        return self.calibration or self.scored
