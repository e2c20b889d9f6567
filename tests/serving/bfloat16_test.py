"""A model in bfloat16: what is its own, and what it must share with float32."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nexperia_tf import files, labels
from nexperia_tf.data.records import reading
from nexperia_tf.models import backbones
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import bfloat16, export

SHAPE = backbones.Shape((1, 1), 2, 32, planes=(8, 8), stem=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, run_command):
    """A run on noise, of which the defective half is a little brighter."""
    place = tmp_path_factory.mktemp("bfloat16")
    noise = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 8)):
        (place / "raw" / name).mkdir(parents=True)
        for i in range(100):
            pixels = noise.integers(low, 180 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(place / "raw" / name / f"{i}.png")
    argv = ["--backbone", "tiny", "--data", place / "raw", "--data-dir", place / "data"]
    argv += ["--image-size", 32, "--batch-size", 8, "--epochs", 1, "--weights", "none"]
    argv += ["--recipe", "plain", "--drawn-map", 1, "--drawn", ".3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "tiny", SHAPE)
        assert run_command("train", *argv, "--out", place / "a") == 0
    return place / "a"


@pytest.fixture
def run(trained, tmp_path):
    """A copy with a threshold in force, by its fields; `run(origin=...)`."""

    def with_threshold(**changes) -> run_folders.Run:
        shutil.copytree(trained, tmp_path / "a")
        before = run_folders.load(tmp_path / "a").calibration
        changed = dataclasses.replace(before, **changes)
        run_folders.write_calibration(tmp_path / "a" / "calibration.json", changed)
        files.write_manifest(tmp_path / "a")
        return run_folders.load(tmp_path / "a")

    return with_threshold


@pytest.fixture
def export_it(run_command, capsys):
    def exported(run: run_folders.Run) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command("export", "--run", run.folder, "--precision", "bfloat16")
        return code, *capsys.readouterr()

    return exported


def test_its_threshold_is_chosen_from_its_own_scores_as_the_runs_was(run, export_it):
    promise = "at most 40 % escapes with 90 % confidence, by what was"
    mine = run(threshold=0.9, origin=run_folders.GUARANTEED, basis=promise)
    code, shown, _ = export_it(mine)
    assert code == 0
    served = export.load(mine.folder / bfloat16.SAVED_MODEL)
    force = served.calibration
    assert force.basis.startswith("at most 40 % escapes with 90 % confidence, by 15 ")
    assert force.words in shown and "in bfloat16" in force.basis
    scores, truth = _served_scores(served, mine, "validation")
    defects = np.sort(scores[truth == labels.POSITIVE])
    assert len(defects) == 15
    allowed = max(k for k in range(15) if _chance(k, 15, 0.4) <= 0.1)
    # The device that set it stays a defect wherever its score is rounded otherwise.
    assert defects[allowed] == pytest.approx(force.threshold + 1e-3, abs=1e-4)
    # Platt's offset makes the mean score the share of defects, by these very scores.
    assert scores.mean() == pytest.approx(0.5, abs=1e-4)
    # The run's own threshold and SavedModel stay as they were.
    assert run_folders.load(mine.folder).calibration.threshold == 0.9
    assert [p.name for p in export.versions(mine.folder / "saved_model")] == ["1"]
    files.verify_manifest(mine.folder)
    files.verify_manifest(served.folder)


def _chance(misses: int, count: int, rate: float) -> float:
    from scipy import stats

    return stats.binom.cdf(misses, count, rate)


@pytest.mark.parametrize(
    ("before", "threshold", "said"),
    [
        ({}, 0.5, "(default, not guaranteed)"),
        ({"threshold": 0.3, "origin": run_folders.SET}, 0.3, "not guaranteed)"),
        (
            {"origin": run_folders.TARGET, "basis": "tpr=0.8 on x: 12 of 15 defects"},
            None,
            "tpr=0.8 on a/validation in bfloat16: 12 of 15 defects",
        ),
    ],
)
def test_a_threshold_without_a_guarantee_stays_without(
    run, export_it, before, threshold, said
):
    mine = run(**before)
    code, shown, _ = export_it(mine)
    assert code == 0 and said in shown
    served = export.load(mine.folder / bfloat16.SAVED_MODEL)
    if threshold is None:
        scores, truth = _served_scores(served, mine, "validation")
        caught = scores[truth == labels.POSITIVE] >= served.calibration.threshold
        assert caught.sum() == 12
    else:
        assert served.calibration.threshold == threshold


def test_a_guarantee_that_cannot_be_given_is_refused(run, export_it):
    promise = "at most 0.5 % escapes with 95 % confidence, by other devices"
    mine = run(threshold=0.01, origin=run_folders.GUARANTEED, basis=promise)
    code, _, shown = export_it(mine)
    assert code == 2
    assert "refused" in shown and len(shown.strip().splitlines()) == 1
    assert not (mine.folder / bfloat16.SAVED_MODEL).exists()


def test_flips_are_those_of_the_two_served_models(run, export_it):
    mine = run()
    # A threshold within the noise, so that rounding changes some verdicts.
    scores, _ = _served_scores(export.load(mine.folder), mine, "test")
    force = dataclasses.replace(
        mine.calibration,
        threshold=float(np.median(scores)),
        origin=run_folders.SET,
    )
    export.publish_run(mine, force)
    mine = run_folders.load(mine.folder)
    code, shown, _ = export_it(mine)
    assert code == 0
    rounded = export.load(mine.folder / bfloat16.SAVED_MODEL)
    found = json.loads((rounded.folder / bfloat16.COMPARED).read_text())
    both = [
        _served_scores(model, mine, "test")[0]
        for model in (export.load(mine.folder), rounded)
    ]
    assert (found["split"], found["pictures"]) == ("test", len(both[0]))
    largest = np.abs(both[0] - both[1]).max()
    assert 0 < found["largest"] == pytest.approx(largest, abs=1e-4)
    ids = reading.metadata(mine.dataset, "test", ["image_id"])["image_id"]
    verdicts = [s >= force.threshold for s in both]
    changed = {str(i) for i, one, two in zip(ids, *verdicts) if one != two}
    assert {flip["image_id"] for flip in found["flips"]} == changed
    for flip in found["flips"]:
        assert flip["was"] != flip["now"] and flip["image_id"] in shown
        assert flip["label"] == flip["image_id"].split("/")[0]
    assert f"{len(changed)} of {len(ids)} pictures of test get another" in shown


def _served_scores(served, run, split):
    """Scores by the signature of pixels, and labels, in the order of the records."""
    records = list(reading.load(run.dataset, split).as_numpy_iterator())
    pixels = np.stack([tf.io.decode_image(r["image"]).numpy() for r in records])
    scores, _ = served.score_pixels(pixels)
    return np.array(scores), np.array([record["label"] for record in records])


def test_weights_are_bfloat16_but_for_the_head(run, export_it):
    mine = run()
    assert export_it(mine)[0] == 0
    version = export.find(mine.folder / bfloat16.SAVED_MODEL)
    assert files.read_json(version / export.FACTS)["number_type"] == "bfloat16"
    exact = export.find(mine.folder)
    assert files.read_json(exact / export.FACTS)["number_type"] == "float32"
    variables = {
        version: {v.name: v for v in export.load(version)._loaded.variables_read}
        for version in (version, exact)
    }
    assert {v.dtype for v in variables[exact].values()} == {tf.float32}
    heads = [v for v in variables[version].values() if v.dtype == tf.float32]
    assert len(heads) == 4  # kernel and bias of logit and map
    assert {v.dtype for v in variables[version].values()} == {
        tf.float32,
        tf.bfloat16,
    }
    signature = export.load(version).signature(export.PIXELS)
    kinds = {k: v.dtype for k, v in signature.structured_outputs.items()}
    numbers = dict.fromkeys(("score", "map", "unfamiliar"), tf.float32)
    assert kinds == numbers | {"label": tf.string}
