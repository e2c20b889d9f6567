"""The tables of a study: who is compared with whom, and for which question."""

import dataclasses
from collections.abc import Mapping, Sequence

from nexperia_tf import predictions
from nexperia_tf.statistics import metrics
from nexperia_tf.study import entries, plan, trees
from nexperia_tf.study.entries import Entry, Scores

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
# Columns of Table 1 by source: their letter and what they hold.
COLUMNS = {
    "pretrained": ("(a)", ""),  # said by who made the network
    "bce": ("(b)", "fine-tuned, cross-entropy"),
    "focal": ("(c)", "fine-tuned, focal"),
}
FINE_TUNING, FOCAL_LOSS, ARCHITECTURE = "fine-tuning", "focal-loss", "architecture"
SEVERAL, BEYOND_MEAN = "several", "beyond-mean"
QUESTIONS = {
    FINE_TUNING: "Does fine-tuning help the forest?",
    FOCAL_LOSS: "Does focal loss help?",
    ARCHITECTURE: "Which architecture?",
    SEVERAL: "Are several better than one?",
    BEYOND_MEAN: "Is anything better than the plain mean?",
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two rows that are compared.

    Attributes:
        first, second: keys of the rows.
        question: which of QUESTIONS the pair helps to answer; None for none.
    """

    first: str
    second: str
    question: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows, and which of them are compared.

    Attributes:
        key: "forests", "networks", "ensembles" or "better", with the family's name
            behind it where there are several.
        title, note: above the rows.
        rows: what is judged.
        pairs: what is compared.
    """

    key: str
    title: str
    note: str
    rows: list[Entry]
    pairs: list[Pair]


def forests(
    scores: Scores, family: plan.Family, chosen: Mapping[str, str], backbone: str
) -> Table:
    """Table 1: a random forest on what three networks see.

    Args:
        scores: of all runs.
        family: whose networks.
        chosen: the run that stands for each member.
        backbone: what the network of column (a) is, in words.
    """
    networks = {"pretrained": plan.PRETRAINED} | {
        loss: chosen[f"{plan.RESNEXT}-{loss}"] for loss in (plan.BCE, plan.FOCAL)
    }
    rows: dict[tuple[str, str], Entry] = {}
    for kind in trees.KINDS:
        for source, run in networks.items():
            run = run if run in scores.trained else networks["bce"]
            entry = _forest(scores, source, kind, run, backbone)
            if entry is not None:
                rows[source, kind] = entry
    wanted = [(("bce", k), ("pretrained", k), FINE_TUNING) for k in trees.KINDS]
    wanted += [(("focal", k), ("bce", k), None) for k in trees.KINDS]
    wanted += [(("focal", "100"), ("focal", "stage3"), None)]
    wanted += [(("focal", "tuned"), ("focal", "100"), None)]
    pairs = [
        Pair(rows[first].key, rows[second].key, question)
        for first, second, question in wanted
        if first in rows and second in rows
    ]
    note = (
        "Random forests of scikit-learn on the features of a ResNeXt. The original "
        "took 100 trees on the flattened output of stage 3."
    )
    title = _titled("Table 1. Random forest on deep features", family)
    return Table(_keyed("forests", family), title, note, list(rows.values()), pairs)


def _forest(
    scores: Scores, source: str, kind: str, run: str, backbone: str
) -> Entry | None:
    letter, words = COLUMNS[source]
    name = f"forest on {letter}, {trees.KINDS[kind].title}"
    entry = scores.of_forest(f"{source}-{kind}", name, run)
    if entry is None:
        return None
    return dataclasses.replace(
        entry,
        published=PUBLISHED_FORESTS[source] if kind == trees.ORIGINAL else None,
        cells={
            "features": f"{letter} {words or backbone}",
            "forest": trees.KINDS[kind].described,
        },
    )


def _titled(title: str, family: plan.Family) -> str:
    return f"{title} ({family.name})" if family.name else title


def _keyed(key: str, family: plan.Family) -> str:
    return f"{key}-{family.name}" if family.name else key


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
        rows.append(dataclasses.replace(entry, published=published, cells=cells))
    return rows


def _setting(config) -> str:
    if config.loss.loss == "bce":
        return "cross-entropy"
    alpha = "" if config.loss.alpha is None else f", alpha {config.loss.alpha:g}"
    if not config.loss.gamma:
        return f"cross-entropy{alpha}"
    return f"focal, gamma {config.loss.gamma:g}{alpha}"


def ablation(rows: Sequence[Entry], grown: Entry | None, family: plan.Family) -> Table:
    """Table 2: what the architecture does, and what the loss does.

    Args:
        rows: the networks, in the order of `plan.MEMBERS`.
        grown: the best forest; None where none was grown.
        family: whose networks.
    """
    bce, focal, wide, wide_focal = rows
    pairs = [
        Pair(focal.key, bce.key, FOCAL_LOSS),
        Pair(wide_focal.key, wide.key, FOCAL_LOSS),
        Pair(bce.key, wide.key, ARCHITECTURE),
        Pair(focal.key, wide_focal.key, ARCHITECTURE),
    ]
    shown = [wide, wide_focal, bce, focal]
    if grown is not None:
        cells = {"setting": grown.cells["forest"]}
        published = PUBLISHED_FORESTS["focal"]
        shown.insert(0, dataclasses.replace(grown, cells=cells, published=published))
        pairs.append(Pair(bce.key, grown.key))
    note = (
        "Same devices, epochs and seed. Each loss had as many settings of alpha and "
        "gamma tried on the ResNeXt; validation decided. The wide ResNet takes them."
    )
    if family.name == plan.ORIGINAL:
        note = (
            "The original recipe to the letter, focal loss with alpha .25 on defects."
        )
    title = _titled("Table 2. Networks and losses", family)
    return Table(_keyed("networks", family), title, note, shown, pairs)


def committees(rows: Sequence[Entry], family: plan.Family) -> Table:
    """Table 3: two, three and four networks as one."""
    by_member = dict(zip(plan.MEMBERS, rows))
    single = strongest(rows)
    cells = {"chosen": "best single, by validation"}
    shown = [dataclasses.replace(single, cells=cells, published=None)]
    pairs = []
    for words, names in COMMITTEES.items():
        members = [by_member[name] for name in names]
        mean, *others = _committee(members, words, family)
        shown += [mean, *others]
        pairs.append(Pair(mean.key, single.key, SEVERAL))
        pairs += [Pair(other.key, mean.key) for other in others]
    note = (
        "Scores and logits are calibrated first, on validation. A vote counts the "
        "members that call a device defect, each as often as there are defects on "
        "validation: it ranks in few steps."
    )
    title = _titled("Table 3. Several networks as one", family)
    return Table(_keyed("ensembles", family), title, note, shown, pairs)


def _committee(
    members: Sequence[Entry], words: str, family: plan.Family
) -> list[Entry]:
    """Mean of scores, mean of logits and majority vote of the same networks."""
    ending = f"{words}{_ending(family)}"
    vote_key = entries.key_of("vote", members)
    methods = {
        "mean of scores": entries.mean(f"mean of scores, {ending}", members),
        "mean of logits": entries.mean(f"mean of logits, {ending}", members, "logits"),
        "majority vote": entries.voted(vote_key, f"majority vote, {ending}", members),
    }
    published = {"mean of scores": PUBLISHED_MEANS[len(members)]}
    return [
        dataclasses.replace(
            entry,
            published=published.get(method),
            cells={"method": method, "members": words},
        )
        for method, entry in methods.items()
    ]


def strongest(rows: Sequence[Entry]) -> Entry:
    """The row with the best validation AUC."""
    return max(rows, key=lambda row: row.validation_auc)


def better(scores: Scores, planned: plan.Plan, rows: Sequence[Entry]) -> Table:
    """Table 4: what the study wished for, against best single and plain mean."""
    family = planned.families[-1]
    single = strongest(rows)
    mean = entries.mean(f"mean of scores, all four{_ending(family)}", rows)
    library = [
        scores.of_run(name, scores.trained[name].step.title)
        for names in (family.tried, family.seeds)
        for name in sum(names.values(), ())
    ]
    tried = _by_validation(scores, library)
    boosted = scores.of_forest(
        trees.BOOSTED, "AdaBoost on deep features", single.runs[0]
    )
    if boosted is not None:
        tried.append(_fitted(boosted, "train; stumps by validation"))
    tried += _extended(scores, family, rows, library)
    pairs = [
        pair
        for entry in tried
        for pair in (
            Pair(entry.key, mean.key, BEYOND_MEAN),
            Pair(entry.key, single.key),
        )
    ]
    note = (
        f"Greedy selection and stacking choose among all {len(library)} networks of "
        "this study, or, out of fold, among the four. Nothing was fitted on the test "
        "devices judged here."
    )
    shown = [
        dataclasses.replace(_fitted(single, "validation chose it"), published=None),
        _fitted(mean, "nothing"),
        *tried,
    ]
    return Table("better", "Table 4. Better than the plain mean?", note, shown, pairs)


def _fitted(entry: Entry, on: str) -> Entry:
    return dataclasses.replace(entry, cells={"fitted on": on})


def _by_validation(scores: Scores, library: Sequence[Entry]) -> list[Entry]:
    """Selection and stacking of all networks, fitted on validation."""
    tables = [entry.subject.calibration for entry in library]
    key, name = "greedy-selection", "greedy selection"
    made = [
        entries.selected(key, name, library, tables, scores.out),
        entries.stacked("stacking", "stacking", library, tables, scores.out),
    ]
    return [_fitted(entry, "validation") for entry in made]


def _extended(
    scores: Scores,
    family: plan.Family,
    rows: Sequence[Entry],
    library: Sequence[Entry],
) -> list[Entry]:
    """What only an extended study has the networks for."""
    made = []
    if family.folds:
        tables = [
            entries.out_of_fold(scores, family.folds[member]) for member in plan.MEMBERS
        ]
        made += _by_folds(scores, rows, predictions.aligned(tables))
    if family.bags:
        bags = [scores.of_run(bag, bag) for bag in family.bags]
        bagged = entries.mean(f"bagging, {len(bags)} draws of lots", bags)
        made.append(_fitted(bagged, "draws of training lots"))
    if family.seeds:
        whole = entries.mean(f"mean of scores, {len(library)} runs", library)
        made.append(_fitted(whole, "nothing"))
    return made


def _by_folds(
    scores: Scores, rows: Sequence[Entry], tables: Sequence[predictions.Predictions]
) -> list[Entry]:
    """Selection and stacking of the four networks, fitted out of fold."""
    made = [
        entries.selected(
            "greedy-selection-out-of-fold",
            "greedy selection, out of fold",
            rows,
            tables,
            scores.out,
        ),
        entries.stacked(
            "stacking-out-of-fold", "stacking, out of fold", rows, tables, scores.out
        ),
    ]
    return [_fitted(entry, "folds") for entry in made]


def _ending(family: plan.Family) -> str:
    return f", {family.name}" if family.name else ""
