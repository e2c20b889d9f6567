import io
import json
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn import ensemble, linear_model

from nexperia_tf import errors, files, predictions
from nexperia_tf.statistics import metrics
from nexperia_tf.study import features, forest

COMMAND = "forest"
SPLITS = {"train": 300, "validation": 150, "test": 150}


def _devices(split: str, count: int) -> features.Features:
    """Five numbers a device; a defect is one whose first two differ in sign."""
    rng = np.random.default_rng(len(split))
    values = rng.normal(size=(count, 5)).astype(np.float32)
    label = (values[:, 0] * values[:, 1] < 0).astype(np.int8)
    names = np.array([f"{split}{i}" for i in range(count)])
    text = {n: np.full(count, n) for n in ("group", "lot", "machine", "defect_type")}
    return features.Features(names, label, values, text)


def _write(folder, splits):
    folder.mkdir()
    for split, found in splits.items():
        features.write(folder / f"{split}.npz", found)
    files.write_json(folder / "features.json", {"stage": "features"})
    files.write_manifest(folder)
    return folder


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    splits = {split: _devices(split, count) for split, count in SPLITS.items()}
    return _write(tmp_path_factory.mktemp("forest") / "features", splits)


@pytest.fixture(scope="module")
def grown(extracted, run_command):
    out = extracted.parent / "forest"
    assert run_command(COMMAND, extracted, "--out", out) == 0
    return out


def test_a_forest_learns_what_no_line_separates(grown):
    table = predictions.read(grown / "predictions" / "test.csv")
    assert len(table) == 150
    assert metrics.auc(table.label, table.score) > 0.95


def test_the_table_is_scikit_learns_own_forest_in_the_same_order(grown, extracted):
    train, test = (features.read(extracted / f"{s}.npz") for s in ("train", "test"))
    own = ensemble.RandomForestClassifier(100, random_state=0)
    own.fit(train.values, train.label)
    table = predictions.read(grown / "predictions" / "test.csv")
    assert list(table.image_id) == list(test.image_id)
    np.testing.assert_array_equal(table.label, test.label)
    expected = own.predict_proba(test.values)[:, 1]
    order = np.argsort(expected, kind="stable")
    assert (np.diff(table.score[order]) >= 0).all()  # calibration changes no rank
    loaded = forest.load(grown)
    found = forest.probability(loaded, test)
    np.testing.assert_allclose(found, (100 * expected + 0.5) / 101, rtol=1e-12)
    assert found.min() > 0 and found.max() < 1


def test_evaluate_takes_the_table(grown, run_command, tmp_path):
    tables = grown / "predictions"
    argv = [tables / "test.csv", "--calibration", tables / "validation.csv"]
    assert run_command("evaluate", *argv, "--out", tmp_path / "report") == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["name"], report["n"]) == ("forest", 150)


def test_tuning_keeps_the_best_by_validation(monkeypatch):
    grid = [{"n_estimators": 5, "min_samples_leaf": leaf} for leaf in (1, 140)]
    monkeypatch.setattr(forest, "GRID", grid)
    splits = {split: _devices(split, count) for split, count in SPLITS.items()}
    chosen = forest.fit(splits["train"], splits["validation"], trees=2, tuned=True)
    aucs = [tried["validation_auc"] for tried in chosen.tried]
    assert len(aucs) == 3 and chosen.best == int(np.argmax(aucs))
    assert chosen.forest.n_estimators == chosen.tried[chosen.best]["n_estimators"]
    again = metrics.auc(
        splits["validation"].label,
        forest.probability(chosen.forest, splits["validation"]),
    )
    assert again == max(aucs) > min(aucs)


def test_a_damaged_forest_is_not_loaded(grown, extracted, run_command, tmp_path):
    out = tmp_path / "forest"
    assert run_command(COMMAND, extracted, "--trees", "2", "--out", out) == 0
    content = bytearray((out / "forest.skops").read_bytes())
    content[len(content) // 2] ^= 1
    (out / "forest.skops").write_bytes(content)
    with pytest.raises(errors.BadInput, match="differs from its SHA-256"):
        forest.load(out)


def test_without_skops_one_line_names_the_extra(
    extracted, run_command, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    monkeypatch.delitem(sys.modules, "skops")
    assert run_command(COMMAND, extracted, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].endswith("pip install 'nexperia_tf[forest]'")
    argv = ["--data", tmp_path / "any", "--out", tmp_path / "out"]
    assert run_command("study", *argv) == 2
    assert capsys.readouterr().err.splitlines() == said
    assert not (tmp_path / "out").exists()


class Foreign(linear_model.LogisticRegression):
    """Somebody's own type."""


def test_nothing_but_a_forest_is_trusted(tmp_path):
    skops.io.dump(Foreign(), tmp_path / "forest.skops")
    files.write_manifest(tmp_path)
    with pytest.raises(errors.BadInput, match="which no forest needs"):
        forest.load(tmp_path)


def _schema(**changed) -> dict[str, bytes]:
    dumped = skops.io.dumps(linear_model.LinearRegression())
    with zipfile.ZipFile(io.BytesIO(dumped)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"]) | changed
    return members | {"schema.json": json.dumps(schema).encode()}


HOSTILE = {
    "no forest": (_schema(), "LinearRegression, no forest"),
    "system": (_schema(__class__="system", __module__="os"), "which no forest needs"),
    "loader": (_schema(__loader__="Anything"), "cannot be read as a forest"),
    "empty": ({"schema.json": b"{}"}, "cannot be read as a forest"),
    "depth": ({"schema.json": b"[" * 100_000}, "cannot be read as a forest"),
    "zeros": ({"schema.json": b"{}", "1.npy": bytes(70 << 20)}, "would unpack to"),
    "a way out": ({"../../schema.json": b"{}"}, "it is not unpacked"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_forests_are_refused(kind, tmp_path):
    members, words = HOSTILE[kind]
    with zipfile.ZipFile(
        tmp_path / "forest.skops", "w", zipfile.ZIP_DEFLATED
    ) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    files.write_manifest(tmp_path)
    with pytest.raises(errors.BadInput, match=words):
        forest.load(tmp_path)


def test_splits_that_do_not_fit_are_refused(extracted, run_command, tmp_path, capsys):
    train, validation = _devices("train", 40), _devices("validation", 40)
    narrow = features.Features(
        validation.image_id, validation.label, validation.values[:, :3], {}
    )
    with pytest.raises(errors.BadInput, match="has 3 numbers a device"):
        forest.fit(train, narrow)
    train.label[:] = 0
    with pytest.raises(errors.BadInput, match="Received 40 good and 0 defect of 40"):
        forest.fit(train, validation)
    only = _write(tmp_path / "features", {"train": _devices("train", 40)})
    assert run_command(COMMAND, only, "--out", tmp_path / "out") == 2
    assert "validation.npz: no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
