"""Strips, points and plain pictures: nothing is too long, too small or too dark."""

import io

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data import images, manifest
from nexperia_tf.data.duplicates import search
from nexperia_tf.data.measure import measurement
from nexperia_tf.data.proof import same_photo


def _strip(rng, height: int, width: int, *, defect: bool = False) -> np.ndarray:
    """A wire: waves along its length, a few marks, noise; a defect cuts it through."""
    levels = np.full((height, width), 90.0)
    levels += 40 * np.sin(np.arange(width) / rng.uniform(9, 30))
    for _ in range(12):
        x, y = rng.integers(0, width - 12), rng.integers(0, max(1, height - 8))
        levels[y : y + 6, x : x + 10] += rng.normal(0, 50)
    if defect:
        x = rng.integers(0, width - 30)
        levels[:, x : x + 6] = 20
    return np.clip(levels + rng.normal(0, 5, levels.shape), 0, 255).astype(np.uint8)


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _find(files: dict[str, bytes]) -> search.Findings:
    pictures = [
        search.Measured.of(path, measurement.measure(content))
        for path, content in files.items()
    ]
    load = {path: images.load(content).pixels for path, content in files.items()}.get
    return search.find(pictures, load=load)


@pytest.mark.parametrize(("height", "width"), [(80, 600), (60, 4000), (4000, 60)])
def test_a_strip_that_was_saved_as_jpeg_is_a_copy(height, width):
    rng, long = np.random.default_rng(0), max(height, width)
    strips = [_strip(rng, min(height, width), long) for _ in range(8)]
    if height > width:
        strips = [np.ascontiguousarray(strip.T) for strip in strips]
    files = {f"{i}.png": _png(strip) for i, strip in enumerate(strips)}
    files |= {"copy.jpg": _jpeg(strips[0]), "turned.png": _png(np.rot90(strips[1]))}
    found = _find(files)
    assert ["0.png", "copy.jpg"] in found.clusters
    assert len(found.clusters) <= 2  # perhaps the turned one


SMALL = [(1, 1), (1, 2), (2, 3), (5, 5), (1, 300), (300, 1), (7, 2000), (3, 33_000)]


@pytest.mark.parametrize("shape", SMALL)
def test_pictures_of_any_shape_are_compared(shape):
    rng = np.random.default_rng(sum(shape))
    one = rng.integers(60, 160, shape).astype(np.uint8)
    noisy = np.clip(one + rng.normal(0, 1.5, shape), 0, 255).astype(np.uint8)
    shifted = np.roll(one, 1, 1)
    others = [rng.integers(0, 256, shape).astype(np.uint8) for _ in range(4)]
    pictures = [one, noisy, shifted, one[::-1, ::-1], one.T, *others]
    files = {f"{i}.png": _png(pixels) for i, pixels in enumerate(pictures)}
    files |= {"same.bmp": _bmp(one), "copy.jpg": _jpeg(one)}
    (cluster,) = [c for c in _find(files).clusters if "0.png" in c]
    assert "same.bmp" in cluster


def _bmp(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()


def test_black_and_white_pictures_are_copies_only_of_their_own_pixels():
    rng = np.random.default_rng(0)
    files = {
        f"{level}_{side}.png": _png(np.full((64, side), level, np.uint8))
        for level in (0, 255)
        for side in (64, 65, 90)
    }
    files |= {f"{i}.png": _png(_strip(rng, 64, 64)) for i in range(6)}
    files["black_again.bmp"] = _bmp(np.zeros((64, 64), np.uint8))
    assert _find(files).clusters == [["0_64.png", "black_again.bmp"]]


def test_lines_are_found_in_a_strip_of_which_a_square_would_fill_the_memory():
    deviations = np.random.default_rng(0).normal(0, 0.1, (30, 30_000))
    before = same_photo._largest_line(deviations)
    deviations[12:14, 20_000:20_040] += 3
    assert before < 0.5 < 2.5 < same_photo._largest_line(deviations) < 3.5


def test_strips_go_through_prepare_and_only_the_copy_is_dropped(tmp_path, run_command):
    rng = np.random.default_rng(0)
    for name, count in (("good", 24), ("defect", 12)):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for i in range(count):
            pixels = _strip(rng, 80, 600, defect=name == "defect")
            (tmp_path / "raw" / name / f"{i}.png").write_bytes(_png(pixels))
            if (name, i) == ("good", 0):
                (tmp_path / "raw" / "good" / "copy.jpg").write_bytes(_jpeg(pixels))
    assert run_command("prepare", tmp_path / "raw", "--out", tmp_path / "out") == 0
    rows = manifest.read(tmp_path / "out" / "manifest.csv")
    dropped = {r.path: r.dropped_because for r in rows if r.dropped_because}
    assert len(rows) == 37 and dropped == {"good/copy.jpg": "duplicate"}
