"""The review page in a real browser, by real key presses."""

import csv

import pytest

from nexperia_tf.data.prepare import decisions


@pytest.fixture
def page(browser, audited):
    """The review page, in a browser that has not seen it before."""
    context = browser.new_context(accept_downloads=True)
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url))
    address = (audited / "out/review.html").as_uri()
    page.goto(address)
    yield page
    own = (address, "data:", "blob:")
    assert [each for each in problems if not each.startswith(own)] == []
    context.close()


def _press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def _place(page):
    return int(page.inner_text("#place").partition(" of ")[0])


def _downloaded(page, folder):
    page.fill("#who", "A. Reviewer")
    page.press("#who", "Enter")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(folder / "decisions.csv")
    with open(folder / "decisions.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_keys_decide_and_the_next_one_is_shown(page, tmp_path):
    first = page.inner_text("#path")
    _press(page, "g", "k", "2", "x", "u")
    assert _place(page) == 6
    rows = _downloaded(page, tmp_path)
    said = [(row["decision"], row["value"]) for row in rows]
    assert said == [
        ("relabel", "good"),
        ("keep", ""),
        ("relabel", "defect:dent"),
        ("drop", ""),
        ("unsure", ""),
    ]
    assert rows[0]["path"] == first
    assert {row["who"] for row in rows} == {"A. Reviewer"}
    assert all(row["when"].endswith("Z") for row in rows)


def test_undo_goes_back_to_what_was_said_before(page, tmp_path):
    _press(page, "g", "ArrowLeft", "d", "z")
    assert _place(page) == 1 and page.inner_text("#answer") == "relabel good"
    _press(page, "Backspace", "Backspace")
    assert page.inner_text("#answer") == ""
    assert "Nothing to undo" in page.inner_text("#message")


def test_progress_outlives_the_page(page):
    _press(page, "k", "k", "d")
    page.reload()
    assert _place(page) == 4
    _press(page, "ArrowLeft")
    assert page.inner_text("#answer") == "relabel defect"
    _press(page, "ArrowLeft", "ArrowLeft", "o")
    assert _place(page) == 4  # the next that is open


def test_a_name_is_typed_without_deciding_and_asked_for(page):
    page.click("#download")
    assert "who you are" in page.inner_text("#message")
    page.keyboard.type("guk")
    assert page.input_value("#who") == "guk" and _place(page) == 1
    assert page.inner_text("#answer") == ""


def test_pictures_are_zoomed_and_boxes_hidden_by_keys(page):
    whole = page.locator("#views svg").get_attribute("viewBox")
    assert whole == "0 0 52 40"
    _press(page, "+")
    assert page.locator("#views svg").get_attribute("viewBox") == "13 10 26 20"
    _press(page, "0")
    assert page.locator("#views svg").get_attribute("viewBox") == whole
    page.mouse.click(*_middle(page, "#views svg"))
    assert page.locator("#views svg").get_attribute("viewBox") != whole
    assert page.is_disabled("#map")  # there is no network


def _middle(page, where):
    box = page.locator(where).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_look_alikes_of_both_classes_stand_beside(page):
    assert page.locator("#nearest img").count() == 6
    shown = page.evaluate("[...document.images].every(i => i.complete && i.width > 20)")
    assert shown
    assert page.inner_text("#nearest").count("Most like it") == 2


@pytest.mark.parametrize("width", [768, 1280])
def test_nothing_is_cut_off(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_preparation_reads_what_was_downloaded(
    page, audited, tmp_path, run_command, few_look_alikes
):
    _press(page, "g", "k", "2", "u")
    _downloaded(page, tmp_path)
    words = ("--decisions", tmp_path / "decisions.csv", "--out", tmp_path / "prepared")
    assert run_command("prepare", audited / "raw", *words) == 0
    with open(tmp_path / "prepared/manifest.csv", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    with open(tmp_path / "decisions.csv", newline="") as file:
        said = list(csv.DictReader(file))
    assert rows[said[0]["path"]]["label"] == "good"
    assert rows[said[2]["path"]]["defect_type"] == "dent"
    assert said[3]["decision"] == decisions.UNSURE
    assert rows[said[3]["path"]]["label"] == rows[said[3]["path"]]["label_given"]
