import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import plots


@pytest.fixture(autouse=True)
def no_drawings(monkeypatch):
    """Drawings take most of a report's time; report_test.py looks at them."""
    for name in ("roc", "histogram", "reliability", "forest"):
        monkeypatch.setattr(plots, name, lambda *_, **__: "<svg></svg>")


def scores_file(
    path, *, n_defect=620, n_good=500, seed=0, labelled=True, shift=4.0, lots=9
):
    """Devices in `lots` lots; 0: each is its own group. Those of a validation.csv are
    others than those of any other table."""
    letter = "v" if path.stem == "validation" else "d"
    labels = np.repeat([1, 0], [n_defect, n_good])
    random = np.random.default_rng(seed)
    logits = random.normal(size=len(labels)) + shift * labels - 2
    table = predictions.Predictions(
        image_id=[f"lot{i % 9}/{letter}{i}" for i in range(len(labels))],
        label=labels if labelled else np.full(len(labels), -1),
        score=1 / (1 + np.exp(-logits)),
        columns={"group": [f"lot{i % (lots or 10**9)}" for i in range(len(labels))]},
    )
    predictions.write(path, table)
    return path


def figures(folder):
    return json.loads((folder / "report.json").read_text())


def test_a_table_of_any_framework_is_judged(tmp_path, run_command, capsys):
    path = scores_file(tmp_path / "scores.csv")
    assert run_command("evaluate", path, "--out", tmp_path / "r") == 0
    found = figures(tmp_path / "r")
    assert found["n"] == 1120 and found["n_defect"] == 620
    assert found["name"] == "scores"
    printed = capsys.readouterr().out
    assert f"AUC {found['auc']['value']:.4f} (95 %: " in printed
    assert "Can I ship this?" in printed
    assert str(tmp_path / "r" / "report.html") in printed


def test_without_out_the_report_lies_beside_and_is_renewed(tmp_path, run_command):
    path = scores_file(tmp_path / "scores.csv")
    for _ in range(2):
        assert run_command("evaluate", path) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scores-report", "scores.csv"]
    both = scores_file(tmp_path / "other.csv", seed=1)
    assert run_command("evaluate", path, both) == 0
    assert figures(tmp_path / "scores-comparison")["comparisons"]


def test_a_report_takes_the_place_of_an_earlier_one_and_of_nothing_else(
    tmp_path, run_command, capsys
):
    out = ("--out", tmp_path / "r")
    assert run_command("evaluate", scores_file(tmp_path / "a.csv"), *out) == 0
    assert run_command("evaluate", scores_file(tmp_path / "b.csv", seed=1), *out) == 0
    assert figures(tmp_path / "r")["name"] == "b"
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<title>b: evaluation</title>" in page
    (tmp_path / "r" / "kept.txt").touch()
    assert run_command("evaluate", tmp_path / "a.csv", *out) == 2
    assert "exists already" in capsys.readouterr().err
    (tmp_path / "r" / "kept.txt").unlink()
    (tmp_path / "r" / "report.json").write_text('{"of": "somebody else"}')
    assert run_command("evaluate", tmp_path / "a.csv", *out) == 2
    assert (tmp_path / "r" / "report.html").read_text() == page


def test_a_calibration_table_chooses_the_threshold(tmp_path, run_command):
    path = scores_file(tmp_path / "test.csv")
    other = scores_file(tmp_path / "validation.csv", seed=1, lots=0)
    argv = ("--calibration", other, "--max-escape", ".01", "--out", tmp_path / "r")
    assert run_command("evaluate", path, *argv) == 0
    point = figures(tmp_path / "r")["operating_point"]
    assert point["guaranteed"] and not point["in_sample"]
    assert point["target"] == 0.01
    table = predictions.read(other)
    assert point["threshold"] in table.score[table.label == 1]


def test_the_page_says_why_nothing_is_rejected_without_review(tmp_path, run_command):
    def said(n_good, top):
        """The page, where `top` good devices score above every defect."""
        labels = np.repeat([1, 0], [700, n_good])
        score = np.random.default_rng(0).uniform(0.1, 0.8, len(labels))
        score[len(labels) - top :] = 0.9
        names = [f"d{i}" for i in range(len(labels))]
        scored = predictions.Predictions(image_id=names, label=labels, score=score)
        predictions.write(tmp_path / "s.csv", scored)
        assert run_command("evaluate", tmp_path / "s.csv") == 0
        band = figures(tmp_path / "s-report")["band"]
        text = (tmp_path / "s-report/report.html").read_text()
        return band, " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())

    none, above = "so nothing can be rejected without review", "needs 598 good"
    band, text = said(900, top=20)
    assert band["reject_from"] is None and band["good_limit"] == 0.9
    assert f"No calibration device scores above 0.9, {none}" in text
    assert above not in text
    band, text = said(300, top=20)  # too few good devices
    assert band["reject_from"] is None and band["good_limit"] is None
    assert none not in text and above in text
    band, text = said(900, top=0)
    assert band["reject_from"] is not None and none not in text and above not in text


def test_an_impossible_guarantee_is_refused_with_what_it_needs(
    tmp_path, run_command, capsys
):
    path = scores_file(tmp_path / "scores.csv", n_defect=827, lots=0)
    argv = ("--max-escape", ".003", "--confidence", ".95", "--out", tmp_path / "r")
    assert run_command("evaluate", path, *argv) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: refused: scores: ")
    assert "99.7 %" in line and "827" in line and "998 are needed" in line
    # The report is whole all the same: it says what these defects can certify.
    point = figures(tmp_path / "r")["operating_point"]
    assert point["guaranteed"] is False and point["defects_needed"] == 998


def test_a_promise_that_the_judged_devices_break_is_refused(
    tmp_path, run_command, capsys
):
    path = scores_file(tmp_path / "scores.csv", shift=1.0)
    other = scores_file(tmp_path / "validation.csv", seed=1, shift=6.0, lots=0)
    argv = ("--calibration", other, "--max-escape", ".005", "--out", tmp_path / "r")
    assert run_command("evaluate", path, *argv) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search("refused: scores: [0-9]+ of 620 defects escape, more than", line)


def test_page_terminal_and_json_say_which_devices_stand_behind_the_threshold(
    tmp_path, run_command, capsys
):
    path = scores_file(tmp_path / "test.csv")
    other = scores_file(tmp_path / "validation.csv", n_defect=1000, lots=100, seed=1)
    argv = ("--calibration", other, "--max-escape", ".02", "--choices", "3")
    assert run_command("evaluate", path, *argv, "--out", tmp_path / "r") == 0
    point = figures(tmp_path / "r")["operating_point"]
    assert point["guaranteed"] and point["method"] == "groups"
    assert (point["groups"], point["choices"]) == (100, 3)
    assert 0 < point["rho"] < 1 and point["effective_defects"] < 1000
    said = "1000 defects of " + str(other) + " in 100 groups, worth "
    behind = "; they chose among 3 by --choices."
    for words in (
        capsys.readouterr().out,
        (tmp_path / "r" / "report.html").read_text(),
    ):
        assert said in words and behind in words
    band = figures(tmp_path / "r")["band"]
    assert band["joint_confidence"] == pytest.approx(0.9)


def test_nine_lots_are_no_six_hundred_defects(tmp_path, run_command, capsys):
    path = scores_file(tmp_path / "test.csv")
    other = scores_file(tmp_path / "validation.csv", seed=1)  # 9 lots
    argv = ("--calibration", other, "--max-escape", ".01", "--out", tmp_path / "r")
    assert run_command("evaluate", path, *argv) == 2
    out, err = capsys.readouterr()
    (line,) = err.strip().splitlines()
    assert "620 calibration defects of 9 groups, each counted as one device" in line
    assert "299 groups are needed" in line
    assert "in 9 groups, each group counted as one device; they are taken to" in out


def test_devices_that_set_their_own_threshold_say_so_on_the_terminal(
    tmp_path, run_command, capsys
):
    path = scores_file(tmp_path / "scores.csv", lots=0)
    assert run_command("evaluate", path, "--out", tmp_path / "r") == 0
    out = capsys.readouterr().out
    assert (
        f"Proposed threshold: set by 620 defects of {path}, each its own group" in out
    )
    assert "These are the devices judged here: their own escapes prove nothing." in out


@pytest.mark.parametrize("shared", [1120, 40, 0])
def test_judged_devices_among_those_of_calibration_are_seen(
    tmp_path, run_command, capsys, shared
):
    path = scores_file(tmp_path / "scores.csv", lots=0)
    other = scores_file(tmp_path / "validation.csv", lots=0)
    judged = path.read_text().splitlines()
    given = other.read_text().splitlines()
    other.write_text("\n".join(judged[: shared + 1] + given[shared + 1 :]))
    argv = (path, "--calibration", other, "--max-escape", ".01")
    assert run_command("evaluate", *argv, "--out", tmp_path / "r") == 0
    out = capsys.readouterr().out
    page = " ".join((tmp_path / "r" / "report.html").read_text().split())
    point = figures(tmp_path / "r")["operating_point"]
    assert point["guaranteed"] and point["in_sample"] == (shared > 0)
    assert point["judged_that_set_it"] == shared
    said = "40 of the 1120 devices judged here are among them"
    whole = "These are the devices judged here: their own escapes prove nothing."
    for text in (out, page):
        assert (said in text) == (shared == 40)
        assert (whole in text) == (shared == 1120)
    assert ("Can I ship this? With care." in out) == (shared > 0)


def test_a_table_has_no_place_for_a_threshold_and_says_so(
    tmp_path, run_command, capsys
):
    path = scores_file(tmp_path / "scores.csv", lots=0)
    argv = ("--max-escape", ".01", "--out", tmp_path / "r")
    assert run_command("evaluate", path, *argv) == 0
    assert "Threshold not stored" in capsys.readouterr().out


def test_runs_are_compared_and_their_mean_is_one_more(tmp_path, run_command, capsys):
    one = scores_file(tmp_path / "a.csv")
    two = scores_file(tmp_path / "b.csv", seed=1)
    argv = ("--average", "--out", tmp_path / "r")
    assert run_command("evaluate", one, two, *argv) == 0
    found = figures(tmp_path / "r")
    assert [run["name"] for run in found["runs"]] == ["a", "b", "average"]
    assert len(found["comparisons"]) == 3
    mean = (predictions.read(one).score + predictions.read(two).score) / 2
    worst = found["runs"][2]["worst"]["escapes"][0]["score"]
    assert worst == mean[:620].min()
    # Three comparisons, Holm: ten groups could, these nine cannot.
    assert "too few groups for a verdict" in capsys.readouterr().out


def test_two_lots_and_108_defects_leave_no_limits_and_no_verdict(
    tmp_path, run_command, capsys
):
    one, two = (
        scores_file(tmp_path / f"{name}.csv", n_defect=108, seed=seed, lots=2)
        for name, seed in (("a", 0), ("b", 1))
    )
    assert run_command("evaluate", one, two, "--out", tmp_path / "r") == 0
    said = capsys.readouterr().out
    assert "no interval: 2 groups are too few to show how groups differ" in said
    assert "a and b: too few groups for a verdict." in said and "8 groups could" in said
    found = figures(tmp_path / "r")
    assert (found["auc"]["low"], found["auc"]["method"]) == (None, "none")
    assert found["comparisons"][0]["difference"]["low"] is None
    for row in found["fpr_at_tpr"]:
        assert {"tpr", "fpr", "threshold", "misses"} <= row.keys()
        assert row["high"] is None and row["no_upper_limit"]
    page = (tmp_path / "r" / "report.html").read_text()
    assert "no upper limit" in page and "no interval" in page


def test_the_same_scores_twice_differ_in_nothing(tmp_path, run_command, capsys):
    one, two = (scores_file(tmp_path / f"{name}.csv") for name in "ab")
    assert run_command("evaluate", one, two, "--out", tmp_path / "r") == 0
    (pair,) = figures(tmp_path / "r")["comparisons"]
    assert pair["p"] == pair["p_adjusted"] == pair["p_sign_flip"] == 1
    assert pair["p_delong"] == pair["p_bootstrap"] == pair["p_jackknife"] == 1
    assert "a and b are not distinguishable." in capsys.readouterr().out


def test_other_labels_judge_the_same_scores(tmp_path, run_command, capsys):
    path = scores_file(tmp_path / "scores.csv", n_defect=100, n_good=100)
    table = predictions.read(path)
    with open(tmp_path / "truth.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image_id", "label", "note"])
        for name, label in zip(table.image_id[::-1], table.label[::-1]):
            rows.writerow(
                [name, "good" if label == 0 and name != "lot5/d104" else 1, ""]
            )
    argv = ("--labels", tmp_path / "truth.csv", "--out", tmp_path / "r")
    assert run_command("evaluate", path, *argv) == 0
    found = figures(tmp_path / "r")
    assert found["n_defect"] == 101
    assert found["labels"]["to_defect"] == 1 and found["labels"]["to_good"] == 0
    assert found["labels"]["auc_as_given"]["value"] != found["auc"]["value"]
    assert "By the labels as given" in capsys.readouterr().out


def test_a_coin_and_reversed_scores_are_called_that(tmp_path, run_command, capsys):
    coin = scores_file(tmp_path / "coin.csv", shift=0.0, n_defect=60, n_good=60)
    assert run_command("evaluate", coin, "--out", tmp_path / "r") == 0
    assert "Not shown to be better than a coin" in capsys.readouterr().out
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Not shown to be better than a coin" in page

    good = scores_file(tmp_path / "good.csv")
    assert run_command("evaluate", good, "--out", tmp_path / "g") == 0
    said = capsys.readouterr().out
    assert "better than a coin" not in said and "are reversed" not in said

    table = predictions.read(good)
    turned = dataclasses.replace(table, score=1 - table.score)
    predictions.write(tmp_path / "turned.csv", turned)
    assert (
        run_command("evaluate", tmp_path / "turned.csv", "--out", tmp_path / "t") == 0
    )
    assert "The scores are reversed" in capsys.readouterr().out


def test_a_golden_device_that_escapes_fails_by_name(tmp_path, run_command, capsys):
    path = scores_file(tmp_path / "scores.csv")
    table = predictions.read(path)
    best = table.image_id[np.argmax(table.score)]
    lowest = table.image_id[np.argmin(table.score)]
    listed = tmp_path / "golden.csv"
    listed.write_text(f"image_id,why\n{best},returned by a customer\n")
    argv = ("--golden", listed, "--out")
    assert run_command("evaluate", path, *argv, tmp_path / "r") == 0
    listed.write_text(f"{best}\n{lowest}\n")
    assert run_command("evaluate", path, *argv, tmp_path / "s") == 1
    assert f"golden device {lowest} escapes scores" in capsys.readouterr().out
    escaped = figures(tmp_path / "s")["golden"]["escaped"]
    assert [device["image_id"] for device in escaped] == [lowest]


def test_prevalence_turns_rates_into_parts_per_million(tmp_path, run_command):
    path = scores_file(tmp_path / "scores.csv")
    argv = ("--prevalence", ".002", "--out", tmp_path / "r")
    assert run_command("evaluate", path, *argv) == 0
    (case,) = figures(tmp_path / "r")["economics"]
    assert case["prevalence"] == 0.002 and 0 < case["dppm_certified"] < 2000


def test_a_submission_names_devices_by_their_file_stem(tmp_path, run_command):
    path = scores_file(tmp_path / "scores.csv", labelled=False)
    out = tmp_path / "submission.csv"
    assert run_command("evaluate", path, "--submission", out) == 0
    with open(out) as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "defect_score"]
    assert [row["id"] for row in rows[:2]] == ["d0", "d1"]
    scores = [float(row["defect_score"]) for row in rows]
    assert scores == predictions.read(path).score.tolist()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scores.csv", out.name]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "RUN: name a run folder"),
        (["{none}"], "none.csv: no such file or folder"),
        (["{empty}"], "holds neither a run nor a SavedModel"),
        (["{good}"], "needs devices of both classes. Received 500 good and 0 defect"),
        (["{scores}", "{fewer}"], "holds other devices than"),
        (["{scores}", "--average"], "--average: needs two runs"),
        (["{scores}", "--choices", "0"], r"--choices 0: a whole number in \[1, "),
        (["{scores}", "--max-escape", "5"], r"--max-escape 5.0: a number in \(0, 1\)"),
        (["{scores}", "--out", "{full}"], "exists already"),
        (["{scores}", "--labels", "{fewer}"], "has no label for 100 of 1120"),
        (["{scores}", "--golden", "{none}"], "--golden .*none.csv: no such file"),
        (["{unlabelled}"], "devices without a label.*--submission"),
        (["{scores}", "--calibration", "{fewer}", "{fewer}"], "one table for each RUN"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path, run_command, capsys, argv, words
):
    places = {
        "none": tmp_path / "none.csv",
        "empty": tmp_path / "empty",
        "full": tmp_path / "full",
        "good": scores_file(tmp_path / "good.csv", n_defect=0),
        "scores": scores_file(tmp_path / "scores.csv"),
        "fewer": scores_file(tmp_path / "fewer.csv", n_good=400),
        "unlabelled": scores_file(tmp_path / "unlabelled.csv", labelled=False),
    }
    places["empty"].mkdir()
    places["full"].mkdir()
    (places["full"] / "kept.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    assert run_command("evaluate", *(word.format(**places) for word in argv)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert re.search(words, line), line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_difference_says_whose_auc_is_taken_from_whose(tmp_path, run_command, capsys):
    good = scores_file(tmp_path / "good.csv")
    table = predictions.read(good)
    turned = dataclasses.replace(table, score=1 - table.score)
    predictions.write(tmp_path / "turned.csv", turned)
    assert run_command("evaluate", tmp_path / "turned.csv", good) == 0
    said = capsys.readouterr().out
    assert re.search(
        "good ranks better than turned. AUC of turned minus that of good: -0.[0-9]+",
        said,
    )
    assert not re.search("p = 0[ ,;]", said)
