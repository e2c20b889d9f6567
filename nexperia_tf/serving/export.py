"""A trained model as a SavedModel that answers image bytes with a verdict."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from nexperia_tf import errors, files, labels, locks, preprocess, sizes
from nexperia_tf.drift import reference
from nexperia_tf.models import classifier, folding
from nexperia_tf.runs import familiar as familiar_pictures
from nexperia_tf.runs import (
    familiarity,
    neighbours,
    run_folders,
    training_pictures,
)
from nexperia_tf.serving import graphs, servable, version_folders
from nexperia_tf.statistics import choices

SCHEMA = 1  # of FACTS
FACTS, DEPTH_RANGE = version_folders.FACTS, version_folders.DEPTH_RANGE
find, versions = version_folders.find, version_folders.versions
disagreement = version_folders.disagreement
NUMBER_TYPE = "number_type"  # in FACTS
FLOAT32, BFLOAT16 = "float32", "bfloat16"  # what a model computes in
BYTES, PIXELS = servable.BYTES, servable.PIXELS
LOGIT, MAP = classifier.LOGIT, classifier.MAP
UNFAMILIAR = servable.UNFAMILIAR
FALSE_ALARM = "unfamiliar_false_alarm"  # in FACTS


def publish(
    model: keras.Model,
    base: pathlib.Path,
    *,
    backbone: str,
    calibration: run_folders.Calibration,
    chose_among: int | None = None,
    trained_on: training_pictures.TrainingSet | None = None,
    depth_range: tuple[float, float] | None = None,
    number_type: str = FLOAT32,
    beside: Mapping[str, Mapping] | None = None,
    familiar: familiarity.Familiarity | None = None,
    drift: reference.Reference | None = None,
    look_alikes: neighbours.Neighbours | None = None,
) -> pathlib.Path:
    """Writes the next version of a classifier below `base`, whole or not at all.

    Args:
        model: a classifier of any precision; gives the raw logit, and a map where it
            has learned one. Served with its batch normalisation folded into the
            convolutions.
        base: the folder TensorFlow Serving watches; a subfolder for each version.
        backbone: its name, for nexperia.json.
        calibration: temperature, offset and threshold to bake in.
        chose_among: how many models its validation devices chose among; None where that
            is unknown.
        trained_on: the pictures it was trained on.
        depth_range: values of 16-bit pictures that are black and white to it; None
            where it knows none.
        number_type: what it computes in, as `folding.fold_batch_norm` takes it.
        beside: as of `publish_logit`.
        familiar: what pictures like its own look like; None gives no `unfamiliar`.
        drift: pictures to compare later ones with; None leaves drift.npz out.
        look_alikes: training pictures to be taken along, to find similar ones among.

    Returns:
        the version's folder.
    """
    kept = classifier.as_kept(model)
    folded = folding.fold_batch_norm(kept, number_type=number_type)
    answered = folded
    if familiar:
        answered = keras.Model(
            folded.input,
            {
                LOGIT: classifier.without_map(folded).output,
                **({MAP: folded.output[MAP]} if classifier.has_map(folded) else {}),
                UNFAMILIAR: classifier.stage_means(folded).output,
            },
        )

    def calibrated(logits: tf.Tensor) -> tf.Tensor:
        return calibration.logits(tf.squeeze(logits, axis=-1))  # (N,)

    def logit(images: tf.Tensor) -> tf.Tensor | dict[str, tf.Tensor]:
        found = answered(images, training=False)
        if not isinstance(found, dict):
            return calibrated(found)
        given = {LOGIT: calibrated(found[LOGIT])}
        if MAP in found:
            given[MAP] = tf.sigmoid(found[MAP])
        if familiar:
            given[UNFAMILIAR] = _unfamiliar(familiar, found[UNFAMILIAR])
        return given

    described = keras.Model(folded.input, folded.get_layer("features").output)
    _, *sides, channels = model.input.shape
    return publish_logit(
        logit,
        base,
        features=lambda images: tf.cast(described(images, training=False), tf.float32),
        look_alikes=look_alikes,
        image_size=sizes.Size(*sides),
        channels=channels,
        calibration=calibration,
        facts={
            "backbone": backbone,
            choices.CHOSE_AMONG: chose_among,
            DEPTH_RANGE: depth_range,
            NUMBER_TYPE: number_type,
            FALSE_ALARM: familiar and familiar.false_alarm,
        },
        trained_on=trained_on,
        beside=beside,
        drift=drift,
    )


def _unfamiliar(familiar: familiarity.Familiarity, features: tf.Tensor) -> tf.Tensor:
    """`Familiarity.unfamiliar` in the graph: float32 of shape `(N,)`."""
    from_mean = (features - familiar.mean) / familiar.scale
    along = tf.matmul(from_mean, familiar.components, transpose_b=True)
    # What the directions leave, and not a difference of two squares, which float32
    # would round away.
    rest = from_mean - tf.matmul(along, familiar.components)
    squares = tf.reduce_sum(along**2 / familiar.variances, -1)
    squares += tf.reduce_sum(rest**2, -1) / familiar.noise
    return tf.sqrt(squares) / familiar.limit


def publish_run(
    run: run_folders.Run,
    in_force: run_folders.Calibration,
    *,
    out: str | pathlib.Path = "",
    most_look_alikes: int = neighbours.MOST_EXPORTED,
    **knobs,
) -> pathlib.Path:
    """Writes the next version of a run's best model; returns its folder.

    Without `out` it is written in the run, and then calibration.json, so that the two
    agree. Else it takes so many of the run's look-alikes along, at most. `knobs` are
    those of `publish`.
    """
    look_alikes = neighbours.of_run(run.folder) if out and most_look_alikes else None
    if look_alikes:
        look_alikes = neighbours.part(look_alikes, most_look_alikes)
    folder = publish(
        run.model(with_map=True),
        pathlib.Path(out or run.folder / run_folders.SAVED_MODEL),
        backbone=run.config.network.backbone,
        calibration=in_force,
        chose_among=choices.of_run(run, "validation").count,
        trained_on=training_pictures.of_run(run.folder),
        depth_range=run.config.data.depth_range,
        familiar=familiar_pictures.of_run(run.folder),
        drift=reference.of_run(run.folder),
        look_alikes=look_alikes,
        **knobs,
    )
    if not out:
        run_folders.write_calibration(run.folder / run_folders.CALIBRATION, in_force)
        files.write_manifest(run.folder)
    return folder


def publish_logit(
    logit: Callable,
    base: pathlib.Path,
    *,
    image_size: sizes.Size,
    channels: int,
    calibration: run_folders.Calibration,
    facts: Mapping,
    trained_on: training_pictures.TrainingSet | None = None,
    beside: Mapping[str, Mapping] | None = None,
    drift: reference.Reference | None = None,
    features: Callable | None = None,
    look_alikes: neighbours.Neighbours | None = None,
) -> pathlib.Path:
    """Writes the next version of anything that gives a calibrated logit.

    Signatures: `serving_default` takes `image_bytes` (string, `(N,)`), `image_pixels`
    takes uint8 of shape `(N, height, width, channels)`; both give `score` (float32,
    `(N,)`, calibrated probability of defect) and `label` (string, `(N,)`), and, where
    there are such, `map` (float32, `(N, rows, columns)`) and `unfamiliar` (float32,
    `(N,)`: 1 or more is unlike the training pictures). Decode, resize, scale,
    calibration and threshold are part of the graph. Its folder also holds warm-up
    requests, nexperia.json and MANIFEST.sha256. What a server could not load, or would
    answer differently, is not published.

    Args:
        logit: from uint8 of shape `(N, *image_size, channels)`, letterboxed, to the
            calibrated logit, float32 of shape `(N,)`, or to a dict of that `logit` and
            a `map`, probabilities of a defect in each place, or `unfamiliar`, or both.
        base: the folder TensorFlow Serving watches; a subfolder for each version.
        image_size: of the canvas that pictures are letterboxed to.
        channels: 1 or 3.
        calibration: the threshold to bake in, and what `logit` has applied.
        facts: what else to write to nexperia.json.
        trained_on: the pictures it was trained on.
        beside: what other JSON files are to hold, by their path in the version.
        drift: as of `publish`.
        features: from the same pictures to what they are compared by, float32 of shape
            `(N, numbers)`; no signature gives it.
        look_alikes: as of `publish`.

    Returns:
        the version's folder.

    Raises:
        errors.BadInput: it was not published; nothing is left behind.
    """
    graph = graphs.module(logit, image_size, channels, features)
    answer = graphs.answerer(graph)
    signatures = graphs.signatures(answer, image_size, channels, calibration.threshold)
    shown = servable.pictures(image_size, channels)
    facts = {"schema": SCHEMA, **facts, "image_size": image_size.plain}
    facts |= {"channels": channels, "labels": list(labels.NAMES)}
    # One process at a time takes a version number and uses it.
    with locks.held(base, busy="publishes a version there"):
        target = base / str(version_folders.next_version(base))
        with files.new_folder(target) as partial:
            tf.saved_model.save(graph, str(partial), signatures)
            (partial / FACTS).parent.mkdir(exist_ok=True)
            files.write_json(partial / FACTS, facts | dataclasses.asdict(calibration))
            for name, payload in (beside or {}).items():
                files.write_json(partial / name, payload)
            if trained_on:  # pictures by hash alone: lots stay private
                training_pictures.write(
                    partial / training_pictures.EXPORTED, trained_on, groups=False
                )
            if drift:
                reference.write(partial / reference.EXPORTED, drift)
            if look_alikes:
                neighbours.write(partial / neighbours.EXPORTED, look_alikes)
            servable.write_warmup(partial / servable.WARMUP, shown[0])
            own = _own_answers(answer, shown, image_size)
            try:
                servable.check(
                    partial,
                    shown,
                    own,
                    threshold=calibration.threshold,
                    tolerance=_tolerance(facts),
                )
            except servable.Unservable as error:
                raise errors.BadInput(
                    f"{target}: not published, no server could use it: {error}; "
                    "export again with the TensorFlow and Keras that setup.cfg names."
                ) from error
            files.write_manifest(partial)
    return target


def _own_answers(
    answer: Callable, shown: list[np.ndarray], image_size: sizes.Size
) -> dict[str, np.ndarray]:
    """The model's own answers to pictures, each of shape `(pictures, ...)`."""
    boxed = [
        preprocess.letterbox(tf.constant(picture), image_size) for picture in shown
    ]
    exact = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        found = answer(tf.stack(boxed))
        return {name: values.numpy() for name, values in found.items()}
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(exact)


def _tolerance(facts: Mapping) -> float:
    is_exact = facts.get(NUMBER_TYPE, FLOAT32) == FLOAT32
    return servable.TOLERANCE if is_exact else servable.TOLERANCE_IN_BFLOAT16


@dataclasses.dataclass(frozen=True)
class Served:
    """A SavedModel, loaded for scoring here.

    Attributes:
        folder: the version that was loaded.
        facts: content of its nexperia.json: threshold, temperature, image_size ...
    """

    folder: pathlib.Path
    facts: dict
    _loaded: object

    def signature(self, name: str) -> Callable:
        """The graph's function behind `serving_default` or `image_pixels`.

        Raises:
            errors.BadInput: it has none of that name.
        """
        found = getattr(self._loaded, "signatures", {})
        if name not in found:
            raise errors.BadInput(
                f"{self.folder}: has no signature {name}; name what nexperia export "
                "or nexperia ensemble wrote."
            )
        return found[name]

    @property
    def image_size(self) -> sizes.Size:
        """Of the canvas that its pictures are letterboxed to, pixels."""
        return sizes.Size.of(self.facts["image_size"])

    @property
    def calibration(self) -> run_folders.Calibration:
        """What is baked in, and where its threshold comes from."""
        return run_folders.calibration_from(self.facts, where=str(self.folder / FACTS))

    @property
    def depth_range(self) -> tuple[float, float] | None:
        """What is black and white to it in 16-bit pictures; None where that is open."""
        stated = self.facts.get(DEPTH_RANGE)
        return tuple(stated) if stated else None

    @property
    def map_shape(self) -> tuple[int, int] | None:
        """Rows and columns of its map; None where it gives none."""
        given = self.signature(PIXELS).structured_outputs
        return tuple(given[servable.MAP].shape[1:]) if servable.MAP in given else None

    @property
    def everything(self) -> Callable:
        """The same as `logit`, but to a dict of `logit`, `map` and `unfamiliar`.

        The last two are those that `gives` names.
        """
        for name in ("everything", "logit_and_map"):  # as older ones called it
            if hasattr(self._loaded, name):
                return getattr(self._loaded, name)
        return lambda images: {LOGIT: self.logit(images)}

    @property
    def features(self) -> Callable | None:
        """The graph's function from letterboxed uint8 pictures to their features.

        None in ensembles, and in what was exported before it was kept.
        """
        return getattr(self._loaded, "features", None)

    def gives(self, output: str) -> bool:
        """Whether its signatures have such an output."""
        return output in self.signature(PIXELS).structured_outputs

    @property
    def logit(self) -> Callable:
        """The graph's function from letterboxed uint8 pictures to calibrated logits.

        Raises:
            errors.BadInput: it was exported before this function was kept.
        """
        if not hasattr(self._loaded, "logit"):
            raise errors.BadInput(
                f"{self.folder}: was exported by an older version, without its logit; "
                "export it again with nexperia export."
            )
        return self._loaded.logit

    def score_bytes(self, images: list[bytes]) -> tuple[list[float], list[str]]:
        """Scores and labels of encoded pictures; one bad picture fails them all."""
        return _read(self.signature(BYTES)(image_bytes=tf.constant(images)))

    def score_pixels(self, pixels: np.ndarray) -> tuple[list[float], list[str]]:
        """Scores and labels of uint8 pictures `(N, height, width, channels)`."""
        return _read(self.signature(PIXELS)(image_pixels=tf.constant(pixels)))

    def answers(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """All that the signature of pixels gives, by name.

        `label` is bytes; `map` and `unfamiliar` are there where the model gives them.
        """
        found = self.signature(PIXELS)(image_pixels=tf.constant(pixels))
        return {name: values.numpy() for name, values in found.items()}


def _read(answer: Mapping[str, tf.Tensor]) -> tuple[list[float], list[str]]:
    words = [word.decode() for word in answer["label"].numpy()]
    return [float(score) for score in answer["score"].numpy()], words


def load(folder: str | pathlib.Path, *, trust: bool = False) -> Served:
    """Loads a SavedModel for scoring: the one way into this package.

    Args:
        folder: as `find` takes it.
        trust: load it also where no manifest vouches for its files; it is a program
            that runs with all that the caller may do.

    Raises:
        errors.BadInput: there is none, it is damaged or not vouched for.
    """
    version = find(folder)
    if not trust:
        version_folders.refuse_unvouched(version)
    facts = version_folders.facts(version)
    try:
        loaded = tf.saved_model.load(str(version))
    except Exception as error:  # a damaged or hostile one raises whatever it likes
        raise errors.BadInput(
            f"{version}: cannot be loaded ({servable.reason(error)}); export again."
        ) from None
    return Served(version, facts, loaded)
