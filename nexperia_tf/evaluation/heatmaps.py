"""Where the model looks, by its gradients or by its own map, judged by boxes.

A map that ignores the boxes explains nothing, and one that a model of random weights
draws as well shows the picture, not the model: both are measured for comparison.
"""

import dataclasses
import math
import typing
from collections.abc import Sequence

import cv2
import numpy as np
from scipy import special, stats

from nexperia_tf import errors, sizes
from nexperia_tf.statistics import clustered, intervals

if typing.TYPE_CHECKING:
    import keras

STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
AUTO, BOTH, MAP = "auto", "both", "map"
LOOKS = (AUTO, BOTH, MAP, *STAGES)  # what heat maps can show
BATCH = 16
SMOOTHING = 1 / 40  # of a square canvas' side; neighbouring pixels are one finding


def chosen(model: "keras.Model", look: str) -> str:
    """What the heat maps of a model show, where that is left open.

    Args:
        model: a classifier as it is kept, with its map where it has learned one.
        look: one of LOOKS; auto is both where there is a map, else the stem.

    Raises:
        errors.BadInput: the model has learned no map.
    """
    from nexperia_tf.models import classifier

    if look == AUTO:
        return BOTH if classifier.has_map(model) else STAGES[0]
    if look in (BOTH, MAP) and not classifier.has_map(model):
        raise errors.BadInput(
            f"--stage {look}: {model.name} has learned no map; leave --stage out, or "
            "train with --drawn-map 1."
        )
    return look


def of_model(
    model: "keras.Model", images: np.ndarray, look: str, *, size: sizes.Size
) -> np.ndarray:
    """Heat maps on the canvas, each 0..1.

    Args:
        model: a classifier as it is kept.
        images: uint8 of shape `(batch, height, width, channels)`.
        look: as `chosen` gives it: a layer, the model's own map, or both: the stem's
            map, finer, times the model's own, which knows better where to look.
        size: of the canvas.

    Returns:
        float32 of shape `(batch, height, width)`.
    """
    from nexperia_tf.models import classifier

    if look == MAP:
        return on_canvas(learned(model, images), size)
    plain = classifier.without_map(model)
    stage = STAGES[0] if look == BOTH else look
    maps = on_canvas(class_activation_maps(plain, images, stage=stage), size)
    if look == BOTH:
        maps = _to_one(maps * on_canvas(learned(model, images), size))
    return maps


def learned(model: "keras.Model", images: np.ndarray) -> np.ndarray:
    """Chance of a defect by the model's own map, `(batch, rows, columns)`."""
    parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    places = [np.asarray(model(part, training=False)[MAP]) for part in parts]
    return special.expit(np.concatenate(places))


def class_activation_maps(
    model: "keras.Model",
    images: np.ndarray,
    *,
    stage: str = "stem",
) -> np.ndarray:
    """Where the model sees a defect: gradient times activation (HiResCAM).

    Args:
        model: a classifier's flat graph, giving the raw logit.
        images: uint8 of shape `(batch, height, width, channels)`.
        stage: the layer to look at, one of STAGES; the earlier, the finer.

    Returns:
        float32 of shape `(batch, rows, columns)` in the stage's own resolution, at
        least 0; all 0 where nothing speaks for a defect.

    Raises:
        errors.BadInput: no such stage.

    Reference:
        Draelos & Carin, 2020, Use HiResCAM instead of Grad-CAM.
    """
    import keras

    if stage not in STAGES:
        raise errors.BadInput(f"--stage: one of {', '.join(STAGES)}. Received {stage}.")
    both = keras.Model(model.input, [model.get_layer(stage).output, model.output])
    parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    return np.concatenate([_cam(both, part) for part in parts])


def _cam(both: "keras.Model", images: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        activations, logits = both(images, training=False)
    gradients = tape.gradient(logits, activations)
    activations, gradients = (
        tf.cast(t, tf.float32).numpy() for t in (activations, gradients)
    )
    return np.maximum((activations * gradients).sum(axis=-1), 0)


def on_canvas(maps: np.ndarray, size: sizes.Size) -> np.ndarray:
    """The maps in the resolution of the model's canvas, smooth, each 0..1.

    A place at the rim is highest at its own centre, not along the rim: beyond it there
    is nothing.
    """
    return _to_one(np.stack([_enlarged(heatmap, size) for heatmap in maps]))


def _to_one(maps: np.ndarray) -> np.ndarray:
    """The maps with 1 as the highest of each, unless it is 0 all over."""
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.maximum(highest, np.finfo(np.float32).tiny)


def _enlarged(heatmap: np.ndarray, size: sizes.Size) -> np.ndarray:
    rows, columns = heatmap.shape
    high, wide = (
        -(-size.height // rows),
        -(-size.width // columns),
    )  # a place, rounded up
    padded = np.pad(heatmap, 1)
    padded = cv2.resize(
        padded,
        ((columns + 2) * wide, (rows + 2) * high),
        interpolation=cv2.INTER_LINEAR,
    )
    inner = padded[high : high * (rows + 1), wide : wide * (columns + 1)]
    fitting = cv2.resize(inner, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(fitting, (0, 0), math.sqrt(size.area) * SMOOTHING)


def randomised(model: "keras.Model", *, seed: int = 0) -> "keras.Model":
    """The same graph with fresh random weights, as before any training."""
    import keras

    keras.utils.set_random_seed(seed)
    return keras.models.clone_model(model)


@dataclasses.dataclass(frozen=True)
class Localisation:
    """How well maps find annotated boxes.

    Attributes:
        n: boxed devices.
        pointing: share whose brightest place lies in a box, with exact limits, by
            group where the devices come in groups.
        centre: the same for always pointing at the centre of the picture.
        gain: pointing minus centre, with limits for paired shares.
        energy: mean share of the map's sum that lies in a box.
        area: mean share of the canvas that boxes cover: energy of an even map.
        groups: how many groups the devices come from; None where each stands alone.
        reason: why there are no limits; "" where there are.
    """

    n: int
    pointing: intervals.Interval
    centre: intervals.Interval
    gain: intervals.Interval
    energy: float
    area: float
    groups: int | None = None
    reason: str = ""


def localisation(
    maps: np.ndarray,
    boxes: Sequence[np.ndarray],
    *,
    groups: Sequence[str] | None = None,
    word: str = "group",
    confidence: float = 0.95,
) -> Localisation:
    """Plays the pointing game.

    Args:
        maps: float of shape `(devices, height, width)`, on the canvas.
        boxes: for each device its boxes on the canvas, shape `(boxes, 4)`.
        groups: names of shape `(devices,)`; None takes each device for its own.
        word: how a reason calls a group.
        confidence: level of the intervals.

    Reference:
        Zhang et al., 2016, Top-down Neural Attention by Excitation Backprop. A hit
        must lie inside; no margin is granted.
    """
    pointings = [
        _pointing(heatmap, own) for heatmap, own in zip(maps, boxes, strict=True)
    ]
    hits = np.array([p.hit for p in pointings])
    centred = np.array([p.centre_hit for p in pointings])
    energy = np.array([p.energy for p in pointings])
    if groups is not None and clustered.count(groups) == len(hits):
        groups = None
    units = None if groups is None else clustered.count(groups)
    reason = ""
    if units is not None and units < clustered.FEWEST:
        few = f"{word} is" if units == 1 else f"{word}s are"
        reason = f"{units} {few} too few to show how {word}s differ"
    near = np.array([p.nearness for p in pointings])
    rates = [
        clustered.rate(hits, energy, groups, confidence=confidence),
        clustered.rate(centred, near, groups, confidence=confidence),
        _paired(hits, centred, groups, confidence),
    ]
    if reason:
        rates = [intervals.Interval(r.value, None, None, "none") for r in rates]
    area = float(np.mean([p.area for p in pointings]))
    return Localisation(len(hits), *rates, float(np.mean(energy)), area, units, reason)


@dataclasses.dataclass(frozen=True)
class _Pointing:
    """Where one map points.

    Attributes:
        hit: whether its brightest place lies in a box.
        centre_hit: whether the centre does.
        energy: share of its sum that lies in boxes.
        area: share of the canvas that boxes cover.
        nearness: how near the centre a box lies.
    """

    hit: bool
    centre_hit: bool
    energy: float
    area: float
    nearness: float


def _pointing(heatmap: np.ndarray, boxes: np.ndarray) -> _Pointing:
    inside = touched(boxes, heatmap.shape)
    total = float(heatmap.sum())
    brightest = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    rows, columns = heatmap.shape
    return _Pointing(
        hit=bool(total and inside[brightest]),  # an empty map points nowhere
        centre_hit=bool(inside[rows // 2, columns // 2]),
        energy=float(heatmap[inside].sum()) / total if total else 0.0,
        area=float(inside.mean()),
        nearness=_nearness(boxes, heatmap.shape),
    )


def _nearness(boxes: np.ndarray, shape: tuple[int, int]) -> float:
    """How near the centre a box's middle lies; a hit there depends on it."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array(shape[::-1]) / 2
    return -float(np.hypot(*middle.T).min(initial=math.inf))


def touched(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose area a box touches; a box of no width still holds one."""
    inside = np.zeros(shape, dtype=bool)
    for x1, y1, x2, y2 in boxes:
        left, top = math.floor(x1), math.floor(y1)
        right, bottom = max(math.ceil(x2), left + 1), max(math.ceil(y2), top + 1)
        inside[max(top, 0) : bottom, max(left, 0) : right] = True
    return inside


def _paired(
    first: np.ndarray,
    second: np.ndarray,
    groups: Sequence[str] | None,
    confidence: float,
) -> intervals.Interval:
    """Difference of two shares of the same devices; no limits where none can differ.

    Its variance is the delete-one jackknife's, by group where there are groups, which
    take Student's t; for independent devices that is Wald's for pairs.
    """
    apart = first.astype(float) - second
    alone = groups is None
    group_of = np.arange(len(apart)) if alone else clustered.group_numbers(groups)
    sizes, sums = np.bincount(group_of), np.bincount(group_of, apart)
    value, units = float(apart.mean()), len(sizes)
    if units < 2:
        return intervals.Interval(value, None, None, "none")
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    error = math.sqrt((units - 1) / units * float(np.sum((without - value) ** 2)))
    if (
        error < 1e-12
    ):  # no pair differs, or all alike: nothing shows how much they could
        return intervals.Interval(value, None, None, "none")
    freedom = math.inf if alone else max(1.0, clustered.worth(sizes) - 1)
    reach = error * float(stats.t.isf((1 - confidence) / 2, freedom))
    method = "paired-wald" if alone else "paired-jackknife-by-group"
    return intervals.Interval(value, value - reach, value + reach, method)
