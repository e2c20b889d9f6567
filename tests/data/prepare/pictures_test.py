import base64
import io

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import pictures


@pytest.fixture
def device():
    """A smooth picture without symmetry."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (9, 9)).astype(np.uint8))
    return np.asarray(coarse.resize((150, 150), Image.Resampling.BICUBIC))


def _row(raw, name: str, pixels: np.ndarray, **values) -> manifest.Row:
    Image.fromarray(pixels).save(raw / name)
    return manifest.Row(name, name, **values)


def _pixels(uri: str) -> np.ndarray:
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize("change", ["brighter", "shifted", "turned", "flipped"])
def test_what_only_moved_or_got_brighter_does_not_differ(tmp_path, device, change):
    changed = {
        "brighter": (device * 0.7 + 20).astype(np.uint8),
        "shifted": np.roll(device, (3, 2), (0, 1)),
        "turned": np.rot90(device),
        "flipped": device[:, ::-1],
    }[change]
    rows = [_row(tmp_path, "a.png", device), _row(tmp_path, "b.png", changed)]
    inside = _pixels(pictures.difference(tmp_path, *rows))[8:-8, 8:-8]
    assert inside.mean() < 12


def test_a_scratch_shows_where_it_is(tmp_path, device):
    scratched = device.copy()
    scratched[60:64, 40:110] = 255
    rows = [_row(tmp_path, "a.png", device), _row(tmp_path, "b.png", scratched)]
    shown = _pixels(pictures.difference(tmp_path, *rows))
    assert shown[60:64, 45:105].mean() > 100 > 30 > shown[100:].mean()


def test_boxes_are_drawn_and_zero_ones_do_no_harm(tmp_path, device):
    row = _row(tmp_path, "a.png", device, boxes=[[10, 10, 90, 90], [9, 9, 9, 9]])
    shown = _pixels(pictures.thumbnail(tmp_path, row)).astype(int)
    assert (shown[10, 20:80, 0] - shown[10, 20:80, 2]).mean() > 80


def test_a_file_that_cannot_be_read_has_no_picture(tmp_path, device):
    row = _row(tmp_path, "a.png", device)
    (tmp_path / "b.png").write_bytes(b"BM")
    broken = manifest.Row("b", "b.png")
    assert pictures.thumbnail(tmp_path, broken) == ""
    assert pictures.difference(tmp_path, row, broken) == ""
