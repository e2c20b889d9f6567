"""The report in a real browser: what its script adds."""

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data import pages
from nexperia_tf.evaluation.report import gallery, page


@pytest.fixture(scope="module")
def opened(browser, report, subject, tmp_path_factory):
    """The page of a report, opened as a file without a network."""
    worst = report.runs[0].worst.escapes[0].image_id
    grey = pages.data_uri(Image.fromarray(np.full((20, 30), 90, np.uint8)), quality=90)
    shown = gallery.DevicePicture(grey, grey, 30, 20, ((1, 2, 3, 4),))
    folder = tmp_path_factory.mktemp("browser") / "r"
    page.write(folder, report, [subject()], {"a": {worst: shown}})
    context = browser.new_context(offline=True, accept_downloads=True)
    visited, problems = context.new_page(), []
    visited.on("pageerror", lambda error: problems.append(str(error)))
    visited.set_default_timeout(60_000)
    visited.goto((folder / "report.html").as_uri())
    yield visited
    assert problems == []
    context.close()


def test_the_slider_says_what_another_threshold_would_do(opened, report):
    said = opened.locator(".sweep output")
    counted, run = report.runs[0].confusion, report.runs[0]
    here = f"{counted.escaped} of {run.n_defect} defects escape"
    assert here in said.inner_text()
    opened.locator(".sweep input").press("Home")
    assert f"0 of {run.n_defect} defects escape" in said.inner_text()
    opened.locator(".sweep input").press("End")
    assert f"0 of {run.n - run.n_defect} good devices" in said.inner_text()


def test_a_click_on_a_column_sorts_its_table_and_a_second_one_turns_it(opened):
    table = opened.locator("table.sorted").first
    header = table.locator("th").nth(1)

    def values() -> list[float]:
        cells = table.locator("tr td:nth-child(2)").all_inner_texts()
        return [float(cell.replace(",", "")) for cell in cells]

    header.click()
    assert values() == sorted(values())
    header.press("Enter")
    assert values() == sorted(values(), reverse=True)
    assert header.get_attribute("aria-sort") == "descending"


def test_a_table_shows_only_the_rows_that_are_asked_for(opened):
    box = opened.locator("input[type=search]").first
    table = opened.locator("input[type=search] + .wide table").first
    name = table.locator("td.long").first.inner_text()
    box.fill(name)
    shown = [row for row in table.locator("tr").all()[1:] if row.is_visible()]
    assert shown and all(name.lower() in row.inner_text().lower() for row in shown)
    box.fill("")
    assert all(row.is_visible() for row in table.locator("tr").all())


def test_a_picture_opens_large_and_closes(opened):
    dialog = opened.locator("dialog")
    opened.locator(".device .views").first.press("Enter")
    assert dialog.is_visible() and dialog.locator("svg rect").count() == 1
    large = dialog.locator("svg").bounding_box()
    small = opened.locator(".device .views svg").first.bounding_box()
    assert large["height"] > 1.5 * small["height"]
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_misses_are_saved_by_a_click(opened, report):
    with opened.expect_download() as download:
        opened.get_by_role("link", name="misses.csv").first.click()
    lines = download.value.path().read_text().splitlines()
    counted = report.runs[0].confusion
    assert len(lines) == 1 + counted.escaped + counted.rejected
