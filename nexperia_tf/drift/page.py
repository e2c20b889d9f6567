"""drift.html: what changed, where in the picture, and pictures to look at."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from nexperia_tf import files
from nexperia_tf.data import pages
from nexperia_tf.drift import judging, measure, reference, words

_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_QUALITY = 85  # of the JPEG files inside
_DEEPEST = 0.2  # change of a place that has the deepest colour


def write(
    path: pathlib.Path,
    drift: judging.Drift,
    *,
    than: str,
    title: str,
    before: Sequence[np.ndarray],
    now: Sequence[tuple[str, np.ndarray]],
) -> None:
    """Writes one file that opens offline.

    Args:
        path: of the page.
        drift: what was found.
        than: what the pictures were compared with, in words.
        title: of the page.
        before: canvases of pictures that were fine, uint8.
        now: names and canvases of pictures of the window.
    """
    template = pages.templates(_TEMPLATES).get_template("drift.html")
    marked = [each.place for each in drift.changes if each.place][:3]
    page = template.render(
        title=title,
        drift=drift,
        said=words.said(drift, than=than),
        changes=[
            (words.of_change(each, than=than), words.check(each))
            for each in drift.changes[: words.MOST]
        ],
        more=max(0, len(drift.changes) - words.MOST),
        maps=[
            ("Brightness of places", _map(drift, measure.BRIGHTNESS)),
            ("Fine detail of places", _map(drift, measure.FINE)),
        ],
        numbers=[_row(each, drift) for each in drift.numbers],
        before=[("", _picture(canvas)) for canvas in before],
        now=[(name, _picture(canvas)) for name, canvas in now],
        marked=[_box(*place) for place in marked],
        lots=words.lots,
        percent=words.percent,
    )
    files.write_text(path, page)


def _map(drift: judging.Drift, what: str) -> list[list[dict]]:
    """The change of each place, with its colour."""
    found = {each.place: each for each in drift.numbers if each.name.startswith(what)}
    changes = set(drift.changes)
    rows = []
    for row in range(measure.GRID):
        cells = []
        for column in range(measure.GRID):
            each = found.get((row, column))
            share = math.expm1(each.difference) if each else 0.0
            cells.append(
                {
                    "text": f"{100 * share:+.1f} %" if each else "",
                    "depth": round(min(1.0, abs(share) / _DEEPEST), 2),
                    "rises": share > 0,
                    "certain": each in changes,
                }
            )
        rows.append(cells)
    return rows


def _row(number: judging.Change, drift: judging.Drift) -> dict:
    where = number.place
    name = number.name.rsplit(" ", 2)[0] if where else number.name
    unseen = number.unseen
    if number.name != judging.CALLED_DEFECT:
        unseen = math.expm1(min(unseen, 50))
    return {
        "name": f"{name}, row {where[0] + 1}, column {where[1] + 1}" if where else name,
        "before": f"{words.in_units(number.name, number.before):.3g}",
        "now": f"{words.in_units(number.name, number.now):.3g}",
        "lots": f"{number.lots} of {number.of}",
        "p": words.p_value(number.p),
        "unseen": words.percent(unseen) if math.isfinite(number.unseen) else "any",
        "certain": number in drift.changes,
    }


def _box(row: int, column: int) -> dict:
    side = 100 / measure.GRID
    return {"top": row * side, "left": column * side, "side": side}


def _picture(canvas: np.ndarray) -> str:
    small = reference.thumbnail(canvas)
    grey = small.shape[-1] == 1
    picture = Image.fromarray(small[..., 0] if grey else small)
    return pages.data_uri(picture, quality=_QUALITY)
