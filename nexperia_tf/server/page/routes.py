"""The page of a station: what it answers at each address below `/`."""

import asyncio
import csv
import io

import fastapi

from nexperia_tf.server import asking, refusals, station
from nexperia_tf.server.front import forms, sessions
from nexperia_tf.server.history import decisions
from nexperia_tf.server.page import (
    counts,
    explanations,
    filters,
    looks,
    pictures,
    queries,
    signing,
    views,
)

SOURCE = "page"
_NONE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120">'
    b'<rect width="160" height="120" fill="#eee"/><text x="80" y="64" fill="#555" '
    b'font-family="sans-serif" font-size="13" text-anchor="middle">cannot be shown'
    b"</text></svg>"
)
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


def routes(of: station.Station, *, token: str, max_body: int) -> fastapi.APIRouter:
    """All that a browser may ask for.

    Args:
        of: the station.
        token: with which one signs in, or "".
        max_body: bytes of a picture that is dropped, at most.
    """
    asked = queries.Queries(of.history)
    shown = pictures.Pictures(of.keeper.folder)
    found = fastapi.APIRouter(route_class=looks.Route)
    found.include_router(signing.routes(token))
    found.include_router(_looking(of, asked, signed_in=bool(token)))
    found.include_router(_one(of, asked, shown))
    found.include_router(_deciding(asked))
    found.include_router(_dropping(of, asked, shown, max_body=max_body))
    return found


def _looking(
    of: station.Station, asked: queries.Queries, *, signed_in: bool
) -> fastapi.APIRouter:
    """The first page and the list."""
    found = fastapi.APIRouter(route_class=looks.Route)
    counted = counts.Counts(asked)
    common = {"signed_in": signed_in}

    @found.get("/")
    def home(request: fastapi.Request) -> fastapi.Response:
        wanted = request.query_params
        values = views.home(of, asked, counted.all(), wanted=wanted)
        part = "now" if "part" in wanted else "home"
        return looks.html(part, **common, **values)

    @found.get("/verdicts")
    def verdicts(request: fastapi.Request) -> fastapi.Response:
        wanted = filters.Filter.of(request.query_params)
        before = filters.number(request.query_params.get("before", ""))
        rows = asked.last(wanted, views.LISTED + 1, before=before)
        known = counted.all()
        return looks.html(
            "verdicts",
            **common,
            wanted=wanted,
            cards=views.cards(asked, rows[: views.LISTED]),
            older=rows[views.LISTED - 1]["id"] if len(rows) > views.LISTED else None,
            newest=before is None,
            keeps=of.keeper.rule,
            stations=sorted({count.station for count in known} | {of.name}),
            models=sorted({count.model for count in known} | {*of.models}),
            kinds=decisions.kinds(of.history),
            choices=filters,
        )

    @found.get("/static/{name}")
    def static(name: str) -> fastapi.Response:
        if name not in _STATIC:
            raise refusals.Refused(refusals.NOT_FOUND, "there is no such file")
        content = (looks.STATIC / name).read_bytes()
        return looks.file(content, f"{_STATIC[name]}; charset=utf-8")

    return found


def _one(
    of: station.Station, asked: queries.Queries, shown: pictures.Pictures
) -> fastapi.APIRouter:
    """One verdict, and its picture."""
    found = fastapi.APIRouter(route_class=looks.Route)

    @found.get("/verdicts/{number}")
    def verdict(request: fastapi.Request, number: str) -> fastapi.Response:
        row = _row(asked, number)
        wanted = filters.Filter.of(request.query_params)
        newer, older = asked.beside(wanted, row["id"])
        said = decisions.of_verdicts(of.history, [row["id"]]).get(row["id"], [])
        return looks.html(
            "verdict",
            card=views.Card(row, said[-1] if said else None),
            said=said,
            wanted=wanted,
            newer=newer,
            older=older,
            keeps=of.keeper.rule,
            kinds=decisions.kinds(of.history),
        )

    @found.get("/verdicts/{number}/explained")
    async def explained(request: fastapi.Request, number: str) -> fastapi.Response:
        row = await asyncio.to_thread(_row, asked, number)
        try:
            content = await asyncio.to_thread(shown.content, row["kept_as"] or "")
        except pictures.Unshowable as error:
            seen = explanations.Explanation(why_no_picture=str(error))
        else:
            which = {"model": row["model"], "version": row["version"]}
            seen = await explanations.of_picture(of, shown, content, **which)
        part = "seen" if "part" in request.query_params else "explained"
        return looks.html(part, seen=seen, name=views.Card(row, None).name)

    @found.get("/verdicts/{number}/picture")
    def picture(number: str) -> fastapi.Response:
        return _picture(asked, shown, number, pictures.LARGE)

    @found.get("/verdicts/{number}/small")
    def small(number: str) -> fastapi.Response:
        return _picture(asked, shown, number, pictures.SMALL)

    return found


def _picture(
    asked: queries.Queries, shown: pictures.Pictures, number: str, side: int
) -> fastapi.Response:
    row = _row(asked, number)
    try:
        if not row["kept_as"]:
            raise pictures.Unshowable("Its picture was not kept")
        content = shown.shown(row["kept_as"], side=side)
    except pictures.Unshowable as error:
        if row["kept_as"] and side == pictures.SMALL:  # a wall has no gaps
            return looks.file(_NONE, "image/svg+xml")
        raise refusals.Refused(refusals.NOT_FOUND, str(error)) from None
    return looks.file(content, "image/jpeg", keep=True)


def _row(asked: queries.Queries, text: str):
    number = filters.number(text)
    row = None if number is None else asked.verdict(number)
    if row is None:
        raise refusals.Refused(refusals.NOT_FOUND, "there is no such verdict")
    return row


def _deciding(asked: queries.Queries) -> fastapi.APIRouter:
    """What a person says, and the table of it."""
    found = fastapi.APIRouter(route_class=looks.Route)

    @found.post("/verdicts/{number}/decisions")
    async def decide(request: fastapi.Request, number: str) -> fastapi.Response:
        async with request.form(max_files=0, max_fields=9) as form:
            names = ("decision", "kind", "who", "note", "next")
            said = {name: str(form.get(name, "")).strip() for name in names}
        back = sessions.own(said.pop("next") or f"/verdicts/{number}")
        row = await asyncio.to_thread(_row, asked, number)
        decision = decisions.Decision(verdict_id=row["id"], **said)
        await asyncio.to_thread(decisions.add, asked.history, decision)
        return looks.go_to(back)

    @found.get("/decisions.csv")
    def table() -> fastapi.Response:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(decisions.HEADER)
        lines.writerows(decisions.rows(asked.history))
        return looks.file(text.getvalue().encode(), "text/csv; charset=utf-8")

    return found


def _dropping(
    of: station.Station,
    asked: queries.Queries,
    shown: pictures.Pictures,
    *,
    max_body: int,
) -> fastapi.APIRouter:
    """Pictures that a person drops: scored, kept in the history, and explained."""
    found = fastapi.APIRouter(route_class=looks.Route)

    @found.post("/drop")
    async def drop(request: fastapi.Request) -> fastapi.Response:
        form = await forms.uploaded(request, max_body)
        model, request_id = (form.fields.get(n, "") for n in ("model", "request_id"))
        if len(form.pictures) != 1 or not request_id:
            message = "one picture and a request_id are expected"
            raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
        judged = await of.judge(
            asking.Asked(
                source=SOURCE,
                model=model,
                pictures=form.pictures,
                paths=form.names,
                request_id=request_id,
            )
        )
        number = await asyncio.to_thread(asked.number_of, of.name, model, request_id)
        row = await asyncio.to_thread(asked.verdict, number)
        which = {"model": judged.model, "version": judged.version}
        content = form.pictures[0].content
        seen = await explanations.of_picture(of, shown, content, **which)
        part = "dropped" if form.fields.get("part") else "dropped_page"
        kinds = await asyncio.to_thread(decisions.kinds, of.history)
        card = views.Card(row, None)
        return looks.html(part, card=card, seen=seen, name=card.name, kinds=kinds)

    return found
