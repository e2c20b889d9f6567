import keras
import numpy as np
import pytest

from nexperia_tf.models import blocks


def pictures(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_a_new_block_is_its_shortcut():
    inputs = keras.Input((8, 8, 16))
    settings = {"inner": 8, "outer": 16, "groups": 4, "stride": 1}
    block = blocks.bottleneck(inputs, **settings, name="b", output_name="out")
    given = pictures(2, 8, 8, 16)
    shown = keras.Model(inputs, block)(given)
    np.testing.assert_allclose(shown, np.maximum(given, 0), atol=1e-6)


@pytest.mark.parametrize("side", [32, 33])
def test_stem_and_strided_block_halve_the_side(side):
    inputs = keras.Input((side, side, 1))
    stem = blocks.stem(inputs, 4)
    assert stem.shape == (None, 1 + (side - 1) // 4, 1 + (side - 1) // 4, 4)
    settings = {"inner": 4, "outer": 8, "groups": 1, "stride": 2}
    block = blocks.bottleneck(stem, **settings, name="b", output_name="out")
    assert block.shape == (None, 1 + (side - 1) // 8, 1 + (side - 1) // 8, 8)


def test_the_zeros_at_the_stems_rim_are_the_right_margin():
    """A pool whose result is rectified cannot tell zeros from minus infinity."""
    inputs = keras.Input((16, 16, 1))
    model = keras.Model(inputs, blocks.stem(inputs, 3))
    before = keras.Model(inputs, model.get_layer("stem_bn").output)
    given = pictures(2, 16, 16, 1)
    rim = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = np.pad(np.asarray(before(given)), rim, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    pooled = windows[:, ::2, ::2].max(axis=(-2, -1))
    np.testing.assert_allclose(model(given), np.maximum(pooled, 0), atol=1e-6)
