"""The third verdict: pictures that a person has to look at."""

import dataclasses
from collections.abc import Mapping, Sequence

from nexperia_tf import labels
from nexperia_tf.server.history import tables
from nexperia_tf.server.models import worker

REVIEW = "review"
_UNFAMILIAR_FROM = 1.0  # times the distance that few familiar pictures exceed


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a model's answer is for a person.

    Attributes:
        asked: lowest and highest score that somebody has asked for, or None: then the
            model's own band counts.
        reject_from: where that ends: it begins at the threshold, below which no more
            defects pass than is promised, and from here on no more good devices are
            rejected than is promised. None where the model has none.
    """

    asked: tuple[float, float] | None = None
    reject_from: float | None = None

    def verdict(self, answer: Mapping) -> str:
        """The label of an answer, or `REVIEW`; "" where there is none."""
        label = answer.get(worker.LABEL, "")
        score = answer.get(worker.SCORE)
        if score is None:
            return label
        is_far = (unfamiliar(answer) or 0) >= _UNFAMILIAR_FROM
        return REVIEW if is_far or self._is_between(score, label) else label

    def _is_between(self, score: float, label: str) -> bool:
        if self.asked:
            low, high = self.asked
            return low <= score <= high
        is_defect = label == labels.DEFECT  # by the threshold, as the graph rounds it
        return is_defect and self.reject_from is not None and score < self.reject_from

    def is_told(self, entries: Sequence[tables.Entry]) -> bool:
        """Whether clients are told a verdict beside the label.

        Older clients of a model that knows no third verdict get what they always got.
        """
        has_band = self.asked is not None or self.reject_from is not None
        return has_band or any(
            entry.unfamiliar is not None or entry.verdict == REVIEW for entry in entries
        )


def unfamiliar(answer: Mapping) -> float | None:
    """How unlike the training pictures it is, over the limit; None where not said."""
    return answer.get(worker.MORE, {}).get(worker.UNFAMILIAR)
