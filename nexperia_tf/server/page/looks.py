"""How pages are made: templates, what all of them may load, and errors in words."""

import base64
import pathlib
from collections.abc import Callable

import fastapi
from fastapi import routing

from nexperia_tf import errors
from nexperia_tf.data import pages
from nexperia_tf.server import refusals
from nexperia_tf.server.history import opening

_HERE = pathlib.Path(__file__).parent
STATIC = _HERE / "static"
# Nothing from elsewhere, no script or style but the two files of this package.
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def _templates():
    found = pages.templates(_HERE / "templates")
    found.filters["score"] = lambda value: "" if value is None else f"{value:.3f}"
    found.filters["count"] = lambda value: f"{value:,}"
    found.filters["png"] = lambda content: data_uri(content, "image/png")
    found.filters["share"] = lambda value: f"{100 * value:.1f} %"
    return found


def html(template: str, /, *, status: int = 200, **values: object) -> fastapi.Response:
    """A page, or a part of one, by the name of its template."""
    text = _TEMPLATES.get_template(f"{template}.html").render(**values)
    return fastapi.Response(text, status, HEADERS, "text/html; charset=utf-8")


def file(content: bytes, kind: str, *, keep: bool = False) -> fastapi.Response:
    """A picture or a table; what never changes may be kept by the browser."""
    kept = {"Cache-Control": "private, max-age=86400, immutable"} if keep else {}
    return fastapi.Response(content, 200, HEADERS | kept, kind)


def go_to(address: str) -> fastapi.Response:
    """Sends the browser on to a page of this server."""
    return fastapi.responses.RedirectResponse(address, 303, HEADERS)


def data_uri(content: bytes, kind: str) -> str:
    """A picture as the address of an `<img>`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


_TEMPLATES = _templates()


class Route(routing.APIRoute):
    """A route of the page: what goes wrong is a page, too."""

    def get_route_handler(self) -> Callable:
        handle = super().get_route_handler()

        async def told(request: fastapi.Request) -> fastapi.Response:
            try:
                return await handle(request)
            except refusals.Refused as error:
                return html("error", status=error.http, said=str(error))
            except errors.BadInput as error:
                return html("error", status=400, said=str(error))
            except opening.Unwritable as error:
                return html("error", status=503, said=str(error))

        return told
