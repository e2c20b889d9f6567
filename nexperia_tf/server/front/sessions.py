"""Who has signed in: a cookie that stands for the token until a day.

Nothing is kept of sessions here. The cookie is the day and its signature by the token:
another token ends them all.
"""

import hashlib
import hmac
import time
import urllib.parse

COOKIE = "nexperia_session"
SIGN_IN = "/sign-in"
LIFETIME = 30 * 86400  # seconds


def new(token: str, *, now: float | None = None) -> str:
    """The cookie of somebody who has brought the token."""
    end = int(time.time() if now is None else now) + LIFETIME
    return f"{end}.{_signature(end, token)}"


def is_valid(cookie: str, token: str, *, now: float | None = None) -> bool:
    """Whether a cookie was given for this token and has not ended.

    >>> is_valid(new("secret"), "secret"), is_valid(new("other"), "secret")
    (True, False)
    >>> is_valid(new("secret", now=0), "secret", now=LIFETIME + 1)
    False
    """
    end, _, signature = cookie.partition(".")
    if not token or not (end.isascii() and end.isdecimal() and len(end) < 20):
        return False
    given = signature.encode("utf-8", "replace")
    same = hmac.compare_digest(given, _signature(int(end), token).encode())
    return same and int(end) >= (time.time() if now is None else now)


def is_token(given: str, token: str) -> bool:
    """Whether somebody knows the token; it takes as long where he nearly does."""
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())


def sign_in(path: str, query: bytes = b"") -> str:
    """The address at which to sign in before one goes on to a page of this server."""
    wanted = path + (f"?{query.decode('latin-1')}" if query else "")
    return f"{SIGN_IN}?{urllib.parse.urlencode({'next': wanted})}"


def own(address: str) -> str:
    """Where to go on: an address of this server, and no other.

    >>> own("/verdicts?model=a"), own("//evil.example/"), own("https://evil.example")
    ('/verdicts?model=a', '/', '/')
    """
    plain = address.isprintable() and "\\" not in address
    return address if plain and address[:1] == "/" and address[:2] != "//" else "/"


def _signature(end: int, token: str) -> str:
    words = f"nexperia page {end}".encode()
    return hmac.new(token.encode(), words, hashlib.sha256).hexdigest()
