"""Drift, live: numbers of pictures are kept, and lots judged as they come in.

A look costs a part of the false alarms that a year may have: the time since the look
before, over a year. So it does not matter how often one looks, and a station that has
looked all year has raised a false alarm with a chance of 1 % at most. Nothing is spent
on a look that could not have told anything.

Reference:
    Lan & DeMets, Biometrika 70 (1983) 659: alpha spending, linear in time here.
"""

import asyncio
import collections
import datetime
import io
import json
import pathlib
import sys
import threading
import typing
from collections.abc import Mapping, Sequence

import numpy as np
import sqlalchemy as sql
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.server.history import database, opening, tables
from nexperia_tf.server.models import worker

if typing.TYPE_CHECKING:
    from nexperia_tf.drift import judging, pictures

PAUSE = 5.0  # seconds between two writings of what has come
EVERY = 4 * 3600.0  # seconds between two looks, at least
RETRY = 600.0  # seconds until more is tried where a look told nothing
_CHANGED, _TOO_LITTLE = "changed", "too_little"  # as drift.judging has them
LIGHTS = {"steady": 0.0, _CHANGED: 1.0}  # as Prometheus is told them
_YEAR = 365.25 * 86400  # seconds
_YEARLY = 0.01  # false alarms of a model, on average in a year
_OF_AN_HOUR = 64  # pictures of a lot that are measured in an hour
_LOTS, _PICTURES = 8, 500  # of a window, at least, where there are so many
_ROWS = 20_000  # pictures that a window is taken from
_WAITING = 10_000  # rows that wait for a history that fails
_SHOWN, _KEPT = 6, 5_000  # pictures beside a change; those they are chosen from
_NAME = 200  # characters of a lot's or a machine's name
_FINE = "reference_picture"  # in a change
_M, _V = tables.MEASURES.c, tables.VERDICTS.c


class Watch:
    """What is known of the drift of a station's models.

    Args:
        history: keeps numbers and results.
        station: its name.
        every: seconds between two looks at a model, at least.
        retry: the same after a look that could tell nothing.
    """

    def __init__(
        self,
        history: database.Database,
        station: str,
        *,
        every: float = EVERY,
        retry: float = RETRY,
    ):
        self._history, self._station = history, station
        self._every, self._retry = every, retry
        self._rows: list[dict] = []
        self._lock = threading.Lock()
        self._hour, self._counts = "", collections.Counter()
        self._models: dict[str, _Model] = {}
        self._problem = ""

    def note(self, entries: Sequence[tables.Entry], answers: Sequence[Mapping]) -> None:
        """Takes up the numbers of pictures that have got their verdicts."""
        for entry, answer in zip(entries, answers):
            if worker.NUMBERS in answer and self._wants(entry):
                with self._lock:
                    self._rows.append(_row(entry, answer[worker.NUMBERS]))

    def _wants(self, entry: tables.Entry) -> bool:
        """A lot of thousands need not be known by all of its pictures."""
        if entry.time[:13] != self._hour:
            self._hour, self._counts = entry.time[:13], collections.Counter()
        key = entry.model, entry.version, *lot_of(entry)
        self._counts[key] += 1
        return self._counts[key] <= _OF_AN_HOUR and len(self._rows) < _WAITING

    def found(self, model: str) -> dict | None:
        """What the last look at a model has found; None where there can be none."""
        known = self._models.get(model)
        if known is None or known.found is None:
            return None
        fine = {_FINE: known.fine_picture}
        return known.found | {"changes": [c | fine for c in known.found["changes"]]}

    async def look(self, model: str, number: int, folder: pathlib.Path) -> None:
        """Writes what has come, and judges a model's version where that is due."""
        try:
            await asyncio.to_thread(self._look, model, number, folder)
        except opening.Unwritable:
            return  # the next time, then
        except Exception as error:  # a watch that errs must not end the server
            problem = f"no watch for drift of {model}: {type(error).__name__}: {error}"
            if problem != self._problem:
                print(problem, file=sys.stderr, flush=True)
            self._problem = problem

    def _look(self, model: str, number: int, folder: pathlib.Path) -> None:
        self._flush()
        known = self._models.get(model)
        if known is None or known.number != number:
            known = self._models[model] = self._opened(model, number, folder)
        if known.reference is None or _seconds(known.tried) < known.pause:
            return
        known.tried, known.pause = tables.now(), self._retry
        rows = self._window(model, number)
        if not rows or rows[0]["id"] == known.last:
            return
        # An alarm stands until lots are like those of the training by an ordinary test.
        alarmed = known.found["state"] == _CHANGED
        spent = known.spent or rows[-1]["time"]
        allowed = _YEARLY if alarmed else _allowed(_seconds(spent))
        drift = known.judged(rows, allowed)
        if alarmed and drift.state == _TOO_LITTLE:
            return
        known.found = self._told(known, drift, rows)
        if drift.state != _TOO_LITTLE:
            known.spent, known.last, known.pause = (
                known.tried,
                rows[0]["id"],
                self._every,
            )
        kept = {"spent": known.spent, "last": known.last, "found": known.found}
        self._history.set(self._setting(model, number), json.dumps(kept))

    def _flush(self) -> None:
        with self._lock:
            rows, self._rows = self._rows, []
        if not rows:
            return
        try:
            with self._history.writing() as connection:
                connection.execute(sql.insert(tables.MEASURES), rows)
        except opening.Unwritable:
            with self._lock:
                self._rows = (rows + self._rows)[:_WAITING]
            raise

    def _opened(self, model: str, number: int, folder: pathlib.Path) -> "_Model":
        """A version, with what was found before a restart."""
        known = _Model(number, folder)
        before = self._history.setting(self._setting(model, number))
        if known.reference is not None and before:
            kept = json.loads(before)
            known.spent, known.last = kept["spent"], kept["last"]
            known.found = kept["found"]
            known.tried = known.spent or ""
            known.pause = self._every
        return known

    def _setting(self, model: str, number: int) -> str:
        return f"drift:{number}:{self._station}:{model}"[:300]

    def _window(self, model: str, number: int) -> list[Mapping]:
        """The last lots of a version, the newest picture first."""
        mine = (_M.station == self._station, _M.model == model, _M.version == number)
        query = sql.select(tables.MEASURES).where(*mine)
        with self._history.reading() as connection:
            found = connection.execute(query.order_by(_M.id.desc()).limit(_ROWS))
            return last_lots(found.mappings().all())

    def _told(
        self, known: "_Model", drift: "judging.Drift", rows: Sequence[Mapping]
    ) -> dict:
        from nexperia_tf.drift import results

        told = results.as_json(drift, than="when the model was trained")
        told |= {"since": rows[-1]["time"], "looked": known.tried}
        ids = self._kept_pictures(rows) if drift.changes else {}
        for change, each in zip(drift.changes, told["changes"]):
            each["now_pictures"] = known.typical(change, rows, ids)
        return told

    def _kept_pictures(self, rows: Sequence[Mapping]) -> dict[str, int]:
        """Ids of verdicts whose picture is kept, by its hash."""
        query = sql.select(_V.picture_sha256, _V.id).where(
            _V.station == self._station,
            _V.kept_as.is_not(None),
            _V.time >= rows[-1]["time"],
        )
        with self._history.reading() as connection:
            newest = connection.execute(query.order_by(_V.id.desc()).limit(_KEPT))
            return dict(reversed([tuple(row) for row in newest]))


class _Model:
    """One version of a model, and how its pictures stand.

    Attributes:
        number: of the version.
        reference: pictures that were fine; None where it brings none.
        found: what the last look has found.
        spent: when the last look was that could tell something; None before.
        last: id of the newest row that it has seen.
        tried: when the last look was.
        pause: seconds after it.
        fine_picture: one of the reference, as PNG.
    """

    def __init__(self, number: int, folder: pathlib.Path):
        from nexperia_tf.drift import reference
        from nexperia_tf.runs import run_folders
        from nexperia_tf.serving import version_folders

        self.number, self.spent, self.last = number, None, None
        self.tried, self.pause = "", 0.0
        self.reference, self.found, self.fine_picture = None, None, None
        try:
            fine, facts = reference.of_export(folder), version_folders.facts(folder)
            where = str(folder / version_folders.FACTS)
            calibration = run_folders.calibration_from(facts, where=where)
        except errors.BadInput as error:
            print(f"no watch for drift: {error}", file=sys.stderr, flush=True)
            return
        if fine is None:
            return
        self.reference, self._known = fine, fine.pictures(calibration)
        self.fine_picture = _png(fine.thumbnails)
        self._threshold, self._channels = calibration.threshold, facts["channels"]
        said = "No pictures of this version have been compared with its training yet."
        self.found = {"state": "unknown", "said": said, "pictures": 0, "lots": 0}
        self.found |= {"since": None, "changes": []}

    def judged(self, rows: Sequence[Mapping], false_alarms: float) -> "judging.Drift":
        from nexperia_tf.drift import judging

        return judging.judge(
            self._known,
            _pictures(rows),
            threshold=self._threshold,
            channels=self._channels,
            false_alarms=false_alarms,
        )

    def typical(
        self, change: "judging.Change", rows: Sequence[Mapping], ids: Mapping[str, int]
    ) -> list[int]:
        """Verdicts whose kept pictures show a change as most do."""
        from nexperia_tf.drift import judging, measure

        rows = [row for row in rows if row["picture_sha256"] in ids]
        if change.name in judging.NETWORK:
            column = judging.UNFAMILIAR
            column = column if change.name == column else "score"
            far = [-(row[column] or 0.0) for row in rows]
        else:
            place = measure.names(self._channels).index(change.name)
            far = [abs(_numbers(row)[place] - change.now) for row in rows]
        order = np.argsort(far, kind="stable")[:_SHOWN]
        return [ids[rows[i]["picture_sha256"]] for i in order]


def for_programs(found: Mapping | None) -> dict:
    """The JSON of what a look has found."""
    if found is None:
        said = (
            "Not watched: the model is not loaded yet, or brings no drift.npz to "
            "compare with, as ensembles and models of older versions."
        )
        return {"state": "unknown", "said": said, "changes": []}
    changes = [
        {name: value for name, value in change.items() if name != _FINE}
        for change in found["changes"]
    ]
    return found | {"changes": changes}


def _png(thumbnails: np.ndarray) -> bytes | None:
    """The first of them as a file."""
    if not len(thumbnails):
        return None
    pixels, file = thumbnails[0], io.BytesIO()
    grey = pixels.shape[-1] == 1
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "PNG")
    return file.getvalue()


def lot_of(entry: tables.Entry) -> tuple[str, str]:
    """Lot and machine of a picture: by its name, its folder, else its day.

    A day is a lot in which pictures resemble each other more than in most; whoever has
    many lots a day and names none learns of a change some days later.
    """
    from nexperia_tf.drift import lots

    path = entry.path or ""
    lot, machine = lots.of_name(path)
    parent = str(pathlib.PurePosixPath(path).parent) if "/" in path else ""
    lot = lot or parent or f"day {entry.time[:10]}"
    return lot[:_NAME], machine[:_NAME]


def last_lots(rows: Sequence[Mapping]) -> list[Mapping]:
    """The last lots as far as a window needs them, of rows with the newest first."""
    counts = collections.Counter((row["lot"], row["machine"]) for row in rows)
    wanted, pictures = set(), 0
    for lot in dict.fromkeys((row["lot"], row["machine"]) for row in rows):
        if len(wanted) >= _LOTS and pictures >= _PICTURES:
            break
        wanted.add(lot)
        pictures += counts[lot]
    return [row for row in rows if (row["lot"], row["machine"]) in wanted]


def _row(entry: tables.Entry, numbers: Sequence[float]) -> dict:
    lot, machine = lot_of(entry)
    return {
        "time": entry.time,
        "station": entry.station,
        "model": entry.model,
        "version": entry.version,
        "picture_sha256": entry.picture_sha256,
        "lot": lot.replace("\0", ""),
        "machine": machine,
        "score": entry.score,
        "unfamiliar": entry.unfamiliar,
        "numbers": np.asarray(numbers, "<f4").tobytes(),
    }


def _numbers(row: Mapping) -> np.ndarray:
    return np.frombuffer(row["numbers"], "<f4")


def _pictures(rows: Sequence[Mapping]) -> "pictures.Pictures":
    from nexperia_tf.drift import pictures

    far = [np.nan if row["unfamiliar"] is None else row["unfamiliar"] for row in rows]
    return pictures.Pictures(
        numbers=np.stack([_numbers(row) for row in rows]),
        score=np.array([row["score"] for row in rows], np.float32),
        unfamiliar=np.array(far, np.float32),
        lot=np.array([row["lot"] for row in rows]),
        machine=np.array([row["machine"] for row in rows]),
        trained_on=np.zeros(len(rows), bool),
    )


def _seconds(since: str) -> float:
    """How long ago a time of the history is; for ever, of none."""
    if not since:
        return float("inf")
    then = datetime.datetime.fromisoformat(since)
    return (datetime.datetime.now(datetime.UTC) - then).total_seconds()


def _allowed(seconds: float) -> float:
    """Chance of a false alarm that a look may have so long after the one before.

    >>> _allowed(_YEAR), round(_allowed(_YEAR / 2), 6)
    (0.01, 0.005)
    """
    return _YEARLY * min(1.0, max(seconds, 1.0) / _YEAR)
