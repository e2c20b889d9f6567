"""What a run finds in its pictures, its folder and its machine for its recipe."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import configs, errors, files
from nexperia_tf.configs import recipes
from nexperia_tf.data import manifest
from nexperia_tf.data.input import balance, order
from nexperia_tf.data.records import store
from nexperia_tf.data.source import DataSource
from nexperia_tf.runs import run_folders
from nexperia_tf.training import recipe

SHAPES = {  # what is drawn on every picture, and the ways it may be mirrored
    "disc": "both",
    "lead to the right": "vertical",
    "lead downwards": "horizontal",
    "letter": "none",
}


OPEN = configs.Config().changed(weights="none")  # whatever the hub's cache holds
PLACES = ((-1, -1), (1, 1), (-1, 1), (1, -1))  # pixels off the middle


def pictures(shape: str, count: int) -> np.ndarray:
    """Bright parts on noise, as often left of the middle as right of it."""
    random = np.random.default_rng(0)
    below, right = np.mgrid[:32, :32] - 15.5
    found = []
    for number in range(count):
        y, x = np.array([below, right]) - np.array(PLACES[number % 4])[:, None, None]
        levels = np.where(np.hypot(x, y) < 8, 150, 60)
        if shape == "lead to the right":
            levels[(x > 0) & (x < 14) & (abs(y) < 3)] = 230
        if shape == "lead downwards":
            levels[(y > 0) & (y < 14) & (abs(x) < 3)] = 230
        if shape == "letter":
            levels[(abs(x + 5) < 2) & (abs(y) < 10)] = 240
            levels[(abs(y + 8) < 2) & (x > -5) & (x < 8)] = 240
        found.append(np.clip(levels + random.normal(0, 12, (32, 32)), 0, 255))
    return np.stack(found).astype(np.uint8)


@pytest.mark.parametrize(("shape", "ways"), SHAPES.items())
@pytest.mark.parametrize("count", [8, 60])
def test_parts_are_mirrored_where_they_look_as_before(shape, ways, count):
    assert recipe.mirroring(pictures(shape, count)) == ways


def test_noise_black_pictures_and_a_single_one_have_no_side():
    noise = np.random.default_rng(0).integers(0, 256, (30, 16, 16), np.uint8)
    assert recipe.mirroring(noise) == "both"
    assert recipe.mirroring(np.zeros((5, 16, 16), np.uint8)) == "both"
    assert recipe.mirroring(pictures("letter", 1)) == "both"


@pytest.fixture(scope="module", params=[False, True], ids=["no boxes", "boxes"])
def closing(request, tmp_path_factory):
    """Closes a config by 24 pictures with a lead; most defects may have a box."""
    raw = tmp_path_factory.mktemp("recipe") / "raw"
    raw.mkdir()
    lines = [["path", "label", "split", *(["x1", "y1", "x2", "y2"] * request.param)]]
    for i, pixels in enumerate(pictures("lead to the right", 24)):
        Image.fromarray(pixels).save(raw / f"{i:02}.png")
        box = ([4, 4, 12, 12] if i < 3 else [""] * 4) * request.param
        label = "good" if i >= 4 else "defect"
        lines.append([f"{i:02}.png", label, "train", *box])
    with open(raw / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    source = DataSource(raw, raw.parent / "data", unboxed="keep")
    dataset = store.build(source)
    rows = manifest.read(dataset.prepared / "manifest.csv")

    def closed(config, folder) -> configs.Config:
        found, _ = recipe.closed(config, folder, dataset, rows, machines=1)
        return found

    return closed, request.param


def test_what_is_open_is_closed_but_for_the_number_of_epochs(closing, tmp_path):
    closed, boxed = closing
    asked = OPEN.changed(drawn=0.0, first_drawn=0.0, batch_size=8)
    values = closed(asked, tmp_path / "run").flat()
    lengths = {"epochs"} | ({"first_epochs"} if boxed else set())
    decided = {*recipes.VALUES["standard"], "image_size"}
    assert {name for name in decided if values[name] in (None, "auto")} == lengths
    assert values["flip"] == "vertical"
    assert values["recipe"] == "standard" and values["backbone"] != "auto"
    assert isinstance(values["image_size"], int)
    assert (values["drawn_map"] > 0) == boxed


def test_what_nothing_teaches_is_refused(closing, tmp_path):
    closed, boxed = closing
    undrawn = {"drawn": 0.0, "first_drawn": 0.0}
    for more, words in (
        ({"drawn_map": 1.0}, "--drawn-map 1: no training defect has a box"),
        ({"first_epochs": 2}, "--first-epochs: no training defect has a box"),
    ):
        asked = OPEN.changed(**undrawn, **more)
        if boxed:
            closed(asked, tmp_path / "run")
            continue
        with pytest.raises(errors.BadInput, match=words):
            closed(asked, tmp_path / "run")


def test_a_run_that_is_resumed_keeps_what_it_began_with(closing, tmp_path):
    closed, _ = closing
    began = configs.of(backbone="resnet50", flip="both", epochs=5, image_size=96)
    began = began.changed(weights="none")
    stored = configs.to_json(began, {"channels": 1})
    files.write_json(tmp_path / run_folders.CONFIG, stored)
    again = closed(OPEN, tmp_path)
    assert again == began
    told = OPEN.changed(flip="none")  # the loop refuses what differs
    assert closed(told, tmp_path).pictures.flip == "none"


def test_a_line_says_what_the_recipe_came_to():
    facts = recipes.Facts(gpu=False, given=20, placed=180, boxed=0, flips="vertical")
    config = recipes.filled(configs.Config().changed(image_size="96x32"), facts)
    counted = balance.Balance("none", good=150, defects=50)
    dealt = order.Order(32, 0, counted, least=50)
    config = recipes.with_epochs(config, devices=200, steps=dealt.steps)
    line = recipe.described(config, dealt, dealt)
    assert "\n" not in line and line.startswith("recipe standard: resnet26_quarter at ")
    first, last = config.first.first_epochs, config.optimisation.epochs
    assert f"{first} epochs of 50 and {last} epochs of 50 steps" in line
    for words in ("96x32", "mirrored vertical", "each picture standardised"):
        assert words in line
    assert "the last weights are kept" in line
    plain = recipe.described(configs.of(), dealt, None)
    assert "standardised" not in plain and "last weights" not in plain


def test_a_network_is_chosen_before_any_picture_is_read(tmp_path):
    assert recipe.with_backbone(configs.of()) == configs.of()
    auto = recipe.with_backbone(configs.Config())
    assert auto.network.backbone in ("resnet26_quarter", "resnext")
    published = configs.Config().changed(weights="imagenet")
    assert recipe.with_backbone(published).network.backbone == "resnext"
    plain = dataclasses.replace(configs.Config(), recipe=configs.of().recipe)
    assert recipe.with_backbone(plain).network.backbone == "resnext"
