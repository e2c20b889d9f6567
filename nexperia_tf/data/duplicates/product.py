"""What pictures of one product share, and what each shows of its own."""

import numpy as np

from nexperia_tf.data.duplicates import fingerprints

_PATTERNS = 16  # of the product, subtracted


class Product:
    """What bands of the product's images have in common, as patterns of length 1."""

    def __init__(self, bands: np.ndarray):
        self._margin = bands.shape[-1] // 16  # what a shift brings in lies there
        flat = np.stack([self._flat(band) for band in bands])
        self._patterns = fingerprints.shared_patterns(flat, _PATTERNS)

    def compare(self, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
        """`in_common` of two bands."""
        return in_common(self.own(first), self.own(second))

    def own(self, band: np.ndarray) -> np.ndarray:
        """What a band shows that the product does not, flat."""
        flat = self._flat(band)
        return flat - self._patterns.T @ (self._patterns @ flat)

    def _flat(self, band):
        m = self._margin
        return np.ascontiguousarray(band[m:-m, m:-m]).ravel()


def in_common(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Correlation of what two bands show of their own, and its deviation."""
    power = float(np.sqrt(float(first @ first) * float(second @ second)))
    correlation = float(first @ second) / max(power, 1e-9)
    return correlation, float(np.sqrt(power / first.size))
