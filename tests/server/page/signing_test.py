"""The page behind a token."""

import time
import urllib.parse

import pytest
from starlette import requests

from nexperia_tf.server.front import sessions
from nexperia_tf.server.page import signing

TOKEN = "s3cret ä"
FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def served(serve):
    return serve(token=TOKEN)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(signing, "_PAUSE", 0)


def sign_in(served, token: str, wanted: str = "/verdicts?model=a"):
    body = urllib.parse.urlencode({"token": token, "next": wanted}).encode()
    return served.ask("POST", "/sign-in", body, **FORM)


def test_a_browser_is_led_to_the_form_and_a_program_refused(served):
    status, headers, _ = served.get("/verdicts?model=a", Accept="text/html,*/*")
    assert status == 303
    assert headers["Location"] == "/sign-in?next=%2Fverdicts%3Fmodel%3Da"
    for path in ("/", "/decisions.csv", "/verdicts/1/small", "/v1/models/line"):
        assert served.get(path)[0] == 401
    for path in ("/sign-in", "/static/page.css", "/static/page.js", "/healthz"):
        assert served.get(path)[0] == 200


def test_the_token_gives_a_cookie_that_opens_the_page_and_no_more(served):
    status, headers, _ = sign_in(served, f"{TOKEN}\n")
    assert (status, headers["Location"]) == (303, "/verdicts?model=a")
    cookie, *properties = headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(properties)
    assert TOKEN not in headers["Set-Cookie"]
    assert served.get("/", Cookie=f"other=1; {cookie}")[0] == 200
    assert served.get("/metrics", Cookie=cookie)[0] == 401
    assert served.get("/v1/models/line", Cookie=cookie)[0] == 401
    status, headers, _ = served.ask("POST", "/sign-out", Cookie=cookie)
    assert status == 303 and "Max-Age=0" in headers["Set-Cookie"]
    foreign = {"Origin": "https://evil.example", "Cookie": cookie}
    assert served.ask("POST", "/sign-out", **foreign)[0] == 403


def test_over_tls_the_cookie_goes_over_tls_alone(served, monkeypatch):
    """The scheme is what the server has spoken."""
    monkeypatch.setattr(requests.URL, "scheme", "https")
    assert "Secure" in sign_in(served, TOKEN)[1]["Set-Cookie"].split("; ")


@pytest.mark.parametrize("token", ["", "s3cret", TOKEN + "x", "ä"])
def test_another_token_opens_nothing(served, token):
    status, headers, body = sign_in(served, token)
    assert status == 401 and "Set-Cookie" not in headers
    assert b"not the token of this server" in body


def _signed(**changed) -> str:
    return sessions.new(**{"token": TOKEN} | changed)


COOKIES = {
    "empty": "",
    "no number": "x",
    "no signature": "9999999999.",
    "another token": _signed(token="other"),
    "ended": _signed(now=time.time() - sessions.LIFETIME - 9),
    "later": "9" + _signed(),
    "longer": _signed() + "0",
    "endless": f"{'9' * 30}.{_signed().partition('.')[2]}",
}


@pytest.mark.parametrize("name", COOKIES)
def test_a_cookie_of_ones_own_making_opens_nothing(served, name):
    assert served.get("/", Cookie=f"{sessions.COOKIE}={COOKIES[name]}")[0] == 401


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\e"])
def test_signing_in_leads_nowhere_else(served, wanted):
    assert sign_in(served, TOKEN, wanted)[1]["Location"] == "/"


def test_without_a_token_there_is_nothing_to_sign_in_to(serve):
    served = serve()
    status, headers, _ = served.get("/sign-in?next=/verdicts")
    assert (status, headers["Location"]) == (303, "/verdicts")
