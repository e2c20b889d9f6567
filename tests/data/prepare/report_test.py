import html.parser
import pathlib
import re

import cv2
import numpy as np
import pytest

from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import report
from nexperia_tf.sample import command as sample

VOID = {"img", "meta", "br"}


class _Page(html.parser.HTMLParser):
    """Collects what a page links to, and checks that its elements close."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [v for n, v in attributes if n in ("src", "href")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(few_look_alikes, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("report")
    raw = folder / "raw"
    sample.draw(raw, devices=120, seed=5)
    next(raw.glob("*PassImage/*.bmp")).with_name("cut.bmp").write_bytes(b"BM")
    (folder / "decisions.csv").write_text(
        "path,decision,value\n" + _first(raw) + ",relabel,defect:scratch\n"
    )
    prepare.prepare(raw, folder / "out", prepare.options_of(workers=1, fresh=True))
    return (folder / "out" / "report.html").read_text("utf-8")


def _first(raw: pathlib.Path) -> str:
    return min(p.relative_to(raw).as_posix() for p in raw.glob("*PassImage/*.bmp"))


def test_the_page_is_whole_and_needs_nothing_from_outside(page):
    parser = _Page()
    parser.feed(page)
    assert parser.open == []
    assert parser.links and all(link.startswith("data:image/") for link in parser.links)
    assert not re.search(r"https?://", page)


def test_the_page_explains_every_reason_it_counts(page):
    assert set(report.MEANING) == set(manifest.REASONS)
    dropped = re.findall(r"dropped: (\w+)", page)
    assert {"duplicate", "unreadable"} <= set(dropped)
    for reason in dropped:
        assert report.MEANING[reason] in page


@pytest.fixture(scope="module")
def page_of_tiles(tmp_path_factory) -> tuple[str, list[str]]:
    """A page on three photographs of each tile, five of one, and the paths of these."""
    raw = tmp_path_factory.mktemp("tiles") / "raw"
    random, names = np.random.default_rng(0), []
    for tile in range(30):
        levels = 110 + sum(
            60 * s * cv2.GaussianBlur(random.normal(0, 1, (128, 128)), (0, 0), s)
            for s in (1, 2, 4, 8)
        )
        for time in range(5 if tile == 3 else 3):
            name = f"{'ng' if tile % 2 else 'good'}/{tile:02}_{time}.png"
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            taken = levels * (0.9 + 0.05 * time) + random.normal(0, 2, levels.shape)
            cv2.imwrite(str(raw / name), np.clip(taken, 0, 255).astype(np.uint8))
            names += [name] if tile == 3 else []
    prepare.prepare(raw, raw.parent / "out", prepare.options_of(workers=1, fresh=True))
    return (raw.parent / "out" / "report.html").read_text("utf-8"), names


@pytest.mark.parametrize(
    "heading",
    [
        "Every image is accounted for",
        "Leaks",
        "Leak probe",
        "What was dropped",
        "Copies of one photograph",
        "Twins",
        "Label balance",
        "By machine",
        "By lot",
        "Defects without a box",
        "Does the frame show a device?",
        "What a person decided",
    ],
)
def test_the_page_has_every_chapter(page, heading):
    assert heading in page


def test_the_page_shows_what_a_person_decided(page):
    assert "defect:scratch" in page


def test_twin_groups_are_shown_whole_the_largest_first(page_of_tiles):
    page, names = page_of_tiles
    chapter = page.split("<h2>Twins</h2>")[1].split("<h2>")[0]
    sizes = [int(n) for n in re.findall(r"<h3>(\d+) images in one group", chapter)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 5
    first = chapter.split("<h3>")[1]
    assert names == re.findall(r'title="([^"]+)"', first)
    assert first.count("<img") == 5


def test_names_cannot_smuggle_markup(class_folders, picture, tmp_path):
    raw = class_folders(
        {"good/a.png": picture(0), "ng/<i>b.png": picture(1), "ng/c.png": picture(1)}
    )
    prepare.prepare(raw, tmp_path / "out", prepare.options_of(fresh=True))
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<i>b.png" not in text and "&lt;i&gt;b.png" in text
