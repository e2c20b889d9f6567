import io

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import sizes
from nexperia_tf.server.page import pictures


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "outside.png").write_bytes(b"secret")
    folder = tmp_path / "kept"
    (folder / "2026-11-27").mkdir(parents=True)
    deep = np.linspace(0, 65535, 400 * 200).astype(np.uint16).reshape(200, 400)
    Image.fromarray(deep).save(folder / "2026-11-27" / "deep.png")
    return pictures.Pictures(folder)


def test_small_ones_are_made_once_and_few_are_kept(kept, monkeypatch):
    first = kept.shown("2026-11-27/deep.png", side=pictures.SMALL)
    assert Image.open(io.BytesIO(first)).size == (160, 80)
    monkeypatch.setattr(kept, "content", None)  # nothing is read again
    assert kept.shown("2026-11-27/deep.png", side=pictures.SMALL) is first
    monkeypatch.undo()
    monkeypatch.setattr(pictures, "_REMEMBERED", 0)
    with pytest.raises(pictures.Unshowable, match="is not here"):
        kept.shown("2026-11-27/other.png", side=pictures.SMALL)
    large = kept.shown("2026-11-27/deep.png", side=pictures.LARGE)
    assert Image.open(io.BytesIO(large)).size == (400, 200)


@pytest.mark.parametrize("name", ["../outside.png", "link.png", "2026-11-27", "a\0b"])
def test_nothing_beyond_the_folder_is_shown(kept, tmp_path, name):
    (tmp_path / "kept" / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(pictures.Unshowable):
        kept.content(name)
    with pytest.raises(pictures.Unshowable):
        kept.content(str(tmp_path / "outside.png"))


def test_a_map_lies_where_the_model_saw_it():
    """A wide picture lies in the middle rows of its canvas; the bars are cut off."""
    found = np.zeros((4, 4))
    found[1, 3] = 1.0  # the upper right of the middle
    drawn = Image.open(
        io.BytesIO(
            pictures.overlay(
                found.tolist(), picture=(50, 100), canvas=sizes.Size(64, 64)
            )
        )
    )
    assert drawn.size == (64, 32)
    alpha = np.asarray(drawn)[..., 3]
    assert (
        np.unravel_index(alpha.argmax(), alpha.shape) == (7, 55) or alpha[8, 56] > 200
    )
    assert not alpha[:, :32].any() and alpha[24:].max() < 40
