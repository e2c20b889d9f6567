"""The candidates of an evaluation: runs, SavedModels or tables of scores."""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Iterable, Mapping, Sequence

from nexperia_tf import errors, predictions
from nexperia_tf.data import source
from nexperia_tf.data.measure import depth
from nexperia_tf.evaluation import recipes_tried, slices, subjects
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import advice, run_folders, training_pictures
from nexperia_tf.statistics import choices

if typing.TYPE_CHECKING:
    from nexperia_tf.data import manifest
    from nexperia_tf.data.records import store

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A run, a SavedModel or a table under evaluation, with what is known of it.

    Attributes:
        subject: its scores.
        run: the run folder; None for other scores.
        training_set: what it was trained on; None where only scores are known.
        hashes: of its devices' pictures, by its own list of them.
        dataset: the records; None where only a table of scores is known.
    """

    subject: Subject
    run: run_folders.Run | None = None
    training_set: training_pictures.TrainingSet | None = None
    hashes: training_pictures.PictureHashes | None = None
    dataset: "store.Dataset | None" = None

    def selecting(self, selection: choices.Choices) -> "Candidate":
        """The same, its calibration devices having selected among so many models."""
        subject = dataclasses.replace(self.subject, selection=selection)
        return dataclasses.replace(self, subject=subject)


def load(
    path: str | os.PathLike,
    *,
    split: str = "test",
    named: source.DataSource = source.NOTHING,
    calibration: str | os.PathLike | None = None,
    trust: bool = False,
) -> Candidate:
    """Opens a run folder, a SavedModel folder or a predictions.csv.

    Args:
        path: what `nexperia train`, `nexperia export` or another program wrote.
        split: which devices to judge; a table holds its own.
        named: the pictures a SavedModel is scored on; a run knows its own, where
            nothing else is named.
        calibration: table of the devices that choose the threshold; a run and a
            SavedModel take their calibration split, else their validation split.
        trust: load a SavedModel that no manifest vouches for.

    Raises:
        errors.BadInput: it is none of the three, or lacks that split.
    """
    path = pathlib.Path(path)
    given = predictions.read(calibration) if calibration else None
    if path.is_file():
        subject = Subject(
            name=run_folders.known_as(path),
            scored=predictions.read(path),
            calibration=given,
            selection=choices.of_table(calibration or path),
        )
        made_by = path.resolve().parents[1]  # a run or a forest keeps predictions so
        return Candidate(
            subject,
            training_set=_training_set(made_by),
            hashes=training_pictures.hashes_of_run(made_by),
        )
    if (path / "config.json").is_file():
        candidate = _run(path, split, named, given)
        return _calibrated_on(candidate, calibration) if calibration else candidate
    if path.is_dir():
        candidate = _saved_model(path, split, named, given, trust=trust)
        return _calibrated_on(candidate, calibration) if calibration else candidate
    raise errors.BadInput(
        f"{path}: no such file or folder; name a run folder, a SavedModel folder or a "
        "predictions.csv."
    )


def _calibrated_on(candidate: Candidate, table: str | os.PathLike) -> Candidate:
    """The candidate with what the devices of a given table chose among."""
    selection, run = choices.of_table(table), candidate.run
    if run is not None and selection is choices.ASSUMED:
        validation = run.folder / "predictions" / "validation.csv"
        judged = predictions.read(validation).image_id if validation.is_file() else ()
        if set(judged) & set(candidate.subject.calibration.image_id):
            selection = choices.of_run(run, "validation")
    return candidate.selecting(selection)


def _run(
    path: pathlib.Path,
    split: str,
    named: source.DataSource,
    given: predictions.Predictions | None,
) -> Candidate:
    run = run_folders.load(path).at(named)
    there = [
        name
        for name in run_folders.CALIBRATED_ON
        if name != split and (path / "predictions" / f"{name}.csv").is_file()
    ]
    if given is None and there:
        given = dataclasses.replace(
            run.predictions(there[0]), source=f"{run.name} {there[0]}"
        )
    scored = dataclasses.replace(run.predictions(split), source=f"{run.name} {split}")
    curves = run.folder / run_folders.CURVES
    subject = Subject(
        name=run.name,
        scored=scored,
        calibration=given,
        in_force=run.calibration,
        stores_threshold=True,
        selection=choices.of_run(run, there[0] if there else split),
        baseline=_baseline(run, split, scored),
        search=recipes_tried.of_run(run.folder),
        curves=curves if curves.is_file() else None,
    )
    return Candidate(
        subject,
        run=run,
        training_set=training_pictures.of_run(path),
        hashes=training_pictures.hashes_of_run(path),
    )


def _baseline(
    run: run_folders.Run, split: str, scored: predictions.Predictions
) -> subjects.Baseline | None:
    """What simple numbers reach on these very devices; None where no run has said."""
    path = run.folder / run_folders.BASELINE / "predictions" / f"{split}.csv"
    if not path.is_file():
        return None
    table = predictions.read(path)
    if set(table.image_id) != set(scored.image_id):
        return None
    known = run.baseline
    judged = known.get("splits", {}).get(split, {})
    return subjects.Baseline(
        table,
        model=known.get("model", ""),
        alone=judged.get("alone", {}),
        advice=advice.what_to_try(run.config, boxed=advice.has_boxes(run.folder)),
    )


def _training_set(folder: pathlib.Path) -> training_pictures.TrainingSet | None:
    """What a run or a forest was trained on; None where the folder is neither."""
    kept = (training_pictures.TRAINED_ON, "config.json", "forest.json")
    is_run = any((folder / name).is_file() for name in kept)
    return training_pictures.of_run(folder) if is_run else None


def _saved_model(
    path: pathlib.Path,
    split: str,
    named: source.DataSource,
    given: predictions.Predictions | None,
    *,
    trust: bool,
) -> Candidate:
    if not any(path.rglob("saved_model.pb")):
        raise errors.BadInput(
            f"{path}: holds neither a run nor a SavedModel; name a folder that "
            "nexperia train or export wrote, or a predictions.csv."
        )
    if not named.data:
        raise errors.BadInput(
            f"{path}: a SavedModel holds no scores; name the dataset with --data."
        )
    from nexperia_tf.data.records import reading, store
    from nexperia_tf.serving import export

    served = export.load(path, trust=trust)
    dataset = store.build(named, seen_by=depth.Model(str(path), served.depth_range))
    scored = _served(served, dataset, split)
    sizes = reading.split_sizes(dataset)
    there = [
        name for name in run_folders.CALIBRATED_ON if name != split and name in sizes
    ]
    if given is None and there:
        given = _served(served, dataset, there[0])
    subject = Subject(
        name=run_folders.known_as(path),
        scored=scored,
        calibration=given,
        in_force=served.calibration,
        selection=choices.of_export(served.facts, there[0] if there else split),
    )
    return Candidate(
        subject,
        dataset=dataset,
        training_set=training_pictures.of_export(served.folder),
    )


def _served(served, dataset: "store.Dataset", split: str) -> predictions.Predictions:
    from nexperia_tf.data.records import reading

    scores: list[float] = []
    batch: list[bytes] = []
    for record in reading.load(dataset, split, only=["image"]).as_numpy_iterator():
        batch.append(record["image"])
        if len(batch) == BATCH:
            scores += served.score_bytes(batch)[0]
            batch = []
    if batch:
        scores += served.score_bytes(batch)[0]
    return run_folders.table(dataset, split, scores)


def with_records(
    candidate: Candidate, named: source.DataSource = source.NOTHING
) -> tuple[Candidate, str]:
    """Adds what the records know: box sizes, brightness, groups of training.

    Args:
        candidate: a run, a SavedModel or a table.
        named: the pictures behind a table.

    Returns:
        the same with its dataset, and a note for the report when there is none.
    """
    dataset = candidate.dataset
    try:
        if dataset is None and candidate.run is not None:
            dataset = candidate.run.dataset
        elif dataset is None and named.data:
            from nexperia_tf.data.records import store

            dataset = store.build(named.over(source.DataSource()))
    except errors.BadInput as error:
        return candidate, f"Pictures and image slices are left out: {error}"
    if dataset is None:
        return candidate, "Scores alone were given: no pictures, no slices by image."
    from nexperia_tf.data import manifest

    rows = {
        row.image_id: row for row in manifest.read(dataset.prepared / "manifest.csv")
    }
    scored = candidate.subject.scored
    devices = [rows.get(name) for name in scored.image_id]
    if not all(devices):
        missing = scored.image_id[devices.index(None)]
        note = f"Pictures are left out: {dataset.prepared} does not hold {missing!r}."
        return candidate, note
    subject = dataclasses.replace(
        candidate.subject,
        columns=slices.image_columns(devices),
        training_groups=_groups(candidate, rows.values()),
    )
    hashes = candidate.hashes or training_pictures.hashes_of_rows(list(rows.values()))
    candidate = dataclasses.replace(candidate, hashes=hashes)
    return dataclasses.replace(candidate, subject=subject, dataset=dataset), ""


def _groups(candidate: Candidate, rows: Iterable["manifest.Row"]) -> frozenset[str]:
    """Groups that were trained on: of the records, and of earlier runs."""
    here = {row.group for row in rows if row.split == "train" and row.group}
    return frozenset(here) | (
        candidate.training_set.groups if candidate.training_set else frozenset()
    )


def with_overlap(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Adds which of the judged devices each was trained on.

    The pictures of a table that keeps no list are looked up in the other lists.
    """
    lists = [c.hashes for c in candidates if c.hashes is not None]
    return [_with_overlap(candidate, lists) for candidate in candidates]


def _with_overlap(
    candidate: Candidate, lists: Sequence[training_pictures.PictureHashes]
) -> Candidate:
    names = candidate.subject.scored.image_id
    own = [candidate.hashes] if candidate.hashes is not None else []
    complete = [s for s in own + list(lists) if all(name in s.own for name in names)]
    hashes = next(iter(complete + own), None)
    seen = candidate.training_set and training_pictures.overlap(
        names, hashes, candidate.training_set
    )
    subject = dataclasses.replace(
        candidate.subject, seen=seen, seen_calibration=seen_calibration(candidate)
    )
    return dataclasses.replace(candidate, subject=subject)


def seen_calibration(candidate: Candidate) -> training_pictures.Overlap | None:
    """Which devices that set the threshold were trained on; None: nobody can tell."""
    if candidate.training_set is None or candidate.hashes is None:
        return None
    return training_pictures.overlap(
        candidate.subject.chosen_on.image_id, candidate.hashes, candidate.training_set
    )


def warnings(candidate: Candidate, *, split: str) -> list[str]:
    """What a reader must know of a run before its results."""
    run = candidate.run
    if run is None:
        return []
    from nexperia_tf.serving import export

    lines = []
    if differs := export.disagreement(run):
        lines.append(f"Warning: {differs}.")
    kept = run.kept_epoch if split == "validation" else None
    if kept is not None and kept.selected:
        lines.append(
            f"{run.name}: these devices selected the epoch: their AUC is the {kept} "
            "and reads high."
        )
    return lines


def depth_note(candidate: Candidate) -> str:
    """What became black and white in 16-bit pictures; empty where there are none."""
    if candidate.dataset is None or candidate.dataset.depth_range is None:
        return ""
    low, high = depth.shown(candidate.dataset.depth_range)
    return (
        f"16-bit pictures are shown to {candidate.subject.name} from {low} (black) to "
        f"{high} (white)."
    )


def unscored(candidate: Candidate) -> dict[str, str]:
    """Why unlabelled devices have no score, by image id: the manifest's reason."""
    from nexperia_tf.data import manifest

    dataset = candidate.dataset or candidate.run.dataset
    return {
        row.image_id: row.dropped_because
        for row in manifest.read(dataset.prepared / "manifest.csv")
        if row.dropped_because and not row.label_given
    }


def relabelled(
    candidate: Candidate,
    path: str | os.PathLike,
    verdicts: Mapping[str, tuple[int, str]],
) -> Candidate:
    """Judges by other labels: the devices, and those that choose the threshold.

    Calibration devices that the file does not name keep their labels.
    """
    subject = candidate.subject
    scored = predictions.relabelled(subject.scored, verdicts, source=str(path))
    calibration = subject.calibration
    if calibration is not None and all(n in verdicts for n in calibration.image_id):
        calibration = predictions.relabelled(calibration, verdicts, source=str(path))
    baseline = subject.baseline and dataclasses.replace(
        subject.baseline,
        scored=predictions.relabelled(
            subject.baseline.scored, verdicts, source=str(path)
        ),
        alone={},  # known by the labels as given
    )
    subject = dataclasses.replace(
        subject, scored=scored, calibration=calibration, baseline=baseline
    )
    return dataclasses.replace(candidate, subject=subject)
