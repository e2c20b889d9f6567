"""Where the model looks: class activation maps, judged by annotated boxes.

A map that ignores the boxes explains nothing, and one that a model of random weights
draws as well shows the picture, not the model: both are measured beside.
"""

import dataclasses
import math
import typing
from collections.abc import Sequence

import cv2
import numpy as np

from nexperia_tf import errors, preprocess
from nexperia_tf.evaluation import intervals

if typing.TYPE_CHECKING:
    import keras

STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
BATCH = 16
SMOOTHING = 1 / 40  # of the canvas: evidence of neighbouring pixels belongs together


def evidence(
    model: "keras.Model",
    images: np.ndarray,
    *,
    stage: str = "stem",
    method: str = "hires-cam",
) -> np.ndarray:
    """Evidence for a defect, by place.

    Args:
        model: a classifier's flat graph, giving the raw logit.
        images: uint8 of shape `(batch, size, size, channels)`.
        stage: the layer to look at, one of STAGES; the earlier, the finer.
        method: "hires-cam" multiplies gradient and activation place by place;
            "grad-cam" weighs each channel by its mean gradient, which says where only
            in late stages.

    Returns:
        float32 of shape `(batch, rows, columns)` in the stage's own resolution, at
        least 0; all 0 where nothing speaks for a defect.

    Raises:
        errors.BadInput: no such stage or method.

    Reference:
        Selvaraju et al., 2017; Draelos & Carin, 2020 (HiResCAM).
    """
    import keras

    if stage not in STAGES:
        raise errors.BadInput(f"--stage: one of {', '.join(STAGES)}. Received {stage}.")
    if method not in ("grad-cam", "hires-cam"):
        raise errors.BadInput(f"method: grad-cam or hires-cam. Received {method}.")
    both = keras.Model(model.input, [model.get_layer(stage).output, model.output])
    parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    return np.concatenate([_cam(both, part, method) for part in parts])


def _cam(both: "keras.Model", images: np.ndarray, method: str) -> np.ndarray:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        activations, logits = both(images, training=False)
    gradients = tape.gradient(logits, activations)
    activations, gradients = (
        tf.cast(t, tf.float32).numpy() for t in (activations, gradients)
    )
    if method == "grad-cam":
        gradients = gradients.mean(axis=(1, 2), keepdims=True)  # (batch, 1, 1, depth)
    return np.maximum((activations * gradients).sum(axis=-1), 0)


def on_canvas(maps: np.ndarray, size: int) -> np.ndarray:
    """The maps in the resolution of the model's square canvas, smooth, each 0..1."""
    enlarged = np.stack(
        [
            cv2.GaussianBlur(
                cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR),
                (0, 0),
                size * SMOOTHING,
            )
            for m in maps
        ]
    )
    highest = enlarged.max(axis=(1, 2), keepdims=True)
    return enlarged / np.maximum(highest, np.finfo(np.float32).tiny)


def randomised(model: "keras.Model", *, seed: int = 0) -> "keras.Model":
    """The same graph with fresh random weights, which has learnt nothing."""
    import keras

    keras.utils.set_random_seed(seed)
    return keras.models.clone_model(model)


def boxes_on_canvas(
    boxes: Sequence[Sequence[float]], *, height: int, width: int, size: int
) -> np.ndarray:
    """Boxes of the raw photograph on the letterboxed canvas, shape `(boxes, 4)`."""
    scale, top, left = preprocess.letterbox_geometry(height, width, size)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return boxes * scale + np.array([left, top, left, top])


@dataclasses.dataclass(frozen=True)
class Localisation:
    """How well maps find annotated boxes.

    Attributes:
        n: boxed devices looked at.
        pointing: share whose brightest place lies in a box, with exact limits.
        centre: the same for always pointing at the centre of the picture.
        gain: pointing minus centre, with limits for paired shares.
        energy: mean share of the map's sum that lies in a box.
        area: mean share of the canvas that boxes cover: energy of an even map.
    """

    n: int
    pointing: intervals.Interval
    centre: intervals.Interval
    gain: intervals.Interval
    energy: float
    area: float


def localisation(
    maps: np.ndarray, boxes: Sequence[np.ndarray], *, confidence: float = 0.95
) -> Localisation:
    """Plays the pointing game.

    Args:
        maps: float of shape `(devices, size, size)`, on the canvas.
        boxes: for each device its boxes on the canvas, shape `(boxes, 4)`.
        confidence: level of the intervals.

    Reference:
        Zhang et al., 2016, Top-down Neural Attention by Excitation Backprop. A hit
        must lie inside; no margin is granted.
    """
    hits, centred, energy, area = [], [], [], []
    for heat, where in zip(maps, boxes, strict=True):
        inside = _mask(where, heat.shape)
        total = float(heat.sum())
        brightest = np.unravel_index(int(heat.argmax()), heat.shape)
        # A map without any evidence points nowhere.
        hits.append(bool(total and inside[brightest]))
        centred.append(bool(inside[heat.shape[0] // 2, heat.shape[1] // 2]))
        energy.append(float(heat[inside].sum()) / total if total else 0.0)
        area.append(float(inside.mean()))
    n = len(hits)
    rate = lambda k: intervals.clopper_pearson(k, n, confidence=confidence)  # noqa: E731
    return Localisation(
        n=n,
        pointing=rate(sum(hits)),
        centre=rate(sum(centred)),
        gain=_paired(np.array(hits), np.array(centred), confidence),
        energy=float(np.mean(energy)),
        area=float(np.mean(area)),
    )


def _mask(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose area a box touches; a box of no width still holds one."""
    inside = np.zeros(shape, dtype=bool)
    for x1, y1, x2, y2 in boxes:
        left, top = math.floor(x1), math.floor(y1)
        right, bottom = max(math.ceil(x2), left + 1), max(math.ceil(y2), top + 1)
        inside[max(top, 0) : bottom, max(left, 0) : right] = True
    return inside


def _paired(
    first: np.ndarray, second: np.ndarray, confidence: float
) -> intervals.Interval:
    """Difference of two shares of the same devices, with Wald limits for pairs."""
    n = len(first)
    difference = first.astype(float) - second
    value = float(difference.mean())
    error = float(difference.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    reach = intervals.z_value(confidence) * error
    return intervals.Interval(value, value - reach, value + reach, "paired-wald")
