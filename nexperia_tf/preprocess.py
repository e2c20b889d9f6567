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

from nexperia_tf import bmp, bounds, sizes

if typing.TYPE_CHECKING:
    import tensorflow as tf

# ImageNet's statistics, so that published weights see what they were trained on; grey
# takes the mean over the channels, which makes folding the stem's channels exact.
MEAN = {1: (0.449,), 3: (0.485, 0.456, 0.406)}  # of 255, by number of channels
STD = {1: (0.226,), 3: (0.229, 0.224, 0.225)}

JPEG_MAGIC = b"\xff\xd8\xff"
BMP_MAGIC = bmp.MAGIC
PNG_MAGIC = b"\x89PNG"

_MOST_A_BYTE = 8 * 1032  # pixels of one bit, deflated as far as that goes
_NO_PIXELS = np.int64(0)

_BLOCK = 16  # rows of a resizing matrix that are applied at once,
_WEIGHTS = 1 << 20  # if these are not many more weights
_TOGETHER = 1 << 18  # pixels that are resized at once: what caches hold
_LONG_SIDE = 1 << 14  # pixels


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
        tf.errors.InvalidArgumentError: the bytes are no such picture, or their header
            promises more than `bounds.MOST_PIXELS`, or more than so few bytes can hold.
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
    promised = tf.cond(
        is_jpeg,
        lambda: _jpeg_pixels(image_bytes),
        lambda: tf.cond(is_bmp, lambda: _NO_PIXELS, lambda: _png_pixels(image_bytes)),
    )
    # Before memory is got for them; of BMP, whose rows are bytes, decode_bmp does so.
    size = tf.strings.length(image_bytes)
    most = tf.minimum(tf.cast(size, tf.int64) * _MOST_A_BYTE, bounds.MOST_PIXELS)
    told = ["a header promises", promised, "pixels in a file of", size, "bytes"]
    with tf.control_dependencies([tf.debugging.Assert(promised <= most, told)]):
        image_bytes = tf.identity(image_bytes)
    image = tf.cond(is_jpeg, jpeg, lambda: tf.cond(is_bmp, bmp, png))
    return tf.ensure_shape(image, (None, None, channels))


def _jpeg_pixels(image_bytes: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    shape = tf.io.extract_jpeg_shape(image_bytes, output_type=tf.int64)
    return shape[0] * shape[1]


def _png_pixels(image_bytes: "tf.Tensor") -> "tf.Tensor":
    """Width times height, the two numbers behind the name of the first chunk."""
    import tensorflow as tf

    def product():
        digits = tf.io.decode_raw(tf.strings.substr(image_bytes, 16, 8), tf.uint8)
        sides = tf.reshape(tf.cast(digits, tf.int64), (2, 4))
        return tf.reduce_prod(
            sides @ tf.constant([[1 << 24], [1 << 16], [1 << 8], [1]], tf.int64)
        )

    is_png = tf.strings.substr(image_bytes, 0, 4) == PNG_MAGIC
    return tf.cond(is_png, product, lambda: _NO_PIXELS)


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


def letterbox_geometry(
    height: int, width: int, size: sizes.Size | int
) -> tuple[float, int, int]:
    """Where a picture lies on its canvas: `(scale, top, left)`.

    A point `(x, y)` of the picture stands at `(x * scale + left, y * scale + top)`.
    """
    canvas = sizes.Size.of(size)
    inner = letterboxed((height, width), canvas)
    scale = min(canvas.height / height, canvas.width / width)
    return scale, *_corner(canvas, inner)


def boxes_on_canvas(
    boxes: Sequence[Sequence[float]], *, height: int, width: int, size: sizes.Size | int
) -> np.ndarray:
    """Boxes of the raw photograph on the letterboxed canvas, shape `(boxes, 4)`."""
    scale, top, left = letterbox_geometry(height, width, size)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return boxes * scale + np.array([left, top, left, top])


def letterboxed(sides: tuple[int, int], size: sizes.Size) -> sizes.Size:
    """Both sides after letterboxing, at least 1, rounded in float32 as TensorFlow does.

    >>> letterboxed((300, 200), sizes.Size(96, 96))
    Size(height=96, width=64)
    >>> letterboxed((500, 1250), sizes.Size(128, 352))
    Size(height=128, width=320)
    >>> letterboxed((4000, 10), sizes.Size(96, 96))
    Size(height=96, width=1)
    """
    scale = (np.float32(size) / np.float32(sides)).min()
    new = np.rint(np.float32(sides) * scale).astype(int)
    return sizes.Size(*np.clip(new, 1, size).tolist())


def _corner(canvas: sizes.Size, inner: sizes.Size) -> tuple[int, int]:
    """Top and left of the picture, which lies in the middle."""
    return (canvas.height - inner.height) // 2, (canvas.width - inner.width) // 2


def letterbox(image: "tf.Tensor", size: sizes.Size | int) -> "tf.Tensor":
    """Resizes to fit the canvas, with antialiasing, and pads the rest with 0.

    Nothing is cropped: a random or central crop can cut the defect out.

    Args:
        image: uint8 tensor of shape `(height, width, channels)`.
        size: of the canvas; a number is the side of a square.

    Returns:
        uint8 tensor of shape `(size.height, size.width, channels)`.
    """
    import tensorflow as tf

    canvas = sizes.Size.of(size)
    channels = image.shape[-1]
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_min(tf.constant(canvas, tf.float32) / sides)
    inner = tf.cast(tf.round(sides * scale), tf.int32)
    inner = tf.clip_by_value(inner, 1, tf.constant(canvas))

    def resized():
        scaled = tf.image.resize(image, inner, antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)

    same = tf.reduce_all(inner == tf.shape(image)[:2])
    image = tf.cond(same, lambda: image, resized)
    top, left = (canvas.height - inner[0]) // 2, (canvas.width - inner[1]) // 2
    image = tf.image.pad_to_bounding_box(image, top, left, *canvas)
    return tf.ensure_shape(image, (*canvas, channels))


def letterbox_pixels(image: np.ndarray, size: sizes.Size | int) -> np.ndarray:
    """`letterbox` of one array, equal to the last bit, in less time.

    TensorFlow's operation is called alone, without the branches of a graph.
    """
    canvas = sizes.Size.of(size)
    inner = letterboxed(image.shape[:2], canvas)
    if inner != image.shape[:2]:
        import tensorflow as tf

        with tf.device("CPU"):  # the only kernel that it has
            scaled = tf.raw_ops.ScaleAndTranslate(
                images=image[None],
                size=inner,
                scale=np.float32(inner) / np.float32(image.shape[:2]),
                translation=np.zeros(2, np.float32),
                kernel_type="triangle",
            )
        # As an array first: slicing a tensor takes longer than all of this.
        image = np.clip(np.rint(scaled.numpy()[0]), 0, 255).astype(np.uint8)
    pixels = np.zeros((*canvas, image.shape[-1]), np.uint8)
    pixels[_place(canvas, inner)] = image
    return pixels


def _place(canvas: sizes.Size, inner: sizes.Size) -> tuple[slice, slice]:
    """Rows and columns of a canvas on which the picture lies."""
    top, left = _corner(canvas, inner)
    return slice(top, top + inner.height), slice(left, left + inner.width)


def batch(
    image_bytes: Sequence[bytes], size: sizes.Size | int, channels: int
) -> np.ndarray:
    """`letterbox(decode(...))` of many pictures, in less time.

    OpenCV decodes, where it gives what is stored, and a plain BMP is read in place;
    TensorFlow's own resizing, written as one matrix for each side, is applied by NumPy
    to a few pictures of one shape at a time. Sums in another order leave one level
    of difference in some pixels of a million.

    Args:
        image_bytes: the files' bytes.
        size: of the canvas; a number is the side of a square.
        channels: 1 or 3.

    Returns:
        uint8 array of shape `(pictures, size.height, size.width, channels)`.

    Raises:
        tf.errors.InvalidArgumentError: some bytes are no BMP, JPEG or PNG.
    """
    canvas = sizes.Size.of(size)
    canvases = np.zeros((len(image_bytes) * channels, *canvas), np.uint8)
    scratch = _Scratch()
    images = (_decoded(content, channels) for content in image_bytes)
    planes = (image[..., channel] for image in images for channel in range(channels))
    first = 0
    for old, alike in itertools.groupby(planes, np.shape):
        inner = letterboxed(old, canvas)
        rows, columns = _place(canvas, inner)
        places = canvases[:, rows, columns]
        at_once = max(1, _TOGETHER // math.prod(old))
        while some := list(itertools.islice(alike, at_once)):
            if inner != old:
                some = _resized(some, scratch, *inner)
            places[first : first + len(some)] = some
            first += len(some)
    canvases = canvases.reshape(-1, channels, *canvas)
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

        if _promised_pixels(image_bytes) > _MOST_A_BYTE * len(image_bytes):
            return None  # `decode` says so; OpenCV would fill in what is missing
        if image_bytes.startswith(PNG_MAGIC):
            image_bytes = _inflated(image_bytes)
        content, image = np.frombuffer(image_bytes, np.uint8), None
        with contextlib.suppress(cv2.error):  # more pixels than it takes
            image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if image is not None and image.dtype == np.uint8:
            return image[..., ::-1] if image.ndim == 3 else image
    return None


def _promised_pixels(content: bytes) -> int:
    """Width times height as a PNG's or JPEG's header has them; 0 if it has none."""
    if content.startswith(PNG_MAGIC):
        return math.prod(struct.unpack(">II", content[16:24].ljust(8, b"\0")))
    at = len(JPEG_MAGIC) - 1
    while content[at : at + 1] == b"\xff" and len(content) >= at + 9:
        marker, size = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return math.prod(struct.unpack(">HH", content[at + 5 : at + 9]))
        at += 2 + size
    return 0


def _inflated(png: bytes) -> bytes:
    """The same PNG with its pixels stored instead of deflated, for OpenCV to read.

    OpenCV's wheels bring a zlib of 2017; isal inflates in less than half the time. No
    more is inflated than the header promises; a file that holds more, or less, or is
    interlaced, stays as it is.
    """
    from isal import isal_zlib

    first = last = png.find(b"IDAT") - 4
    parts = []
    while png[last + 4 : last + 8] == b"IDAT":
        size = int.from_bytes(png[last : last + 4])
        parts.append(png[last + 8 : last + 8 + size])
        last += 12 + size
    try:
        promised = _promised(png)
        inflate = isal_zlib.decompressobj()
        rows = inflate.decompress(b"".join(parts), promised)
    except (isal_zlib.error, struct.error, KeyError):
        return png  # OpenCV will see, too, that it is damaged
    if len(rows) != promised or not inflate.eof:
        return png
    pixels = b"IDAT" + zlib.compress(rows, 0)
    size, check = len(pixels) - 4, zlib.crc32(pixels)
    chunk = size.to_bytes(4) + pixels + check.to_bytes(4)
    return png[:first] + chunk + png[last:]


def _promised(png: bytes) -> int:
    """Bytes of the rows that a PNG's header promises, each with its filter's number."""
    width, height, bits, colour = struct.unpack_from(">IIBB", png, 16)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    return height * (1 + -(-width * bits * channels // 8))


class _Scratch:
    """Memory that is used again: getting it takes longer than filling it.

    Threads must not share it.
    """

    def __init__(self):
        self._parts: dict[str, np.ndarray] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array of any content; the one of that name before is no more."""
        size = math.prod(shape)
        if name not in self._parts or self._parts[name].size < size:
            self._parts.pop(name, None)
            self._parts[name] = np.empty(size, np.float32)
        return self._parts[name][:size].reshape(shape)


def _resized(
    images: list[np.ndarray], scratch: _Scratch, height: int, width: int
) -> np.ndarray:
    """Planes of one shape with antialiasing, rounded, of another one."""
    count, before = len(images), images[0].shape
    old = scratch.array("old", (count, *before))
    tall = scratch.array("tall", (count, height, before[1]))
    new = scratch.array("new", (count, height, width))
    for plane, image in zip(old, images):
        plane[:] = image
    for rows, seen, weights in _resizing(before[0], height):
        np.matmul(weights, old[:, seen], out=tall[:, rows])
    for columns, seen, weights in _resizing(before[1], width):
        np.matmul(tall[:, :, seen], weights.T, out=new[:, :, columns])
    return np.rint(new, out=new)  # weights are a mean's: within 0..255


def _resizing(old: int, new: int) -> list[tuple[slice, slice, np.ndarray]]:
    """Resizing along one side: new pixels, the old ones they come from, and weights.

    The whole matrix has little beside its diagonal, so only this band is made, bit by
    bit as TensorFlow makes it in float32 (`ComputeSpans` of its ScaleAndTranslate).
    """
    # Of a very long side they are soon made, beside the resizing itself.
    make = _remembered if old <= _LONG_SIDE else _band
    return make(old, new)


def _band(old: int, new: int) -> list[tuple[slice, slice, np.ndarray]]:
    one, half = np.float32(1), np.float32(0.5)
    step = one / (np.float32(new) / np.float32(old))
    reach = max(step, one)  # enlarging interpolates, with no more than two pixels
    centres = (np.arange(new, dtype=np.float32) + half) * step
    firsts = np.clip(np.ceil(centres - reach - half).astype(int), 0, old - 1)
    lasts = np.clip(np.floor(centres + reach - half).astype(int), 0, old - 1)
    block = int(np.clip(math.sqrt(_WEIGHTS / reach), 1, _BLOCK))
    parts = []
    for first in range(0, new, block):
        rows = slice(first, min(first + block, new))
        places = np.arange(firsts[rows][0], lasts[rows][-1] + 1)
        within = (places >= firsts[rows, None]) & (places <= lasts[rows, None])
        off = np.float32(places) + half - centres[rows, None]
        weights = np.maximum(one - np.abs(off * (one / reach)), 0) * within
        weights *= one / np.cumsum(weights, axis=1)[:, -1:]
        used = np.flatnonzero(weights.any(axis=0))
        columns = slice(places[used[0]], places[used[-1]] + 1)
        weights = weights[:, used[0] : used[-1] + 1]
        parts.append((rows, columns, np.ascontiguousarray(weights)))
    return parts


_remembered = functools.lru_cache(maxsize=64)(_band)
