"""Signing in and out in a browser, where the server has a token."""

import asyncio

import fastapi

from nexperia_tf.server.front import sessions
from nexperia_tf.server.page import looks

_PAUSE = 1.0  # seconds after a wrong token: nobody tries many


def routes(token: str) -> fastapi.APIRouter:
    """The page to sign in, and what its form and the way out do."""
    found = fastapi.APIRouter(route_class=looks.Route)

    @found.get(sessions.SIGN_IN)
    def ask(request: fastapi.Request) -> fastapi.Response:
        wanted = sessions.own(request.query_params.get("next", "/"))
        if not token:
            return looks.go_to(wanted)
        return looks.html("sign_in", wanted=wanted, wrong=False)

    @found.post(sessions.SIGN_IN)
    async def sign_in(request: fastapi.Request) -> fastapi.Response:
        async with request.form(max_files=0, max_fields=9) as form:
            given, wanted = (str(form.get(name, "")) for name in ("token", "next"))
        wanted = sessions.own(wanted)
        if token and not sessions.is_token(given, token):
            await asyncio.sleep(_PAUSE)
            return looks.html("sign_in", status=401, wanted=wanted, wrong=True)
        answer = looks.go_to(wanted)
        if token:
            answer.set_cookie(
                sessions.COOKIE,
                sessions.new(token),
                max_age=sessions.LIFETIME,
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
            )
        return answer

    @found.post("/sign-out")
    def sign_out() -> fastapi.Response:
        answer = looks.go_to(sessions.SIGN_IN)
        answer.delete_cookie(sessions.COOKIE, httponly=True, samesite="strict")
        return answer

    return found
