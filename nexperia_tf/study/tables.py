"""The tables of a study: who is compared with whom, and what came out."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import files, predictions
from nexperia_tf.evaluation.report import devices, figures, verdicts
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import ensemble
from nexperia_tf.statistics import calibration, intervals, metrics
from nexperia_tf.study import members, plan, stacking, trees

SCHEMA = 1  # of study.json
# The test part the original study was judged on, and what it reached.
PUBLISHED_DEFECTS, PUBLISHED_GOOD = 778, 3052
PUBLISHED_FORESTS = {"pretrained": 0.94065, "bce": 0.95207, "focal": 0.95327}
PUBLISHED_SINGLES = {
    "resnext-bce": 0.99616,
    "resnext-focal": 0.99831,
    "wide-bce": 0.99612,
    "wide-focal": 0.99585,
}
PUBLISHED_MEANS = {2: 0.99844, 3: 0.99820, 4: 0.99794}  # by members
COMMITTEES = {
    "two ResNeXt": plan.MEMBERS[:2],
    "two ResNeXt and wide-ResNet": plan.MEMBERS[:3],
    "all four": plan.MEMBERS,
}
FEATURES = {"bce": "(b) fine-tuned, cross-entropy", "focal": "(c) fine-tuned, focal"}
WEIGHTS = "ensembles"
SCORED = ("validation", "test")  # no table here shows a threshold


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row: something that scores devices.

    Attributes:
        subject: its scores of test, and of validation as calibration.
        runs: the networks it asks, by run name.
        published: AUC of the original study.
        notes: further cells of the row.
    """

    subject: figures.Subject
    runs: tuple[str, ...] = ()
    published: float | None = None
    notes: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.subject.name


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows, and which of them are compared.

    Attributes:
        title, note: above the rows.
        rows: what is judged.
        pairs: names of rows, each with the one it is compared with.
        ask: what the pairs answer together, for the page's head; "" for nothing.
    """

    title: str
    note: str
    rows: list[Entry]
    pairs: list[tuple[str, str]]


class Scores:
    """The scores of a study's runs on validation and test, in one order of devices.

    Args:
        trained: the runs by name.
        out: the study's folder.
        dataset: the records.
        relabelled: judges a test table by other labels.
    """

    def __init__(
        self, trained: Mapping[str, members.Trained], out, dataset, relabelled
    ):
        self.trained, self.out, self.dataset = trained, out, dataset
        self._relabelled = relabelled
        self._first: dict[str, predictions.Predictions] = {}

    def subject(self, name: str, tables: Mapping[str, predictions.Predictions]):
        """What evaluation judges, from tables of validation and test."""
        found = {}
        for split in SCORED:
            table = dataclasses.replace(tables[split], source=f"{name}, {split}")
            first = self._first.setdefault(split, table)
            found[split] = predictions.aligned([first, table])[1]
        test = self._relabelled(found["test"])
        return figures.Subject(name, test, calibration=found["validation"])

    def of_run(self, run: str, title: str) -> Entry:
        """A single network."""
        folder, step = self.trained[run].folder, self.trained[run].step
        opened = run_folders.load(folder)
        tables = {split: opened.predictions(split) for split in SCORED}
        counts = {split: len(table) for split, table in self._first.items()}
        if step.dealt and counts != {s: len(table) for s, table in tables.items()}:
            # Preparing the bag has dropped pictures that the others were judged on.
            tables = {s: _scored(opened, self.dataset, s) for s in tables}
        return Entry(self.subject(title, tables), (run,))

    def of_forest(self, folder: str, title: str, run: str) -> Entry | None:
        tables = trees.read(self.out, folder)
        if tables is None:
            return None
        return Entry(self.subject(title, tables), (run,) if run else ())


def _scored(run: run_folders.Run, dataset, split: str) -> predictions.Predictions:
    size, channels = run.image_size, run.channels
    logits = run_folders.logits_of(
        run.model(), dataset, split, image_size=size, channels=channels
    )
    return run_folders.table(dataset, split, run.calibration.scores(logits))


def combined(name: str, how: ensemble.Combination, entries: Sequence[Entry]) -> Entry:
    """What an averaged SavedModel of the same combination answers."""
    validation = _combine(how, [entry.subject.calibration for entry in entries])
    test = _combine(how, [entry.subject.scored for entry in entries])
    decides = ensemble.calibrate(how, validation)
    calibrated = [
        _rescored(table, decides.scores(calibration.logits(table.score)))
        for table in (validation, test)
    ]
    return _entry(name, *calibrated, entries)


def _combine(
    how: ensemble.Combination, tables: Sequence[predictions.Predictions]
) -> predictions.Predictions:
    logits = np.stack([calibration.logits(table.score) for table in tables])
    score = run_folders.probability(how.logit(logits.astype(np.float32)).numpy())
    return _rescored(tables[0], score)


def voted(name: str, entries: Sequence[Entry]) -> Entry:
    """The share of members that call a device defect.

    Each calls as many of the validation devices defect as there are: at score .5 weak
    members would call none.
    """
    validation = [entry.subject.calibration for entry in entries]
    rarity = 1 - np.mean(validation[0].label)
    thresholds = [np.quantile(table.score, rarity) for table in validation]
    tables = [
        _rescored(part[0], stacking.vote([table.score for table in part], thresholds))
        for part in (validation, [entry.subject.scored for entry in entries])
    ]
    return _entry(name, *tables, entries)


def _rescored(table: predictions.Predictions, score: np.ndarray):
    return dataclasses.replace(table, score=score)


def _entry(name: str, validation, test, entries: Sequence[Entry]) -> Entry:
    subject = figures.Subject(name, test, calibration=validation)
    asked = tuple(dict.fromkeys(run for entry in entries for run in entry.runs))
    return Entry(subject, asked)


def even(entries: Sequence[Entry], of: str = "scores") -> ensemble.Combination:
    return ensemble.Combination(of, (1 / len(entries),) * len(entries))


def forests(
    scores: Scores, family: plan.Family, chosen: Mapping[str, str], backbone: str
) -> Table:
    """Table 1: a random forest on what three networks see."""
    columns = {"pretrained": f"(a) {backbone}"} | FEATURES
    asked = {"pretrained": plan.PRETRAINED} | {
        loss: chosen[f"{plan.RESNEXT}-{loss}"] for loss in FEATURES
    }
    rows, names = [], {}
    for kind, words in trees.KINDS.items():
        for key, seen in columns.items():
            name = f"forest on {seen[:3]}, {words.split(',')[0]}"
            name += ", stage 3" if kind == "stage3" else ""
            run = asked[key] if asked[key] in scores.trained else asked["bce"]
            entry = scores.of_forest(f"{key}-{kind}", name, run)
            if entry is None:
                continue
            names[key, kind] = name
            published = PUBLISHED_FORESTS[key] if kind == "stage3" else None
            cells = {"features": seen, "forest": words}
            rows.append(dataclasses.replace(entry, published=published, notes=cells))
    wanted = [(("bce", k), ("pretrained", k)) for k in trees.KINDS]
    wanted += [(("focal", k), ("bce", k)) for k in trees.KINDS]
    wanted += [(("focal", "100"), ("focal", "stage3"))]
    wanted += [(("focal", "tuned"), ("focal", "100"))]
    pairs = [(names[a], names[b]) for a, b in wanted if a in names and b in names]
    note = (
        "Random forests of scikit-learn on the features of a ResNeXt. The original "
        "took 100 trees on the flattened output of stage 3."
    )
    return Table(
        _titled("Table 1. Random forest on deep features", family), note, rows, pairs
    )


def _titled(title: str, family: plan.Family) -> str:
    return f"{title} ({family.name})" if family.name else title


def singles(
    scores: Scores, family: plan.Family, chosen: Mapping[str, str]
) -> list[Entry]:
    """The four networks of a family."""
    rows = []
    for member in plan.MEMBERS:
        run = chosen[member]
        entry = scores.of_run(run, family.title(member))
        seeds = family.seeds.get(member, ())
        repeated = [scores.of_run(seed, seed).subject.scored for seed in seeds]
        config = scores.trained[run].config
        cells: dict[str, object] = {"setting": _setting(config)}
        if seeds:
            tables = [entry.subject.scored, *repeated]
            cells["seeds"] = [metrics.auc(t.label, t.score) for t in tables]
        published = PUBLISHED_SINGLES[member]
        rows.append(dataclasses.replace(entry, published=published, notes=cells))
    return rows


def _setting(config) -> str:
    if config.loss.loss == "bce":
        return "cross-entropy"
    alpha = "" if config.loss.alpha is None else f", alpha {config.loss.alpha:g}"
    if not config.loss.gamma:
        return f"cross-entropy{alpha}"
    return f"focal, gamma {config.loss.gamma:g}{alpha}"


def ablation(rows: Sequence[Entry], grown: Entry | None, family: plan.Family) -> Table:
    """Table 2: what the architecture does, and what the loss does."""
    first, focal, wide, wide_focal = (row.name for row in rows)
    pairs = [(focal, first), (wide_focal, wide), (first, wide), (focal, wide_focal)]
    if grown is not None:
        cells = {"setting": grown.notes["forest"]}
        published = PUBLISHED_FORESTS["focal"]
        grown = dataclasses.replace(grown, notes=cells, published=published)
        pairs.append((first, grown.name))
    note = (
        "Same devices, epochs and seed. Each loss had as many settings of alpha and "
        "gamma tried on the ResNeXt; validation decided. The wide ResNet takes them."
    )
    if family.name == "original":
        note = (
            "The original recipe to the letter, focal loss with alpha .25 on defects."
        )
    shown = [*([grown] if grown else []), rows[2], rows[3], rows[0], rows[1]]
    return Table(_titled("Table 2. Networks and losses", family), note, shown, pairs)


def committees(rows: Sequence[Entry], family: plan.Family) -> Table:
    """Table 3: two, three and four networks as one."""
    by_member = dict(zip(plan.MEMBERS, rows))
    single = strongest(rows)
    shown = [
        dataclasses.replace(
            single, notes={"chosen": "best single, by validation"}, published=None
        )
    ]
    pairs = []
    tail = f", {family.name}" if family.name else ""
    for words, names in COMMITTEES.items():
        of = [by_member[name] for name in names]
        made = {
            "mean of scores": combined(f"mean of scores, {words}{tail}", even(of), of),
            "mean of logits": combined(
                f"mean of logits, {words}{tail}", even(of, "logits"), of
            ),
            "majority vote": voted(f"majority vote, {words}{tail}", of),
        }
        mean = made["mean of scores"].name
        pairs.append((mean, single.name))
        pairs += [(made[other].name, mean) for other in list(made)[1:]]
        for method, entry in made.items():
            published = PUBLISHED_MEANS[len(of)] if method == "mean of scores" else None
            cells = {"method": method, "members": words}
            shown.append(dataclasses.replace(entry, published=published, notes=cells))
    note = (
        "Scores and logits are calibrated first, on validation. A vote counts the "
        "members that call a device defect, each as often as there are defects on "
        "validation: it ranks in few steps."
    )
    return Table(
        _titled("Table 3. Several networks as one", family), note, shown, pairs
    )


def strongest(rows: Sequence[Entry]) -> Entry:
    """The row with the best validation AUC."""
    return max(rows, key=_validation_auc)


def _validation_auc(entry: Entry) -> float:
    table = entry.subject.calibration
    return metrics.auc(table.label, table.score)


def better(scores: Scores, planned: plan.Plan, rows: Sequence[Entry]) -> Table:
    """Table 4: what the study wished for, against best single and plain mean."""
    family = planned.families[-1]
    single = strongest(rows)
    mean = combined(f"mean of scores, all four{_tail(family)}", even(rows), rows)
    library = [
        scores.of_run(name, scores.trained[name].step.title)
        for names in (family.tried, family.seeds)
        for name in sum(names.values(), ())
    ]
    fitted = [entry.subject.calibration for entry in library]
    made = [
        (_selected("greedy selection", library, fitted, scores), "validation"),
        (_stacked("stacking", library, fitted, scores), "validation"),
    ]
    boosted = scores.of_forest(
        trees.BOOSTED, "AdaBoost on deep features", single.runs[0]
    )
    if boosted is not None:
        made.append((boosted, "train; stumps by validation"))
    if family.folds:
        out_of_fold = [_out_of_fold(scores, family.folds[m]) for m in plan.MEMBERS]
        out_of_fold = predictions.aligned(out_of_fold)
        made += [
            (
                _selected("greedy selection, out of fold", rows, out_of_fold, scores),
                "folds",
            ),
            (_stacked("stacking, out of fold", rows, out_of_fold, scores), "folds"),
        ]
    if family.bags:
        bags = [scores.of_run(bag, bag) for bag in family.bags]
        name = f"bagging, {len(bags)} draws of lots"
        made.append((combined(name, even(bags), bags), "draws of training lots"))
    if family.seeds:
        name = f"mean of scores, {len(library)} runs"
        made.append((combined(name, even(library), library), "nothing"))
    shown = [
        dataclasses.replace(
            single, notes={"fitted on": "validation chose it"}, published=None
        ),
        dataclasses.replace(mean, notes={"fitted on": "nothing"}),
    ]
    pairs = []
    for entry, on in made:
        shown.append(dataclasses.replace(entry, notes={"fitted on": on}))
        pairs += [(entry.name, mean.name), (entry.name, single.name)]
    note = (
        f"Greedy selection and stacking choose among all {len(library)} networks of "
        "this study, or, out of fold, among the four. Nothing was fitted on the test "
        "devices judged here."
    )
    return Table("Table 4. Better than the plain mean?", note, shown, pairs)


def _tail(family: plan.Family) -> str:
    return f", {family.name}" if family.name else ""


def _selected(name: str, entries, fitted, scores: Scores) -> Entry:
    found = np.stack([table.score for table in fitted])
    weights = stacking.select(found, fitted[0].label)
    how = ensemble.Combination("scores", tuple(map(float, weights)))
    return _weighted(name, how, entries, scores)


def _stacked(name: str, entries, fitted, scores: Scores) -> Entry:
    found = np.stack([calibration.logits(table.score) for table in fitted])
    stack = stacking.stack(found, fitted[0].label)
    how = ensemble.Combination("logits", stack.weights, stack.bias)
    return _weighted(name, how, entries, scores)


def _weighted(name, how: ensemble.Combination, entries, scores: Scores) -> Entry:
    """Combines, and keeps the weights as `nexperia ensemble` takes them."""
    chosen = [(e, w) for e, w in zip(entries, how.weights) if w > 0]
    payload = {
        "of": how.of,
        "weights": {entry.runs[0]: weight for entry, weight in chosen},
        "bias": how.bias,
    }
    folder = scores.out / WEIGHTS
    folder.mkdir(exist_ok=True)
    file = name.replace(",", "").replace(" ", "-")
    files.write_json(folder / f"{file}.json", payload)
    kept = dataclasses.replace(how, weights=tuple(weight for _, weight in chosen))
    return combined(name, kept, [entry for entry, _ in chosen])


def _out_of_fold(scores: Scores, names: Sequence[str]) -> predictions.Predictions:
    """Scores of training devices by networks that were trained without them."""
    tables = [
        run_folders.load(scores.trained[n].folder).predictions("test") for n in names
    ]
    return predictions.Predictions(
        image_id=np.concatenate([table.image_id for table in tables]),
        label=np.concatenate([table.label for table in tables]),
        score=np.concatenate([table.score for table in tables]),
        source="out of fold",
    )


def judged(tables: Sequence[Table], costs: Mapping[str, Mapping]) -> list[dict]:
    """The tables as study.json holds them: every figure, every verdict."""
    entries = {row.name: row for table in tables for row in table.rows}
    subjects = [entry.subject for entry in entries.values()]
    settings = figures.Settings()
    found = [figures.judge(subject, settings) for subject in subjects]
    place = {subject.name: at for at, subject in enumerate(subjects)}
    asked = {tuple(sorted(map(place.get, pair))) for t in tables for pair in t.pairs}
    pairs = figures.comparisons(
        subjects, found, confidence=settings.confidence, pairs=sorted(asked)
    )
    by_pair = {(pair["first"], pair["second"]): pair for pair in pairs}
    figures_of = {one["name"]: one for one in found}
    return [
        {
            "title": table.title,
            "note": table.note,
            "rows": [_row(row, figures_of[row.name], costs) for row in table.rows],
            "differences": [_difference(by_pair, *pair) for pair in table.pairs],
        }
        for table in tables
    ]


def _row(entry: Entry, found: Mapping, costs: Mapping[str, Mapping]) -> dict:
    kept = ("name", "n", "n_defect", "auc", "partial_auc", "fpr_at_tpr")
    row = {name: found[name] for name in kept}
    row |= {"validation_auc": _validation_auc(entry), **entry.notes}
    row["published"] = None
    if entry.published is not None:
        row["published"] = dataclasses.asdict(
            intervals.newcombe_of(entry.published, PUBLISHED_DEFECTS, PUBLISHED_GOOD)
        )
    asked = [costs[run] for run in entry.runs]
    for name in ("parameters", "gmac", "ms"):
        row[name] = sum(cost[name] for cost in asked) if asked else None
    return row | {"networks": list(entry.runs)}


def _difference(by_pair: Mapping, first: str, second: str) -> dict:
    """The comparison of two rows, first minus second, with its verdict in words."""
    pair = by_pair.get((first, second)) or _turned(by_pair[second, first])
    kept = [name for name in pair if name not in devices.CHANGES]
    return {name: pair[name] for name in kept} | {
        "said": verdicts.verdict(pair),
        "because": verdicts.evidence(pair),
    }


def _turned(pair: Mapping) -> dict:
    """The same comparison, read the other way."""
    turned = dict(pair) | {"first": pair["second"], "second": pair["first"]}
    for name in ("difference", "bootstrap"):
        if pair[name]["low"] is None:
            turned[name] = dict(pair[name])
            continue
        # Taken from 0, because minus 0 would be written as one.
        ends = {"low": 0 - pair[name]["high"], "high": 0 - pair[name]["low"]}
        turned[name] = dict(pair[name]) | ends
    turned["difference"]["value"] = 0 - pair["difference"]["value"]
    return turned
