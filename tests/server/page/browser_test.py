"""The page in a real browser: headless Chromium, driven by Playwright."""

import contextlib
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright import sync_api

HOSTILE = "<img src=x onerror=document.title='hacked'>.png"
ZONE = "Asia/Kolkata"


def drawn(grey: int, kind: str = "PNG") -> bytes:
    """A picture of one grey with a bright corner."""
    pixels = np.full((32, 48), grey, np.uint8)
    pixels[:8, :8] = 255 - grey
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture
def visit(browser):
    """Opens a page; at the end nothing in it may have gone wrong."""
    with contextlib.ExitStack() as ends:

        def visit(served, path: str = "/", *, fails: str = "", **context):
            context = {"timezone_id": ZONE, "locale": "en-GB"} | context
            opened = browser.new_context(**context)
            ends.callback(opened.close)
            page = opened.new_page()
            ends.callback(_check, _wrong(page, served.address), fails)
            page.set_default_timeout(60_000)
            page.goto(served.address + path)
            return page

        yield visit


def _wrong(page: sync_api.Page, address: str) -> list[str]:
    """Errors of scripts and loads, and what is asked of other servers, as it comes."""
    found = []

    def asked(request: sync_api.Request) -> None:
        if not request.url.startswith((address, "data:")):
            found.append(request.url)

    def said(message: sync_api.ConsoleMessage) -> None:
        if message.type == "error":
            found.append(message.text)

    page.on("request", asked)
    page.on("console", said)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def _check(found: list[str], fails: str) -> None:
    assert [each for each in found if not fails or fails not in each] == []


def _until(page: sync_api.Page, condition: str, name: str = "") -> None:
    """Returns when a condition on the page and a name holds, and its script has run."""
    page.wait_for_function(f"name => {condition}", arg=name)
    page.wait_for_load_state()


@pytest.fixture(scope="module")
def served(serve):
    served = serve()
    for i in range(3):
        served.judge(drawn(20 + i), f"{i}.png")
    served.judge(drawn(40, "TIFF"), HOSTILE)
    served.judge(drawn(250), "bright.png")
    return served


def file(name: str, content: bytes) -> dict:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def test_pictures_that_are_chosen_are_looked_at_one_after_the_other(served, visit):
    page = visit(served)
    chosen = [file(HOSTILE, drawn(10)), file("white.png", drawn(240))]
    page.set_input_files("#picture", [*chosen, file("text.png", b"text")])
    page.wait_for_selector("#dropped article >> nth=2")
    words = page.locator("#dropped .verdict .badge").all_inner_texts()
    assert words == ["unreadable", "good", "defect"]  # the last one first
    assert page.locator("#dropped h2 a").last.inner_text() == HOSTILE
    assert page.title() != "hacked"
    last = page.locator("#dropped article").last
    assert last.locator(".alike li").count() == 6
    sides = [last.locator(f".layers img >> nth={i}").bounding_box() for i in (0, 1)]
    assert sides[0] == sides[1]  # the map lies on its picture
    slider, layer = last.locator(".strength"), last.locator("img.map")
    slider.fill("25")
    assert layer.evaluate("map => map.style.opacity") == "0.25"
    page.locator("h1").click()
    page.keyboard.press("m")
    assert layer.evaluate("map => map.style.opacity") == "0"
    page.keyboard.press("m")
    assert layer.evaluate("map => map.style.opacity") == "0.25"


def test_what_is_dropped_is_sent_and_a_failure_is_said(served, visit):
    page = visit(served, fails="413")
    drop = """([content, more]) => {
        const data = new DataTransfer(), parts = [content, more].map(
            values => new Uint8Array(values));
        data.items.add(new File(parts, "dropped.png"));
        const event = kind => new DragEvent(kind, {dataTransfer: data, bubbles: true});
        document.body.dispatchEvent(event("dragover"));
        document.body.dispatchEvent(event("drop"));
    }"""
    page.evaluate(drop, [list(drawn(11)), 0])
    page.wait_for_selector("#dropped article:has-text('dropped.png')")
    page.select_option("[name=model]", "other")
    page.evaluate(drop, [list(drawn(12)), 0])
    page.wait_for_selector("#dropped .hint:has-text('cannot be shown')")
    page.evaluate(drop, [list(drawn(13)), 2 << 20])  # longer than it may be
    page.wait_for_selector("#dropped .problem:has-text('longer than')")


def test_times_are_the_browsers_and_the_title_says_utc(served, visit):
    page = visit(served, "/verdicts?model=line&verdict=good")
    time = page.locator(".wall time").first
    utc = time.get_attribute("datetime")
    assert time.get_attribute("title") == f"{utc[:19].replace('T', ' ')} UTC"
    minutes = (int(utc[11:13]) * 60 + int(utc[14:16]) + 330) % 1440  # Kolkata: 5:30
    assert time.inner_text().endswith(f"{minutes // 60:02}:{minutes % 60:02}")


def test_a_time_that_is_asked_for_is_the_browsers_too(served, visit):
    page = visit(served, "/verdicts")
    page.fill("[name=since]", "2026-11-27T06:00")
    page.click("text=Show")
    page.wait_for_url(re.compile("since=2026-11-27T00%3A30%3A00"))
    assert page.input_value("[name=since]") == "2026-11-27T06:00"


def test_a_wall_opens_large_and_is_walked_and_judged_by_keys_alone(serve, visit):
    served = serve()
    for i in range(3):
        served.judge(drawn(20 + i), f"{i}.png")
    served.judge(drawn(20)[:60], "torn.png", model="other")
    page = visit(served, "/verdicts?model=line")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.card')"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector(".seen .alike")
    name = page.locator("h1").inner_text()
    page.keyboard.press("ArrowRight")
    _until(page, "document.querySelector('h1').innerText != name", name)
    page.keyboard.press("ArrowLeft")
    _until(page, "document.querySelector('h1').innerText == name", name)
    page.keyboard.press("n")  # without a name there is no decision
    assert page.evaluate("document.activeElement.name") == "who"
    page.keyboard.type("Ann")
    page.keyboard.press("Tab")
    page.locator("h1").click()
    page.keyboard.press("n")
    page.wait_for_selector(".decisions :text('wrong: Ann')")
    page.keyboard.press("ArrowRight")
    _until(page, "document.querySelector('h1').innerText != name", name)
    _until(page, "document.querySelector('[name=who]').value == 'Ann'")  # remembered
    page.keyboard.press("y")
    page.wait_for_selector(".decisions :text('right: Ann')")


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_a_tablet_or_a_telephone(served, visit, width):
    number = served.number(HOSTILE)
    page = visit(served, viewport={"width": width, "height": 900})
    for path in ("/?over=weeks", "/verdicts", f"/verdicts/{number}"):
        page.goto(served.address + path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, path


def test_without_a_script_all_but_convenience_is_there(served, visit):
    page = visit(served, java_script_enabled=False)
    page.set_input_files("#picture", [file("plain.png", drawn(15))])
    page.click("text=Look at it")
    assert page.locator(".verdict .badge").inner_text() == "defect"
    assert page.locator(".alike li").count() == 6
    page.fill("[name=who]", "Ann")
    page.click("[value=yes]")
    assert "right: Ann" in page.locator(".decisions").inner_text()
    page.click("text=What the model sees")
    assert page.locator(".alike li").count() == 6


def test_the_page_behind_a_token_is_signed_in_to_and_out_of(serve, visit):
    served = serve(token="secret")
    page = visit(served, "/verdicts?verdict=good")
    page.fill("[name=token]", "secret")
    page.keyboard.press("Enter")
    page.wait_for_url("**/verdicts?verdict=good")
    assert page.evaluate("document.cookie") == ""  # no script reads it
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    page.goto(served.address)
    page.wait_for_url("**/sign-in?next=%2F")
