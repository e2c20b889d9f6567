"""How unlike a picture is to those a network was trained on, by its features.

A network answers any picture: a blank one, another product, an empty pocket. Its
verdict means something only for pictures like those it has learned from. How alike one
is, is the distance of its features from theirs, in units of how far devices lie that
were kept out of training.
"""

import dataclasses
import math

import numpy as np
from sklearn import decomposition

FALSE_ALARM = 0.01  # share of familiar devices that may be called unfamiliar
COMPONENTS = 32  # directions whose spread is learned one by one
FEWEST = 20  # training pictures, and as many held out: fewer show no spread
_FOR_A_COMPONENT = 10  # training pictures, at least
_NARROWEST = 1e-3  # spread of a feature, of the widest one's


@dataclasses.dataclass(frozen=True, eq=False)
class Familiarity:
    """Where the features of familiar pictures lie.

    A picture's distance is Mahalanobis', by the covariance of probabilistic principal
    components: `components` have a variance each, all other directions one together.

    Attributes:
        mean, scale: float32 of shape `(features,)`: features are taken less the mean
            and over the scale.
        components: float32 of shape `(directions, features)`, orthonormal.
        variances: float32 of shape `(directions,)`.
        noise: variance of every other direction.
        limit: distance from which a picture is unfamiliar.
        false_alarm: share of devices like the held-out ones that lie beyond the limit,
            on average over held-out sets.
        devices: held-out devices that set the limit.

    Reference:
        Tipping & Bishop, Journal of the Royal Statistical Society B 61 (1999) 611.
    """

    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    noise: float
    limit: float
    false_alarm: float
    devices: int

    def unfamiliar(self, features: np.ndarray) -> np.ndarray:
        """Distance over the limit: 1 or more is unlike the training pictures.

        Args:
            features: of shape `(pictures, features)`.

        Returns:
            float64 of shape `(pictures,)`.
        """
        return self._distance(np.asarray(features, np.float64)) / self.limit

    def _distance(self, features: np.ndarray) -> np.ndarray:
        from_mean = (features - self.mean) / self.scale
        along = from_mean @ self.components.T.astype(np.float64)
        beside = np.maximum((from_mean**2).sum(-1) - (along**2).sum(-1), 0)
        return np.sqrt((along**2 / self.variances).sum(-1) + beside / self.noise)


def fit(
    training: np.ndarray, held_out: np.ndarray, *, false_alarm: float = FALSE_ALARM
) -> Familiarity | None:
    """Learns from training pictures; devices that were held out set the limit.

    The limit is the distance that a further device exceeds with probability
    `false_alarm` at most, if it is exchangeable with the held-out ones; with fewer than
    `1 / false_alarm` of those it is the farthest one's, and the chance is larger.

    Args:
        training: features of shape `(pictures, features)`.
        held_out: the same of devices that were not trained on.
        false_alarm: share of familiar devices that may lie beyond the limit.

    Returns:
        None where either holds fewer than FEWEST, or all training pictures are one.

    Reference:
        Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World (2005), 2.2.
    """
    training, held_out = (np.asarray(a, np.float64) for a in (training, held_out))
    if min(len(training), len(held_out)) < FEWEST:
        return None
    mean, spread = training.mean(0), training.std(0)
    if not spread.any():
        return None
    scale = np.maximum(spread, _NARROWEST * spread.max())
    most = min(COMPONENTS, len(training) // _FOR_A_COMPONENT, training.shape[1] - 1)
    found = decomposition.PCA(max(1, most)).fit((training - mean) / scale)
    least = 1e-6 * found.explained_variance_[0]  # a distance divides by it
    open_ended = Familiarity(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        components=found.components_.astype(np.float32),
        variances=np.maximum(found.explained_variance_, least).astype(np.float32),
        noise=float(max(found.noise_variance_, least)),
        limit=1.0,
        false_alarm=1.0,
        devices=len(held_out),
    )
    count = len(held_out)
    rank = min(count, math.ceil((count + 1) * (1 - false_alarm)))
    limit = np.sort(open_ended.unfamiliar(held_out))[rank - 1]
    return dataclasses.replace(
        open_ended,
        limit=float(max(limit, 1e-6)),
        false_alarm=(count + 1 - rank) / (count + 1),
    )
