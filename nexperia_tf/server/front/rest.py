"""REST as TensorFlow Serving has it, with uploads, roll-back and health beside it."""

import asyncio
import json
from collections.abc import Callable

import fastapi
import starlette.exceptions

from nexperia_tf.server import asking, drifting, metrics, refusals, station
from nexperia_tf.server.front import describing, forms, gates, json_form
from nexperia_tf.server.page import routes as page

REQUEST_ID = "x-request-id"
_PREFIX = "/v1/models"
_LARGE = 1 << 20  # bytes of a body that is read in a thread


def app(
    of: station.Station, *, token: str, max_body: int, only_here: bool = True
) -> Callable:
    """The ASGI application of a station; see `gates.Gates`."""
    # Its pages of documentation would be fetched from the internet.
    api = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    api.add_exception_handler(refusals.Refused, _refused)
    api.add_exception_handler(starlette.exceptions.HTTPException, _malformed)
    predictions = _predictions(of, max_body)
    for routes in (_health(of), predictions, _choosing(of), _descriptions(of)):
        api.include_router(routes)
    api.include_router(page.routes(of, token=token, max_body=max_body))
    return gates.Gates(api, token=token, max_body=max_body, only_here=only_here)


def _health(of: station.Station) -> fastapi.APIRouter:
    routes = fastapi.APIRouter()

    @routes.get("/healthz")
    async def healthy() -> fastapi.Response:
        return _json({"status": "ok"})

    @routes.get("/readyz")
    async def ready() -> fastapi.Response:
        serving = {name: model.serving() for name, model in of.models.items()}
        why_not = of.why_not_ready()
        told = {"ready": not why_not, "serving": serving, "why_not": why_not}
        return _json(told, 503 if why_not else 200)

    @routes.get("/metrics")
    async def measured() -> fastapi.Response:
        return fastapi.Response(of.measured(), media_type=metrics.CONTENT_TYPE)

    return routes


def _predictions(of: station.Station, max_body: int) -> fastapi.APIRouter:
    routes = fastapi.APIRouter(prefix=_PREFIX)

    async def predicted(
        request: fastapi.Request, name: str, version: int | None
    ) -> fastapi.Response:
        kind = request.headers.get("content-type", "")
        request_id = request.headers.get(REQUEST_ID, "")
        asked = {"model": name, "version": version, "request_id": request_id}
        if kind.startswith("multipart/form-data"):
            form = await forms.uploaded(request, max_body)
            asked |= {"source": "upload", "pictures": form.pictures}
            judged = await of.judge(asking.Asked(**asked, paths=form.names))
            return _json(_of_files(judged, form.names))
        body = await request.body()
        parsed = await _in_thread(json_form.parse, body, large=len(body) > _LARGE)
        asked |= {"source": "rest", "pictures": parsed.pictures}
        judged = await of.judge(asking.Asked(**asked))
        json_form.refuse_if_unreadable(judged)
        return _json(json_form.answer(judged, parsed.form))

    @routes.post("/{name}:predict")
    async def predict(request: fastapi.Request, name: str) -> fastapi.Response:
        return await predicted(request, name, None)

    @routes.post("/{name}/versions/{version}:predict")
    async def predict_version(
        request: fastapi.Request, name: str, version: str
    ) -> fastapi.Response:
        return await predicted(request, name, _number(request, version))

    return routes


def _choosing(of: station.Station) -> fastapi.APIRouter:
    """Which version answers."""
    routes = fastapi.APIRouter(prefix=_PREFIX)

    @routes.post("/{name}:rollback")
    async def rollback(name: str) -> fastapi.Response:
        earlier = of.model(name).earlier()
        return _json({"serving": await of.pin(name, earlier), "pinned": True})

    @routes.post("/{name}:latest")
    async def latest(name: str) -> fastapi.Response:
        return _json({"serving": await of.pin(name, None), "pinned": False})

    @routes.post("/{name}/versions/{version}:pin")
    async def pin(
        request: fastapi.Request, name: str, version: str
    ) -> fastapi.Response:
        number = _number(request, version)
        return _json({"serving": await of.pin(name, number), "pinned": True})

    return routes


def _descriptions(of: station.Station) -> fastapi.APIRouter:
    routes = fastapi.APIRouter(prefix=_PREFIX)

    @routes.get("/{name}/drift")
    async def drift(name: str) -> fastapi.Response:
        of.model(name)
        return _json(drifting.for_programs(of.drift(name)))

    @routes.get("/{name}/metadata")
    async def metadata(name: str) -> fastapi.Response:
        return _text(describing.metadata_json(of, name, None))

    @routes.get("/{name}/versions/{version}/metadata")
    async def metadata_of_version(
        request: fastapi.Request, name: str, version: str
    ) -> fastapi.Response:
        number = _number(request, version)
        return _text(describing.metadata_json(of, name, number))

    @routes.get("/{name}/versions/{version}")
    async def status_of_version(
        request: fastapi.Request, name: str, version: str
    ) -> fastapi.Response:
        return _text(describing.status_json(of, name, _number(request, version)))

    @routes.get("/{name}")
    async def status(request: fastapi.Request, name: str) -> fastapi.Response:
        if ":" in name:  # a verb that only POST has
            raise refusals.Refused(refusals.INVALID_ARGUMENT, _malformed_line(request))
        return _text(describing.status_json(of, name, None))

    return routes


def _of_files(judged: asking.Judged, names: list[str]) -> dict:
    """An answer by file; each says what is wrong with it."""
    rows = json_form.rows_of(judged)
    return {"predictions": [{"file": n} | row for n, row in zip(names, rows)]}


async def _in_thread(function: Callable, body: bytes, *, large: bool):
    return await asyncio.to_thread(function, body) if large else function(body)


def _number(request: fastapi.Request, version: str) -> int:
    if version.isascii() and version.isdecimal() and len(version) < 19:
        return int(version)
    raise refusals.Refused(refusals.INVALID_ARGUMENT, _malformed_line(request))


def _malformed_line(request: fastapi.Request) -> str:
    return f"Malformed request: {request.method} {request.url.path}"


async def _refused(
    request: fastapi.Request, error: refusals.Refused
) -> fastapi.Response:
    return _json({"error": str(error)}, error.http)


async def _malformed(
    request: fastapi.Request, error: starlette.exceptions.HTTPException
) -> fastapi.Response:
    """What no route takes: 400 below /v1, as TensorFlow Serving says it, else 404."""
    below = request.url.path.startswith("/v1/") and error.status_code in (404, 405)
    return _json(
        {"error": _malformed_line(request)}, 400 if below else error.status_code
    )


def _json(content: dict, status: int = 200) -> fastapi.Response:
    return _text(json.dumps(content, allow_nan=False), status)


def _text(content: str, status: int = 200) -> fastapi.Response:
    return fastapi.Response(content, status, media_type="application/json")
