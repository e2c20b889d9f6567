"""What simple numbers alone reach: by trees or logistic regression, the better one.

The choice is made within the training pictures, by folds that keep groups whole, so
validation and test have chosen nothing.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import threadpoolctl
from scipy import stats

from nexperia_tf import errors, labels
from nexperia_tf.data.prepare import label_leak
from nexperia_tf.statistics import clustered

TREES, REGRESSION = "extremely random trees", "logistic regression"
NEIGHBOUR = "nearest neighbour"
FOLDS = 5
GROWN = {"choosing": 60, "kept": 200}  # trees
LEAF = 2  # fewest training pictures of a leaf
REGULARISATION = 0.005  # inverse: some hundred numbers, as many pictures
ALIKE = 0.7  # correlation of two numbers of which one is enough to show
BLOCK = 1000  # pictures whose distances are held at once
FARTHEST = 5.0  # standard deviations of a number; one picture must not decide


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Pictures as numbers.

    Attributes:
        names: of the numbers.
        values: float32 array of shape `(pictures, numbers)`.
        thumbnails: float32 array of shape `(pictures, pixels)`.
        label: int array of shape `(pictures,)`, 1 for defect, 0 for good, -1 unknown.
        group: names of shape `(pictures,)`; "" is a group of its own.
    """

    names: Sequence[str]
    values: np.ndarray
    thumbnails: np.ndarray
    label: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


@dataclasses.dataclass(frozen=True)
class Alone:
    """One number as a score.

    Attributes:
        name: of the number.
        sign: 1 where defects have more of it, -1 where they have less.
        auc: on the training pictures.
    """

    name: str
    sign: int
    auc: float

    @property
    def words(self) -> str:
        """What defects have, such as darkness, by which it can be told."""
        return label_leak.look_in_words(self.name, self.sign)


@dataclasses.dataclass(frozen=True, eq=False)
class Floor:
    """What was fitted on the training pictures.

    Attributes:
        model: TREES or REGRESSION.
        tried: AUC of each by cross-validation over groups; empty where too few.
        alone: every number, that with the best AUC on the training pictures first.
        train: the training pictures.
        fitted: the scikit-learn classifier.
    """

    model: str
    tried: dict[str, float]
    alone: tuple[Alone, ...]
    train: Table
    fitted: object

    def scores(self, table: Table) -> np.ndarray:
        """Probability of defect, float64 of shape `(pictures,)`."""
        return _scores(self.fitted, table.values)

    def scores_alone(self, number: Alone, table: Table) -> np.ndarray:
        """One number as a score, float64 of shape `(pictures,)`."""
        place = list(self.train.names).index(number.name)
        return number.sign * table.values[:, place].astype(np.float64)

    def distinct(self, most: int) -> list[Alone]:
        """The first of `alone` that do not say the same as one before them."""
        found: list[Alone] = []
        for number in self.alone:
            ours = self.scores_alone(number, self.train)
            others = [self.scores_alone(other, self.train) for other in found]
            if ours.std() and all(
                np.corrcoef(ours, other)[0, 1] < ALIKE for other in others
            ):
                found.append(number)
            if len(found) == most:
                break
        return found

    def scores_of_neighbour(self, table: Table) -> np.ndarray:
        """How much nearer the nearest defect's thumbnail is than the nearest good one.

        0 to 1, float64 of shape `(pictures,)`.
        """
        is_defect = self.train.label == labels.POSITIVE
        defect, good = (
            _distance(table.thumbnails, self.train.thumbnails[kind])
            for kind in (is_defect, ~is_defect)
        )
        both = defect + good
        return np.divide(good, both, out=np.full(len(both), 0.5), where=both > 0)


def fit(train: Table, *, seed: int = 0) -> Floor:
    """Fits the better of both models on labelled training pictures.

    Raises:
        errors.BadInput: a class is missing.
    """
    check_classes(train.label)
    # Models this small lose more to waiting threads of BLAS than they win.
    with threadpoolctl.threadpool_limits(1):
        tried = _tried(train, seed)
        model = max(tried, key=tried.get, default=TREES)
        fitted = _model(model, GROWN["kept"], seed).fit(train.values, train.label)
    return Floor(model, tried, _alone(train), train, fitted)


def check_classes(label: np.ndarray) -> None:
    """Refuses training pictures of one class.

    Raises:
        errors.BadInput: a class is missing.
    """
    defects = int(np.sum(label == labels.POSITIVE))
    if not 0 < defects < len(label):
        raise errors.BadInput(
            "split train: a baseline needs good and defective pictures. Received "
            f"{len(label) - defects} good and {defects} defect; add the missing ones."
        )


def _model(name: str, trees: int, seed: int):
    # Here and below: a training needs it when it is done, not to begin.
    from sklearn import ensemble, linear_model, pipeline
    from sklearn import preprocessing as scaling

    if name == TREES:
        return ensemble.ExtraTreesClassifier(
            trees,
            min_samples_leaf=LEAF,
            class_weight="balanced",
            random_state=seed,
        )
    return pipeline.make_pipeline(
        scaling.StandardScaler(),
        scaling.FunctionTransformer(
            functools.partial(np.clip, a_min=-FARTHEST, a_max=FARTHEST)
        ),
        linear_model.LogisticRegression(
            C=REGULARISATION, class_weight="balanced", max_iter=1000
        ),
    )


def _tried(train: Table, seed: int) -> dict[str, float]:
    """AUC of each model by folds of whole groups; empty where there are too few."""
    from sklearn import metrics

    folds, aucs = list(_folds(train, seed)), {}
    if not folds:
        return aucs
    for name, scores in held_out(train, folds, trees=GROWN["choosing"], seed=seed):
        judged = np.isfinite(scores)
        if len(set(train.label[judged])) == 2:
            aucs[name] = float(
                metrics.roc_auc_score(train.label[judged], scores[judged])
            )
    return aucs


def held_out(
    table: Table,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    trees: int = GROWN["kept"],
    seed: int = 0,
) -> Iterator[tuple[str, np.ndarray]]:
    """Scores by models that have not seen the picture.

    Args:
        table: labelled pictures.
        folds: places to fit on and places to score, for each fold.
        trees: how many are grown.
        seed: of the trees.

    Yields:
        name and scores of each model, TREES first; float64 of shape `(pictures,)`, NaN
        where a picture is in no fold.
    """
    for name in (TREES, REGRESSION):
        scores = np.full(len(table), np.nan)
        for fitted_on, scored in folds:
            model = _model(name, trees, seed)
            with threadpoolctl.threadpool_limits(1):
                model.fit(table.values[fitted_on], table.label[fitted_on])
                scores[scored] = _scores(model, table.values[scored])
        yield name, scores


def _folds(train: Table, seed: int):
    """Folds of whole groups that leave both classes to fit on."""
    from sklearn import model_selection

    group = clustered.group_numbers(train.group)
    fewest = min(np.bincount(train.label, minlength=2))
    count = min(FOLDS, fewest, group.max() + 1)
    if count < 2:
        return
    splitter = model_selection.StratifiedGroupKFold(
        count, shuffle=True, random_state=seed
    )
    for fitted_on, held_out in splitter.split(train.label, train.label, group):
        if len(set(train.label[fitted_on])) == 2:
            yield fitted_on, held_out


def _scores(model, values: np.ndarray) -> np.ndarray:
    return model.predict_proba(values)[:, labels.POSITIVE].astype(np.float64)


def _alone(train: Table) -> tuple[Alone, ...]:
    """Every number as a score, the best first; all AUCs at once by their ranks."""
    is_defect = train.label == labels.POSITIVE
    defects, good = is_defect.sum(), (~is_defect).sum()
    above = stats.rankdata(train.values, axis=0)[is_defect].sum(axis=0)
    aucs = (above - defects * (defects + 1) / 2) / (defects * good)
    found = [
        Alone(name, 1 if auc >= 0.5 else -1, max(auc, 1 - auc))
        for name, auc in zip(train.names, aucs.tolist())
    ]
    return tuple(sorted(found, key=lambda number: -number.auc))


def _distance(thumbnails: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance to the nearest of the others, float64 of shape `(pictures,)`."""
    others = others.astype(np.float64)
    sizes, nearest = np.sum(others**2, axis=1), []
    for start in range(0, len(thumbnails), BLOCK):
        some = thumbnails[start : start + BLOCK].astype(np.float64)
        squared = sizes - 2 * some @ others.T  # (pictures, others)
        nearest.append(squared.min(axis=1) + np.sum(some**2, axis=1))
    return np.sqrt(np.maximum(np.concatenate(nearest), 0))
