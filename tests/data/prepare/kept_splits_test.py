import collections
import csv
import dataclasses
import json
import pathlib
import shutil

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.duplicates import resolve, search
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import kept_splits, splits
from nexperia_tf.data.records import store
from nexperia_tf.data.source import DataSource
from nexperia_tf.sample import command as sample

pytestmark = pytest.mark.slow

HEADER = ["path", "label", "group"]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Keeps the preparation's measures out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def _add(raw: pathlib.Path, numbers, *, lot=lambda i: f"lot{i // 6}") -> None:
    """Draws pictures, every third a defect, and lists them in labels.csv."""
    raw.mkdir(exist_ok=True)
    table = raw / "labels.csv"
    lines = [] if table.exists() else [HEADER]
    for i in numbers:
        pixels = np.random.default_rng(i).integers(0, 256, (48, 48)).astype(np.uint8)
        Image.fromarray(pixels).save(raw / f"p{i:03}.png")
        lines.append([f"p{i:03}.png", "good" if i % 3 else "defect", lot(i)])
    with open(table, "a", newline="") as file:
        csv.writer(file).writerows(lines)


def _rename(raw: pathlib.Path, old: str, new: str) -> None:
    (raw / new).parent.mkdir(exist_ok=True)
    (raw / old).rename(raw / new)
    table = raw / "labels.csv"
    table.write_text(table.read_text().replace(f"{old},", f"{new},"))


def _splits(folder: pathlib.Path) -> dict[str, str]:
    """Split of each used picture, by what it shows."""
    rows = manifest.read(folder / "manifest.csv")
    return {row.pixel_sha256: row.split for row in rows if row.used}


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "devices"
    _add(folder, range(60))
    return folder


def test_old_pictures_keep_their_split_and_new_ones_of_their_lot_follow(
    raw, tmp_path, run_command, capsys
):
    out = tmp_path / "prepared"
    assert run_command("prepare", raw, "--out", out / "1") == 0
    before = _splits(out / "1")
    _add(raw, range(60, 72))  # two new lots
    _add(raw, range(100, 104), lot=lambda i: "lot3")
    for i in range(0, 60, 5):
        _rename(raw, f"p{i:03}.png", f"moved/z{60 - i:03}.png")
    capsys.readouterr()
    assert run_command("prepare", raw, "--out", out / "2") == 0
    after = _splits(out / "2")
    assert {name: after[name] for name in before} == before
    rows = manifest.read(out / "2" / "manifest.csv")
    for lot, places in _places(rows).items():
        assert len(places) == 1, lot
    said = capsys.readouterr().out
    assert "(found beside the data; --keep-splits none splits anew)" in said
    assert "60 of its 60 pictures are here and keep theirs, 4 new ones follow" in said
    kept = json.loads((out / "2" / "summary.json").read_text())["kept_splits"]
    assert kept["from"] == str(out / "1") and kept["found"] is True
    assert (kept["kept"], kept["followed"], kept["bridging"]) == (60, 4, 0)
    # What was found is what can be named; the third time the second one is found.
    options = ("--keep-splits", out / "1")
    assert run_command("prepare", raw, "--out", out / "3", *options) == 0
    assert _splits(out / "3") == after
    assert run_command("prepare", raw, "--out", out / "4") == 0
    said = capsys.readouterr().out
    assert f"from {out / '3'} (found" in said and "76 of its 76 pictures" in said


def _places(rows) -> dict[str, set[str]]:
    places = collections.defaultdict(set)
    for row in rows:
        places[row.group].add(row.split)
    return places


def test_an_exact_copy_added_goes_where_the_old_picture_is(raw, tmp_path):
    prepare.prepare(raw, tmp_path / "out" / "1", prepare.options_of(workers=1))
    before = _splits(tmp_path / "out" / "1")
    pixels = np.asarray(Image.open(raw / "p001.png"))
    Image.fromarray(pixels).save(raw / "a_copy.bmp")  # sorts and ranks before it
    with open(raw / "labels.csv", "a", newline="") as file:
        csv.writer(file).writerow(["a_copy.bmp", "good", "new lot"])
    rows = prepare.prepare(raw, tmp_path / "out" / "2", prepare.options_of(workers=1))
    by_path = {row.path: row for row in rows}
    assert by_path["a_copy.bmp"].duplicate_of == "p001"
    assert by_path["p001.png"].split == before[by_path["p001.png"].pixel_sha256]


def test_records_find_the_earlier_data_folder_and_are_named_after_it(raw, tmp_path):
    data_dir = tmp_path / "data"
    first = store.build(DataSource(raw, data_dir))
    _add(raw, range(60, 72))
    second = store.build(DataSource(raw, data_dir))
    before, after = _splits(first.prepared), _splits(second.prepared)
    assert {name: after[name] for name in before} == before
    assert store.build(DataSource(raw, data_dir)) == second  # nothing has changed
    anew = store.build(DataSource(raw, data_dir), keep_splits="none")
    named = store.build(DataSource(raw, data_dir), keep_splits=first.data_dir)
    assert named == second and anew.data_dir != second.data_dir
    summary = json.loads((anew.prepared / "summary.json").read_text())
    assert summary["kept_splits"] is None
    assert store.of_manifest(first.prepared / "manifest.csv", data_dir) == first


def test_devices_that_calibrate_are_taken_over_only_where_nothing_fits_better(
    raw, tmp_path
):
    def said(made: store.Dataset) -> str:
        summary = json.loads((made.prepared / "summary.json").read_text())
        return kept_splits.in_words(summary["kept_splits"])

    data, run = tmp_path / "data", tmp_path / "runs" / "cut"
    plain = store.build(DataSource(raw, data))
    cut = store.build(DataSource(raw, data), calibration_share=0.2)
    run.mkdir(parents=True)
    shutil.copy(cut.prepared / "manifest.csv", run / kept_splits.RUN_COPY)
    count = list(_splits(cut.prepared).values()).count("calibration")
    _add(raw, range(60, 66))
    more = store.build(DataSource(raw, data))
    assert f"from {plain.prepared}" in said(more) and "a calibration" not in said(more)
    assert "calibration" not in _splits(more.prepared).values()
    _add(raw, range(66, 72))
    on = store.build(DataSource(raw, data), init=run)  # though the plain one is newer
    assert f"from {cut.prepared}" in said(on)
    assert f"; a calibration split of {count} devices comes with them" in said(on)
    for folder in (plain, more):
        shutil.rmtree(folder.data_dir)
    _add(raw, range(72, 78))
    last = store.build(DataSource(raw, data))  # of its own share, else of any
    assert f"from {on.prepared}" in said(last) and count > 1


def test_splits_of_the_run_to_learn_on_from_hold_wherever_its_records_lie(
    raw, tmp_path
):
    elsewhere = store.build(DataSource(raw, tmp_path / "elsewhere"))
    run = tmp_path / "runs" / "base"
    run.mkdir(parents=True)
    shutil.copy(elsewhere.prepared / "manifest.csv", run / kept_splits.RUN_COPY)
    before = _splits(elsewhere.prepared)
    data = tmp_path / "data"
    same = store.build(DataSource(raw, data))
    assert store.build(DataSource(raw, data), init=run) == same  # no picture moves
    # By another hand the same pictures were dealt otherwise.
    other = {"train": "test", "test": "train"}
    rows = manifest.read(run / kept_splits.RUN_COPY)
    for row in rows:
        row.split = other.get(row.split, row.split)
    manifest.write(run / kept_splits.RUN_COPY, rows)
    mine = store.build(DataSource(raw, data), init=run)
    assert mine != same
    swapped = {k: other.get(split, split) for k, split in before.items()}
    assert _splits(mine.prepared) == swapped
    summary = json.loads((mine.prepared / "summary.json").read_text())
    said = kept_splits.in_words(summary["kept_splits"])
    assert f"splits kept from {run} (the run of --init; " in said
    assert store.build(DataSource(raw, data), init=run) == mine
    assert store.build(DataSource(raw, data), init=run, keep_splits="none") == same
    # A run that learned from other pictures says nothing of these.
    strange = [dataclasses.replace(row, sha256="0", pixel_sha256="0") for row in rows]
    manifest.write(run / kept_splits.RUN_COPY, strange)
    assert kept_splits.of_init(run, raw) is None


def test_a_given_split_column_wins(raw, tmp_path):
    prepare.prepare(raw, tmp_path / "out" / "1", prepare.options_of(workers=1))
    table = raw / "labels.csv"
    places = ("train", "train", "validation", "test")
    lines = [line.split(",") for line in table.read_text().splitlines()]
    with open(table, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*HEADER, "split"])
        out.writerows(
            [*line, places[int(line[2].removeprefix("lot")) % 4]] for line in lines[1:]
        )
    rows = prepare.prepare(raw, tmp_path / "out" / "2", prepare.options_of(workers=1))
    lot = {row.path: int(row.group.removeprefix("lot")) for row in rows}
    assert all(row.split == places[lot[row.path] % 4] for row in rows)


def test_validation_that_was_cut_from_a_given_train_split_stays(raw, tmp_path):
    def give(numbers, header=False):
        with open(raw / "labels.csv", "w" if header else "a", newline="") as file:
            lines = [[*HEADER, "split"]] if header else []
            for i in numbers:
                split = "test" if i // 6 % 5 == 4 else "train"
                label = "good" if i % 3 else "defect"
                lines.append([f"p{i:03}.png", label, f"lot{i // 6}", split])
            csv.writer(file).writerows(lines)

    give(range(60), header=True)
    prepare.prepare(raw, tmp_path / "out" / "1", prepare.options_of(workers=1))
    before = _splits(tmp_path / "out" / "1")
    _add(raw, range(60, 84))
    give(range(84), header=True)
    prepare.prepare(raw, tmp_path / "out" / "2", prepare.options_of(workers=1))
    after = _splits(tmp_path / "out" / "2")
    assert "validation" in before.values()
    assert {name: after[name] for name in before} == before


def test_another_seed_or_group_is_another_split(raw, tmp_path):
    prepare.prepare(raw, tmp_path / "out" / "1", prepare.options_of(workers=1))
    prepare.prepare(raw, tmp_path / "out" / "2", prepare.options_of(workers=1, seed=1))
    one, two = _splits(tmp_path / "out" / "1"), _splits(tmp_path / "out" / "2")
    assert one != two


def test_a_folder_without_splits_is_refused_in_one_line(raw, tmp_path):
    with pytest.raises(errors.BadInput, match="--keep-splits .*devices: holds no ear"):
        prepare.prepare(raw, tmp_path / "out", prepare.options_of(keep_splits=raw))
    assert not (tmp_path / "out").exists()


def _row(path: str, group: str = "", *, split="", label="good", **values):
    row = manifest.Row(path, path, label=label, label_given=label, **values)
    row.group, row.pixel_sha256, row.split = group or path, f"content of {path}", split
    return row


def _findings(*pairs: str) -> search.Findings:
    """Twins: `_findings("ab", "bc")`."""
    return search.Findings(
        pairs=[search.Pair(a, b, search.TWIN, 0.9, 1.0) for a, b in pairs],
        clusters=[],
        twin_groups=_tied(pairs),
        settings={},
    )


def _tied(pairs) -> list[list[str]]:
    groups: list[set[str]] = []
    for pair in pairs:
        met = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in met]
        groups.append(set(pair).union(*met))
    return [sorted(group) for group in groups]


def _settled(rows, findings, **old) -> kept_splits.Outcome:
    kept = kept_splits.Kept(pathlib.Path("before"), ())
    return kept_splits.settle(rows, findings, kept, old)


def test_a_new_twin_follows_and_one_of_two_splits_is_dropped():
    rows = [_row(name) for name in "abnm"]
    found = _settled(rows, _findings("an", "am", "bm"), a="train", b="test")
    assert found.followed == {"n": "train"} and found.bridging == ["m"]
    assert rows[3].dropped_because == "bridges_splits"


def test_of_a_chain_of_new_twins_between_two_splits_the_fewest_are_dropped():
    rows = [_row(name) for name in "abmno"]
    found = _settled(rows, _findings("am", "mn", "no", "bo"), a="train", b="test")
    assert len(found.bridging) == 1
    assert set(found.followed) | set(found.bridging) == set("mno")


def test_a_new_picture_of_an_old_lot_with_a_twin_in_another_split_is_dropped():
    rows = [_row("a", "lot1"), _row("n", "lot1"), _row("o", "lot1"), _row("b", "lot2")]
    found = _settled(rows, _findings("nb"), a="train", b="test")
    assert found.bridging == ["n"] and found.followed == {"o": "train"}


def test_a_new_lot_goes_where_most_of_its_twins_are():
    rows = [_row(name, "new") for name in "mno"] + [_row(name) for name in "abc"]
    old = {"a": "train", "b": "test", "c": "test"}
    found = _settled(rows, _findings("ma", "nb", "oc"), **old)
    assert found.bridging == ["m"] and found.followed == {"n": "test", "o": "test"}


def test_old_pictures_that_turn_out_to_be_twins_stay_where_they_are():
    rows = [_row("a"), _row("b")]
    found = _settled(rows, _findings("ab"), a="train", b="test")
    assert found.old == {"a": "train", "b": "test"} and not found.bridging


def test_a_dropped_picture_passes_on_what_it_is_tied_to():
    rows = [_row("a"), _row("d", dropped_because="duplicate"), _row("n")]
    assert _settled(rows, _findings("ad", "dn"), a="test").followed == {"n": "test"}


NAMES = "abcdefghijkl"


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
    strategies.lists(strategies.sampled_from("pqrst"), min_size=12, max_size=12),
    strategies.dictionaries(
        strategies.sampled_from(NAMES), strategies.sampled_from(splits.ASKED)
    ),
    strategies.sets(
        strategies.tuples(*2 * [strategies.sampled_from(NAMES)]).filter(
            lambda pair: pair[0] < pair[1]
        ),
        max_size=8,
    ),
    strategies.sets(strategies.sampled_from(NAMES), max_size=3),
)
def test_no_new_picture_ever_ties_two_splits(groups, old, pairs, dropped):
    rows = [_row(name, group) for name, group in zip(NAMES, groups)]
    for row in rows:
        row.label = row.label_given = "defect" if row.path in "aceg" else "good"
        row.dropped_because = "duplicate" if row.path in dropped else ""
    found = _findings(*sorted(pairs))
    resolve.name_groups(rows, found)
    outcome = _settled(rows, found, **old)
    splits.assign(rows, settled=outcome.settled)
    by_path = {row.path: row for row in rows if row.used}
    for path in set(old) & set(by_path):
        assert by_path[path].split == old[path]
    for a, b in pairs:
        if a in by_path and b in by_path and not {a, b} <= set(old):
            assert by_path[a].split == by_path[b].split
    for group in set(groups):
        places = [(r.split, r.path) for r in by_path.values() if r.group == group]
        before = {split for split, path in places if path in old}
        if len(before) < 2:
            assert len({split for split, _ in places}) < 2


def _devices(raw: pathlib.Path, place: pathlib.Path) -> None:
    """Fills `raw` with drawn devices in lots of four, every fourth a defect."""
    sample.draw(place, devices=60, seed=7)
    with open(place / "truth.csv", newline="") as file:
        single = [r["image_id"] for r in csv.DictReader(file) if r["kind"] == ""]
    paths = {
        p.relative_to(place).with_suffix("").as_posix(): p for p in place.rglob("*")
    }
    raw.mkdir()
    lines = [HEADER]
    for i, name in enumerate(sorted(single)[:40]):
        shutil.copy(paths[name], raw / f"d{i:02}.bmp")
        label = "defect" if i % 4 == 0 else "good"
        lines.append([f"d{i:02}.bmp", label, f"lot{i // 4}"])
    with open(raw / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)


def test_a_new_twin_follows_and_one_filed_under_a_lot_of_another_split_is_dropped(
    tmp_path, run_command, capsys
):
    raw, out = tmp_path / "raw", tmp_path / "prepared"
    _devices(raw, tmp_path / "drawn")
    assert run_command("prepare", raw, "--out", out / "1") == 0
    rows = manifest.read(out / "1" / "manifest.csv")
    judged = [row for row in rows if row.split == "test"][1]
    learned = next(row for row in rows if row.split == "train")
    with open(raw / "labels.csv", "a", newline="") as file:
        for name, at, lot in (("x.bmp", 60, "new"), ("y.bmp", 170, learned.group)):
            pixels = np.asarray(Image.open(raw / judged.path)).copy()
            pixels[at : at + 3, 120:132] = 20  # a scratch that the device had not
            Image.fromarray(pixels).save(raw / name)
            csv.writer(file).writerow([name, judged.label, lot])
    assert run_command("prepare", raw, "--out", out / "2") == 0
    found = {row.path: row for row in manifest.read(out / "2" / "manifest.csv")}
    assert found["x.bmp"].split == "test"
    assert found["y.bmp"].dropped_because == "bridges_splits"
    said = capsys.readouterr().out
    assert "1 new one follows its group or twin, 1 would bridge two splits" in said
    summary = json.loads((out / "2" / "summary.json").read_text())
    assert summary["dropped"] == {"bridges_splits": 1}
    left = summary["leaks"]["after"]
    assert left["twin_pairs"] == left["duplicate_pairs"] == 0
