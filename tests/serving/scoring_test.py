"""Decoding beside the network: order, company and the same scores as from bytes."""

import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data.raw import listing
from nexperia_tf.serving import export, scoring


def test_results_come_in_order_and_no_further_than_asked():
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item

    results = scoring.in_threads(work, iter(range(50)), 4)
    assert [next(results) for _ in range(10)] == list(range(10))
    time.sleep(0.05)
    assert max(begun) <= 10 + 4
    results.close()
    assert len(begun) <= 10 + 5
    assert not [t for t in threading.enumerate() if "ThreadPool" in t.name]


def test_an_error_of_a_thread_comes_out():
    results = scoring.in_threads(lambda item: 1 // item, iter([1, 0]), 4)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def encoded(pixels: np.ndarray, form: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def test_jpegs_as_phones_and_cameras_write_them_are_scored(tmp_path, publish_tiny):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    unknown = Image.Exif()
    unknown[0x0112] = 0
    more = {"save_all": True, "append_images": [Image.fromarray(pixels)]}
    written = {
        "mpo.jpg": encoded(pixels, "MPO", **more),
        "motion.jpg": encoded(pixels, "JPEG") + b"Motion \xff\xda..",
        "orientation0.jpg": encoded(pixels, "JPEG", exif=unknown),
        "plain.jpg": encoded(pixels, "JPEG"),
    }
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
    found = listing.files(tmp_path)
    served = export.load(publish_tiny(tmp_path.parent / "model_of_jpegs"))
    (rows,) = scoring.batches(served, found, found.named, batch_size=8)
    assert [row["problem"] for row in rows] == [""] * 4
    assert len({row["score"] for row in rows}) == 1


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Plain files of many shapes, with their bytes by name."""
    rng = np.random.default_rng(0)
    contents = {}
    for i, (height, width) in enumerate(
        [(32, 32), (50, 20), (7, 90), (1, 1), (64, 48)]
    ):
        grey = rng.integers(0, 256, (height, width), np.uint8)
        stored = np.repeat(grey[..., None], 3, axis=-1)  # grey, stored as colour
        for form in ("BMP", "PNG", "JPEG"):
            contents[f"{i}.{form.lower()}"] = encoded(grey, form)
            contents[f"{i}_rgb.{form.lower()}"] = encoded(stored, form)
        colour = rng.integers(0, 256, (height, width, 3), np.uint8)
        for form in ("BMP", "PNG"):
            contents[f"{i}_colour.{form.lower()}"] = encoded(colour, form)
        contents[f"{i}_colour.jpeg"] = encoded(colour, "JPEG", quality=70)
    folder = tmp_path_factory.mktemp("plain")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder, dict(sorted(contents.items()))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_plain_file_scores_as_its_bytes_do(
    channels, pictures, publish_tiny, tmp_path
):
    folder, contents = pictures
    served = export.load(publish_tiny(tmp_path / "model", channels=channels))
    if channels == 1:
        contents = {n: c for n, c in contents.items() if "colour" not in n}
    found = listing.files(folder)
    times = scoring.Times()
    rows = [
        row
        for batch in scoring.batches(
            served, found, list(contents), batch_size=7, threshold=0.4, times=times
        )
        for row in batch
    ]
    assert not {row["problem"] for row in rows} - {""}
    expected, _ = served.score_bytes(list(contents.values()))
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose([row["score"] for row in rows], expected, atol=1e-6)
    assert 0 < times.waited < times.total
