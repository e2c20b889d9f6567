"""Pictures and heat maps for the report, from the records and the model."""

import dataclasses
import functools
import typing
from collections.abc import Sequence

import numpy as np

from nexperia_tf import labels, predictions, preprocess
from nexperia_tf.evaluation import candidates, heatmaps, repeatability
from nexperia_tf.evaluation.report import gallery, results
from nexperia_tf.statistics import clustered

if typing.TYPE_CHECKING:
    import keras

    from nexperia_tf.data.records import reading, store
    from nexperia_tf.runs import run_folders

POINTED = 300  # boxed defects the pointing game is played on; seconds on two cores
REPEATED = 100  # devices of each class that are changed a little and judged again
AT_ONCE = 8  # of them, each with all its changes
GROUPS = ("group", "lot")
Pictures = dict[str, dict[str, gallery.DevicePicture]]


def of_report(
    judged: Sequence[candidates.Candidate],
    report: results.Report,
    *,
    split: str,
    stage: str | None,
) -> tuple[Pictures, results.Report]:
    """Pictures of every device the report shows, by run name and image id.

    Args:
        judged: the candidates; devices are shown from the first with records.
        report: its figures.
        split: the judged one.
        stage: what heat maps show, one of `heatmaps.LOOKS`; None leaves them out.

    Returns:
        the pictures, and the report with the pointing game of every run that has a
        model and annotated boxes.
    """
    dataset = next((c.dataset for c in judged if c.dataset is not None), None)
    if dataset is None:
        return {}, report
    shown = gallery.shown(report.runs, report.comparisons)
    examples = _examples(dataset, split, shown)
    plain = {name: _picture(example) for name, example in examples.items()}
    pictures = {run.name: plain for run in report.runs}
    models = [c for c in judged if c.run is not None and stage is not None]
    boxed = boxed_defects(dataset, split) if models else []
    for model in models:
        explained, name = ExplainedModel(model.run, stage), model.subject.name
        own = [examples[image_id] for image_id in _mapped(report, name)]
        pictures[name] = plain | explained.pictures(own)
        report = report.with_run(name, localisation=explained.localisation(boxed))
    return pictures, report


def with_repeatability(
    judged: Sequence[candidates.Candidate],
    report: results.Report,
    *,
    split: str,
    devices: int = REPEATED,
) -> results.Report:
    """The report with the verdicts of each run that flip when pictures change a little.

    Args:
        judged: the candidates; those with a model are asked, at the threshold that the
            report judges them at.
        report: its figures.
        split: the judged one.
        devices: most of each class, drawn once for all runs; 0 asks none.
    """
    dataset = next((c.dataset for c in judged if c.dataset is not None), None)
    if dataset is None or not devices:
        return report
    for model in (c for c in judged if c.run is not None):
        table = of_each_class(model.subject.scored, devices)
        examples = _examples(dataset, split, list(table.image_id))
        scores = _of_variants(model.run, [examples[name] for name in table.image_id])
        run = next(run for run in report.runs if run.name == model.subject.name)
        kinds = table.columns.get("defect_type", [""] * len(table))
        found = repeatability.judge(
            scores,
            run.judged_at.threshold,
            kinds=[
                labels.GOOD if label != labels.POSITIVE else kind or labels.DEFECT
                for label, kind in zip(table.label, kinds)
            ],
            groups=clustered.groups_of(table),
            confidence=report.settings.confidence,
        )
        report = report.with_run(run.name, repeatability=found)
    return report


def of_each_class(
    table: predictions.Predictions, devices: int, *, seed: int = 0
) -> predictions.Predictions:
    """Up to so many devices of each class, in the order of the table."""
    shuffled = np.random.default_rng(seed).permutation(len(table))
    drawn = [
        place
        for label in range(len(labels.NAMES))
        for place in shuffled[np.asarray(table.label)[shuffled] == label][:devices]
    ]
    return table.take(np.sort(drawn))


def _of_variants(
    run: "run_folders.Run", examples: Sequence["reading.Example"]
) -> np.ndarray:
    """Scores of shape `(devices, 1 + changes)`, as `repeatability.variants` orders."""
    model, size, channels = run.model(), run.image_size, run.channels
    logits = []
    for start in range(0, len(examples), AT_ONCE):
        shown = [
            preprocess.letterbox_pixels(picture, size)
            for example in examples[start : start + AT_ONCE]
            for picture in repeatability.variants(
                preprocess.decode(example.image, channels).numpy()
            )
        ]
        logits.append(model.predict_on_batch(np.stack(shown)))
    columns = 1 + len(repeatability.CHANGES)
    return run.calibration.scores(np.concatenate(logits)).reshape(-1, columns)


def _mapped(report: results.Report, name: str) -> list[str]:
    """Devices that are shown with the heat map of one run.

    Those that change sides between two runs get the map of the later one.
    """
    own = [run for run in report.runs if run.name == name]
    return gallery.shown(own, [p for p in report.comparisons if p.second == name])


def _examples(
    dataset: "store.Dataset", split: str, names: list[str]
) -> dict[str, "reading.Example"]:
    from nexperia_tf.data.records import reading

    return reading.examples(dataset, split, names) if names else {}


def _picture(
    example: "reading.Example", heatmap: np.ndarray | None = None
) -> gallery.DevicePicture:
    return gallery.embed(example.image, boxes=example.boxes, heatmap=heatmap)


@dataclasses.dataclass(frozen=True)
class ExplainedModel:
    """A run's model, asked by heat maps where it looks.

    Attributes:
        look: what heat maps show, one of `heatmaps.LOOKS`.
    """

    run: "run_folders.Run"
    look: str

    @functools.cached_property
    def model(self) -> "keras.Model":
        return self.run.model(with_map=True)

    @functools.cached_property
    def stage(self) -> str:
        """What the heat maps show, with nothing open."""
        return heatmaps.chosen(self.model, self.look)

    def pictures(
        self, examples: Sequence["reading.Example"]
    ) -> dict[str, gallery.DevicePicture]:
        """The devices with their heat maps, by image id."""
        if not examples:
            return {}
        maps = self.maps(examples)
        return {e.image_id: _picture(e, heatmap) for e, heatmap in zip(examples, maps)}

    def localisation(
        self, examples: Sequence["reading.Example"]
    ) -> results.Localisation | None:
        """The pointing game of this model and of random weights; None without boxes."""
        if not examples:
            return None
        canvases = self.canvases(examples)
        boxes = [self.boxes(example) for example in examples]
        grouped = groups_of(examples)
        played = [
            heatmaps.localisation(self._maps(model, canvases), boxes, **grouped)
            for model in (self.model, heatmaps.randomised(self.model))
        ]
        return results.Localisation(self.stage, *played)

    def canvases(self, examples: Sequence["reading.Example"]) -> np.ndarray:
        """What the model is shown, uint8 `(devices, height, width, channels)`."""
        size, channels = self.run.image_size, self.run.channels
        return np.stack(
            [
                preprocess.letterbox(preprocess.decode(e.image, channels), size).numpy()
                for e in examples
            ]
        )

    def maps(self, examples: Sequence["reading.Example"]) -> np.ndarray:
        """Heat maps on the canvas, 0..1, float32 `(devices, height, width)`."""
        return self._maps(self.model, self.canvases(examples))

    def _maps(self, model: "keras.Model", canvases: np.ndarray) -> np.ndarray:
        return heatmaps.of_model(model, canvases, self.stage, size=self.run.image_size)

    def boxes(self, example: "reading.Example") -> np.ndarray:
        """A device's boxes on the canvas, `(boxes, 4)`."""
        height, width = preprocess.decode(example.image, 1).shape[:2]
        return preprocess.boxes_on_canvas(
            example.boxes, height=height, width=width, size=self.run.image_size
        )


def groups_of(examples: Sequence["reading.Example"]) -> dict:
    """Groups of the devices and what they are called, for `heatmaps.localisation`."""
    columns = {name: np.array([getattr(e, name) for e in examples]) for name in GROUPS}
    names = [example.image_id for example in examples]
    table = predictions.Predictions(
        names, np.ones(len(names), int), np.ones(len(names)), columns
    )
    word = clustered.word_of(table)
    return {"groups": clustered.groups_of(table), "word": word or "group"}


def boxed_defects(
    dataset: "store.Dataset", split: str, *, devices: int = POINTED, seed: int = 0
) -> list["reading.Example"]:
    """Up to `devices` defects of the split that have a box, drawn once for all runs."""
    from nexperia_tf import labels
    from nexperia_tf.data import manifest

    rows = manifest.read(dataset.prepared / "manifest.csv")
    names = [
        row.image_id
        for row in rows
        if row.used and row.split == split and row.label == labels.DEFECT and row.boxes
    ]
    drawn = np.random.default_rng(seed).permutation(len(names))[:devices]
    return list(_examples(dataset, split, [names[i] for i in drawn]).values())
