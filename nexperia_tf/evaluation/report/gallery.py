"""Devices as pictures inside the page: photograph, annotated boxes, heat map."""

import dataclasses
from collections.abc import Iterable

import cv2
import matplotlib
import numpy as np
import PIL.Image

from nexperia_tf import bounds, preprocess, sizes
from nexperia_tf.data import images, pages
from nexperia_tf.evaluation.report import results

SIDE = 320  # pixels of the longer side; larger photographs are shown smaller
QUALITY = 85  # of their JPEG
COVER = 0.55  # how far the map covers the photograph where it is hottest


@dataclasses.dataclass(frozen=True)
class DevicePicture:
    """One device as the page holds it, ready for `<img>`.

    Attributes:
        photograph: data URI.
        heatmap: data URI of the photograph under its map; None without a map.
        blank: whether the map is cold everywhere: nothing speaks for a defect.
        width, height: pixels of the photograph; boxes are in these.
        boxes: `(x, y, width, height)` each.
    """

    photograph: str
    heatmap: str | None
    width: int
    height: int
    boxes: tuple[tuple[float, float, float, float], ...]
    blank: bool = False


def embed(
    content: bytes,
    *,
    boxes: Iterable = (),
    heatmap: np.ndarray | None = None,
    side: int = SIDE,
) -> DevicePicture:
    """Encodes a photograph for the page.

    Args:
        content: the encoded photograph.
        boxes: `[x1, y1, x2, y2]` in pixels of the photograph.
        heatmap: float of shape `(height, width)` of the model's canvas, 0..1.
        side: pixels of the longer side, at most.
    """
    pixels = images.load(content, max_pixels=bounds.MOST_PIXELS).pixels
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    height, width = colour.shape[:2]
    boxes = tuple((x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes)
    shown = None if heatmap is None else _shrunk(_under(colour, heatmap), side)
    blank = heatmap is not None and not heatmap.any()
    return DevicePicture(_shrunk(colour, side), shown, width, height, boxes, blank)


def _under(colour: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The photograph with its map on top; cold places stay as they are."""
    height, width = colour.shape[:2]
    size = sizes.Size(*heatmap.shape)
    scale, top, left = preprocess.letterbox_geometry(height, width, size)
    bottom = top + max(1, round(height * scale))
    right = left + max(1, round(width * scale))
    heatmap = cv2.resize(
        heatmap[top:bottom, left:right].astype(np.float32), (width, height)
    )
    heatmap = np.clip(heatmap, 0, 1)
    tint = matplotlib.colormaps["inferno"](heatmap)[..., :3] * 255
    weight = COVER * np.sqrt(heatmap)[..., None]
    return np.rint(colour * (1 - weight) + tint * weight).astype(np.uint8)


def _shrunk(colour: np.ndarray, side: int) -> str:
    photograph = PIL.Image.fromarray(colour)
    photograph.thumbnail((side, side))
    return pages.data_uri(photograph, quality=QUALITY)


def shown(
    runs: Iterable[results.Run], pairs: Iterable[results.RunComparison] = ()
) -> list[str]:
    """Image ids of every device that the pages of these results show, once each."""
    galleries = [g for run in runs for g in (run.worst.escapes, run.worst.overkills)]
    galleries += [
        changed.devices
        for pair in pairs
        for changed in (pair.newly_caught, pair.newly_missed)
    ]
    return list(dict.fromkeys(device.image_id for g in galleries for device in g))
