import dataclasses
import json

import pytest

from nexperia_tf import configs, errors


@pytest.mark.parametrize("name", configs.names())
def test_every_named_experiment_loads(name):
    assert isinstance(configs.load(name), configs.Config)


def test_a_config_json_gives_the_same_config_but_not_its_out(tmp_path):
    config = configs.Config(backbone="resnet50", alpha=0.25, out="runs/x")
    path = tmp_path / "config.json"
    facts = {"schema": 1, "run": {"channels": 1}}
    path.write_text(json.dumps(dataclasses.asdict(config) | facts))
    assert configs.load(str(path)) == dataclasses.replace(config, out="")


def test_an_older_config_json_takes_todays_defaults(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"schema": 1, "gamma": 1}')
    assert configs.load(str(path)) == configs.Config(gamma=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"gama": 2}', "unknown key 'gama'"),
        ('{"epochs": "ten"}', 'epochs is "ten"; int is expected'),
        ('{"deterministic": 1}', "deterministic is 1; bool is expected"),
    ],
)
def test_a_wrong_config_json_is_named(tmp_path, text, words):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(errors.BadInput, match=words):
        configs.load(str(path))


def test_an_unknown_experiment_lists_those_there_are():
    with pytest.raises(errors.BadInput, match="no such experiment; take one of demo"):
        configs.load("dmeo")


@pytest.mark.parametrize(
    ("knob", "value", "words"),
    [
        ("rotation", -1.0, r"--rotation -1.0: a number in \[0, 45\] is expected"),
        ("zoom", 1.0, r"--zoom 1.0: a number in \[0, 1\) is expected"),
        ("brightness", 1.5, r"--brightness 1.5: a number in \[0, 1\] is expected"),
        ("contrast", 1.0, r"--contrast 1.0: a number in \[0, 1\) is expected"),
        ("drawn", 1.0, r"--drawn 1.0: a number in \[0, 1\) is expected"),
        ("drawn_map", -1.0, "--drawn-map -1.0: a number from 0 on is expected"),
    ],
)
def test_a_number_out_of_range_is_refused(knob, value, words):
    with pytest.raises(errors.BadInput, match=words):
        configs.check(configs.Config(**{knob: value}))


def test_good_pictures_alone_are_refused():
    with pytest.raises(errors.BadInput, match="but good pictures; pass --drawn"):
        configs.check(configs.Config(drawn_only=True))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({}, "not where given ones are; pass --drawn-only"),
        ({"drawn_only": True, "balance": "loss"}, "--balance loss weighs devices"),
        ({"drawn_only": True, "augment": "cutmix"}, "--augment cutmix would move"),
    ],
)
def test_a_map_needs_defects_whose_places_are_known(knobs, words):
    with pytest.raises(errors.BadInput, match=words):
        configs.check(configs.Config(drawn=0.5, drawn_map=1.0, **knobs))
