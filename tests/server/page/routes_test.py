"""What the page answers, and what it refuses, without a browser."""

import csv
import io
import json
import urllib.parse

import markupsafe
import pytest
from PIL import Image

from nexperia_tf.server.history import decisions
from nexperia_tf.server.page import looks

HOSTILE = "<script>alert(1)</script>\"'&.png"
NAMES = (HOSTILE, "dark.tif", "torn.png", "bright.png", "doubtful.png", "others.png")


def drawn(grey: int, kind: str = "PNG", size=(48, 32)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, grey).save(file, kind)
    return file.getvalue()


def form(content: bytes, name: str = "a.png", **fields) -> tuple[bytes, str]:
    """A form with a file, as a browser sends it."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    quoted = name.replace('"', "%22")
    parts.append(
        f'--x\r\nContent-Disposition: form-data; name="picture"; filename="{quoted}"'
        "\r\n\r\n"
    )
    body = "".join(parts).encode() + content + b"\r\n--x--\r\n"
    return body, "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def served(serve):
    served = serve()
    served.judge(drawn(20), HOSTILE)
    served.judge(drawn(30, "TIFF"), "dark.tif")
    served.judge(drawn(250), "bright.png")  # good: not kept
    served.judge(drawn(128), "doubtful.png")
    served.judge(drawn(20)[:60], "torn.png")
    served.judge(drawn(20), "others.png", model="other")
    return served


def drop(served, content: bytes, **fields):
    fields = {"model": "line", "request_id": "r", "part": "1"} | fields
    name = fields.pop("name", "a.png")
    body, kind = form(content, name, **fields)
    return served.ask("POST", "/drop", body, Content_Type=kind)


def test_the_pages_hold_every_text_escaped_and_nothing_from_elsewhere(served):
    number = served.number(HOSTILE)
    for path in (
        "/",
        "/verdicts",
        f"/verdicts/{number}",
        f"/verdicts/{number}/explained",
    ):
        status, headers, body = served.get(path)
        text = body.decode()
        assert status == 200 and headers["Content-Type"].startswith("text/html")
        assert str(markupsafe.escape(HOSTILE)) in text and "<script>" not in text, path
        assert "http://" not in text and "https://" not in text
        assert " style=" not in text and " onclick" not in text
        for name, value in looks.HEADERS.items():
            assert headers[name] == value
    assert "lot7/&lt;b&gt;0" in text  # a training picture's name is hostile, too


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("verdict=rejects&model=line", {HOSTILE, "dark.tif", "torn.png"}),
        ("verdict=unreadable", {"torn.png"}),
        ("verdict=review", {"doubtful.png"}),
        ("verdict=good", {"bright.png"}),
        ("model=other", {"others.png"}),
        ("model=other&verdict=good", set()),
        ("station=elsewhere", set()),
        ("until=2020-01-01", set()),
        ("since=2020-01-01T00:00Z&verdict=good", {"bright.png"}),
        ("since=never&verdict=nonsense&model=other", {"others.png"}),
        ("model='%20OR%201=1%20--", set()),
    ],
)
def test_the_list_has_what_is_asked_for(served, query, names):
    status, _, body = served.get(f"/verdicts?{query}")
    text = body.decode()
    found = {name for name in NAMES if f'title="{markupsafe.escape(name)}"' in text}
    assert status == 200 and found == names


def test_pictures_are_shown_as_jpeg_whatever_was_kept(served):
    for kind, side in (("small", 160), ("picture", 1280)):
        number = served.number("dark.tif")
        status, headers, body = served.get(f"/verdicts/{number}/{kind}")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert "immutable" in headers["Cache-Control"]
        shown = Image.open(io.BytesIO(body))
        assert shown.format == "JPEG" and max(shown.size) <= side
        assert abs(shown.getpixel((5, 5)) - 30) < 3
    status, _, body = served.get(f"/verdicts/{served.number('bright.png')}/small")
    assert status == 404 and b"was not kept" in body


@pytest.mark.parametrize(
    "kept_as", ["../history.sqlite", "/etc/passwd", "2026/\0", "nowhere.png", "."]
)
def test_a_row_that_names_another_file_shows_none(served, kept_as):
    number = served.number("dark.tif")
    before = served.of.history
    with before.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE verdicts SET kept_as = ? WHERE id = ?", (kept_as, number)
        )
    status, headers, body = served.get(f"/verdicts/{number}/picture")
    assert status == 404 and headers["Content-Type"].startswith("text/html")
    status, headers, body = served.get(f"/verdicts/{number}/small")
    assert status == 200 and headers["Content-Type"] == "image/svg+xml"
    assert b"cannot be shown" in body and headers["Cache-Control"] == "no-store"
    assert served.get(f"/verdicts/{number}/explained")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/verdicts/999999",
        "/verdicts/-1",
        "/verdicts/x",
        "/verdicts/1e3/small",
        f"/verdicts/{'9' * 30}",
        "/static/page.html",
        "/static/__init__.py",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(served, path):
    status, _, body = served.get(path)
    assert status == 404 and b"there is no such" in body


def test_a_dropped_picture_has_its_verdict_once(served):
    for _ in range(2):  # a double click
        status, _, body = drop(served, drawn(10), name=HOSTILE, request_id="twice")
        assert status == 200 and b"chance of a defect" in body
        assert b"most similar training pictures" in body and b'class="map"' in body
        assert b"<script>" not in body and b"<html" not in body
    rows = [row for row in served.of.history.rows() if row["source"] == "page"]
    assert [(row["request_id"], row["path"]) for row in rows] == [
        ("twice", HOSTILE.replace('"', "%22"))
    ]
    status, _, body = drop(served, drawn(11), request_id="twice")
    assert status == 409 and b"was used for other pictures" in body
    status, _, body = drop(served, drawn(10), request_id="page", part="")
    assert status == 200 and b"<html" in body


def test_what_cannot_be_shown_or_compared_is_said(served):
    status, _, body = drop(served, b"no picture", request_id="text")
    assert status == 200 and b"unreadable" in body and b"cannot be shown" in body
    status, _, body = drop(served, drawn(9), model="other", request_id="other")
    assert status == 200 and b"Similar training pictures cannot be shown" in body
    assert b'class="map"' not in body
    for changed, said in (
        ({"model": "none"}, b"Servable not found"),
        ({"request_id": ""}, b"one picture and a request_id"),
        ({"request_id": "x" * 201}, b"at most 200 characters"),
    ):
        status, _, body = drop(served, drawn(9), **changed)
        assert status in (400, 404) and said in body
    status, _, body = served.ask(
        "POST", "/drop", b"a=b", Content_Type="application/x-www-form-urlencoded"
    )
    assert status == 400 and b"the form holds no file" in body


def test_a_version_that_is_gone_is_said(served):
    number = served.number("doubtful.png")
    with served.of.history.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE verdicts SET version = 2 WHERE id = ?", (number,)
        )
    status, _, body = served.get(f"/verdicts/{number}/explained")
    assert status == 200 and b"version 2 of line is not loaded any more" in body


def decide(served, number: int, **changed):
    fields = {"decision": "no", "kind": "", "who": "Ann Ä", "note": ""} | changed
    body = urllib.parse.urlencode(fields).encode()
    kind = "application/x-www-form-urlencoded"
    return served.ask("POST", f"/verdicts/{number}/decisions", body, Content_Type=kind)


def test_a_decision_is_kept_and_filtered_by_and_goes_out(served):
    number = served.number("bright.png")
    status, headers, _ = decide(served, number, kind="scratch", note="a, b")
    assert (status, headers["Location"]) == (303, f"/verdicts/{number}")
    status, headers, _ = decide(served, number, kind="void", next="//evil.example")
    assert (status, headers["Location"]) == (303, "/")
    said = served.get(f"/verdicts/{number}")[2].decode()
    assert "wrong: Ann Ä, scratch" in said and "wrong: Ann Ä, void" in said
    for query, there in (
        ("kind=void", True),
        ("kind=scratch", False),  # the last word counts
        ("decision=no", True),
        ("decision=yes", False),
        ("decision=none&verdict=good", False),
    ):
        assert (b"bright.png" in served.get(f"/verdicts?{query}")[2]) == there, query
    status, headers, body = served.get("/decisions.csv")
    assert status == 200 and headers["Content-Type"].startswith("text/csv")
    (line,) = csv.DictReader(io.StringIO(body.decode()))
    assert tuple(line) == decisions.HEADER
    assert (line["path"], line["value"]) == ("bright.png", "defect:void")
    assert (line["who"], line["label"]) == ("Ann Ä", "good")
    for changed, said in (
        ({"who": ""}, "name of the person"),
        ({"decision": "x"}, "yes, no or unsure"),
        ({"decision": "yes", "kind": "void"}, "only defects"),
    ):
        status, _, body = decide(served, number, **changed)
        assert status == 400 and said in body.decode()


def test_another_sites_page_changes_nothing(served):
    number = served.number("bright.png")
    before = len(list(decisions.rows(served.of.history)))
    body = b"decision=yes&who=Eve"
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    for foreign in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": served.address},
    ):
        for path in (f"/verdicts/{number}/decisions", "/v1/models/line:rollback"):
            status, _, said = served.ask("POST", path, body, **kind, **foreign)
            assert status == 403 and "another server" in json.loads(said)["error"]
    assert len(list(decisions.rows(served.of.history))) == before
    own = {"Origin": served.address}
    path = f"/verdicts/{number}/decisions"
    assert served.ask("POST", path, body, **kind, **own)[0] == 303


def test_another_name_that_leads_here_reads_nothing(served):
    """A page of evil.example whose name was made to lead to this machine."""
    for name, status in (("evil.example:8501", 403), ("localhost:8501", 200)):
        assert served.ask("GET", "/", Host=name)[0] == status
        assert served.ask("GET", "/metrics", Host=name)[0] == status


def test_the_lights_say_what_has_changed_with_pictures(served, monkeypatch):
    number = served.number("dark.tif")
    change = {"what": "Pictures are <b>darker", "now_pictures": [number]}
    found = {
        "line": {"state": "changed", "said": "It has changed.", "changes": [change]},
        "other": {"state": "steady", "said": "All as it was.", "changes": []},
    }
    for png, shown in ((drawn(9), True), (None, False)):
        change["reference_picture"] = png
        monkeypatch.setattr(served.of, "drift", found.get)
        text = served.get("/")[2].decode()
        assert "Pictures are &lt;b&gt;darker" in text and "It has changed." in text
        assert f'href="/verdicts/{number}"' in text
        assert ("data:image/png;base64," in text) == shown
        assert 'class="light steady" title="All as it was."' in text
    monkeypatch.setattr(served.of, "drift", lambda name: None)
    assert served.get("/")[2].decode().count("no drift watch") == 2


def test_a_history_that_fails_is_said_on_the_page(serve):
    served = serve()
    with served.of.history.writing() as connection:
        connection.exec_driver_sql("DROP TABLE verdicts")
    status, _, body = served.get("/")
    assert status == 503 and b"the history cannot be used" in body


def test_where_nothing_is_kept_the_page_names_the_flag(serve):
    served = serve(rule="none")
    assert b"Nothing has been rejected yet" in served.get("/")[2]
    served.judge(drawn(20), "dark.png")
    for path in ("/", "/verdicts", f"/verdicts/{served.number('dark.png')}"):
        assert b"--keep rejects" in served.get(path)[2]
    assert b"no picture kept" in served.get("/")[2]
