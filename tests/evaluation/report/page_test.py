import dataclasses
import html.parser
import json
import re

import numpy as np
import pytest

from nexperia_tf import errors, predictions
from nexperia_tf.evaluation.report import (
    comparisons,
    gallery,
    judging,
    page,
    plots,
    results,
    summary,
)
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import choices, metrics

PIXEL = gallery.DevicePicture(
    "data:image/jpeg;base64,AA", None, 10, 10, ((1, 2, 3, 4),)
)
CONTRACT = {"value", "low", "high"}


def table(n_defect=300, n_good=600, *, noise=1.0, seed=0, lots=True, name="p.csv"):
    """Scores of one set of devices; `seed` is the model, not the devices."""
    labels = np.repeat([1, 0], [n_defect, n_good])
    n = len(labels)
    random = np.random.default_rng(seed)
    signal = np.random.default_rng(42).normal(size=n) + 4.5 * labels - 2
    logits = signal + noise * random.normal(size=n)
    columns = {"defect_type": np.where(labels == 1, np.arange(n) % 2, 2)}
    columns["defect_type"] = np.array(["chip", "scratch", ""])[columns["defect_type"]]
    if lots:
        lot = [f"L{i % 7}" if i % 2 else f"M{i % 5}" for i in range(n)]
        columns |= {"lot": lot, "group": lot}
    return predictions.Predictions(
        image_id=[f"d{i}" for i in range(n)],
        label=labels,
        score=1 / (1 + np.exp(-1.5 * logits)),
        columns=columns,
        source=name,
    )


def others(**options):
    """Scores of devices that no table of `table` holds."""
    found = table(seed=9, lots=False, **options)
    return dataclasses.replace(found, image_id=[f"c{n}" for n in found.image_id])


def subject(name="a", **options):
    scored = table(**options)
    # Each calibration device is its own group, and none is judged.
    calibration = others(n_defect=700, n_good=700, name="validation.csv")
    return Subject(name=name, scored=scored, calibration=calibration)


@pytest.fixture(scope="module")
def report():
    return page.report_of(
        [subject()], results.Settings(), split="test", labels=None, notes=[]
    )


@pytest.fixture(scope="module")
def compared():
    subjects = [subject("a"), subject("b", seed=1), subject("bad", noise=9, seed=2)]
    settings = results.Settings(golden=("d3", "d5"))
    facts = {"split": "test", "labels": None, "notes": []}
    return subjects, page.report_of(subjects, settings, **facts)


def test_the_keys_are_those_of_the_contract(report):
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert found["schema"] == 1
    assert (found["n"], found["n_defect"]) == (900, 300)
    assert {*CONTRACT, "method"} <= found["auc"].keys()
    assert found["auc"]["method"] == "newcombe-5-by-group"
    assert {"average_precision", "brier", "slices"} <= found.keys()
    for row, tpr in zip(found["fpr_at_tpr"], metrics.TPR_TARGETS, strict=True):
        assert row["tpr"] == tpr
        assert {"fpr", "threshold", "misses"} <= row.keys()
    point = found["operating_point"]
    assert {"target", "threshold", "guaranteed", "defects_needed"} <= point.keys()
    assert point["escape_rate"].keys() >= CONTRACT <= point["overkill_rate"].keys()
    assert "runs" not in found


def test_figures_are_those_of_the_scores(report):
    scored = table()
    assert report.runs[0].auc.value == metrics.auc(scored.label, scored.score)
    point = report.runs[0].operating_point
    assert point.guaranteed
    assert point.threshold in table(seed=9, n_defect=700, n_good=700).score
    assert not point.in_sample
    escapes = np.sum(scored.score[:300] < point.threshold)
    assert point.escape_rate.count == escapes
    assert point.escape_rate.value == escapes / 300
    assert point.overkill_rate.of == 600
    assert report.runs[0].partial_auc.value == metrics.partial_auc(
        scored.label, scored.score
    )


def test_targets_that_300_defects_cannot_tell_apart_say_so(report):
    same = {row.tpr: row.same_as for row in report.runs[0].fpr_at_tpr}
    # 300 defects: 298, 298, 299, 300 and 300 have to be caught.
    assert same == {0.991: None, 0.993: 0.991, 0.995: None, 0.997: None, 1.0: 0.997}


def test_economics_follow_from_the_rates():
    settings = results.Settings(prevalence=0.002)
    found = judging.judge(subject(), settings)
    (case,) = found.economics
    point = found.operating_point
    assert case.prevalence == 0.002
    overkill = point.overkill_rate.value
    assert case.yield_loss.value == pytest.approx(overkill * 0.998)
    escaped = 0.002 * point.certified_escape
    assert case.dppm_certified == pytest.approx(1e6 * escaped / (0.998 + escaped))


def test_scores_alone_choose_their_own_threshold_and_say_so():
    alone = Subject(name="alone", scored=table(700, 700, lots=False))
    found = judging.judge(alone, results.Settings())
    assert found.operating_point.in_sample
    assert found.operating_point.escape_rate.count == 0
    first = summary.of_run(found)[0]
    assert first.tone == summary.CAUTION
    assert "--calibration" in " ".join(first.details)


def test_devices_whose_choices_nobody_knows_certify_nothing():
    unknown = dataclasses.replace(subject(), selection=choices.UNKNOWN)
    found = judging.judge(unknown, results.Settings(max_escape=0.01))
    assert not found.operating_point.guaranteed
    assert found.band.reject_from is None
    ship, threshold, *_ = summary.of_run(found)
    assert "--choices N" in ship.details[0]
    said = " ".join(threshold.details)
    assert "No review band either" in said and "hold together" not in said
    some = training_pictures.Overlap(9, ("a", "b"), ("c",), ("base",))
    learned = dataclasses.replace(subject(), seen_calibration=some)
    found = judging.judge(learned, results.Settings(max_escape=0.01))
    known = "3 of the calibration devices, or their twins, were trained on"
    point = found.operating_point
    assert known in point.refusal and known in summary.threshold_by(found)
    assert point.certified_escape == 1
    assert all(
        case.dppm_certified == pytest.approx(case.dppm_uninspected)
        for case in found.economics
    )
    said = " ".join(summary.of_run(found)[2].details)
    assert f"Nothing is certified: {known}." in said
    assert "Certified" not in said and "per million" not in said
    known = judging.judge(subject(), results.Settings(max_escape=0.01))
    said = " ".join(summary.of_run(known)[1].details)
    assert known.operating_point.guaranteed
    assert known.band.reject_from is not None
    assert "hold together with 90 % confidence" in said


def test_too_few_defects_refuse_and_count_what_is_missing():
    few = Subject(name="few", scored=table(827, 900, lots=False))
    found = judging.judge(few, results.Settings(max_escape=0.003))
    assert not found.operating_point.guaranteed
    assert found.certificate.defects_needed == 998
    first = summary.of_run(found)[0]
    assert first.tone == summary.NO
    assert "99.7 %" in first.details[0] and "998 are needed" in first.details[0]


def test_a_broken_promise_is_a_no():
    shifted = table(300, 600)
    shifted = predictions.Predictions(
        image_id=shifted.image_id,
        label=shifted.label,
        score=np.where(shifted.label == 1, shifted.score / 50, shifted.score),
    )
    calibration = table(seed=9, n_defect=700, n_good=700, lots=False)
    found = judging.judge(
        Subject(name="s", scored=shifted, calibration=calibration),
        results.Settings(),
    )
    ship, threshold, escapes, *_ = summary.of_run(found)
    assert ship.answer == "No: the guarantee does not hold on these devices."
    assert {ship.tone, threshold.tone, escapes.tone} == {summary.NO}
    said = " ".join(escapes.details)
    assert "Certified" not in said
    assert f"at most {found.economics[0].dppm.high:,.1f} defective" in said


def test_golden_devices_are_named_when_they_escape(compared):
    _, report = compared
    escaped = {run.name: run.golden.escaped for run in report.runs}
    assert all(run.golden.n == 2 for run in report.runs)
    assert escaped["a"] == ()
    low = judging.judge(
        Subject(name="a", scored=table(300, 600), calibration=table(700)),
        results.Settings(golden=("d899",)),  # a good device escapes for certain
    )
    assert [device.image_id for device in low.golden.escaped] == ["d899"]
    first = summary.of_run(low)[0]
    at = f"proposed threshold ({low.operating_point.threshold:.4g})"
    assert first.answer == f"No: 1 of 1 golden devices escape at the {at}."
    assert "d899" in first.details[0]


def test_an_unscored_golden_device_is_refused_by_name():
    with pytest.raises(errors.BadInput, match="first is 'nobody'"):
        judging.judge(subject(), results.Settings(golden=("d1", "nobody")))


def test_several_runs_have_the_same_keys_each_and_every_pair_is_judged(compared):
    _, report = compared
    names = [run.name for run in report.runs]
    assert names == ["a", "b", "bad"]
    written = report.as_json()
    assert written["auc"] == written["runs"][0]["auc"]
    assert len({frozenset(run) for run in written["runs"]}) == 1
    assert written["runs"][0].keys() < written.keys()
    found = {(p.first, p.second): p.verdict for p in report.comparisons}
    assert found == {
        ("a", "b"): "not distinguishable",
        ("a", "bad"): "distinguishable",
        ("b", "bad"): "distinguishable",
    }
    sentences = comparisons.sentences(report.comparisons)
    assert sentences[0].startswith("a and b are not distinguishable.")
    assert "devices like these would show" in sentences[0]
    assert sentences[1].startswith("a ranks better than bad.")


def test_changed_devices_are_counted_at_each_runs_own_threshold(compared):
    subjects, report = compared
    pair = report.comparisons[1]
    one, two = (report.runs[i].operating_point.threshold for i in (0, 2))
    rejected = subjects[0].scored.score >= one
    then = subjects[2].scored.score >= two
    defect = subjects[0].scored.label == 1
    assert pair.newly_missed.count == np.sum(defect & rejected & ~then)
    assert pair.newly_overkilled.count == np.sum(~defect & ~rejected & then)
    for device in pair.newly_overkilled.devices:
        assert device.score_first < one <= 1 and device.score >= two


class Page(html.parser.HTMLParser):
    """Collects what could leave the page, and whether every tag is closed."""

    VOID = ("meta", "img", "br", "image", "rect", "path", "use", "hr", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.outside, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href") and not value.startswith(
                ("#", "data:")
            ):
                self.outside.append(value)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_data(self, data):
        self.text.append(data)


def words(page):
    return re.sub(r"\s+", " ", " ".join(page.text))


def test_the_page_is_self_contained_and_answers_first(report, tmp_path):
    page.write(tmp_path / "r", report, [subject()], {"a": {"d0": PIXEL}})
    text = (tmp_path / "r" / "report.html").read_text()
    assert json.loads((tmp_path / "r" / "report.json").read_text()) == report.as_json()
    shown = Page(text)
    assert not shown.open and not shown.outside
    said = words(shown)
    asked = [
        said.index(question)
        for question in (
            "Can I ship this?",
            "At which threshold?",
            "What will escape?",
            "What will it cost?",
            "What is uncertain?",
            "ROC curve with logarithmic axes",
            "Worst escapes",
            "Where the model is weak",
        )
    ]
    assert asked == sorted(asked)
    assert "is too few" not in said and "None" not in said and "nan" not in said
    assert f"{report.runs[0].auc.value:.5f}" in said
    assert "@media print" in text


def test_the_comparison_page_says_what_is_not_known(compared):
    subjects, report = compared
    shown = Page(page.page(report, subjects, {}))
    assert not shown.open and not shown.outside
    said = words(shown)
    assert "a and b are not distinguishable." in said
    assert "From a to bad" in said
    assert "Newly missed" in said
    assert "None" not in said


def test_changed_devices_are_shown_with_the_maps_of_the_later_run(compared):
    subjects, report = compared
    name = report.comparisons[1].newly_missed.devices[0].image_id
    shown = gallery.DevicePicture("data:,a", "data:,heat-of-bad", 10, 10, ())
    text = page.page(report, subjects, {"a": {}, "bad": {name: shown}})
    changed = text[text.index("From a to bad") : text.index("From b to bad")]
    assert changed.count("data:,heat-of-bad") == 1
    assert "are those of bad" in " ".join(changed.split())


def test_a_map_without_evidence_is_called_empty(report):
    name = report.runs[0].worst.escapes[0].image_id
    cold = gallery.DevicePicture("data:,a", "data:,b", 10, 10, (), blank=True)
    text = page.page(report, [subject()], {"a": {name: cold}})
    assert text.count("map empty") == 1


def test_boxes_and_maps_are_explained_where_there_are_any(report):
    name = report.runs[0].worst.escapes[0].image_id
    bare = gallery.DevicePicture("data:,a", None, 10, 10, ())
    said = words(Page(page.page(report, [subject()], {"a": {name: bare}})))
    assert "Boxes are" not in said and "heat map;" not in said
    full = gallery.DevicePicture("data:,a", "data:,b", 10, 10, ((1, 2, 3, 4),))
    said = words(Page(page.page(report, [subject()], {"a": {name: full}})))
    assert "Boxes are the annotation. The second view is the heat map;" in said


def test_numbers_stay_with_their_per_cent_signs(report):
    text = page.page(report, [subject()], {})
    assert not re.search(r"[0-9] %", text)
    assert "99.5\N{NO-BREAK SPACE}%" in text


def test_scores_in_a_narrow_range_have_a_scale():
    scores = np.linspace(0.181, 0.209, 40)
    close = predictions.Predictions(
        image_id=[str(i) for i in range(40)], label=[0, 1] * 20, score=scores
    )
    ticks = re.findall(r">(0\.[0-9]+)<", plots.histogram(close, {}))
    assert len(ticks) >= plots.FEWEST_TICKS


def test_groups_that_repeat_the_lots_are_sliced_once():
    scored = table(60, 60)
    lot = scored.columns["lot"].copy()
    lot[:3] = ""  # devices without a lot are groups of their own
    group = np.where(lot == "", scored.image_id, lot)
    alike = predictions.Predictions(
        image_id=scored.image_id,
        label=scored.label,
        score=scored.score,
        columns={"lot": lot, "group": group},
    )
    found = judging.judge(Subject(name="a", scored=alike), results.Settings())
    assert {part.by for part in found.slices} == {"lot"}
    assert found.auc.groups == len(set(group))


def test_the_same_figures_draw_the_same_page(report):
    pages = {page.page(report, [subject()], {}) for _ in range(2)}
    assert len(pages) == 1


def test_names_of_devices_cannot_break_the_page():
    scored = table(30, 30, lots=False)
    names = [f"<script>{name}</script>" for name in scored.image_id]
    scored = predictions.Predictions(
        image_id=names, label=scored.label, score=scored.score
    )
    one = Subject(name="<b>", scored=scored)
    facts = {"split": "test", "labels": None, "notes": []}
    report = page.report_of([one], results.Settings(), **facts)
    text = page.page(report, [one], {})
    assert "<script>" not in text
    assert "&lt;script&gt;d" in text


def test_small_and_certain_tables_are_reported_too():
    scored = predictions.Predictions(
        image_id=list("abc"), label=[1, 0, 0], score=[1.0, 0.0, 0.0]
    )
    one = Subject(name="tiny", scored=scored)
    facts = {"split": "test", "labels": None, "notes": []}
    report = page.report_of([one], results.Settings(), **facts)
    assert report.runs[0].auc.value == 1
    assert report.runs[0].other_aucs == ()
    assert "tiny on 3 devices" in page.page(report, [one], {})


@pytest.mark.parametrize(
    "columns, word",
    [
        ({}, None),
        ({"group": [f"d{i}" for i in range(900)]}, None),
        ({"group": ["module1", "module2"] * 450}, "group"),
        ({"lot": ["1", "2"] * 450}, "lot"),
        ({"lot": ["1", "2"] * 450, "group": ["1", "2"] * 450}, "lot"),
    ],
)
def test_lots_and_groups_are_spoken_of_where_there_are_some(columns, word):
    scored = dataclasses.replace(table(lots=False), columns=columns)
    known = frozenset({"module1", "1"})
    one = Subject(name="a", scored=scored, training_groups=known)
    report = page.report_of(
        [one], results.Settings(), split="test", labels=None, notes=[]
    )
    said = " ".join(
        text for a in summary.of_run(report.runs[0]) for text in (a.answer, *a.details)
    )
    said += page.page(report, [one], {}).partition("</style>")[2]
    assert report.runs[0].grouped_by == word
    for other in ("lot", "group"):
        about = re.search(rf"within one {other}|{other}s seen in training", said)
        assert bool(about) == (other == word)
        assert bool(re.search(rf"on a new {other}\b", said)) == (other == word)


def test_a_certificate_beside_more_escapes_says_why():
    """None of 700 missed certifies .43 %; 2 of 300 here are more, by chance."""
    scored = table(n_defect=300, n_good=600, lots=False)
    calibration = others(n_defect=700, n_good=700)
    lowest = calibration.score[calibration.label == 1].min()
    score = np.where(scored.label == 1, 0.99, scored.score)
    score[:2] = lowest / 2
    one = Subject(
        name="a",
        scored=dataclasses.replace(scored, score=score),
        calibration=calibration,
    )
    found = judging.judge(one, results.Settings())
    assert found.operating_point.guaranteed
    assert not found.operating_point.broken
    escapes = " ".join(summary.of_run(found)[2].details)
    assert "2 of 300 here are more, but within chance for so few" in escapes


def test_a_guarantee_in_force_is_not_replaced_by_a_threshold_without_one():
    one = subject()
    kept = run_folders.Calibration(
        threshold=0.2, origin=run_folders.GUARANTEED, basis="15 %"
    )
    found = judging.judge(
        dataclasses.replace(one, in_force=kept), results.Settings(max_escape=0.001)
    )
    assert not found.operating_point.guaranteed
    said = summary.proposal(found)
    assert "has the guarantee that it states" in said and "--set-threshold" not in said
    assert "is not guaranteed; 0.2 is in force" in summary.of_run(found)[1].answer
