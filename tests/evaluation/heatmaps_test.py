import keras
import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.evaluation import heatmaps

SIZE = 32


@pytest.fixture(scope="module")
def spot_finder():
    """A flat graph whose logit is the mean brightness above 200, by construction."""
    image = keras.Input((SIZE, SIZE, 1), name="image")
    bright = keras.layers.Conv2D(1, 1, activation="relu", name="stem")(image)
    pooled = keras.layers.AveragePooling2D(4, name="stage4")(bright)
    features = keras.layers.GlobalAveragePooling2D(name="features")(pooled)
    logit = keras.layers.Dense(1, name="logit")(features)
    model = keras.Model(image, logit)
    model.get_layer("stem").set_weights([np.ones((1, 1, 1, 1)), np.array([-200.0])])
    model.get_layer("logit").set_weights([np.ones((1, 1)), np.zeros(1)])
    return model


def with_spots(*places):
    images = np.full((len(places), SIZE, SIZE, 1), 50, np.uint8)
    for image, (row, column) in zip(images, places):
        image[row : row + 4, column : column + 4] = 255
    return images


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
@pytest.mark.parametrize("stage", ["stem", "stage4"])
def test_the_map_is_hottest_where_the_evidence_is(spot_finder, stage, method):
    places = [(0, 0), (8, 20), (28, 4)] * 6  # more than one batch
    maps = heatmaps.evidence(
        spot_finder, with_spots(*places), stage=stage, method=method
    )
    side = SIZE if stage == "stem" else SIZE // 4
    assert maps.shape == (18, side, side)
    canvas = heatmaps.on_canvas(maps, SIZE)
    assert canvas.shape == (18, SIZE, SIZE)
    assert canvas.max() == pytest.approx(1) and canvas.min() >= 0
    for heat, (row, column) in zip(canvas, places):
        hottest = np.unravel_index(heat.argmax(), heat.shape)
        assert row <= hottest[0] < row + 4 and column <= hottest[1] < column + 4


def test_no_evidence_is_a_map_of_zeros(spot_finder):
    dark = np.full((1, SIZE, SIZE, 1), 50, np.uint8)
    maps = heatmaps.on_canvas(heatmaps.evidence(spot_finder, dark), SIZE)
    assert not maps.any()
    found = heatmaps.localisation(maps, [np.array([[0, 0, 32, 32]])])
    assert found.pointing.value == 0 and found.energy == 0


def test_unknown_stages_and_methods_are_named(spot_finder):
    with pytest.raises(errors.BadInput, match=r"--stage: one of stem.*stage9"):
        heatmaps.evidence(spot_finder, with_spots((0, 0)), stage="stage9")
    with pytest.raises(errors.BadInput, match="Received cam"):
        heatmaps.evidence(spot_finder, with_spots((0, 0)), method="cam")


def test_random_weights_leave_the_model_as_it_was(spot_finder):
    before = spot_finder.get_weights()
    random = heatmaps.randomised(spot_finder)
    assert not np.allclose(random.get_weights()[0], before[0])
    for now, then in zip(spot_finder.get_weights(), before):
        np.testing.assert_array_equal(now, then)


def test_the_pointing_game_is_counted_against_the_centre():
    maps = np.zeros((4, 10, 10), np.float32)
    for heat, place in zip(maps, [(1, 1), (1, 1), (5, 5), (9, 9)]):
        heat[place] = 1
    boxes = [
        np.array([[0, 0, 3, 3]]),  # hit, not the centre
        np.array([[0, 0, 3, 3], [4, 4, 6, 6]]),  # hit by one of two, centre too
        np.array([[0, 0, 3, 3]]),  # miss
        np.array([[9.2, 9.2, 9.2, 9.2]]),  # hit: a box without width is one pixel
    ]
    found = heatmaps.localisation(maps, boxes)
    assert found.n == 4
    assert found.pointing.value == 0.75
    assert found.centre.value == 0.25
    assert found.gain.value == 0.5
    assert found.gain.low < 0.5 < found.gain.high
    assert found.energy == 0.75
    assert found.area == pytest.approx((9 + 13 + 9 + 1) / 400)


def test_boxes_move_with_the_letterbox():
    moved = heatmaps.boxes_on_canvas(
        [[0, 0, 275, 267], [100, 50, 150, 60]], height=267, width=275, size=128
    )
    scale = 128 / 275
    assert moved[0] == pytest.approx([0, 2, 128, 2 + 267 * scale])
    assert moved[1] == pytest.approx(
        [100 * scale, 50 * scale + 2, 150 * scale, 60 * scale + 2]
    )
