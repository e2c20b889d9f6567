"""report.html of a preparation: one file, opens offline."""

import pathlib
import typing

import jinja2

from nexperia_tf import files
from nexperia_tf.data import prepare_summary

if typing.TYPE_CHECKING:
    from nexperia_tf.data import prepare

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def write(path: pathlib.Path, run: "prepare.Prepared") -> None:
    """Publishes the report."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("prepare.html")
    files.write_text(path, template.render(summary=prepare_summary.summary(run)))
