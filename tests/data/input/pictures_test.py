import dataclasses
import shutil

import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.data.input import pictures


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_pictures_are_taken_by_their_place(dataset, letterboxed, sides, cache):
    take = pictures.Pictures(sides.size, 1, cache).taker(dataset, "train")
    places = np.array([5, 40, 5])
    expected = np.stack(letterboxed("train"))[places]
    np.testing.assert_array_equal(take(places), expected)


def test_kept_pictures_are_decoded_once(dataset, tmp_path, sides):
    copy = dataclasses.replace(dataset, data_dir=tmp_path / "copy")
    shutil.copytree(dataset.data_dir, copy.data_dir)
    take = pictures.Pictures(sides.size, 1, "memory").taker(copy, "train")
    shutil.rmtree(copy.data_dir)
    assert take(np.arange(46)).shape == (46, sides.size, sides.size, 1)


def test_auto_keeps_pictures_up_to_a_limit(monkeypatch, sides):
    shown = pictures.Pictures(sides.size, 3)
    monkeypatch.setattr(pictures, "CACHE_BYTES", 46 * sides.size**2 * 3)
    assert shown.keeps(46) and not shown.keeps(47)
    assert dataclasses.replace(shown, cache="memory").keeps(47)
    assert not dataclasses.replace(shown, cache="none").keeps(1)


def test_an_unknown_cache_is_refused():
    with pytest.raises(
        errors.BadInput, match="cache 'disk' is unknown; .* one of auto"
    ):
        pictures.Pictures(32, 1, "disk")
