"""What `nexperia evaluate` was pointed at: a run, a SavedModel or a table of scores."""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nexperia_tf import errors, predictions
from nexperia_tf.data import source
from nexperia_tf.evaluation import slices
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import choices

if typing.TYPE_CHECKING:
    from nexperia_tf.data import manifest
    from nexperia_tf.data.records import store

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Opened:
    """One thing to judge, with what is behind it.

    Attributes:
        subject: its scores.
        run: the run folder; None for other scores.
        book: what it was trained on; None where only scores are known.
        looks: what its devices show, by its own list of pictures.
        dataset: the records; None where only a table of scores is known.
    """

    subject: Subject
    run: run_folders.Run | None = None
    book: training_pictures.Book | None = None
    looks: training_pictures.Looks | None = None
    dataset: "store.Dataset | None" = None


def open_scores(
    path: str | os.PathLike,
    *,
    split: str = "test",
    named: source.DataSource = source.NOTHING,
    calibration: str | os.PathLike | None = None,
) -> Opened:
    """Opens a run folder, a SavedModel folder or a predictions.csv.

    Args:
        path: what `nexperia train`, `nexperia export` or another program wrote.
        split: which devices to judge; a table holds its own.
        named: the pictures a SavedModel is scored on; a run knows its own, where
            nothing else is named.
        calibration: table of the devices that choose the threshold; a run and a
            SavedModel take their calibration split, else their validation split.

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
            chose=choices.of_table(calibration or path),
        )
        made_by = path.resolve().parents[1]  # a run or a forest keeps predictions so
        return Opened(
            subject, book=_book(made_by), looks=training_pictures.looks_of(made_by)
        )
    if (path / "config.json").is_file():
        opened = _run(path, split, named, given)
        return _told(opened, calibration) if calibration else opened
    if path.is_dir():
        opened = _saved_model(path, split, named, given)
        return _told(opened, calibration) if calibration else opened
    raise errors.BadInput(
        f"{path}: no such file or folder; name a run folder, a SavedModel folder or a "
        "predictions.csv."
    )


def _told(opened: Opened, table: str | os.PathLike) -> Opened:
    """What the devices of a given table chose among, as far as can be told."""
    found, own = choices.of_table(table), opened.run
    if own is not None and found is choices.ASSUMED:
        validation = own.folder / "predictions" / "validation.csv"
        judged = predictions.read(validation).image_id if validation.is_file() else ()
        if set(judged) & set(opened.subject.calibration.image_id):
            found = choices.of_run(own, "validation")
    subject = dataclasses.replace(opened.subject, chose=found)
    return dataclasses.replace(opened, subject=subject)


def _run(
    path: pathlib.Path,
    split: str,
    named: source.DataSource,
    given: predictions.Predictions | None,
) -> Opened:
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
    subject = Subject(
        name=run.name,
        scored=scored,
        calibration=given,
        in_force=run.calibration,
        stores_threshold=True,
        chose=choices.of_run(run, there[0] if there else split),
    )
    return Opened(
        subject,
        run=run,
        book=training_pictures.of_run(path),
        looks=training_pictures.looks_of(path),
    )


def _book(folder: pathlib.Path) -> training_pictures.Book | None:
    """What a run or a forest was trained on; None where the folder is neither."""
    kept = (training_pictures.TRAINED_ON, "config.json", "forest.json")
    is_one = any((folder / name).is_file() for name in kept)
    return training_pictures.of_run(folder) if is_one else None


def _saved_model(
    path: pathlib.Path,
    split: str,
    named: source.DataSource,
    given: predictions.Predictions | None,
) -> Opened:
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

    served = export.load(path)
    dataset = store.build(named.over(source.DataSource()))
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
        chose=choices.of_export(served.facts, there[0] if there else split),
    )
    return Opened(
        subject, dataset=dataset, book=training_pictures.of_export(served.folder)
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
    opened: Opened, named: source.DataSource = source.NOTHING
) -> tuple[Opened, str]:
    """Adds what the records know: box sizes, brightness, groups of training.

    Args:
        opened: a run, a SavedModel or a table.
        named: the pictures behind a table.

    Returns:
        the same with its dataset, and a note for the report when there is none.
    """
    dataset = opened.dataset
    try:
        if dataset is None and opened.run is not None:
            dataset = opened.run.dataset
        elif dataset is None and named.data:
            from nexperia_tf.data.records import store

            dataset = store.build(named.over(source.DataSource()))
    except errors.BadInput as error:
        return opened, f"Pictures and image slices are left out: {error}"
    if dataset is None:
        return opened, "Scores alone were given: no pictures, no slices by image."
    from nexperia_tf.data import manifest

    rows = {
        row.image_id: row for row in manifest.read(dataset.prepared / "manifest.csv")
    }
    scored = opened.subject.scored
    found = [rows.get(name) for name in scored.image_id]
    if not all(found):
        missing = scored.image_id[found.index(None)]
        note = f"Pictures are left out: {dataset.prepared} does not hold {missing!r}."
        return opened, note
    subject = dataclasses.replace(
        opened.subject,
        columns=image_columns(found),
        training_groups=_groups(opened, rows.values()),
    )
    looks = opened.looks or training_pictures.looks(list(rows.values()))
    opened = dataclasses.replace(opened, looks=looks)
    return dataclasses.replace(opened, subject=subject, dataset=dataset), ""


def _groups(opened: Opened, rows: Iterable["manifest.Row"]) -> frozenset[str]:
    """Groups that were learned from: of the records, and of earlier runs."""
    here = {row.group for row in rows if row.split == "train" and row.group}
    return frozenset(here) | (opened.book.groups if opened.book else frozenset())


def acquainted(opened: Sequence[Opened]) -> list[Opened]:
    """Adds which of the judged devices each was trained on.

    A table that keeps no list of pictures is told what they show by another one.
    """
    shown = [o.looks for o in opened if o.looks is not None]
    found = []
    for one in opened:
        names = one.subject.scored.image_id
        own = [one.looks] if one.looks is not None else []
        fits = [s for s in own + shown if all(name in s.own for name in names)]
        fits += own  # what it says of some, where no list has all
        known = one.book and training_pictures.judged(
            names, fits[0] if fits else None, one.book
        )
        subject = dataclasses.replace(
            one.subject, seen=known, seen_calibration=taught(one)
        )
        found.append(dataclasses.replace(one, subject=subject))
    return found


def taught(opened: Opened) -> training_pictures.Found | None:
    """Which devices that set the threshold were trained on; None: nobody can tell."""
    deciding = opened.subject.chosen_on
    if opened.book is None or opened.looks is None:
        return None
    return training_pictures.judged(deciding.image_id, opened.looks, opened.book)


def cautions(opened: Opened, *, split: str) -> list[str]:
    """What a reader must know of a run before its figures."""
    run = opened.run
    if run is None:
        return []
    from nexperia_tf.serving import export

    said = []
    if differs := export.disagreement(run):
        said.append(f"Warning: {differs}.")
    chosen = run.chosen_epoch if split == "validation" else ""
    if chosen.startswith("best"):
        said.append(
            f"{run.name}: these devices chose the epoch: their AUC is the {chosen} and "
            "reads high."
        )
    return said


def left_out(opened: Opened) -> dict[str, str]:
    """Why unlabelled devices have no score, by image id: the manifest's reason."""
    from nexperia_tf.data import manifest

    dataset = opened.dataset or opened.run.dataset
    return {
        row.image_id: row.dropped_because
        for row in manifest.read(dataset.prepared / "manifest.csv")
        if row.dropped_because and not row.label_given
    }


def image_columns(rows: Sequence["manifest.Row"]) -> dict[str, list[str]]:
    """Slices that need the photographs: box size and brightness, in quarters."""
    columns = {
        "box_size": slices.quarters([_box_side(row) for row in rows]),
        "brightness": slices.quarters([row.brightness for row in rows]),
    }
    return {name: values for name, values in columns.items() if any(values)}


def _box_side(row: "manifest.Row") -> float | None:
    """Side, in pixels, of a square as large as the device's largest box."""
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in row.boxes]
    return max(areas) ** 0.5 if areas else None


def relabelled(
    opened: Opened, path: str | os.PathLike, verdicts: Mapping[str, tuple[int, str]]
) -> Opened:
    """Judges by other labels: the devices, and those that choose the threshold.

    Calibration devices that the file does not name keep their labels.
    """
    subject = opened.subject
    scored = predictions.relabelled(subject.scored, verdicts, source=str(path))
    calibration = subject.calibration
    if calibration is not None and all(n in verdicts for n in calibration.image_id):
        calibration = predictions.relabelled(calibration, verdicts, source=str(path))
    subject = dataclasses.replace(subject, scored=scored, calibration=calibration)
    return dataclasses.replace(opened, subject=subject)


def average(subjects: Sequence[Subject]) -> Subject:
    """The mean of the scores, as one more run."""
    calibrations = [subject.calibration for subject in subjects]
    mean = _mean([subject.scored for subject in subjects])
    first = subjects[0]
    return Subject(
        name="average",
        scored=mean,
        calibration=None if None in calibrations else _mean(calibrations),
        columns=first.columns,
        training_groups=first.training_groups,
        chose=choices.product(subject.chose for subject in subjects),
        seen=_known([subject.seen for subject in subjects]),
        seen_calibration=_known(
            [s.seen_calibration for s in subjects if s.seen_calibration is not None]
        ),
    )


def _known(
    found: Sequence[training_pictures.Found | None],
) -> training_pictures.Found | None:
    """What any of several models was trained on; None where one cannot be told."""
    if not found or None in found:
        return None
    pictures = {name for one in found for name in one.pictures}
    twins = {name for one in found for name in one.twins} - pictures
    return training_pictures.Found(
        found[0].of,
        tuple(sorted(pictures)),
        tuple(sorted(twins)),
        tuple(sorted({name for one in found for name in one.by})),
        tuple(sorted({name for one in found for name in one.unknown})),
        max(one.unlisted for one in found),
    )


def _mean(tables: Sequence[predictions.Predictions]) -> predictions.Predictions:
    tables = predictions.aligned(tables)
    score = np.mean([table.score for table in tables], axis=0)
    return dataclasses.replace(tables[0], score=score, source="mean of scores")
