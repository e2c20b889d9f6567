"""Forms with files, as curl -F and browsers send them."""

import dataclasses
from collections.abc import Mapping, Sequence

import fastapi
import starlette.exceptions
from starlette import datastructures

from nexperia_tf.server import refusals
from nexperia_tf.server.models import child

_MANY = 1_000_000  # files of a form; the station's own cap says how many it takes


@dataclasses.dataclass(frozen=True)
class Form:
    """What a form holds.

    Attributes:
        names: of its files, as the client calls them.
        pictures: the files.
        fields: its texts, by name.
    """

    names: Sequence[str]
    pictures: Sequence[child.Picture]
    fields: Mapping[str, str]


async def uploaded(request: fastapi.Request, max_body: int) -> Form:
    """A form with files.

    Raises:
        refusals.Refused: it holds none, or is no form.
    """
    names, pictures, fields = [], [], {}
    try:
        # Larger ones lie in temporary files until they are read here.
        async with request.form(max_part_size=max_body, max_files=_MANY) as form:
            for name, value in form.multi_items():
                if isinstance(value, datastructures.UploadFile):
                    names.append(value.filename or "")
                    pictures.append(child.Picture(await value.read()))
                else:
                    fields[name] = value
    except starlette.exceptions.HTTPException as error:
        raise refusals.Refused(refusals.INVALID_ARGUMENT, error.detail) from None
    if not pictures:
        message = "the form holds no file; send one with -F picture=@FILE"
        raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
    return Form(names, pictures, fields)
