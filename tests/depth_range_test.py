"""One range of 16-bit values, from the training split to the last table of scores."""

import csv
import shutil

import cv2
import numpy as np
import pytest

from nexperia_tf import configs, errors, files, predictions
from nexperia_tf.data import images, manifest
from nexperia_tf.data.measure import depth
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export, members, predict, scoring
from nexperia_tf.study import features
from nexperia_tf.training import loop

DARKEST, BRIGHTEST = 9000, 21000  # of what a camera of 16 bits sees here
GIVEN = (8000.0, 24000.0)


def draw(folder, *, bits=16, count=48, seed=0):
    """Grey noise in PNG and TIFF by turns; every third one is worn."""
    noise = np.random.default_rng(seed)
    for i in range(count):
        worn = i % 3 == 0
        pixels = noise.integers(DARKEST, BRIGHTEST - 2000, (24, 24)) + 2000 * worn
        pixels = pixels.astype(np.uint16) if bits == 16 else (pixels >> 8)
        kind = folder / ("worn" if worn else "good")
        kind.mkdir(parents=True, exist_ok=True)
        ending = "tif" if bits == 16 and i % 2 else "png"
        values = pixels if bits == 16 else pixels.astype(np.uint8)
        assert cv2.imwrite(str(kind / f"{i:02}.{ending}"), values)
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("deep") / "raw")


def prepared(raw, out, **options):
    """Manifest rows and summary of a preparation."""
    rows = prepare.prepare(raw, out, prepare.options_of(workers=1, **options))
    return rows, files.read_json(out / prepare.SUMMARY)


def test_the_range_is_that_of_the_training_pictures(raw, tmp_path):
    rows, summary = prepared(raw, tmp_path / "out")
    train = [
        cv2.imread(str(raw / row.path), cv2.IMREAD_UNCHANGED).ravel()
        for row in rows
        if row.split == "train"
    ]
    low, high = np.percentile(np.concatenate(train), (0.1, 99.9), method="inverted_cdf")
    assert summary["depth_range"] == {
        "low": low,
        "high": high,
        "from": "training split",
        "pictures": 48,
    }
    line = depth.in_words(summary)
    assert line.endswith("(white), the .1 and 99.9 percentile of the training split")
    assert line in (tmp_path / "out" / "report.html").read_text()


def test_no_picture_of_another_split_moves_the_range(raw, tmp_path):
    rows, summary = prepared(raw, tmp_path / "before")
    changed = shutil.copytree(raw, tmp_path / "raw")
    for row in rows:
        if row.split != "train":
            pixels = cv2.imread(str(changed / row.path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(changed / row.path), pixels * 3)
    again, now = prepared(changed, tmp_path / "after")
    assert [row.split for row in again] == [row.split for row in rows]
    assert now["depth_range"] == summary["depth_range"]


def test_a_given_range_wins(raw, tmp_path):
    _, summary = prepared(raw, tmp_path / "out", depth_range=GIVEN)
    assert summary["depth_range"]["from"] == "given"
    assert depth.of_summary(summary) == GIVEN
    assert "from 8,000 (black) to 24,000 (white), as given" in depth.in_words(summary)


def test_8_bit_pictures_have_no_range_and_stay_as_they_are(tmp_path):
    raw = draw(tmp_path / "raw", bits=8)
    dataset = store.build(DataSource(raw, tmp_path / "data", depth_range=GIVEN))
    assert dataset.depth_range is None
    summary = files.read_json(dataset.prepared / prepare.SUMMARY)
    assert "depth_range" not in summary
    assert not depth.in_words(summary)
    rows = {
        row.image_id: row for row in manifest.read(dataset.prepared / "manifest.csv")
    }
    kept = reading.load(dataset, "test").as_numpy_iterator()
    for record in kept:
        row = rows[record["image_id"].decode()]
        assert record["image"] == (raw / row.path).read_bytes()


def test_a_16_bit_picture_only_outside_training_is_dropped_with_its_reason(tmp_path):
    raw = draw(tmp_path / "raw", bits=8)
    deep = sorted((raw / "good").iterdir())[0]
    pixels = cv2.imread(str(deep), cv2.IMREAD_UNCHANGED).astype(np.uint16) * 257
    cv2.imwrite(str(deep), pixels)
    lines = ["path,label,split"]
    for number, path in enumerate(sorted(raw.rglob("*.png"))):
        split = ("train", "validation", "test")[number % 3]
        name = path.relative_to(raw).as_posix()
        lines.append(f"{name},{path.parent.name},{'test' if path == deep else split}")
    files.write_text(raw / "labels.csv", "\n".join(lines))
    rows, summary = prepared(raw, tmp_path / "out")
    (lost,) = [row for row in rows if not row.used]
    assert (raw / lost.path, lost.dropped_because) == (deep, "unsupported")
    (problem,) = summary["problems"]
    assert "pass --depth-range LOW HIGH" in problem["message"]
    assert "depth_range" not in summary and summary["used"] == 47
    rows, summary = prepared(raw, tmp_path / "given", depth_range=GIVEN)
    assert all(row.used for row in rows) and summary["depth_range"]["pictures"] == 1


@pytest.mark.parametrize("value", [7, 65535])
def test_pictures_of_one_value_have_a_range_all_the_same(value, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((9, 9), value, np.uint16))
    row = manifest.Row("a", path="a.png", label="good", split="train")
    found = depth.find([row], {"a.png"}, tmp_path, given=None, seed=0, max_pixels=99)
    assert 0 <= found.low < found.high <= 65535


@pytest.mark.parametrize(
    "words",
    ["9 3", "a b", "0 65536", "-1 9", "nan 9", "5"],
)
def test_a_range_that_is_none_is_refused(words, run_command, tmp_path, capsys):
    argv = ("prepare", tmp_path, "--out", tmp_path / "out")
    assert run_command(*argv, "--depth-range", *words.split()) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_cap_on_pixels_is_a_flag(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    cv2.imwrite(str(tmp_path / "raw/good/large.png"), np.eye(40, dtype=np.uint8) * 99)
    rows, summary = prepared(tmp_path / "raw", tmp_path / "low", max_pixels=1000)
    assert [row.path for row in rows if not row.used] == ["good/large.png"]
    assert "--max-pixels" in summary["problems"][0]["message"]
    rows, _ = prepared(tmp_path / "raw", tmp_path / "high")
    assert all(row.used for row in rows)


@pytest.fixture(scope="module")
def trained(raw, small_backbone, tmp_path_factory):
    """Trains on the deep pictures: `trained(name, **settings)` is a run's folder."""
    place = tmp_path_factory.mktemp("runs")

    def train(name, **settings):
        if not (place / name).exists():
            loop.train(
                configs.of(
                    **{"data": str(raw), "data_dir": str(place / "data")}
                    | {"backbone": small_backbone, "image_size": 32, "batch_size": 8}
                    | {"epochs": 1, "out": str(place / name)}
                    | settings
                )
            )
        return place / name

    return train


@pytest.fixture(scope="module")
def run(trained):
    return trained("first")


@pytest.mark.slow
def test_a_run_knows_its_range_and_predict_scores_the_raw_files_by_it(run, raw):
    kept = run_folders.load(run)
    ends = kept.config.data.depth_range
    assert ends == kept.dataset.depth_range
    assert files.read_json(run / "config.json")["data"]["depth_range"] == list(ends)
    model = predict.open_model(run)
    assert model.depth_range == ends
    scores = {row["path"]: row["score"] for row in predict.predict(model, raw)}
    table = predictions.read(run / "predictions" / "test.csv")
    rows = manifest.read(kept.dataset.prepared / "manifest.csv")
    path_of = {row.image_id: row.path for row in rows}
    assert len(table.image_id) > 3
    np.testing.assert_allclose(
        [scores[path_of[name]] for name in table.image_id], table.score, atol=1e-6
    )


@pytest.mark.slow
def test_records_hold_8_bits_of_the_range(run, raw):
    dataset = run_folders.load(run).dataset
    rows = manifest.read(dataset.prepared / "manifest.csv")
    path_of = {row.image_id: row.path for row in rows}
    record = next(reading.load(dataset, "test").as_numpy_iterator())
    native = cv2.imread(
        str(raw / path_of[record["image_id"].decode()]), cv2.IMREAD_UNCHANGED
    )
    low, high = dataset.depth_range
    expected = np.rint(np.clip((native - low) * 255 / (high - low), 0, 255))
    np.testing.assert_array_equal(images.load(record["image"]).pixels, expected)


@pytest.mark.slow
def test_a_run_that_goes_on_from_another_keeps_its_range(run, trained, raw, tmp_path):
    other = draw(tmp_path / "other", seed=5)
    for path in other.rglob("*.*"):  # a brighter product
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), pixels * 2)
    next_run = trained("next", init=str(run), data=str(other))
    ends = run_folders.load(run).config.data.depth_range
    assert run_folders.load(next_run).config.data.depth_range == ends
    assert predict.open_model(next_run).depth_range == ends
    summary = files.read_json(
        run_folders.load(next_run).dataset.prepared / "summary.json"
    )
    assert summary["depth_range"]["from"] == "run"
    assert depth.in_words(summary).endswith("(white), kept from the run")
    # Other data are seen through it, too; what is named wins.
    seen = run_folders.load(run).at(DataSource(other, tmp_path / "data"))
    assert seen.dataset.depth_range == ends
    named = DataSource(other, tmp_path / "data", depth_range=GIVEN)
    assert run_folders.load(run).at(named).dataset.depth_range == GIVEN


@pytest.mark.slow
def test_a_prepared_folder_is_seen_through_a_given_range(run, trained, raw, tmp_path):
    _, summary = prepared(raw, tmp_path / "prepared")
    own = store.build(DataSource(tmp_path / "prepared", tmp_path / "data"))
    assert own.depth_range == depth.of_summary(summary)
    source = DataSource(tmp_path / "prepared", tmp_path / "data", depth_range=GIVEN)
    given = store.build(source)
    assert given.depth_range == GIVEN
    assert given.folder != own.folder
    found = store.of_manifest(
        given.prepared / "manifest.csv", tmp_path / "data", depth_range=GIVEN
    )
    assert found == given


@pytest.mark.slow
def test_models_of_different_ranges_make_no_ensemble(run, publish_tiny, tmp_path):
    version = publish_tiny(tmp_path / "model")
    with pytest.raises(errors.BadInput, match="its depth_range is None, but"):
        members.open_members([run, version])


@pytest.mark.slow
def test_a_report_says_the_range(run, run_command, tmp_path):
    argv = ("evaluate", run, "--no-heatmaps", "--out", tmp_path / "report")
    assert run_command(*argv) == 0
    notes = files.read_json(tmp_path / "report" / "report.json")["notes"]
    assert any(note.startswith("16-bit pictures are shown to first") for note in notes)


@pytest.mark.slow
def test_a_saved_model_sees_16_bit_data_as_its_run_does(
    run, raw, run_command, tmp_path
):
    model, own = tmp_path / "model", run / "predictions" / "test.csv"
    assert run_command("export", "--run", run, "--out", model) == 0
    argv = ("--data", raw, "--data-dir", tmp_path / "data", "--no-heatmaps")
    argv += ("--out", tmp_path / "report")
    assert run_command("evaluate", model, *argv) == 0
    report = files.read_json(tmp_path / "report" / "report.json")
    labels, scores = (getattr(predictions.read(own), n) for n in ("label", "score"))
    assert (report["n"], report["n_defect"]) == (len(labels), labels.sum())
    brier = np.mean((scores - labels) ** 2)
    assert report["brier"] == pytest.approx(brier, abs=1e-6)
    table = tmp_path / "scores.csv"
    assert run_command("predict", model, raw, "--out", table) == 0
    by_run = {row["path"]: row["score"] for row in predict.predict(run, raw)}
    with open(table, newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["score"]) == pytest.approx(by_run[row["path"]], abs=1e-6)


@pytest.mark.slow
def test_features_see_other_16_bit_data_through_the_runs_range(
    run, raw, run_command, tmp_path
):
    bright = shutil.copytree(raw, tmp_path / "bright")
    for path in bright.rglob("*.*"):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), pixels + 3000)
    values = {}
    for name, data in (("own", raw), ("bright", bright)):
        argv = ("--data", data, "--data-dir", tmp_path / "data")
        out = tmp_path / f"features_{name}"
        assert run_command("features", run, *argv, "--out", out) == 0
        values[name] = features.read(out / "train.npz").values
    prepared_ones = sorted((tmp_path / "data").glob("*/prepared/summary.json"))
    stated = [files.read_json(path)["depth_range"] for path in prepared_ones]
    ends = run_folders.load(run).config.data.depth_range
    assert [(s["low"], s["high"], s["from"]) for s in stated] == [(*ends, "run")] * 2
    # Through a range of its own each folder would look alike.
    assert np.abs(values["own"] - values["bright"]).max() > 1e-3


@pytest.mark.slow
def test_a_model_of_8_bits_makes_no_records_of_16_bit_pictures(
    raw, publish_tiny, run_command, tmp_path, capsys
):
    model = publish_tiny(tmp_path / "model")
    assert run_command("prepare", raw, "--out", tmp_path / "prepared") == 0
    for data in (raw, tmp_path / "prepared"):
        argv = ("--data", data, "--data-dir", tmp_path / "data")
        capsys.readouterr()
        out = tmp_path / "report"
        assert run_command("evaluate", model, *argv, "--out", out) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith(f"error: {data}: holds 16-bit pictures, {model}")
        assert not list(tmp_path.rglob("*.tfrecord*"))


def test_a_model_of_8_bits_says_what_to_do_with_16(publish_tiny, raw, tmp_path):
    model = export.load(publish_tiny(tmp_path / "model"))
    assert model.depth_range is None
    rows = list(predict.predict(model, raw))
    assert {row["problem"] for row in rows} == {scoring.NO_RANGE}
