"""`nexperia explain`: one page on one picture, for whoever asks why it was rejected."""

import dataclasses
import datetime
import hashlib
import pathlib
import typing
from typing import Annotated, Literal

import numpy as np
import tyro
from PIL import Image

from nexperia_tf import bounds, command, errors, files, labels, version
from nexperia_tf.data import images, limits, pages
from nexperia_tf.evaluation import heatmaps
from nexperia_tf.evaluation.report import gallery, page
from nexperia_tf.runs import neighbours, run_folders, training_pictures
from nexperia_tf.serving import predict, score_table

if typing.TYPE_CHECKING:
    import keras

TEMPLATE = "explanation.html"
ALIKE = 4  # training pictures of each class that are shown
_QUALITY = 90  # of their JPEG


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Explains one verdict on one page: score, threshold, map, look-alikes, hashes."""

    run: tyro.conf.Positional[str]
    """Run folder."""

    picture: tyro.conf.Positional[str]
    """The picture, a file."""

    out: str = ""
    """Page to write (default: NAME-explained.html, in this folder)."""

    stage: Literal[
        "auto", "both", "map", "stem", "stage1", "stage2", "stage3", "stage4"
    ] = "auto"
    """What the heat map shows, as of nexperia evaluate."""

    max_pixels: Annotated[int, *bounds.MAX_PIXELS] = limits.MAX_PIXELS
    """A picture with more pixels than this is not read."""

    force: bool = False
    """Replace a page that exists."""


@dataclasses.dataclass(frozen=True)
class LookAlike:
    """A training picture beside the one that is explained.

    Attributes:
        image_id: its name.
        label: good or defect, as it was given.
        likeness: cosine of the network's features, up to 1.
        thumbnail: data URI.
    """

    image_id: str
    label: str
    likeness: float
    thumbnail: str


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What is known of one verdict.

    Attributes:
        name: of the picture's file.
        score: probability of defect.
        label: good or defect.
        unfamiliar: how unlike the training pictures it is: from 1 on it is called so;
            None where the model does not say.
        shown: photograph and heat map.
        look: what the map shows.
        alike: the most similar training pictures of each class, by label; empty where
            the run has kept none.
        trained_on: whether the network has learned from these very pixels; None where
            nobody knows.
        calibration: score and threshold in force.
        hashes: SHA-256 by what they are of.
    """

    name: str
    score: float
    label: str
    unfamiliar: float | None
    shown: gallery.DevicePicture
    look: str
    alike: dict[str, list[LookAlike]]
    trained_on: bool | None
    calibration: run_folders.Calibration
    hashes: dict[str, str]


def main(arguments: Arguments) -> int:
    """Scores the picture, looks for its like and writes the page."""
    path = pathlib.Path(arguments.picture)
    out = arguments.out or f"{path.stem}-explained.html"
    score_table.check_table(out, force=arguments.force)
    run = run_folders.load(arguments.run)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.BadInput(f"{path}: {error.strerror}; name a picture.") from None
    command.import_tensorflow()
    found = explained(
        run,
        path.name,
        content,
        look=arguments.stage,
        max_pixels=arguments.max_pixels,
    )
    files.write_text(out, written(found, run.name))
    print(
        f"{path.name}: {found.label}, score {found.score:.4g}, "
        f"{found.calibration.words}"
    )
    print(f"Page: {out}")
    return 0


def explained(
    run: run_folders.Run, name: str, content: bytes, *, look: str, max_pixels: int
) -> Explanation:
    """Asks a run about one picture.

    Args:
        run: the run; its SavedModel gives the verdict, as it does on the line.
        name: of the picture.
        content: the file's bytes.
        look: what the heat map shows, one of `heatmaps.LOOKS`.
        max_pixels: a picture with more is not read.

    Raises:
        errors.BadInput: the picture cannot be read, or the run has no such map.
    """
    from nexperia_tf.serving import scoring

    served = predict.open_model(run.folder)
    canvas, problem = scoring.canvases(served, max_pixels)(content)
    if problem:
        raise errors.BadInput(f"{name}: {problem}.")
    answer = served.answers(canvas[np.newaxis])
    unfamiliar = answer.get("unfamiliar")
    model = run.model(with_map=True)
    look = heatmaps.chosen(model, look)
    heatmap = heatmaps.of_model(model, canvas[np.newaxis], look, size=run.image_size)
    pixels = images.load(content, run.depth_range, max_pixels=max_pixels).pixels
    own = images.pixel_hash(pixels)
    return Explanation(
        name=name,
        score=float(answer["score"][0]),
        label=answer["label"][0].decode(),
        unfamiliar=None if unfamiliar is None else float(unfamiliar[0]),
        shown=gallery.embed(content, heatmap=heatmap[0]),
        look=look,
        alike=_alike(run, model, canvas),
        trained_on=_trained_on(run, own),
        calibration=served.calibration,
        hashes={
            "the file": hashlib.sha256(content).hexdigest(),
            "its pixels": own,
            "the network (model.keras)": files.sha256(run.folder / run_folders.MODEL),
            "the SavedModel's manifest": files.sha256(served.folder / files.MANIFEST),
        },
    )


def _trained_on(run: run_folders.Run, pixel_hash: str) -> bool | None:
    known = training_pictures.of_run(run.folder)
    line = known.by_content().get(pixel_hash)
    if line is None:
        return None if known.unknown else False
    return line.what == training_pictures.PICTURE


def _alike(
    run: run_folders.Run, model: "keras.Model", canvas: np.ndarray
) -> dict[str, list[LookAlike]]:
    """The nearest training pictures of each class."""
    import keras

    kept = neighbours.of_run(run.folder)
    if kept is None:
        return {}
    part = keras.Model(model.input, model.get_layer("features").output)
    features = np.asarray(part(canvas[np.newaxis], training=False))[0]
    places, likeness = neighbours.nearest(kept, features, len(kept.label))
    found = {}
    for value, name in enumerate(labels.NAMES):
        mine = kept.label[places] == value
        pairs = zip(places[mine][:ALIKE], likeness[mine][:ALIKE])
        found[name] = [_shown(kept, *pair) for pair in pairs]
    return found


def _shown(kept: neighbours.Neighbours, place: int, likeness: float) -> LookAlike:
    pixels = kept.thumbnails[place]
    grey = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return LookAlike(
        str(kept.image_id[place]),
        labels.NAMES[kept.label[place]],
        float(likeness),
        pages.data_uri(Image.fromarray(grey), quality=_QUALITY),
    )


def written(found: Explanation, run: str) -> str:
    """The page, which needs no other file."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    template = page.environment().get_template(TEMPLATE)
    return template.render(found=found, run=run, now=now, version=version.__version__)
