"""The runs of a study: which is best, what is taken for one, what is shown."""

import pathlib

import pytest

from nexperia_tf import configs, errors, files
from nexperia_tf.runs import run_folders
from nexperia_tf.study import networks, plan


def trained(auc, *, name="one", seconds=1.0):
    config = configs.of(backbone="resnext26_32x4d")
    step = plan.Step(name, name, config)
    return networks.Trained(
        step, config, pathlib.Path(name), auc, "only epoch", seconds
    )


def test_the_best_is_that_of_validation_and_the_first_of_equals():
    runs = {name: trained(auc) for name, auc in (("a", 0.8), ("b", 0.9), ("c", 0.9))}
    assert networks.best(runs, ("a", "b", "c")) == "b"
    assert networks.best(runs, ("c", "b")) == "c"


def finished(folder, **changed):
    """A run of this config, as far as a study looks at it."""
    folder.mkdir()
    config = configs.of(backbone="resnext26_32x4d", epochs=3, **changed)
    payload = configs.to_json(config, {"channels": 1})
    files.write_json(folder / run_folders.CONFIG, payload)
    return folder


def test_a_finished_run_is_taken_wherever_it_lies_and_however_it_was_cached(tmp_path):
    folder = finished(tmp_path / "a", data_dir="there", cache="none", out="a")
    networks._check_same(folder, configs.of(backbone="resnext26_32x4d", epochs=3))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 4}, "trained with epochs 3, this study needs 4"),
        ({"loss": "bce"}, "trained with loss 'focal', this study needs 'bce'"),
        ({"seed": 1}, "trained with seed 0, this study needs 1"),
    ],
)
def test_a_run_of_another_config_is_not_taken(tmp_path, changed, words):
    wanted = configs.of(**{"backbone": "resnext26_32x4d", "epochs": 3} | changed)
    with pytest.raises(errors.BadInput, match=words):
        networks._check_same(finished(tmp_path / "a"), wanted)


def test_column_a_learns_from_devices_that_no_other_run_sees():
    data = networks.backbone_data("here")
    assert data.startswith("hand_over:") and f"seed{networks.BACKBONE_SEED}" in data
    assert networks.BACKBONE_SEED != 0  # the sample itself


def test_the_board_says_what_is_done_and_what_is_trained_now(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    planned = plan.make()
    first, second, *_ = planned.steps
    done = {first.name: trained(0.91234, name=first.name, seconds=61.0)}
    networks.show(planned, done, now=second.name)
    shown = capsys.readouterr().out
    assert f"1 of {len(planned.steps)} runs done" in shown
    lines = [line for line in shown.splitlines() if first.name in line]
    assert any("done" in x and "0.9123" in x and "61 s" in x for x in lines)
    assert any("now" in x for x in shown.splitlines() if second.name in x)
