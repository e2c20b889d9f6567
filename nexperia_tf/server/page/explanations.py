"""What a model sees in a picture: its map, and the most similar training pictures."""

import asyncio
import dataclasses
from collections.abc import Sequence

from nexperia_tf import sizes
from nexperia_tf.server import refusals, station
from nexperia_tf.server.models import child, explaining, worker
from nexperia_tf.server.page import looks, pictures

_MAP = "map"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What is shown beside a verdict.

    Attributes:
        picture: the address of the picture, or "" where it cannot be shown.
        why_no_picture: a line, or "".
        map: the address of the model's map, or "" where it has none.
        alike: training pictures, the most similar first.
        why_none: why there are none, or "".
    """

    picture: str = ""
    why_no_picture: str = ""
    map: str = ""
    alike: Sequence[dict] = ()
    why_none: str = ""


async def of_picture(
    of: station.Station,
    shown: pictures.Pictures,
    content: bytes,
    *,
    model: str,
    version: int,
) -> Explanation:
    """Asks the version of a verdict once more, or says why that cannot be."""
    try:
        pixels = await asyncio.to_thread(shown.decoded, content)
        large = await asyncio.to_thread(pictures.jpeg, pixels, pictures.LARGE)
    except pictures.Unshowable as error:
        return Explanation(why_no_picture=str(error))
    picture = looks.data_uri(large, "image/jpeg")
    try:
        answer = await of.explained(model, version, child.Picture(content))
        canvas = of.model(model).version(version).image_size
    except refusals.Refused as error:
        gone = error.code == refusals.NOT_FOUND
        why = f"version {version} of {model} is not loaded any more" if gone else error
        return Explanation(picture, why_none=str(why))
    if problem := answer.get(worker.PROBLEM):
        return Explanation(picture, why_none=problem)
    alike = answer[worker.ALIKE]
    return Explanation(
        picture,
        map=_map(answer, pixels.shape[:2], canvas),
        alike=[
            each | {"address": f"data:image/png;base64,{each[explaining.PNG]}"}
            for each in alike[explaining.PICTURES]
        ],
        why_none=alike[explaining.WHY_NONE],
    )


def _map(answer: dict, picture: tuple[int, int], canvas: sizes.Size) -> str:
    if not (found := answer[worker.MORE].get(_MAP)):
        return ""
    drawn = pictures.overlay(found, picture=picture, canvas=canvas)
    return looks.data_uri(drawn, "image/png")
