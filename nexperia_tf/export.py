"""A trained model as a SavedModel that answers image bytes with a verdict."""

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import tensorflow as tf

from nexperia_tf import command, errors, files, labels, preprocess, runs
from nexperia_tf.models import classifier

SCHEMA = 1  # of FACTS
FACTS = pathlib.PurePosixPath("assets.extra/nexperia.json")  # what the graph hides
BYTES = "serving_default"
PIXELS = "image_pixels"


def publish(
    model: keras.Model,
    base: pathlib.Path,
    *,
    backbone: str,
    image_size: int,
    channels: int,
    calibration: runs.Calibration,
) -> pathlib.Path:
    """Writes the next version below `base`, whole or not at all.

    Signatures: `serving_default` takes `image_bytes` (string, `(N,)`), `image_pixels`
    takes uint8 of shape `(N, height, width, channels)`; both give `score` (float32,
    `(N,)`, calibrated probability of defect) and `label` (string, `(N,)`). Decode,
    resize, scale, calibration and threshold are inside.

    Args:
        model: a classifier of any precision; gives the raw logit. Served in float32.
        base: the folder TensorFlow Serving watches; a subfolder for each version.
        backbone: its name, for nexperia.json.
        image_size: side of the letterboxed square.
        channels: 1 or 3.
        calibration: temperature and threshold to bake in.

    Returns:
        the version's folder.
    """
    plain = classifier.in_float32(model)
    answer = _answer(plain, calibration, shape=(None, image_size, image_size, channels))
    shape = (None, None, None, channels)
    archive = keras.export.ExportArchive()
    archive.track(plain)
    archive.add_endpoint(
        BYTES,
        _from_bytes(answer, image_size=image_size, channels=channels),
        [tf.TensorSpec((None,), tf.string, name="image_bytes")],
    )
    archive.add_endpoint(
        PIXELS,
        _from_pixels(answer, image_size=image_size),
        [tf.TensorSpec(shape, tf.uint8, name="image_pixels")],
    )
    facts = {"schema": SCHEMA, "backbone": backbone, "image_size": image_size}
    facts |= {"channels": channels, "labels": list(labels.NAMES)}
    target = base / str(next_version(base))
    with files.new_folder(target) as beside:
        archive.write_out(str(beside), verbose=False)
        (beside / FACTS).parent.mkdir(exist_ok=True)
        files.write_json(beside / FACTS, facts | dataclasses.asdict(calibration))
    return target


def versions(base: pathlib.Path) -> list[pathlib.Path]:
    """The published versions below `base`, lowest first."""
    if not base.is_dir():
        return []
    return sorted((p for p in base.iterdir() if p.name.isdecimal()), key=_number)


def next_version(base: pathlib.Path) -> int:
    """One above the highest version below `base`; 1 when there is none."""
    return max((_number(path) for path in versions(base)), default=0) + 1


def _number(path: pathlib.Path) -> int:
    return int(path.name)


@dataclasses.dataclass(frozen=True)
class Served:
    """A SavedModel, loaded for scoring here.

    Attributes:
        folder: the version that was loaded.
        facts: what stands in its nexperia.json: threshold, temperature, image_size ...
    """

    folder: pathlib.Path
    facts: dict
    _loaded: object

    def signature(self, name: str) -> Callable:
        """The graph's function behind `serving_default` or `image_pixels`."""
        return self._loaded.signatures[name]

    def score_bytes(self, images: list[bytes]) -> tuple[list[float], list[str]]:
        """Scores and labels of encoded pictures; one bad picture fails them all."""
        answer = self.signature(BYTES)(image_bytes=tf.constant(images))
        words = [word.decode() for word in answer["label"].numpy()]
        return [float(score) for score in answer["score"].numpy()], words


def find(folder: str | pathlib.Path) -> pathlib.Path:
    """The newest version's folder of a run, a base folder or the version itself.

    Raises:
        errors.BadInput: there is no SavedModel.
    """
    folder = pathlib.Path(folder)
    for base in (folder, folder / runs.SAVED_MODEL):
        if (base / "saved_model.pb").is_file():
            return base
        if found := versions(base):
            return found[-1]
    raise errors.BadInput(
        f"{folder}: holds no SavedModel; name a run folder or what export.py wrote."
    )


def load(folder: str | pathlib.Path) -> Served:
    """Loads a SavedModel for scoring.

    Raises:
        errors.BadInput: there is none, or it cannot be read.
    """
    version = find(folder)
    facts = files.read_json(version / FACTS)
    try:
        loaded = tf.saved_model.load(str(version))
    except (OSError, tf.errors.OpError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise errors.BadInput(
            f"{version}: cannot be loaded ({first}); export again."
        ) from None
    return Served(version, facts, loaded)


def _answer(
    model: keras.Model, calibration: runs.Calibration, *, shape: tuple
) -> Callable:
    """Letterboxed pictures of `shape` to verdicts: one graph for both signatures."""
    names = tf.constant(labels.NAMES)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8)])
    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.squeeze(model(images, training=False), axis=-1)  # (N,)
        score = tf.sigmoid(logits / calibration.temperature)
        is_defect = tf.cast(score >= calibration.threshold, tf.int32)
        return {"score": score, "label": tf.gather(names, is_defect)}

    return answer


def _from_bytes(answer: Callable, *, image_size: int, channels: int) -> Callable:
    def one(image_bytes: tf.Tensor) -> tf.Tensor:
        return preprocess.letterbox(
            preprocess.decode(image_bytes, channels), image_size
        )

    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(tf.map_fn(one, image_bytes, fn_output_signature=tf.uint8))

    return serve


def _from_pixels(answer: Callable, *, image_size: int) -> Callable:
    def one(image: tf.Tensor) -> tf.Tensor:
        return preprocess.letterbox(image, image_size)

    def serve(image_pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(tf.map_fn(one, image_pixels, fn_output_signature=tf.uint8))

    return serve


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Writes a run's best model as a SavedModel for TensorFlow Serving."""

    run: str = ""
    """Run folder that train.py wrote."""

    out: str = ""
    """Base folder to publish the next version in; RUN/saved_model when empty."""


def main(arguments: Arguments) -> None:
    """Publishes one more version with the run's calibration.json as it stands now."""
    run = runs.load(arguments.run)
    folder = publish(
        run.model(),
        pathlib.Path(arguments.out or run.folder / runs.SAVED_MODEL),
        backbone=run.config["backbone"],
        image_size=run.image_size,
        channels=run.channels,
        calibration=run.calibration,
    )
    if not arguments.out:
        files.write_manifest(run.folder)
    print(f"SavedModel: {folder}")


if __name__ == "__main__":
    command.run(main, Arguments, prog="python -m nexperia_tf.export")
