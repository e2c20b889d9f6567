"""A run's model served in bfloat16: what of it is its own, and which verdicts change.

Weights and computation up to the pooled features have 8 bits instead of 24, so scores
differ in the third decimal. Calibration and threshold are therefore chosen anew, from
the scores that this very format gives.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import keras
import numpy as np

from nexperia_tf import labels, predictions
from nexperia_tf.data.input import pictures as picturing
from nexperia_tf.data.records import reading
from nexperia_tf.models import classifier, folding
from nexperia_tf.runs import neighbours, run_folders, training_pictures
from nexperia_tf.serving import ensemble_calibration, export, thresholds
from nexperia_tf.statistics import calibration, certificate, choices

FORMAT = export.BFLOAT16
SAVED_MODEL = "saved_model_bfloat16"  # in a run folder
COMPARED = "assets.extra/bfloat16.json"  # in a version's folder
SCHEMA = 1  # of COMPARED
# A processor that fuses other layers rounds elsewhere; scores differ about this much.
ROUNDING = 1e-3
MOST = 500  # pictures whose verdicts are compared
TOGETHER = 64  # pictures scored in a batch


@dataclasses.dataclass(frozen=True)
class Flip:
    """A picture that the two formats call by another name.

    Attributes:
        image_id: which picture.
        label: what it is, "" where that is not known.
        float32, bfloat16: its scores.
        was, now: its verdicts in float32 and in bfloat16.
    """

    image_id: str
    label: str
    float32: float
    bfloat16: float
    was: str
    now: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Verdicts in both formats.

    Attributes:
        split: whose pictures they are.
        pictures: how many were compared.
        largest: difference of two scores of one picture.
        flips: what changed.
    """

    split: str
    pictures: int
    largest: float
    flips: tuple[Flip, ...]

    def lines(self) -> Iterator[str]:
        """What is said on the screen."""
        yield (
            f"{FORMAT} beside float32: {len(self.flips)} of {self.pictures} pictures "
            f"of {self.split} get another verdict; scores differ by up to "
            f"{self.largest:.2g}"
        )
        for flip in self.flips:
            yield (
                f"  {flip.image_id} ({flip.label or 'unknown'}): {flip.float32:.4f} "
                f"{flip.was} -> {flip.bfloat16:.4f} {flip.now}"
            )


def publish(
    run: run_folders.Run,
    *,
    out: str | pathlib.Path = "",
    most_look_alikes: int = neighbours.MOST_EXPORTED,
) -> tuple[pathlib.Path, run_folders.Calibration, Comparison]:
    """Writes the next version of a run's best model in bfloat16.

    Args:
        run: the run; its own calibration.json and SavedModel stay as they are.
        out: base folder; `SAVED_MODEL` in the run when empty.
        most_look_alikes: as of `export.publish_run`.

    Returns:
        the version's folder, what is in force in it, and how its verdicts compare.

    Raises:
        errors.BadInput: the run's guarantee cannot be given in this format.
    """
    model = run.model(with_map=True)
    rounded = folding.fold_batch_norm(classifier.as_kept(model), number_type=FORMAT)
    in_force = calibrated(run, rounded)
    compared = _compared(run, model, rounded, in_force)
    folder = export.publish_run(
        run,
        in_force,
        out=out or run.folder / SAVED_MODEL,
        most_look_alikes=most_look_alikes if out else 0,  # the run has them
        number_type=FORMAT,
        beside={COMPARED: {"schema": SCHEMA} | dataclasses.asdict(compared)},
    )
    return folder, in_force, compared


def calibrated(run: run_folders.Run, model: keras.Model) -> run_folders.Calibration:
    """Temperature, offset and threshold from the model's own scores.

    The threshold is chosen as that of the run was: guaranteed to the same escape rate,
    to catch the same share, or left at what a person has set.
    """
    sizes = reading.split_sizes(run.dataset)
    split = next(name for name in run_folders.CALIBRATED_ON if name in sizes)
    raw = _logits(run, model, split, np.arange(sizes[split]))
    scored = run_folders.table(run.dataset, split, run_folders.probability(raw))
    fitted = calibration.fit(raw, scored.label, where=split)
    scored = dataclasses.replace(
        scored, score=fitted.scores(raw), source=f"{run.name}/{split} in {FORMAT}"
    )
    seen = training_pictures.overlap(
        scored.image_id,
        training_pictures.hashes_of_run(run.folder),
        training_pictures.of_run(run.folder),
    )
    before = run.calibration
    if before.origin == run_folders.GUARANTEED:
        rate, confidence = certificate.promised(before.basis)
        return ensemble_calibration.guaranteed(
            fitted,
            scored,
            usage=certificate.Usage.of(choices.of_run(run, split), seen),
            max_escape=rate,
            confidence=confidence,
            rounding=ROUNDING,
        )
    if before.origin == run_folders.TARGET:
        wanted = thresholds.Wanted(tpr=thresholds.target_in(before.basis))
        return thresholds.decided(fitted, wanted, scored, seen=seen, rounding=ROUNDING)
    return dataclasses.replace(
        before, temperature=fitted.temperature, offset=fitted.offset
    )


def _compared(
    run: run_folders.Run,
    exact: keras.Model,
    rounded: keras.Model,
    in_force: run_folders.Calibration,
) -> Comparison:
    """The verdicts of up to MOST pictures of the test split, else of another."""
    sizes = reading.split_sizes(run.dataset)
    split = next(s for s in ("test", *run_folders.CALIBRATED_ON) if s in sizes)
    some = np.random.default_rng(0).permutation(sizes[split])[:MOST]
    scores = [
        force.scores(_logits(run, model, split, np.sort(some)))
        for model, force in ((exact, run.calibration), (rounded, in_force))
    ]
    verdicts = [
        np.take(labels.NAMES, score >= np.float32(force.threshold))
        for score, force in zip(scores, (run.calibration, in_force))
    ]
    known = run_folders.table(run.dataset, split, np.zeros(sizes[split]))
    flips = []
    for place, *found in zip(np.sort(some), *scores, *verdicts):
        if found[2] != found[3]:
            flips.append(_flip(known, place, *found))
    largest = float(np.abs(scores[0] - scores[1]).max())
    return Comparison(split, len(some), largest, tuple(flips))


def _flip(known: predictions.Predictions, place, float32, bfloat16, was, now) -> Flip:
    label = known.label[place]
    name = labels.NAMES[int(label)] if label in (0, 1) else ""
    scores = float(float32), float(bfloat16)
    return Flip(str(known.image_id[place]), name, *scores, str(was), str(now))


def _logits(
    run: run_folders.Run, model: keras.Model, split: str, places: np.ndarray
) -> np.ndarray:
    """Raw logits of some pictures, float32 of shape `(pictures,)`.

    The model answers with its map, as it does when it is served: what is fused, and so
    rounded, hangs on that.
    """
    shown = picturing.Pictures(run.image_size, run.channels, cache="none")
    take = shown.taker(run.dataset, split)
    found = []
    for start in range(0, len(places), TOGETHER):
        answer = model.predict_on_batch(take(places[start : start + TOGETHER]))
        logit = answer[classifier.LOGIT] if classifier.has_map(model) else answer
        found.append(np.ravel(logit))
    return np.concatenate(found)
