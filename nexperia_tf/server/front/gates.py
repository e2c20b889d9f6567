"""What a request has to pass before it is read: a token and a cap on its length."""

import hmac
import json
from collections.abc import Awaitable, Callable

from nexperia_tf.server import refusals

OPEN = ("/healthz", "/readyz")  # a load balancer has no token
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


class Gates:
    """ASGI middleware in front of an application.

    Args:
        app: the application.
        token: what a client must bring, or "".
        max_body: bytes of a request, at most, whatever its header promises.
    """

    def __init__(self, app: Callable, *, token: str, max_body: int):
        self._app, self._token, self._max_body = app, token, max_body

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        allowed = is_allowed(headers.get(b"authorization"), self._token)
        if not allowed and scope["path"] not in OPEN:
            error = refusals.Refused(
                refusals.UNAUTHENTICATED, "Authorization: Bearer TOKEN is expected"
            )
            await _refuse(send, error)
            return
        promised = headers.get(b"content-length", "0")
        if promised.isdecimal() and int(promised) > self._max_body:
            await _refuse(send, self._too_large())
            return
        await self._counted(scope, receive, send)

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


async def _refuse(send: Callable[[dict], Awaitable], error: refusals.Refused) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if error.code == refusals.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b"Bearer"))
    await send(
        {"type": "http.response.start", "status": error.http, "headers": headers}
    )
    body = json.dumps({"error": str(error)}).encode()
    await send({"type": "http.response.body", "body": body})
