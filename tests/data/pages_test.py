import base64
import io

import jinja2
import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data import pages


def test_a_picture_travels_inside_the_page():
    pixels = np.full((20, 30), 120, np.uint8)
    address = pages.data_uri(Image.fromarray(pixels), quality=95)
    head, _, content = address.partition(",")
    assert head == "data:image/jpeg;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert shown.shape == pixels.shape and np.abs(shown - 120.0).max() <= 2


def test_the_first_folder_with_a_template_wins_and_text_is_no_markup(tmp_path):
    for name, text in (("own", "{{ name }}"), ("shared", "not this one")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "page.html").write_text(text)
    templates = pages.templates(tmp_path / "own", tmp_path / "shared")
    page = templates.get_template("page.html")
    assert page.render(name="<script>") == "&lt;script&gt;"
    with pytest.raises(jinja2.UndefinedError, match="name"):
        page.render()
