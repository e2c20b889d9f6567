"""The devices that a promotion is decided on: neither model has learned from them."""

import dataclasses
import hashlib
import itertools
import json
import pathlib
import typing
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nexperia_tf import errors, labels, predictions, preprocess
from nexperia_tf.data.raw import layouts, listing
from nexperia_tf.data.source import DataSource
from nexperia_tf.evaluation import golden
from nexperia_tf.promotion import comparing, golden_set, models
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.serving import scoring

if typing.TYPE_CHECKING:
    from nexperia_tf.data.records import store
    from nexperia_tf.serving import export

SPLIT = "test"
BATCH = 32


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Labelled devices and the way to their pictures.

    Attributes:
        table: names, labels, kinds and groups; no scores yet.
        hashes: of their pixels, and of their copies and twins where these are known.
        ask: gives, of a model and a mask of devices, what it says of these.
        pixels: gives, for a model, the pictures of these names.
        left_out: how many devices are not in it any more, by reason.
    """

    table: predictions.Predictions
    hashes: training_pictures.PictureHashes
    ask: Callable[["export.Served", Sequence[str]], comparing.Answers]
    pixels: Callable[["export.Served", Sequence[str]], Iterator[np.ndarray]]
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)

    def without(self, names: set[str], reason: str) -> "HeldOut":
        """The same without some devices."""
        keep = np.array([name not in names for name in self.table.image_id], bool)
        if keep.all():
            return self
        if not keep.any():
            raise errors.BadInput(
                f"{self.table.source}: no device is left: {len(keep)} {reason}; name "
                "others with --pictures FOLDER or --data PATH."
            )
        left = self.left_out | {reason: int((~keep).sum())}
        return dataclasses.replace(self, table=self.table.take(keep), left_out=left)

    @property
    def sha256(self) -> str:
        """Of their pixels and labels, in whatever order."""
        own = self.hashes.own
        pairs = zip(self.table.image_id, self.table.label.tolist())
        told = sorted((own[name], label) for name, label in pairs)
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def find(
    new: models.Model, old: models.Model, *, pictures: str, named: DataSource
) -> HeldOut:
    """The devices that were named, else the test split of the newer run.

    Args:
        new, old: both models.
        pictures: a folder with labels, taken whole; may be empty.
        named: raw or prepared pictures of which the test split is taken.

    Raises:
        errors.BadInput: none were named and no run is known.
    """
    if pictures:
        return of_folder(pictures, named)
    if named.data:
        from nexperia_tf.data.measure import depth
        from nexperia_tf.data.records import store

        seen_by = depth.Model(new.name, new.served.depth_range)
        return of_records(store.build(named, seen_by=seen_by), new, old)
    run = new.run or old.run
    if run is None:
        raise errors.BadInput(
            f"{new.name}: a SavedModel knows no test pictures; name labelled ones with "
            "--pictures FOLDER, or --data PATH."
        )
    return of_records(run.at(named).dataset, new, old)


def of_records(
    dataset: "store.Dataset", new: models.Model, old: models.Model
) -> HeldOut:
    """The test split of a dataset."""
    from nexperia_tf.data import manifest
    from nexperia_tf.data.records import reading

    if dataset.depth_range and new.served.depth_range != old.served.depth_range:
        raise errors.BadInput(
            f"{old.name}: sees 16-bit pictures otherwise than {new.name}; name them "
            "with --pictures FOLDER, of which each model takes its own range."
        )
    sizes = reading.split_sizes(dataset)
    table = run_folders.table(dataset, SPLIT, np.zeros(sizes.get(SPLIT, 0)))

    def ask(served: "export.Served", names: Sequence[str]) -> comparing.Answers:
        wanted, found = set(names), {}
        records = reading.load(dataset, SPLIT, only=["image_id", "image"])
        pairs = (
            (record["image_id"].decode(), record["image"])
            for record in records.as_numpy_iterator()
        )
        pairs = (pair for pair in pairs if pair[0] in wanted)
        while batch := list(itertools.islice(pairs, BATCH)):
            batch_names, contents = zip(*batch)
            found |= zip(batch_names, zip(*served.score_bytes(list(contents))))
        return _answers([found[name] for name in names])

    def pixels(served: "export.Served", names: Sequence[str]) -> Iterator[np.ndarray]:
        examples = reading.examples(dataset, SPLIT, names)
        channels = served.facts["channels"]
        return (
            preprocess.decode(examples[name].image, channels).numpy() for name in names
        )

    rows = manifest.read(dataset.prepared / "manifest.csv")
    return HeldOut(table, training_pictures.hashes_of_rows(rows), ask, pixels)


def _answers(pairs: Sequence[tuple[float, str]]) -> comparing.Answers:
    scores, words = zip(*pairs)
    return comparing.Answers(
        np.asarray(scores, np.float64), np.array(words) == labels.DEFECT
    )


def of_folder(folder: str, named: DataSource) -> HeldOut:
    """All labelled pictures of a folder.

    Raises:
        errors.BadInput: a picture cannot be read, or shows twice with two labels.
    """
    rows = layouts.scan(pathlib.Path(folder), good=named.good, group=named.group).rows
    rows = [row for row in rows if row.label]
    found = listing.files(folder)
    own, first, copies = {}, {}, set()
    for row in rows:
        if row.path in found.problems:
            raise errors.BadInput(f"{folder}/{row.path}: {found.problems[row.path]}.")
        own[row.image_id] = golden_set.hashes_of(found.path(row.path))[1]
        same = first.setdefault(own[row.image_id], row)
        if same.label != row.label:
            raise errors.BadInput(
                f"{folder}: {same.path} is {same.label} and {row.path}, the same "
                f"picture, {row.label}; correct one of the labels."
            )
        if same is not row:
            copies.add(row.image_id)
    path_of = {row.image_id: row.path for row in rows}
    columns = ("group", "lot", "machine", "defect_type")
    table = predictions.Predictions(
        [row.image_id for row in rows],
        [labels.NAMES.index(row.label) for row in rows],
        np.zeros(len(rows)),
        {name: [getattr(row, name) for row in rows] for name in columns},
        folder,
    )

    def ask(served: "export.Served", names: Sequence[str]) -> comparing.Answers:
        batches = scoring.batches(
            served,
            found,
            [path_of[name] for name in names],
            batch_size=BATCH,
            max_pixels=named.max_pixels,
        )
        pairs = []
        for answer in (answer for batch in batches for answer in batch):
            if answer["problem"]:
                raise errors.BadInput(
                    f"{folder}/{answer['path']}: {answer['problem']}; take it out."
                )
            pairs.append((answer["score"], answer["label"]))
        return _answers(pairs)

    def pixels(served: "export.Served", names: Sequence[str]) -> Iterator[np.ndarray]:
        decode = scoring.pixels_of(served, found, named.max_pixels)
        return (decode(path_of[name])[0] for name in names)

    hashes = training_pictures.PictureHashes(own, dict.fromkeys(own, ()))
    whole = HeldOut(table, hashes, ask, pixels)
    return whole.without(copies, "are copies of another picture")


def unseen(held: HeldOut, new: models.Model, old: models.Model) -> HeldOut:
    """The devices that neither model has learned from, nor the epochs were chosen by.

    Raises:
        errors.BadInput: no device of both classes is left.
    """
    for model in (new, old):
        seen = training_pictures.overlap(
            held.table.image_id, held.hashes, model.training_set
        )
        held = held.without(
            seen.names, f"{model.name} was trained on, or on a copy or twin"
        )
    for model in (new, old):
        chose = {n for n in held.table.image_id if held.hashes.own[n] in model.chose}
        held = held.without(chose, f"have chosen epoch or threshold of {model.name}")
    counts = [int((held.table.label == label).sum()) for label in range(2)]
    if not all(counts):
        good, defects = counts
        said = "; ".join(f"{n} {reason}" for reason, n in held.left_out.items())
        raise errors.BadInput(
            f"{held.table.source}: {defects} defects and {good} good devices are left "
            f"to compare on; both are needed ({said or 'none were left out'})."
        )
    return held


def check_golden(held: HeldOut, lines: Sequence[golden.Line]) -> None:
    """Refuses a golden verdict that the labels contradict.

    Raises:
        errors.BadInput: names the first such picture.
    """
    verdicts = {line.pixel_sha256: line for line in lines}
    for name, label in zip(held.table.image_id, held.table.label):
        line = verdicts.get(held.hashes.own[name])
        if line is not None and line.verdict != labels.NAMES[label]:
            raise errors.BadInput(
                f"{held.table.source}: {name} is labelled {labels.NAMES[label]}, but "
                f"golden as {line.verdict} ({line.image_id}); correct one of them."
            )
