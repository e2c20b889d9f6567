"""What is measured of one file."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data import manifest
from nexperia_tf.data.measure import measurement


def encoded(pixels: np.ndarray, format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_pixels_in_another_file_differ_in_its_hash_alone(picture, channels):
    pixels = picture(1, channels=channels)
    bmp, png = (measurement.measure(encoded(pixels, f)) for f in ("BMP", "PNG"))
    assert bmp.sha256 == hashlib.sha256(encoded(pixels, "BMP")).hexdigest()
    differing = {"sha256", "format"}
    same = set(measurement.Measures.__slots__) - differing
    assert [n for n in same if getattr(bmp, n) != getattr(png, n)] == []
    assert all(getattr(bmp, name) != getattr(png, name) for name in differing)


def test_light_and_blur_are_seen_where_they_should_be(picture):
    pixels = picture(2) // 2
    plain = measurement.measure(encoded(pixels, "PNG"))
    brighter = measurement.measure(encoded(pixels + 40, "PNG"))
    blurred = Image.fromarray(pixels).resize((24, 24)).resize((48, 48))
    softer = measurement.measure(encoded(np.asarray(blurred), "PNG"))
    assert brighter.brightness == pytest.approx(plain.brightness + 40)
    assert brighter.contrast == pytest.approx(plain.contrast)
    assert softer.sharpness < plain.sharpness / 4


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "unreadable"), (b"P5 3 3 255 " + bytes(9), "unsupported")],
)
def test_what_is_no_picture_has_a_problem_and_its_hash(content, problem):
    measures = measurement.measure(content)
    assert measures.problem == problem and measures.message
    assert measures.sha256 == hashlib.sha256(content).hexdigest()
    row = manifest.Row(image_id="a", path="a.gif")
    measurement.fill(row, measures)
    assert row.dropped_because == problem and row.width is None and not row.used
