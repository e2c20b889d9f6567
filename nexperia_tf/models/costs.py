"""What a network costs: parameters, multiplications, time."""

import dataclasses
import math
import statistics
import time

import keras
import numpy as np

BATCH = 32
REPEATS = 5


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one picture costs.

    Attributes:
        parameters: numbers that are learned, without batch-norm statistics.
        gmac: multiply-adds of a forward pass, in 10^9.
        ms: milliseconds on this machine, in batches of BATCH.
    """

    parameters: int
    gmac: float
    ms: float


def of(model: keras.Model) -> Cost:
    """The cost of a classifier's flat graph on pictures of its own size."""
    return Cost(parameters(model), multiplications(model) / 1e9, _milliseconds(model))


def parameters(model: keras.Model) -> int:
    """What papers count: weights, without the statistics of batch norm."""
    counted = (v for v in model.weights if not v.name.startswith("moving_"))
    return sum(math.prod(variable.shape) for variable in counted)


def multiplications(model: keras.Model) -> int:
    """Multiply-adds of one picture's forward pass, in convolutions and the head."""
    count = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            _, *places, filters = layer.output.shape
            positions = places[0] * places[1] if places else 1
            depth = kernel.shape[-2] * (kernel.shape[0] ** 2 if places else 1)
            count += positions * depth * filters
    return count


def _milliseconds(model: keras.Model) -> float:
    pictures = np.zeros((BATCH, *model.input.shape[1:]), np.uint8)
    model.predict_on_batch(pictures)  # traces
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        model.predict_on_batch(pictures)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds) / BATCH
