"""What a thumbnail shows, as histograms of its gradients; turns exchange numbers."""

import numpy as np

from nexperia_tf.data.measure import views

CELLS = 8  # a side; where gradients are counted
BEARINGS = 8  # of gradients
SIZE = BEARINGS * CELLS * CELLS


def describe(bands: np.ndarray) -> np.ndarray:
    """Strength of gradients of each bearing in each cell.

    Args:
        bands: float32 `(n, side, side)`, see `views.band`.

    Returns:
        float32 `(n, SIZE)`; a turned image has the same numbers in other places.
    """
    down, right = np.gradient(bands, axis=(1, 2))
    pool = _cells(bands.shape[-1])
    cells = np.empty((len(bands), BEARINGS, CELLS, CELLS), np.float32)
    for k in range(BEARINGS):
        angle = 2 * np.pi * k / BEARINGS
        along = right * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))
        cells[:, k] = pool @ np.maximum(along, 0) @ pool.T
    flat = np.sqrt(cells.reshape(len(bands), SIZE))
    return flat / (flat.mean(1, keepdims=True) + 1e-6)


def _cells(side: int) -> np.ndarray:
    """Overlapping triangular windows, float32 `(CELLS, side)`."""
    place = (np.arange(side) + 0.5) / side * CELLS - 0.5
    weight = 1 - np.abs(place - np.arange(CELLS)[:, None])
    return np.maximum(weight, 0).astype(np.float32)


def turned_indices() -> list[np.ndarray]:
    """Where each number of a turned image's description stands in the upright one."""
    places = np.arange(SIZE).reshape(BEARINGS, CELLS, CELLS)
    bearing = np.arange(BEARINGS)
    quarter = BEARINGS // 4
    indices = []
    for turn in range(views.TURNS):
        source = bearing + quarter * (turn % 4)
        if turn >= 4:  # mirrored last: right is left
            source = (BEARINGS // 2 - bearing) + quarter * (turn % 4)
        cells = [views.turned(places[k], turn) for k in source % BEARINGS]
        indices.append(np.stack(cells).ravel())
    return indices
