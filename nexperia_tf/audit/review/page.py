"""review.html: one page on which a person decides, by keys, and keeps decisions.csv."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence

import jinja2
import markupsafe
import numpy as np

from nexperia_tf import labels
from nexperia_tf.audit import items
from nexperia_tf.data import images, manifest, pages
from nexperia_tf.evaluation.report import gallery

SIDE = 560  # pixels of the longer side of a picture to be judged; it can be zoomed
SMALL = 150  # of a look-alike
KEYS_FOR_KINDS = 9  # the most frequent kinds of defects have a key each

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True, eq=False)
class Sources:
    """Where a page takes its pictures from.

    Attributes:
        contents: encoded pictures by path: items, what they are compared with, and
            look-alikes.
        maps: of a model, on its canvas, 0..1, by path; empty where there is none.
        nearest: look-alikes of items, by the item's path.
    """

    contents: Mapping[str, bytes]
    maps: Mapping[str, np.ndarray]
    nearest: Mapping[str, Sequence[manifest.Row]]


def render(
    found: Sequence[items.Item],
    sources: Sources,
    *,
    name: str,
    key: str,
    kinds: Sequence[str],
) -> str:
    """The page as HTML.

    Args:
        found: what is to be looked at.
        sources: of its pictures.
        name: of the data.
        key: that browsers keep progress under; another one for another audit.
        kinds: of defects, the most frequent first.
    """
    shown = _Shown(sources)
    blocks = {f"item-{number}": shown.item(item) for number, item in enumerate(found)}
    listed = [{"path": item.row.path, "kind": item.kind} for item in found]
    head = {
        "key": f"nexperia-audit-{key}",
        "name": name,
        "items": listed,
        "titles": items.TITLES,
        "kinds": list(kinds[:KEYS_FOR_KINDS]),
    }
    blocks |= {"audit": head, **shown.thumbnails()}
    written = {
        name: markupsafe.Markup(json_of(block)) for name, block in blocks.items()
    }
    return _template().render(name=name, count=len(found), blocks=written)


@functools.cache
def _template() -> jinja2.Template:
    return pages.templates(_TEMPLATES).get_template("review.html")


def json_of(block: object) -> str:
    """JSON that can stand in a script element, whatever it says."""
    return json.dumps(block, ensure_ascii=False, allow_nan=False).replace(
        "<", "\\u003c"
    )


class _Shown:
    """Items as the page's blocks; a look-alike's thumbnail is kept once."""

    def __init__(self, sources: Sources):
        self._sources = sources
        self._numbers: dict[str, int] = {}

    def item(self, item: items.Item) -> dict:
        row, nearest = item.row, self._sources.nearest.get(item.row.path, ())
        return {
            "path": row.path,
            "image_id": row.image_id,
            "kind": item.kind,
            "label": items.label(row),
            "lot": row.lot or ("" if row.group == row.image_id else row.group),
            "dropped": row.dropped_because,
            "suggested": item.suggested,
            "score": item.score,
            "reasons": item.reasons,
            "copies": item.copies,
            "picture": self._large(row),
            "other": item.other
            and {
                "path": item.other.path,
                "label": items.label(item.other),
                "picture": self._large(item.other),
            },
            "nearest": {
                label: [self._small(other) for other in nearest if other.label == label]
                for label in labels.NAMES
            },
        }

    def thumbnails(self) -> dict[str, str]:
        """The blocks of all look-alikes that items have named."""
        contents = self._sources.contents
        found = {}
        for path, number in self._numbers.items():
            embedded = gallery.embed(contents[path], side=SMALL)
            found[f"thumbnail-{number}"] = embedded.photograph
        return found

    def _small(self, row: manifest.Row) -> dict:
        number = self._numbers.setdefault(row.path, len(self._numbers))
        return {"path": row.path, "label": items.label(row), "thumbnail": number}

    def _large(self, row: manifest.Row) -> dict | None:
        """The picture, its boxes and its map; None where it cannot be read."""
        content = self._sources.contents.get(row.path)
        if content is None:
            return None
        heatmap = self._sources.maps.get(row.path)
        try:
            found = gallery.embed(content, boxes=row.boxes, heatmap=heatmap, side=SIDE)
        except (images.UnreadableImage, images.UnsupportedImage):
            return None
        return dataclasses.asdict(found)
