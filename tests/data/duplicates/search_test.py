"""Devices of the drawn sample, with copies planted by benchmarks/planting.py."""

import csv
import dataclasses
import pathlib
import types

import cv2
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from nexperia_tf.data import images, manifest
from nexperia_tf.data.duplicates import resolve, search
from nexperia_tf.data.measure import measurement
from nexperia_tf.data.prepare import splits
from nexperia_tf.data.proof import laying, same_photo
from nexperia_tf.sample import command as sample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planting(script) -> types.ModuleType:
    return script("benchmarks/planting")


@pytest.fixture(scope="module")
def retakes(script) -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pathlib.Path(__file__).parents[3] / "benchmarks")
        yield script("benchmarks/retakes")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("dedupe") / "raw"
    sample.draw(folder, devices=150, seed=7)
    return folder


@pytest.fixture(scope="module")
def truth(raw) -> dict[str, dict[str, str]]:
    """What was drawn, by path, without the broken files."""
    with (raw / "truth.csv").open() as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    paths = {p.relative_to(raw).with_suffix("").as_posix(): p for p in raw.rglob("*.*")}
    broken = ("truncated", "empty_file", "text_file")
    return {
        paths[name].relative_to(raw).as_posix(): row
        for name, row in rows.items()
        if row["kind"] not in broken
    }


@pytest.fixture(scope="module")
def originals(raw, truth) -> dict[str, bytes]:
    """Files of different devices."""
    single = [path for path, row in truth.items() if row["kind"] == ""]
    return {path: (raw / path).read_bytes() for path in sorted(single)}


def _find(files: dict[str, bytes], **options) -> search.Findings:
    pictures = [
        search.Measured.of(path, measurement.measure(content))
        for path, content in files.items()
    ]
    load = {path: images.load(content).pixels for path, content in files.items()}.get
    return search.find(pictures, load=load, **options)


def _planted(
    originals, kinds, plant, *, count=16
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The originals with copies of some, and the original of each copy by path."""
    files, of = dict(originals), {}
    random = np.random.default_rng(0)
    for path in list(originals)[:count]:
        pixels = images.load(originals[path]).pixels
        for kind in kinds:
            ending, content = plant(kind, pixels, random)
            of[f"copy/{kind}_{len(of):03}.{ending}"] = path
            files[f"copy/{kind}_{len(of) - 1:03}.{ending}"] = content
    return files, of


def _in_one_group(groups, path: str, other: str) -> bool:
    return any(path in group and other in group for group in groups)


def test_copies_of_one_photograph_are_found_and_nothing_else(originals, planting):
    files, of = _planted(originals, planting.SAME_PHOTOGRAPH, planting.file)
    found = _find(files)
    expected = {path: {path} for path in of.values()}
    for copy, path in of.items():
        expected[path].add(copy)
    assert sorted(map(sorted, found.clusters)) == sorted(map(sorted, expected.values()))
    assert {pair.kind for pair in found.pairs} <= set(search.SAME_PHOTOGRAPH)


def test_a_noisy_copy_joins_its_original_and_no_faintly_scratched_one(originals):
    path, content = next(iter(originals.items()))
    pixels = images.load(content).pixels.astype(np.float32)
    noisy = pixels + np.random.default_rng(0).normal(0, 5, pixels.shape)
    scratched = pixels.copy()
    cv2.line(scratched, (120, 140), (135, 146), 0, 1)
    scratched = np.where(scratched != pixels, pixels + 12, pixels)
    files = dict(originals)
    for name, altered in (("noisy", noisy), ("scratched", scratched)):
        levels = np.clip(np.rint(altered), 0, 255).astype(np.uint8)
        files[f"{name}.png"] = cv2.imencode(".png", levels)[1].tobytes()
    (cluster,) = _find(files).clusters
    assert set(cluster) == {path, "noisy.png"}


def test_moved_copies_stay_with_their_original(originals, planting):
    files, of = _planted(originals, planting.MOVED, planting.file)
    found = _find(files)
    groups = [*found.clusters, *found.twin_groups]
    lost = [copy for copy, path in of.items() if not _in_one_group(groups, copy, path)]
    assert lost == []
    turned = [pair for pair in found.pairs if "turn" in pair.path_b + pair.path_a]
    assert turned and {pair.kind for pair in turned} >= {search.GEOMETRIC}


def test_copies_with_a_rim_stay_with_their_original(originals, planting):
    files, of = _planted(originals, planting.RIMS, planting.file, count=8)
    found = _find(files)
    groups = [*found.clusters, *found.twin_groups]
    assert [c for c, path in of.items() if not _in_one_group(groups, c, path)] == []


def test_two_photographs_of_one_part_are_twins_and_no_copies(retakes, tmp_path):
    truth = retakes.write(tmp_path, 40, np.random.default_rng(0))
    paths = sorted(path for pair in truth for path in pair)
    found = _find({path: (tmp_path / path).read_bytes() for path in paths})
    assert found.clusters == []
    tied = [_in_one_group(found.twin_groups, *pair) for pair in truth]
    assert np.mean(tied) > 0.6  # thumbnails do not show grain


def test_a_part_with_a_new_defect_is_kept_beside_its_twin(originals, planting):
    files, of = _planted(originals, planting.DEFECTS, planting.file)
    found = _find(files)
    assert found.clusters == []
    assert all(_in_one_group(found.twin_groups, *pair) for pair in of.items())


def test_the_drawn_sample_gives_back_what_was_planted(raw, truth):
    found = _find({path: (raw / path).read_bytes() for path in truth})
    kinds = {frozenset((p.path_a, p.path_b)): p.kind for p in found.pairs}
    expected = {
        "byte_copy": search.BYTE,
        "png_copy": search.PIXEL,
        "jpeg_copy": search.PHOTOMETRIC,
        "brightness_copy": search.PHOTOMETRIC,
        "shifted_copy": search.GEOMETRIC,
        "burst": search.TWIN,
    }
    by_id = {row["image_id"]: path for path, row in truth.items()}
    planted = {
        frozenset((path, by_id[row["source"]])): expected[row["kind"]]
        for path, row in truth.items()
        if row["source"]
    }
    assert planted == {pair: kinds.get(pair) for pair in planted}
    device = {path: row["device"] for path, row in truth.items()}
    assert all(len({device[p] for p in cluster}) == 1 for cluster in found.clusters)


def test_any_order_and_number_of_workers_find_the_same(originals, planting):
    kinds = {**planting.SAME_PHOTOGRAPH, **planting.MOVED}
    files, _ = _planted(originals, kinds, planting.file, count=5)
    backwards = dict(reversed(files.items()))
    assert _find(files) == _find(backwards, workers=2)


def test_pictures_that_show_nothing_are_no_copies():
    random = np.random.default_rng(0)
    flat = [np.full((64, 64), level, np.uint8) for level in range(40, 60)]
    noisy = [plain + random.integers(0, 3, plain.shape, np.uint8) for plain in flat]
    files = {
        f"{place:02}.png": cv2.imencode(".png", pixels)[1].tobytes()
        for place, pixels in enumerate([*flat, *noisy])
    }
    assert _find(files).pairs == []


def test_the_copy_to_keep_is_lossless_then_large_then_sharp(originals):
    path, content = next(iter(originals.items()))
    pixels = images.load(content).pixels
    files = dict(originals)
    del files[path]
    files["a.jpg"] = cv2.imencode(".jpg", pixels)[1].tobytes()
    files["b.png"] = cv2.imencode(".png", pixels)[1].tobytes()
    assert _find(files).clusters == [["b.png", "a.jpg"]]


@hypothesis.settings(max_examples=3, deadline=None)
@hypothesis.given(strategies.integers(0, 2**32 - 1))
def test_no_verified_pair_stands_on_both_sides_of_a_split(originals, planting, seed):
    random = np.random.default_rng(seed)
    kinds = {**planting.SAME_PHOTOGRAPH, **planting.MOVED, **planting.DEFECTS}
    some = random.choice(sorted(originals), 60, replace=False)
    drawn = [str(k) for k in random.choice(sorted(kinds), 5, replace=False)]
    files, _ = _planted({p: originals[p] for p in some}, drawn, planting.file, count=8)
    found = _find(files)
    rows = [
        manifest.Row(path, path, label=str(random.choice(["good", "defect"])))
        for path in sorted(files)
    ]
    for row in rows:
        row.group = f"lot{random.integers(12)}"
    resolve.name_groups(rows, found)
    resolve.drop_conflicts(rows, found)
    resolve.drop_duplicates(rows, found)
    splits.assign(rows, seed=int(random.integers(100)))
    split_of = {row.path: row.split for row in rows if row.split}
    assert found.pairs and resolve.leaks(found.pairs, split_of).pairs == []


def test_a_scratch_is_not_wiped_away_by_resampling():
    whole = {"shared_noise": 1.0, "shared_grain": 1.0, "shared_texture": 1.0}
    scratched = same_photo.Comparison(
        **whole,
        max_local_residual=7,
        max_line_residual=5,
        deviation=0.3,
        own_noise=0.0,
    )
    resampled = same_photo.Comparison(
        **whole, max_local_residual=7, deviation=0.29, resampled=True, departure=0.3
    )
    assert resampled.same_photograph and not scratched.same_photograph
    assert not laying.lies_better(resampled, scratched)
    shifted = dataclasses.replace(scratched, deviation=2.0)  # half a pixel, say
    assert laying.lies_better(resampled, shifted)


def test_resampling_in_vain_proves_nothing(monkeypatch):
    # Scratches of 18 and 14 levels on unmoved parts: one no longer stands out when its
    # picture is resampled, the other stood out along its line alone, which is not
    # looked at then. Measured: deviation, residuals in place, both when resampled.
    whole = {"shared_noise": 1.0, "shared_grain": 1.0, "shared_texture": 1.0}
    for place, again in (
        ((0.205, 25.9, np.inf), (0.290, 7.8)),
        ((0.2841, 6.9, 4.9), (0.2815, 6.8)),
    ):
        names = ("deviation", "max_local_residual", "max_line_residual")
        unmoved = same_photo.Comparison(
            **whole, **dict(zip(names, place)), own_noise=-100
        )
        resampled = same_photo.Comparison(
            **whole, **dict(zip(names, again)), resampled=True, departure=0.1
        )
        answers = {False: unmoved, True: resampled}

        def examined(*seen, resampled=False, answers=answers):
            return answers[resampled]

        monkeypatch.setattr(same_photo, "examine", examined)
        monkeypatch.setattr(same_photo, "differs_by_rounding", lambda *seen: True)
        picture = np.random.default_rng(0).uniform(50, 200, (40, 40)).astype("float32")
        evidence, _ = laying.best_alignment(picture, picture, np.eye(2, 3))
        assert evidence.altered and resampled.same_photograph
