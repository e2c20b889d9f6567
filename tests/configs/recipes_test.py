"""What a recipe makes of what flags leave open, and of a config.json."""

import dataclasses
import json

import pytest

from nexperia_tf import configs, errors
from nexperia_tf.configs import checks, recipes

FACTS = recipes.Facts(gpu=False, given=20, placed=180, boxed=0, flips="vertical")
BOXED = recipes.Facts(gpu=True, given=20, placed=180, boxed=9, flips="none")
EARLIER = recipes.Facts(
    gpu=False,
    given=20,
    placed=180,
    boxed=0,
    flips="both",
    before={"backbone": "resnet50", "standardise": "imagenet"},
)


def closed(facts=FACTS, **given):
    config = recipes.filled(configs.Config().changed(**given), facts)
    return recipes.with_epochs(config, devices=200, steps=50)


def flat(facts=FACTS, **given):
    return closed(facts, **given).flat()


@pytest.mark.parametrize("name", ["auto", *recipes.VALUES])
def test_nothing_stays_open(name):
    values = flat(recipe=name)
    decided = {
        name: values[name] for field in recipes.VALUES.values() for name in field
    }
    assert not [name for name, value in decided.items() if value in (None, "auto")]
    checks.check(closed(recipe=name))


def test_auto_is_the_standard_recipe_and_says_so():
    assert closed() == closed(recipe="standard")
    assert closed().recipe.recipe == "standard"


def test_plain_is_what_the_defaults_were():
    for facts in (FACTS, BOXED):  # whatever the pictures and the machine
        assert closed(facts, recipe="plain") == configs.of()
    values = flat(recipe="plain")
    assert (values["epochs"], values["first_epochs"]) == (20, 0)
    assert (values["flip"], values["rotation"], values["zoom"]) == (
        "horizontal",
        10.0,
        0.1,
    )
    assert (values["backbone"], values["monitor"]) == ("resnext", "auto")


OTHERS = {
    "standardise": "imagenet",
    "flip": "none",
    "rotation": 7.0,
    "zoom": 0.0,
    "brightness": 0.5,
    "contrast": 0.0,
    "tone": 0.0,
    "backbone": "resnet50",
    "freeze": "stem",
    "epochs": 3,
    "epoch_steps": 0,
    "learning_rate": 0.5,
    "warmup_epochs": 0.0,
    "ema": 0.0,
    "first_epochs": 2,
    "first_drawn": 0.1,
    "first_learning_rate": 0.5,
    "drawn": 0.2,
    "drawn_look": "cracks",
    "drawn_map": 0.0,
    "patience": 2,
}
# What else follows from a flag.
FOLLOWS = {
    "freeze": {"freeze_batch_norm"},
    "epochs": {"first_epochs"},
    "patience": {"monitor"},
}


def test_every_field_of_a_recipe_has_another_value_here():
    assert set(OTHERS) == set(recipes.VALUES["standard"])


@pytest.mark.parametrize("field", OTHERS)
@pytest.mark.parametrize("name", recipes.VALUES)
def test_a_flag_overrules_its_field_and_no_other(field, name):
    usual = flat(BOXED, recipe=name)
    told = flat(BOXED, recipe=name, **{field: OTHERS[field]})
    assert told[field] == OTHERS[field]
    differ = {each for each in usual if told[each] != usual[each]}
    assert differ - {field} <= FOLLOWS.get(field, set())


def test_without_a_first_stage_all_is_learned_in_one():
    values = flat(first_epochs=0)
    assert values["learning_rate"] == 1e-3
    assert (values["freeze"], values["freeze_batch_norm"]) == ("none", False)
    assert 0 < values["drawn"] < 1 and values["drawn_map"] > 0
    both = flat()
    assert values["epochs"] == both["first_epochs"] + both["epochs"]
    told = flat(first_epochs=0, learning_rate=0.01, freeze="stem", drawn=0.0, epochs=7)
    assert (told["learning_rate"], told["freeze"]) == (0.01, "stem")
    assert (told["drawn"], told["epochs"]) == (0.0, 7)


def test_the_second_of_two_stages_is_gentle():
    values = flat()
    assert values["learning_rate"] < values["first_learning_rate"]
    assert values["freeze"] != "none" and values["freeze_batch_norm"]
    first = recipes.first_stage(closed()).flat()
    assert first["learning_rate"] == values["first_learning_rate"]
    assert (first["freeze"], first["freeze_batch_norm"]) == ("none", False)
    assert first["epochs"] == values["first_epochs"] and first["boxed_only"]
    assert (first["drawn"], first["monitor"]) == (values["first_drawn"], "last")


def test_epochs_scale_the_first_stage():
    usual, few, many = flat(), flat(epochs=3), flat(epochs=30)
    assert (usual["first_epochs"], usual["epochs"]) == (20, 6)
    assert (few["first_epochs"], many["first_epochs"]) == (10, 100)
    told = flat(epochs=3, first_epochs=5)
    assert (told["first_epochs"], told["epochs"]) == (5, 3)


def test_more_pictures_are_shown_as_often_as_few():
    some = recipes.filled(configs.Config(), FACTS)
    many = recipes.with_epochs(some, devices=32_000, steps=1000).flat()
    assert many["first_epochs"] == recipes.FIRST_PASSES
    assert many["epochs"] == recipes.PASSES


def test_a_run_that_goes_on_from_another_skips_the_first_stage():
    values = flat(EARLIER)
    assert values["first_epochs"] == 0
    # It sees pictures as the network is used to.
    assert (values["backbone"], values["standardise"]) == ("resnet50", "imagenet")
    told = flat(EARLIER, first_epochs=2, backbone="resnext", standardise="picture")
    assert told["first_epochs"] == 2
    assert (told["backbone"], told["standardise"]) == ("resnext", "picture")


def test_the_last_weights_are_kept_unless_patience_is_asked_for():
    assert flat()["monitor"] == "last"
    assert flat(patience=3)["monitor"] == "auto"
    assert flat(monitor="auc")["monitor"] == "auc"
    checks.check_used(closed(patience=3))


NO_MAP = [{"balance": "loss"}, {"augment": "cutmix"}, {"augment": "randaugment"}]


@pytest.mark.parametrize("given", NO_MAP)
def test_no_map_is_learned_where_it_cannot_be(given):
    config = closed(**given)
    assert config.drawn.drawn_map == 0
    checks.check(config)
    with pytest.raises(errors.BadInput, match="--drawn-map; leave one of them out"):
        checks.check(closed(**given, drawn_map=1.0))


def test_no_map_is_learned_where_no_place_is_known():
    assert flat(drawn=0.0, first_drawn=0.0)["drawn_map"] == 0


def test_boxes_teach_a_map_where_nothing_is_drawn():
    values = flat(BOXED, drawn=0.0, first_drawn=0.0)
    assert values["drawn_map"] > 0 and values["first_epochs"] > 0


def test_a_first_stage_that_nothing_teaches_is_left_out():
    values = flat(first_drawn=0.0)
    assert (values["first_epochs"], values["freeze"]) == (0, "none")


@pytest.mark.parametrize(
    ("facts", "backbone", "weights"),
    [
        (FACTS, "resnet26_quarter", "none"),
        (FACTS, "resnext", "imagenet"),
        (BOXED, "resnext", "none"),
    ],
)
def test_the_network_follows_the_machine(facts, backbone, weights):
    assert flat(facts, weights=weights)["backbone"] == backbone


WAYS = [
    {},
    {"recipe": "plain"},
    {"first_epochs": 0},
    {"patience": 3},
    {"balance": "loss", "epochs": 2},
    {"augment": "none", "drawn": 0.0},
    {"augment": "crop", "drawn_look": "cracks"},
]


@pytest.mark.parametrize("given", WAYS)
def test_the_config_json_of_a_run_tells_the_very_same_run(given, tmp_path):
    run = closed(**given, image_size=64)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configs.to_json(run, {"channels": 1})))
    again = configs.load(str(path))
    assert again == run
    checks.check_asked(again.changed(data="sample"))
    for facts in (FACTS, BOXED):  # on another machine, too
        replayed = recipes.filled(again, facts)
        assert recipes.with_epochs(replayed, devices=9000, steps=281) == run


def test_an_older_config_json_is_plain(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"schema": 1, "epochs": 7, "flip": "both"}))
    config = configs.load(str(path))
    assert config == configs.of(epochs=7, flip="both")
    assert recipes.filled(config, BOXED) == config
    assert recipes.with_epochs(config, devices=200, steps=50) == config


def test_a_folder_of_too_few_good_pictures_is_learned_in_one_stage():
    few = dataclasses.replace(FACTS, placed=31)
    alone = closed(few)
    assert alone == closed(few, first_epochs=0).changed(first_epochs=0)
    assert alone.first.first_epochs == 0 and alone.network.freeze == "none"
    assert closed(few, batch_size=16).first.first_epochs > 0
    for nothing_given in (
        closed(drawn_only=True),
        closed(dataclasses.replace(FACTS, given=0)),
    ):
        assert nothing_given.first.first_epochs == 0
        assert nothing_given.drawn.drawn > 0
    with pytest.raises(errors.BadInput, match="--drawn-only and --first-epochs"):
        checks.check(closed(drawn_only=True, first_epochs=5))


def test_drawn_defects_teach_the_map_alone_once_a_first_stage_has_learned_of_them():
    both = closed()
    assert not recipes.drawn_are_defects(both)
    assert recipes.drawn_are_defects(recipes.first_stage(both))
    assert recipes.drawn_are_defects(closed(first_epochs=0))
    assert recipes.drawn_are_defects(configs.of(drawn=0.5))
