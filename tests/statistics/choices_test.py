import pytest

from nexperia_tf import files, predictions
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import choices


def run(folder, *, epochs=3, validation="abc", calibration="", noted=None, **config):
    """A run folder as far as choices are read from it."""
    (folder / "predictions").mkdir(parents=True)
    files.write_json(
        folder / run_folders.CONFIG, {"data": "x", "monitor": "auto"} | config
    )
    files.write_csv(
        folder / run_folders.HISTORY, ["epoch"], [[i] for i in range(epochs)]
    )
    tables = {"validation": validation, "calibration": calibration}
    for split, ids in tables.items():
        table = folder / "predictions" / f"{split}.csv"
        if ids:
            score = [0.5] * len(ids)
            label = [i % 2 for i in range(len(ids))]
            predictions.write(table, predictions.Predictions(list(ids), label, score))
    if noted is not None:
        files.write_json(folder / run_folders.METRICS, noted)
    files.write_manifest(folder)
    return folder


def of(folder, split="validation"):
    return choices.of_run(run_folders.load(folder), split)


def test_validation_chose_among_the_epochs_that_were_judged(tmp_path):
    found = of(run(tmp_path / "a", epochs=7))
    assert found == choices.Choices(7, "chose among 7 epochs")


def test_the_last_epoch_and_a_calibration_split_are_no_choice(tmp_path):
    assert of(run(tmp_path / "a", epochs=7, monitor="last")) == choices.NOTHING
    folder = run(tmp_path / "b", epochs=7, calibration="pqr")
    assert of(folder, "calibration") == choices.NOTHING


def test_the_run_it_started_from_could_have_kept_another_epoch_too(tmp_path):
    first = run(tmp_path / "a", epochs=4)
    again = run(tmp_path / "b", epochs=3, init=str(first))
    assert of(again).count == 12
    last = run(tmp_path / "c", monitor="last", init=str(again))
    assert of(last).count == 12
    others = run(tmp_path / "d", epochs=5, validation="xyz", init=str(first))
    assert of(others).count == 5  # judged on devices of which it judged none
    moved = run(tmp_path / "e", validation="xyz", init=str(first), data="y")
    assert of(moved).count == 12  # another data set: these may be the same pictures
    taken = run(tmp_path / "f", calibration="cd", validation="xyz", init=str(first))
    assert of(taken, "calibration").count == 4


def test_what_training_noted_wins_over_what_is_left(tmp_path):
    noted = {"validation": {choices.CHOSE_AMONG: 40}}
    folder = run(tmp_path / "a", epochs=2, init="gone", noted=noted)
    assert of(folder).count == 40


def test_a_lost_start_leaves_the_number_unknown(tmp_path):
    assert of(run(tmp_path / "a", init=str(tmp_path / "gone"))) is choices.UNKNOWN


def test_a_table_is_known_by_its_place(tmp_path):
    folder = run(tmp_path / "a", epochs=6)
    table = folder / "predictions" / "validation.csv"
    assert choices.of_table(table).count == 6
    alone = tmp_path / "scores.csv"
    alone.write_bytes(table.read_bytes())
    assert choices.of_table(alone) is choices.ASSUMED
    forest = tmp_path / "forest" / "predictions"
    forest.mkdir(parents=True)
    files.write_json(tmp_path / "forest" / "forest.json", {"tried": [{}] * 10})
    assert choices.of_table(forest / "validation.csv").count == 10


def test_an_average_could_have_been_any_combination():
    seven, three = choices.of_epochs(7), choices.of_epochs(3)
    assert choices.product([seven, three]).count == 21
    assert choices.product([seven, choices.UNKNOWN]).count is None
    assert choices.product([choices.NOTHING] * 2) is choices.NOTHING
    assert choices.product([choices.NOTHING, choices.ASSUMED]) is choices.ASSUMED


@pytest.mark.parametrize(
    ("facts", "split", "count"),
    [
        ({choices.CHOSE_AMONG: 9}, "validation", 9),
        ({choices.CHOSE_AMONG: None}, "validation", None),
        ({choices.CHOSE_AMONG: 9}, "calibration", 1),
        ({choices.CHOSE_AMONG: 9}, "test", 1),
        ({}, "validation", None),  # exported before the number was noted
        ({}, "test", 1),
        ({"members": []}, "validation", None),
        ({choices.CHOSE_AMONG: 9, "members": []}, "validation", 9),
    ],
)
def test_an_export_carries_its_number(facts, split, count):
    found = choices.of_export(facts, split)
    assert found.count == count
    if count == 9:
        assert "--choices 1" in found.why
        assert ("9 combinations of epochs" in found.why) == ("members" in facts)
