"""Image bytes to image tensor: the only decode, resize and scale.

Training, evaluation and the SavedModel all call these functions, so a verdict cannot
change on export. Training takes them as NumPy computes them, see `batch`. TensorFlow is
imported inside, so that the constants can be read without it.
"""

import contextlib
import functools
import itertools
import math
import struct
import typing
import zlib
from collections.abc import Sequence

import numpy as np

from nexperia_tf import bmp

if typing.TYPE_CHECKING:
    import tensorflow as tf

# ImageNet's statistics, so that published weights see what they were trained on; grey
# takes the mean over the channels, which makes folding the stem's channels exact.
MEAN = {1: (0.449,), 3: (0.485, 0.456, 0.406)}  # of 255, by number of channels
STD = {1: (0.226,), 3: (0.229, 0.224, 0.225)}

JPEG_MAGIC = b"\xff\xd8\xff"
BMP_MAGIC = bmp.MAGIC
PNG_MAGIC = b"\x89PNG"

_BLOCK = 16  # rows of a resizing matrix that are applied at once
_TOGETHER = 1 << 18  # pixels that are resized at once: what caches hold


def scale_and_offset(channels: int) -> tuple[list[float], list[float]]:
    """Numbers with which `pixels * scale + offset` is standardised, one a channel."""
    scale = [1 / (255 * std) for std in STD[channels]]
    offset = [-mean / std for mean, std in zip(MEAN[channels], STD[channels])]
    return scale, offset


def decode(image_bytes: "tf.Tensor", channels: int) -> "tf.Tensor":
    """Decodes BMP, JPEG or PNG, told apart by their first bytes, never by a name.

    Args:
        image_bytes: scalar string tensor.
        channels: 1 or 3; grey pictures are repeated into three channels, colour ones
            become luma when one is asked for.

    Returns:
        uint8 tensor of shape `(height, width, channels)`.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no such picture.
    """
    import tensorflow as tf

    def jpeg():
        # The default DCT is up to 6 levels away from other decoders, this one is exact.
        return tf.io.decode_jpeg(image_bytes, channels, dct_method="INTEGER_ACCURATE")

    def bmp():
        # decode_bmp takes grey as 0 ("as stored") only.
        return _to_channels(tf.io.decode_bmp(image_bytes, channels=0), channels)

    def png():
        return tf.io.decode_png(image_bytes, channels)

    is_jpeg = tf.strings.substr(image_bytes, 0, 3) == JPEG_MAGIC
    is_bmp = tf.strings.substr(image_bytes, 0, 2) == BMP_MAGIC
    image = tf.cond(is_jpeg, jpeg, lambda: tf.cond(is_bmp, bmp, png))
    return tf.ensure_shape(image, (None, None, channels))


def _to_channels(image: "tf.Tensor", channels: int) -> "tf.Tensor":
    import tensorflow as tf

    stored = tf.shape(image)[-1]
    if channels == 1:
        return tf.cond(
            stored == 1,
            lambda: image[..., :1],
            lambda: tf.image.rgb_to_grayscale(image[..., :3]),
        )
    return tf.cond(
        stored == 1,
        lambda: tf.repeat(image[..., :1], 3, axis=-1),
        lambda: image[..., :3],
    )


def letterbox_geometry(height: int, width: int, size: int) -> tuple[float, int, int]:
    """Where a picture lies on its square canvas: `(scale, top, left)`.

    A point `(x, y)` of the picture stands at `(x * scale + left, y * scale + top)`.
    """
    scale = size / max(height, width)
    inner_height = max(1, round(height * scale))
    inner_width = max(1, round(width * scale))
    return scale, (size - inner_height) // 2, (size - inner_width) // 2


def letterbox(image: "tf.Tensor", size: int) -> "tf.Tensor":
    """Resizes the long side to `size` with antialiasing and pads the rest with 0.

    Nothing is cropped: a random or central crop can cut the defect out.

    Args:
        image: uint8 tensor of shape `(height, width, channels)`.
        size: side of the square canvas in pixels.

    Returns:
        uint8 tensor of shape `(size, size, channels)`.
    """
    import tensorflow as tf

    channels = image.shape[-1]
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    inner = tf.round(sides * (size / tf.reduce_max(sides)))
    inner = tf.clip_by_value(tf.cast(inner, tf.int32), 1, size)

    def resized():
        scaled = tf.image.resize(image, inner, antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)

    same = tf.reduce_all(inner == tf.shape(image)[:2])
    image = tf.cond(same, lambda: image, resized)
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    image = tf.image.pad_to_bounding_box(image, top, left, size, size)
    return tf.ensure_shape(image, (size, size, channels))


def batch(image_bytes: Sequence[bytes], size: int, channels: int) -> np.ndarray:
    """`letterbox(decode(...))` of many pictures, in less time.

    OpenCV decodes, where it gives what is stored, and a plain BMP is read in place;
    TensorFlow's own resizing, written as one matrix for each side, is applied by NumPy
    to a few pictures of one shape at a time. Sums in another order leave one level
    of difference in some pixels of a million.

    Args:
        image_bytes: the files' bytes.
        size: side of the square canvas in pixels.
        channels: 1 or 3.

    Returns:
        uint8 array of shape `(pictures, size, size, channels)`.

    Raises:
        tf.errors.InvalidArgumentError: some bytes are no BMP, JPEG or PNG.
    """
    canvases = np.zeros((len(image_bytes) * channels, size, size), np.uint8)
    # Getting memory takes longer than filling it; threads must not share it.
    scratch = functools.lru_cache(maxsize=4)(_scratch)
    images = (_decoded(content, channels) for content in image_bytes)
    planes = (image[..., channel] for image in images for channel in range(channels))
    first = 0
    for old, alike in itertools.groupby(planes, np.shape):
        new = np.rint(np.float32(old) * (np.float32(size) / max(old)))
        height, width = np.clip(new.astype(int), 1, size)
        top, left = (size - height) // 2, (size - width) // 2
        places = canvases[:, top : top + height, left : left + width]
        at_once = max(1, _TOGETHER // math.prod(old))
        while some := list(itertools.islice(alike, at_once)):
            if (height, width) != old:
                some = _resized(some, *scratch(len(some), *old, height, width))
            places[first : first + len(some)] = some
            first += len(some)
    canvases = canvases.reshape(-1, channels, size, size)
    return np.ascontiguousarray(np.moveaxis(canvases, 1, -1))


def _decoded(image_bytes: bytes, channels: int) -> np.ndarray:
    image = _stored(image_bytes)
    if image is not None:
        if image.ndim == 2 and channels == 1:
            return image[..., None]
        if image.ndim == 2:
            return np.repeat(image[..., None], channels, axis=-1)
        if image.shape[-1] == channels == 3:
            return image
    return decode(image_bytes, channels).numpy()


def _stored(image_bytes: bytes) -> np.ndarray | None:
    """The picture as it is stored, if it is 8-bit grey or RGB."""
    # By magic bytes, like `decode`: OpenCV knows many more kinds.
    if image_bytes.startswith(BMP_MAGIC):
        with contextlib.suppress(ValueError, struct.error):
            return bmp.rows(image_bytes, bmp.header(image_bytes))
    elif image_bytes.startswith((JPEG_MAGIC, PNG_MAGIC)):
        import cv2

        if image_bytes.startswith(PNG_MAGIC):
            image_bytes = _inflated(image_bytes)
        image = cv2.imdecode(np.frombuffer(image_bytes, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is not None and image.dtype == np.uint8:
            return image[..., ::-1] if image.ndim == 3 else image
    return None


def _inflated(png: bytes) -> bytes:
    """The same PNG with its pixels stored instead of deflated, for OpenCV to read.

    OpenCV's wheels bring a zlib of 2017; isal inflates in less than half the time.
    """
    from isal import isal_zlib

    first = last = png.find(b"IDAT") - 4
    parts = []
    while png[last + 4 : last + 8] == b"IDAT":
        size = int.from_bytes(png[last : last + 4])
        parts.append(png[last + 8 : last + 8 + size])
        last += 12 + size
    try:
        rows = isal_zlib.decompress(b"".join(parts))
    except isal_zlib.error:  # OpenCV will see, too, that it is damaged
        return png
    pixels = b"IDAT" + zlib.compress(rows, 0)
    size, check = len(pixels) - 4, zlib.crc32(pixels)
    chunk = size.to_bytes(4) + pixels + check.to_bytes(4)
    return png[:first] + chunk + png[last:]


def _scratch(count, height, width, new_height, new_width) -> tuple[np.ndarray, ...]:
    shapes = (height, width), (new_height, width), (new_height, new_width)
    return tuple(np.empty((count, *shape), np.float32) for shape in shapes)


def _resized(
    images: list[np.ndarray], old: np.ndarray, tall: np.ndarray, new: np.ndarray
) -> np.ndarray:
    """Planes of one shape with antialiasing, rounded, by way of `old` and `tall`."""
    for plane, image in zip(old, images):
        plane[:] = image
    for rows, seen, weights in _resizing(old.shape[1], new.shape[1]):
        np.matmul(weights, old[:, seen], out=tall[:, rows])
    for columns, seen, weights in _resizing(old.shape[2], new.shape[2]):
        np.matmul(tall[:, :, seen], weights.T, out=new[:, :, columns])
    return np.rint(new, out=new)  # weights are a mean's: within 0..255


@functools.lru_cache(maxsize=64)
def _resizing(old: int, new: int) -> list[tuple[slice, slice, np.ndarray]]:
    """Resizing along one side: new pixels, the old ones they come from, and weights.

    The whole matrix has little beside its diagonal, so it is cut along it.
    """
    import tensorflow as tf

    unit = tf.eye(old)[..., None]
    matrix = tf.image.resize(unit, (new, old), antialias=True)[..., 0].numpy()
    parts = []
    for first in range(0, new, _BLOCK):
        rows = slice(first, min(first + _BLOCK, new))
        used = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(used[0], used[-1] + 1)
        parts.append((rows, columns, np.ascontiguousarray(matrix[rows, columns])))
    return parts
