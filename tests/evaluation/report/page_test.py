import base64
import html.parser
import json
import re

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import gallery, page, results
from nexperia_tf.evaluation.subjects import Subject

PIXEL = gallery.DevicePicture(
    "data:image/jpeg;base64,AA", None, 10, 10, ((1, 2, 3, 4),)
)


class Page(html.parser.HTMLParser):
    """Collects what could leave the page, and whether every tag is closed."""

    VOID = ("meta", "img", "br", "image", "input", "rect", "path", "use", "hr", "link")

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


def test_the_page_is_self_contained_and_answers_first(report, tmp_path, subject):
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
    saved = (tmp_path / "r" / "misses.csv").read_text()
    link = re.search(r'download="misses.csv" href="([^"]*)"', text)[1]
    assert base64.b64decode(link.split(",")[1]).decode() == saved
    counted = report.runs[0].confusion
    assert f"{counted.caught} caught" in said and f"{counted.escaped} escape" in said
    stops = json.loads(
        re.search(r'<script type="application/json">(.*?)</script>', text)[1]
    )
    assert f"{counted.escaped} of {report.runs[0].n_defect} defects escape" in str(
        stops
    )


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


def test_a_map_without_evidence_is_called_empty(report, subject):
    name = report.runs[0].worst.escapes[0].image_id
    cold = gallery.DevicePicture("data:,a", "data:,b", 10, 10, (), blank=True)
    text = page.page(report, [subject()], {"a": {name: cold}})
    assert text.count("map empty") == 1


def test_boxes_and_maps_are_explained_where_there_are_any(report, subject):
    name = report.runs[0].worst.escapes[0].image_id
    bare = gallery.DevicePicture("data:,a", None, 10, 10, ())
    said = words(Page(page.page(report, [subject()], {"a": {name: bare}})))
    assert "Boxes are" not in said and "heat map;" not in said
    full = gallery.DevicePicture("data:,a", "data:,b", 10, 10, ((1, 2, 3, 4),))
    said = words(Page(page.page(report, [subject()], {"a": {name: full}})))
    assert "Boxes are the annotation. The second view is the heat map;" in said


def test_numbers_stay_with_their_per_cent_signs(report, subject):
    text = page.page(report, [subject()], {})
    assert not re.search(r"[0-9] %", text)
    assert "99.5\N{NO-BREAK SPACE}%" in text


def test_the_same_figures_draw_the_same_page(report, subject):
    pages = {page.page(report, [subject()], {}) for _ in range(2)}
    assert len(pages) == 1


def test_names_of_devices_cannot_break_the_page(table):
    scored = table(30, 30, lots=False)
    names = [f"<script>{name}</script>" for name in scored.image_id]
    scored = predictions.Predictions(
        image_id=names, label=scored.label, score=scored.score
    )
    one = Subject(name="<b>", scored=scored)
    facts = {"split": "test", "labels": None, "notes": []}
    report = page.report_of([one], results.Settings(), **facts)
    text = page.page(report, [one], {})
    assert text.count("<script>") == 1  # its own
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
