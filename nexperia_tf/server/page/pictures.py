"""Pictures for the eye of a person: what was kept or sent, small or large, and maps.

Whatever was kept, TIFF, 16 bits or turned, is decoded as the models do and leaves as
JPEG or PNG.
"""

import collections
import io
import pathlib
import threading

import cv2
import numpy as np
from PIL import Image

from nexperia_tf import preprocess, sizes
from nexperia_tf.data import images

SMALL, LARGE = 160, 1280  # pixels of the longer side, at most
_REMEMBERED = 512  # small ones, of about 5 kB
_MAX_BYTES = 1 << 28  # of a file that is read
_QUALITY = 88  # of a JPEG
_HOT = (255, 64, 0)  # colour of a map where it is certain


class Unshowable(Exception):
    """There is no such picture, or none that can be decoded; the message says why."""


class Pictures:
    """The pictures that a station has kept.

    Args:
        folder: where they are.
        max_pixels: a picture with more is not decoded.
    """

    def __init__(self, folder: pathlib.Path, *, max_pixels: int = images.MAX_PIXELS):
        self._folder, self._max_pixels = folder, max_pixels
        self._small: collections.OrderedDict[str, bytes] = collections.OrderedDict()
        self._lock = threading.Lock()

    def content(self, kept_as: str) -> bytes:
        """The bytes of a kept picture.

        Raises:
            Unshowable: it is not here, or the name leads elsewhere.
        """
        top = self._folder.resolve()
        try:
            path = (top / kept_as).resolve(strict=True)
            if not path.is_relative_to(top) or path.stat().st_size > _MAX_BYTES:
                raise Unshowable("Its picture is not among the kept ones")
            return path.read_bytes()
        except (OSError, ValueError):  # the latter of a NUL in the name
            why = (
                "Its picture was kept, but is not here: removed, or on another machine"
            )
            raise Unshowable(why) from None

    def shown(self, kept_as: str, *, side: int) -> bytes:
        """A kept picture as JPEG, with so many pixels on its longer side at most."""
        with self._lock:
            if side == SMALL and kept_as in self._small:
                self._small.move_to_end(kept_as)
                return self._small[kept_as]
        found = jpeg(self.decoded(self.content(kept_as)), side)
        if side == SMALL:
            with self._lock:
                self._small[kept_as] = found
                while len(self._small) > _REMEMBERED:
                    self._small.popitem(last=False)
        return found

    def decoded(self, content: bytes) -> np.ndarray:
        """Pixels of shape `(height, width)` or `(height, width, 3)`, uint8.

        Raises:
            Unshowable: it is no picture.
        """
        try:
            return images.load(content, max_pixels=self._max_pixels).pixels
        except (images.UnreadableImage, images.UnsupportedImage) as error:
            raise Unshowable(f"Its picture cannot be shown: {error}") from None


def jpeg(pixels: np.ndarray, side: int) -> bytes:
    """A picture, made smaller where its longer side is longer than that."""
    share = side / max(pixels.shape[:2])
    if share < 1:
        new = tuple(max(1, round(share * each)) for each in pixels.shape[1::-1])
        pixels = cv2.resize(pixels, new, interpolation=cv2.INTER_AREA)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def overlay(
    found: list[list[float]], *, picture: tuple[int, int], canvas: sizes.Size
) -> bytes:
    """A model's map as a PNG to lay over a picture: the redder, the surer of a defect.

    Args:
        found: probabilities of a defect, rows of the canvas' places.
        picture: height and width of the picture.
        canvas: that the map is of; the bars around the picture are cut off.
    """
    places = np.clip(np.float32(found), 0, 1)
    whole = cv2.resize(places, (canvas.width, canvas.height))
    _, top, left = preprocess.letterbox_geometry(*picture, canvas)
    inner = preprocess.letterboxed(picture, canvas)
    part = whole[top : top + inner.height, left : left + inner.width]
    pixels = np.empty((*part.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = _HOT, np.rint(255 * part)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
