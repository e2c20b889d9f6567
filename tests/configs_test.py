import json

import pytest

from nexperia_tf import configs, errors


@pytest.mark.parametrize("name", configs.names())
def test_every_named_experiment_loads(name):
    assert isinstance(configs.load(name), configs.Config)


def test_a_config_json_gives_the_same_config_but_not_its_out(tmp_path):
    config = configs.of(backbone="resnet50", alpha=0.25, out="runs/x")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configs.to_json(config, {"channels": 1})))
    assert configs.load(str(path)) == config.changed(out="")
    assert configs.facts_from(json.loads(path.read_text())) == {"channels": 1}


def test_a_config_json_without_groups_gives_the_same_config(tmp_path):
    config = configs.of(backbone="resnet50", alpha=0.25, seed=3)
    path = tmp_path / "config.json"
    flat = {"schema": 1} | config.flat() | {"run": {"channels": 3}}
    path.write_text(json.dumps(flat))
    assert configs.load(str(path)) == config
    assert configs.facts_from(flat) == {"channels": 3}


def test_pictures_are_named_in_old_and_new_files_as_ever(tmp_path):
    told = {"data": "photos", "data_dir": "d", "unboxed": "keep"}
    told |= {"good": "fine", "group": "tray"}
    path = tmp_path / "config.json"
    for written in ({"schema": 1} | told, {"schema": 2, "data": told}):
        path.write_text(json.dumps(written))
        assert configs.load(str(path)) == configs.of(**told)
    kept = [*told, "depth_range", "max_pixels"]
    kept += ["calibration_share", "keep_splits", "fold", "refuse_seen"]
    assert list(configs.to_json(configs.of(**told), {})["data"]) == kept


def test_a_person_may_write_only_the_groups_that_differ(tmp_path):
    path = tmp_path / "mine.json"
    told = {"optimisation": {"epochs": 3}, "run": {"seed": 7}}
    path.write_text(json.dumps(told))
    assert configs.load(str(path)) == configs.of(epochs=3, seed=7)


def test_changed_finds_the_group_of_a_field():
    config = configs.of(epochs=3, backbone="resnet50")
    assert config.optimisation.epochs == 3
    assert config.network.backbone == "resnet50"
    assert config.changed(epochs=20, backbone="resnext") == configs.of()
    with pytest.raises(errors.BadInput, match="epocs: unknown; did you mean epochs"):
        config.changed(epocs=4)


def test_an_older_config_json_takes_todays_defaults(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"schema": 1, "gamma": 1}')
    assert configs.load(str(path)) == configs.of(gamma=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"gama": 2}', "key 'gama': unknown; did you mean gamma"),
        ('{"epochs": "ten"}', 'epochs "ten": a whole number or none is expected'),
        ('{"epochs": 0}', r"epochs 0: a whole number in \[1, 1000000\]"),
        ('{"deterministic": 1}', "deterministic 1: true or false is expected"),
        ('{"optimizer": "__import__"}', '"__import__": unknown; choose one of adamw'),
        ('{"backbone": "resnet51"}', '"resnet51": unknown; did you mean resnet50'),
        ('{"loss": {"epochs": 3}}', "epochs stands in loss, not in optimisation"),
        ('{"schema": 9}', "schema 9 is newer than this version"),
        ('[{"epochs": 3}]', "a JSON object is expected"),
    ],
)
def test_a_wrong_config_json_is_named(tmp_path, text, words):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(errors.BadInput, match=words):
        configs.load(str(path))


def test_an_unknown_experiment_lists_those_there_are():
    with pytest.raises(errors.BadInput, match="dmeo: unknown; did you mean demo"):
        configs.load("dmeo")


WRONG = [None, -1, 10**30, 1e400, "x", "", [], {}, [[1]], True, "\0", "9" * 5000, ...]


def _keys(payload: dict, above: tuple = ()):
    for key, value in payload.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _keys(value, (*above, key))


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_whatever_stands_in_a_config_json_is_read_or_refused_in_one_line(wrong):
    whole = json.dumps(configs.to_json(configs.Config(), {"channels": 1}))
    for *above, key in _keys(json.loads(whole)):
        payload = part = json.loads(whole)
        for name in above:
            part = part[name]
        if wrong is ...:
            del part[key]
        else:
            part[key] = wrong
        try:
            configs.from_json(payload, where="config.json")
        except errors.BadInput as refused:
            assert str(refused).startswith("config.json: ")
            assert "\n" not in str(refused)
