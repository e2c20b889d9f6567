"""What every pixel of two images says, and how it is kept from one run to the next."""

import dataclasses
import json

import numpy as np

from nexperia_tf.data.proof import same_photo

_NUMBERS = [field.name for field in dataclasses.fields(same_photo.Comparison)]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What two images are, by themselves: no other image of the folder matters.

    Attributes:
        way: takes places of the first to those of the second, `(3, 3)`.
        comparison: in the best way; None if a glance says that they share no grain.
        whole: whether all pixels were compared; else they cannot be copies.
        shifted: whether one lies elsewhere than the other.
        is_jpeg: whether one is the other, saved as JPEG.
    """

    way: np.ndarray
    comparison: same_photo.Comparison | None = None
    whole: bool = False
    shifted: bool = False
    is_jpeg: bool = False

    @property
    def suspicious(self) -> bool:
        return self.comparison is not None and self.comparison.suspicious


def packed(evidence: Evidence) -> str:
    """As text; every number comes back as it was.

    >>> known = Evidence(np.eye(3), same_photo.Comparison(shared_noise=1 / 3))
    >>> again = unpacked(packed(known))
    >>> again.comparison.shared_noise == 1 / 3, bool((again.way == known.way).all())
    (True, True)
    """
    compared = evidence.comparison
    numbers = compared and [_plain(getattr(compared, name)) for name in _NUMBERS]
    says = [evidence.whole, evidence.shifted, evidence.is_jpeg]
    return json.dumps([evidence.way.tolist(), numbers, list(map(bool, says))])


def unpacked(text: str) -> Evidence | None:
    """The evidence in a text; None where that is damaged."""
    try:
        way, numbers, says = json.loads(text)
        compared = numbers and same_photo.Comparison(*numbers)
        return Evidence(np.array(way, float).reshape(3, 3), compared, *says)
    except (ValueError, TypeError):
        return None


def _plain(value):
    return bool(value) if isinstance(value, bool | np.bool_) else float(value)
