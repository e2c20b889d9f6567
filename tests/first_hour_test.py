"""benchmarks/first_hour.py: what it plays, and what it lays into the folders."""

import csv

import numpy as np
from PIL import Image


def test_it_types_what_readme_says(script):
    first_hour = script("benchmarks/first_hour")
    typed = [line.split()[0] for line in first_hour.commands()]
    assert {"prepare", "baseline", "train", "evaluate", "predict"} <= set(typed)
    assert typed.index("train") < typed.index("evaluate") < typed.index("predict")


def test_defects_are_marks_on_the_part_and_nothing_else(script):
    first_hour = script("benchmarks/first_hour")
    centre = np.array([first_hour.WIDTH, first_hour.HEIGHT]) / 2
    y, x = np.mgrid[: first_hour.HEIGHT, : first_hour.WIDTH]
    off = np.hypot(x - centre[0], y - centre[1])
    for seed in range(30):
        random = np.random.default_rng(seed)
        mark = first_hour.marred(random, centre)
        assert 0.05 < mark.max() < 0.8 and 5 < (mark > 0.05).sum() < 1500
        assert off[mark > 0.05].min() > 20 and off[mark > 0.05].max() < 102
    pictures = [
        first_hour.part(np.random.default_rng(s), defect=False) for s in (1, 1, 2)
    ]
    assert pictures[0].shape == (first_hour.HEIGHT, first_hour.WIDTH, 3)
    assert np.array_equal(*pictures[:2]) and not np.array_equal(*pictures[1:])


def test_a_table_is_sorted_by_kind_and_whole_groups_are_kept_apart(script, tmp_path):
    first_hour = script("benchmarks/first_hour")
    rows = []
    for number in range(40):
        name, defect = f"{number}.png", number % 4 == 0
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / name)
        kind = "crack" if defect else ""
        label = "defect" if defect else "good"
        rows.append((name, label, kind, f"g{number // 2}"))
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        header = ("path", "label", "defect_type", "group")
        csv.writer(file).writerows([header, *rows])
    truth = first_hour.sort(tmp_path / "labels.csv", tmp_path / "place")
    kept = {path.name for path in (tmp_path / "place/FOLDER").iterdir()}
    assert kept == set(truth) and len(kept) == 40 / first_hour.NEW_SHARE
    assert {int(name[:5]) // 2 % first_hour.NEW_SHARE for name in kept} == {0}
    assert truth["00000.png"] and not truth["00001.png"]
    seen = {p.name for p in (tmp_path / "place/PATH").iterdir()}
    assert seen == {"good", "crack"}
    assert len(list((tmp_path / "place/PATH").rglob("*.png"))) == 32
