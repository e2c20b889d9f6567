"""What a request has to pass before it is read.

It brings the token, or, from a browser, the cookie that stands for it; it is not longer
than it may be; and where a browser sends it to change something, it comes from a page
of this server: any other one that a person has open could send it, too.
"""

import hmac
import ipaddress
import json
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from http import cookies

from nexperia_tf.server import refusals
from nexperia_tf.server.front import sessions

# A load balancer has no token, and a person none before the page to sign in.
OPEN = ("/healthz", "/readyz", sessions.SIGN_IN, "/static/page.css", "/static/page.js")
_SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing
_FOR_PROGRAMS = ("/v1/", "/metrics")  # a cookie opens the page alone
_SCHEME = "bearer"


def is_allowed(header: str | None, token: str) -> bool:
    """Whether `Authorization: Bearer TOKEN` names the token; without one, anyone may.

    >>> is_allowed("Bearer abc", "abc"), is_allowed("abc", "abc"), is_allowed(None, "")
    (True, False, True)
    """
    if not token:
        return True
    scheme, _, given = (header or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return same and scheme.lower() == _SCHEME


def is_own(method: str, headers: Mapping[bytes, str]) -> bool:
    """Whether a request that changes something comes from where it may.

    A browser says where from; what says nothing is a program.

    >>> is_own("POST", {b"origin": "https://a:1", b"host": "a:1"}), is_own("POST", {})
    (True, True)
    >>> is_own("POST", {b"origin": "https://b", b"host": "a:1"})
    False
    """
    if method in _SAFE:
        return True
    if site := headers.get(b"sec-fetch-site"):
        return site in ("same-origin", "none")
    origin = headers.get(b"origin")
    return origin is None or urllib.parse.urlsplit(origin).netloc == headers.get(
        b"host"
    )


def is_here(host: str) -> bool:
    """Whether an address is of this machine alone.

    >>> [is_here(host) for host in ("localhost", "127.0.0.1", "::1", "a.example")]
    [True, True, True, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_here(headers: Mapping[bytes, str]) -> bool:
    """Whether a request asks for this machine by one of its own addresses.

    Another server's name can be made to lead here for a browser, whose pages would then
    count as this server's own (DNS rebinding).

    >>> names_here({b"host": "localhost:8501"}), names_here({b"host": "b.example:8501"})
    (True, False)
    """
    named = urllib.parse.urlsplit(f"//{headers.get(b'host', '')}").hostname
    return named is None or is_here(named)


class Gates:
    """ASGI middleware in front of an application.

    Args:
        app: the application.
        token: what a client must bring, or "".
        max_body: bytes of a request, at most, whatever its header promises.
        only_here: whether the server listens on this machine alone.
    """

    def __init__(self, app: Callable, *, token: str, max_body: int, only_here: bool):
        self._app, self._token, self._max_body = app, token, max_body
        self._only_here = only_here and not token

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        if self._only_here and not names_here(headers):
            said = "Host: names another machine; ask for localhost, or use a token"
            await _refuse(send, refusals.Refused(refusals.FORBIDDEN, said))
            return
        if path not in OPEN and not self._knows(path, headers):
            if scope["method"] == "GET" and "text/html" in headers.get(b"accept", ""):
                await _redirect(send, sessions.sign_in(path, scope["query_string"]))
                return
            error = refusals.Refused(
                refusals.UNAUTHENTICATED, "Authorization: Bearer TOKEN is expected"
            )
            await _refuse(send, error)
            return
        if not is_own(scope["method"], headers):
            said = "a page of another server has sent this; it is not done"
            await _refuse(send, refusals.Refused(refusals.FORBIDDEN, said))
            return
        promised = headers.get(b"content-length", "0")
        if promised.isdecimal() and int(promised) > self._max_body:
            await _refuse(send, self._too_large())
            return
        await self._counted(scope, receive, send)

    def _knows(self, path: str, headers: Mapping[bytes, str]) -> bool:
        if is_allowed(headers.get(b"authorization"), self._token):
            return True
        return not path.startswith(_FOR_PROGRAMS) and sessions.is_valid(
            _cookie(headers.get(b"cookie", "")), self._token
        )

    async def _counted(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Passes on a request until it is longer than it may be."""
        length, answered = 0, False

        async def counting() -> dict:
            nonlocal length
            message = await receive()
            length += len(message.get("body", b""))
            if length > self._max_body:
                raise self._too_large()
            return message

        async def sending(message: dict) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, counting, sending)
        except refusals.Refused as error:
            if not answered:
                await _refuse(send, error)

    def _too_large(self) -> refusals.Refused:
        message = f"the request is longer than {self._max_body} bytes"
        return refusals.Refused(refusals.TOO_LARGE, message)


def _cookie(header: str) -> str:
    """The session of a request, or ""."""
    try:
        found = cookies.SimpleCookie(header).get(sessions.COOKIE)
    except cookies.CookieError:
        return ""
    return found.value if found else ""


async def _redirect(send: Callable[[dict], Awaitable], to: str) -> None:
    headers = [(b"location", to.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Callable[[dict], Awaitable], error: refusals.Refused) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if error.code == refusals.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b"Bearer"))
    await send(
        {"type": "http.response.start", "status": error.http, "headers": headers}
    )
    body = json.dumps({"error": str(error)}).encode()
    await send({"type": "http.response.body", "body": body})
