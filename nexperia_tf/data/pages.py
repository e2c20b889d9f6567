"""HTML pages that need no other file: their templates, and pictures inside them."""

import base64
import io
import pathlib

import jinja2
from PIL import Image


def templates(
    *folders: pathlib.Path, escaped: bool = True, **options
) -> jinja2.Environment:
    """Where a page's templates are found; a name that is not given to one is an error.

    Args:
        *folders: of templates, the first that has one wins.
        escaped: whether text may not be markup, as in HTML.
        **options: further ones of `jinja2.Environment`.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def data_uri(picture: Image.Image, *, quality: int) -> str:
    """A picture as the address of an `<img>`, a JPEG inside.

    Args:
        picture: grey or RGB.
        quality: of the JPEG, up to 95.
    """
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
