import keras
import numpy as np
import pytest
from scipy import stats

from nexperia_tf import errors, preprocess, sizes
from nexperia_tf.evaluation import heatmaps
from nexperia_tf.models import classifier
from nexperia_tf.statistics import intervals

SIZE = 32
SQUARE = sizes.Size(SIZE, SIZE)


@pytest.fixture(scope="module")
def spot_finder():
    """A flat graph whose logit is the mean brightness above 200, by construction."""
    return _spot_finder(SQUARE)


def _spot_finder(size):
    image = keras.Input((*size, 1), name="image")
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


@pytest.mark.parametrize("stage", ["stem", "stage4"])
def test_the_map_is_hottest_where_the_evidence_is(spot_finder, stage):
    places = [(0, 0), (8, 20), (28, 4)] * 6  # more than one batch
    maps = heatmaps.class_activation_maps(spot_finder, with_spots(*places), stage=stage)
    side = SIZE if stage == "stem" else SIZE // 4
    assert maps.shape == (18, side, side)
    canvas = heatmaps.on_canvas(maps, SQUARE)
    assert canvas.shape == (18, SIZE, SIZE)
    assert canvas.max() == pytest.approx(1) and canvas.min() >= 0
    for heat, (row, column) in zip(canvas, places):
        hottest = np.unravel_index(heat.argmax(), heat.shape)
        assert row <= hottest[0] < row + 4 and column <= hottest[1] < column + 4


@pytest.mark.parametrize("shape", [(96, 32), (32, 96), (64, 48)])
@pytest.mark.parametrize("stage", ["stem", "stage4"])
def test_on_a_rectangle_the_map_points_into_the_box_of_the_spot(shape, stage):
    size = sizes.Size(*shape)
    model = _spot_finder(size)
    photographs = [(300, 90), (90, 300), (200, 200), (267, 275)]
    canvases, boxes = [], []
    for i, (height, width) in enumerate(photographs):
        photograph = np.full((height, width, 1), 50, np.uint8)
        top, left = height * (1 + i) // 6, width * (4 - i) // 6
        # Large enough to be seen where a strip lies across the canvas.
        photograph[top : top + 40, left : left + 40] = 255
        canvases.append(preprocess.letterbox_pixels(photograph, size))
        box = [[left, top, min(left + 40, width), top + 40]]
        boxes.append(
            preprocess.boxes_on_canvas(box, height=height, width=width, size=size)
        )
        assert (boxes[-1] >= 0).all() and (boxes[-1] <= [*size[::-1]] * 2).all()
    maps = heatmaps.class_activation_maps(model, np.stack(canvases), stage=stage)
    canvas = heatmaps.on_canvas(maps, size)
    assert canvas.shape == (4, *shape)
    for heat, ((left, top, right, bottom),) in zip(canvas, boxes):
        row, column = np.unravel_index(heat.argmax(), shape)
        # A place of the last stage is four pixels wide.
        assert top - 2 <= row <= bottom + 2 and left - 2 <= column <= right + 2


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 1)])
def test_a_coarse_map_points_at_the_centre_of_its_place_not_at_the_rim(place):
    maps = np.full((1, 2, 2), 0.1, np.float32)
    maps[0][place] = 1
    (heat,) = heatmaps.on_canvas(maps, SQUARE)
    hottest = np.unravel_index(heat.argmax(), heat.shape)
    centre = (np.array(place) + 0.5) * SIZE / 2
    assert np.abs(hottest - centre).max() <= 2


def _with_map(spot_finder, *, weight):
    """The spot finder with a map that is high where it is bright, or dark."""
    model = classifier.as_kept(classifier.with_map(spot_finder))
    model.get_layer("map").set_weights([np.full((1, 1, 1, 1), weight), np.zeros(1)])
    return model


def test_a_learned_map_is_shown_times_the_stems(spot_finder):
    model = _with_map(spot_finder, weight=1.0)
    images = with_spots((8, 20))
    looks = {
        look: heatmaps.of_model(model, images, look, size=SQUARE)
        for look in ("both", "map", "stem")
    }
    for maps in looks.values():
        assert maps.max() == pytest.approx(1) and maps.min() >= 0
        row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
        assert 8 <= row < 12 and 20 <= column < 24
    product = looks["map"] * looks["stem"]
    np.testing.assert_allclose(looks["both"], product / product.max(), rtol=1e-5)


def test_the_map_outvotes_what_the_stem_takes_for_a_defect(spot_finder):
    images = np.full((1, SIZE, SIZE, 1), 50, np.uint8)
    images[0, :12, :12], images[0, 20:, 20:] = 255, 230
    against = _with_map(spot_finder, weight=-0.1)
    shares = {}
    for look in ("stem", "both"):
        (heat,) = heatmaps.of_model(against, images, look, size=SQUARE)
        shares[look] = heat[16:].sum() / heat.sum()
    assert shares["both"] > shares["stem"] + 0.1


def test_what_is_shown_follows_from_what_the_model_has_learned(spot_finder):
    assert heatmaps.chosen(spot_finder, "auto") == "stem"
    assert heatmaps.chosen(_with_map(spot_finder, weight=1.0), "auto") == "both"
    assert heatmaps.chosen(_with_map(spot_finder, weight=1.0), "stage4") == "stage4"
    for look in ("both", "map"):
        with pytest.raises(errors.BadInput, match=f"--stage {look}: .* no map"):
            heatmaps.chosen(spot_finder, look)


def test_no_evidence_is_a_map_of_zeros(spot_finder):
    dark = np.full((1, SIZE, SIZE, 1), 50, np.uint8)
    maps = heatmaps.class_activation_maps(spot_finder, dark)
    maps = heatmaps.on_canvas(maps, SQUARE)
    assert not maps.any()
    found = heatmaps.localisation(maps, [np.array([[0, 0, 32, 32]])])
    assert found.pointing.value == 0 and found.energy == 0


def test_unknown_stages_are_named(spot_finder):
    with pytest.raises(errors.BadInput, match=r"--stage: one of stem.*stage9"):
        heatmaps.class_activation_maps(spot_finder, with_spots((0, 0)), stage="stage9")


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


def _played(hits, groups=None):
    """Maps that point into the box where `hits` says so; the centre never does."""
    maps = np.zeros((len(hits), 10, 10), np.float32)
    for heat, hit in zip(maps, hits):
        heat[(1, 1) if hit else (8, 8)] = 1
    boxes = [np.array([[0, 0, 3, 3]])] * len(hits)
    return heatmaps.localisation(maps, boxes, groups=groups, word="lot")


def test_devices_of_a_lot_that_point_alike_count_as_few():
    # Six of eight lots are found whole: eight draws, not eighty.
    hits, lots = np.repeat([1, 1, 1, 0] * 2, 10), np.repeat(list("abcdefgh"), 10)
    alone, found = _played(hits), _played(hits, lots)
    assert alone.groups is None and found.groups == 8 and not found.reason
    eight = intervals.clopper_pearson(6, 8)
    assert found.pointing.low <= eight.low and found.pointing.high >= eight.high
    assert alone.pointing.low > eight.low + 0.2
    assert found.gain.method == "paired-jackknife-by-group"
    # One number a lot: the mean's t interval, by another's code.
    low, high = stats.t.interval(0.95, 7, 0.75, stats.sem([1, 1, 1, 0] * 2))
    assert (found.gain.low, found.gain.high) == pytest.approx((low, high))
    low, high = stats.norm.interval(0.95, 0.75, stats.sem(hits))
    assert (alone.gain.low, alone.gain.high) == pytest.approx((low, high))


@pytest.mark.parametrize("lots", [["a"] * 9, ["a"] * 4 + ["b"] * 5])
def test_too_few_lots_give_no_limits_and_say_why(lots):
    found = _played([1, 0, 1] * 3, lots)
    count = len(set(lots))
    said = f"{count} lot{'s are' if count > 1 else ' is'} too few to show how lots diff"
    assert found.reason.startswith(said)
    for one in (found.pointing, found.centre, found.gain):
        assert one.low is None and one.high is None
    assert found.pointing.value == pytest.approx(2 / 3)


def test_one_device_or_none_that_differs_shows_no_error():
    for hits in ([1], [0, 0, 0]):
        gain = _played(hits).gain
        assert gain.value == hits[0] and gain.low is None and gain.high is None


def test_boxes_move_with_the_letterbox():
    moved = preprocess.boxes_on_canvas(
        [[0, 0, 275, 267], [100, 50, 150, 60]],
        height=267,
        width=275,
        size=sizes.Size(128, 128),
    )
    scale = 128 / 275
    assert moved[0] == pytest.approx([0, 2, 128, 2 + 267 * scale])
    assert moved[1] == pytest.approx(
        [100 * scale, 50 * scale + 2, 150 * scale, 60 * scale + 2]
    )
