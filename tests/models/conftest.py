import keras
import numpy as np
import pytest

from nexperia_tf.models import backbones, classifier


@pytest.fixture(scope="session")
def tiny() -> backbones.Shape:
    """A grouped network that is built and run in an instant."""
    return backbones.Shape((1, 1), groups=4, width=16, planes=(8, 16), stem=8)


@pytest.fixture
def settled(tiny):
    """A tiny grey classifier whose batch norms are as after training."""
    keras.utils.set_random_seed(0)
    model = classifier.build(tiny, image_size=32, channels=1)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, shape),
                    rng.normal(0, 0.3, shape),
                    rng.normal(0, 0.3, shape),
                    rng.uniform(0.5, 2, shape),
                ]
            )
    return model


@pytest.fixture(scope="session")
def pixels():
    """Draws pictures: `pixels(channels=3)`."""

    def draw(channels=1, size=32, count=4):
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (count, size, size, channels), dtype="uint8")

    return draw
