"""The leak probe: can the label be predicted without looking at a pixel?

File name, size, format, lot, machine and place in the sequence should say nothing
about a device's quality. Where they do, a model may learn the line's paperwork instead
of the defects, and a good test score means little.

One number of the whole picture, its brightness, contrast or sharpness, may say
something. Where it says nearly all, light or focus may have differed between good and
defective devices, and a network has little to add to it.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import threadpoolctl

from nexperia_tf import labels
from nexperia_tf.data import manifest
from nexperia_tf.data.raw import file_names

WARN_ABOVE = 0.6  # AUC
FOLDS = 5
MOST_ROWS = 20_000  # more tell nothing new
FEWEST_PER_CLASS = 20
LOOKS = {  # of a whole picture: what more of it is called, and less
    "brightness": ("brightness", "darkness"),
    "contrast": ("contrast", "low contrast"),
    "sharpness": ("sharpness", "blur"),
}
LOOK_ABOVE = 0.75  # AUC of one of them from which it is said
_BINS = 32  # of a number
_PRIOR = 2.0  # devices of the mean rate that are mixed into the rate of a value


@dataclasses.dataclass(frozen=True)
class Probe:
    """What the paperwork gives away.

    Attributes:
        auc: cross-validated AUC of all fields together; None for too few images.
        by_field: the same for each field alone, the best first.
        n: images used.
        by_look: the same for one number of the whole picture, such as darkness, the
            best first.
    """

    auc: float | None
    by_field: dict[str, float]
    n: int
    by_look: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def warns(self) -> bool:
        return self.auc is not None and self.auc > WARN_ABOVE


def probe(rows: Sequence[manifest.Row], *, seed: int = 0) -> Probe:
    """Predicts the label of labelled rows from everything but pixels.

    Folds are drawn image by image, as in a careless split: that is when lots leak.
    """
    from sklearn import ensemble, model_selection  # here: not to begin with

    rows = [row for row in rows if row.label]
    positive = np.array([row.label == labels.DEFECT for row in rows], int)
    counts = np.bincount(positive, minlength=2)
    if counts.min() < FEWEST_PER_CLASS:
        return Probe(None, {}, len(rows))
    if len(rows) > MOST_ROWS:
        picked, _ = model_selection.train_test_split(
            np.arange(len(rows)),
            train_size=MOST_ROWS,
            stratify=positive,
            random_state=seed,
        )
        rows, positive = [rows[i] for i in sorted(picked)], positive[np.sort(picked)]
    columns = _columns(rows)
    codes = np.stack(list(columns.values()), axis=1)  # (rows, fields)
    alone = np.zeros(codes.shape)  # defect rate of the field's value
    scores = np.zeros(len(rows))
    for train, held_out in _folds(positive, seed):
        alone[held_out] = _rates(codes[train], positive[train], codes[held_out])
        model = ensemble.HistGradientBoostingClassifier(
            max_iter=40,
            early_stopping=False,
            # A higher rate may only raise the score. Where all lots have one rate, the
            # rate without the held-out device is a bit lower for a defect: no leak.
            monotonic_cst=[1] * codes.shape[1],
            random_state=seed,
        )
        rates = _cross_rates(codes[train], positive[train], seed)
        # A model this small loses more to waiting threads than it wins.
        with threadpoolctl.threadpool_limits(1):
            model.fit(rates, positive[train])
            scores[held_out] = model.predict_proba(alone[held_out])[:, 1]
    by_field = {name: _auc(positive, rate) for name, rate in zip(columns, alone.T)}
    return Probe(
        _auc(positive, scores),
        _ranked(by_field),
        len(rows),
        _by_look(rows, positive, seed),
    )


def fields(row: manifest.Row) -> dict[str, str | float]:
    """Everything about an image that is not in its pixels, nor in its folder's name."""
    path = pathlib.PurePosixPath(row.path)
    name = file_names.parse(path.stem)
    digits = re.findall(r"\d+", path.stem)
    shared = row.group if row.group != row.image_id else ""
    return {
        "name form": name["pattern"]
        if name["pattern"] != "other"
        else _shape(path.stem),
        "name length": float(len(path.stem)),
        "ending": path.suffix.lower(),
        "size": f"{row.width}x{row.height}",
        "format": f"{row.format} {row.mode}",
        "lot": row.lot,
        "group": "" if shared == row.lot else shared,
        "machine": row.machine,
        "code": name.get("code", ""),
        "track": name.get("track", ""),
        "position": name.get("position", ""),
        "sequence": float(name.get("sequence") or (digits[-1][-9:] if digits else -1)),
    }


def look_in_words(name: str, sign: int) -> str:
    """What defects have more of, where a number of theirs is higher (1) or lower (-1).

    >>> look_in_words("brightness", -1), look_in_words("texture 3", 1)
    ('darkness', 'high texture 3')
    """
    more, less = LOOKS.get(name, (f"high {name}", f"low {name}"))
    return more if sign > 0 else less


def _by_look(
    rows: Sequence[manifest.Row], positive: np.ndarray, seed: int
) -> dict[str, float]:
    """AUC of each number of the picture alone; other rows say which way it points."""
    found = {}
    for name in LOOKS:
        values = np.array([getattr(row, name) for row in rows], np.float64)
        if not np.isfinite(values).all() or values.min() == values.max():
            continue
        aucs = []
        for train, held_out in _folds(positive, seed):
            sign = _direction(positive[train], values[train])
            aucs.append(_auc(positive[held_out], sign * values[held_out]))
        in_words = look_in_words(name, _direction(positive, values))
        found[in_words] = float(np.mean(aucs))
    return _ranked(found)


def _direction(positive: np.ndarray, values: np.ndarray) -> int:
    return 1 if _auc(positive, values) >= 0.5 else -1


def _auc(positive: np.ndarray, scores: np.ndarray) -> float:
    from sklearn import metrics

    return float(metrics.roc_auc_score(positive, scores))


def _ranked(aucs: dict[str, float]) -> dict[str, float]:
    return dict(sorted(aucs.items(), key=lambda item: (-item[1], item[0])))


def _shape(stem: str) -> str:
    """The name's pattern: runs of digits are 9, runs of letters A."""
    return re.sub(r"[^\W\d_]+", "A", re.sub(r"\d+", "9", stem))


def _columns(rows: Sequence[manifest.Row]) -> dict[str, np.ndarray]:
    """Integer codes of every field that has more than one value."""
    table = [fields(row) for row in rows]
    columns = {}
    for name in table[0]:
        values = np.array([cells[name] for cells in table])
        if values.dtype.kind == "f":
            edges = np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])
            codes = np.searchsorted(np.unique(edges), values)
        else:
            codes = np.unique(values, return_inverse=True)[1]
        if codes.max() > codes.min():
            columns[name] = codes
    return columns


def _folds(positive: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn import model_selection

    folds = model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return folds.split(positive, positive)


def _cross_rates(codes: np.ndarray, positive: np.ndarray, seed: int) -> np.ndarray:
    """Defect rates for training rows, from other rows: none sees its own label."""
    rates = np.zeros(codes.shape)
    for train, held_out in _folds(positive, seed):
        rates[held_out] = _rates(codes[train], positive[train], codes[held_out])
    return rates


def _rates(
    codes: np.ndarray, positive: np.ndarray, codes_asked: np.ndarray
) -> np.ndarray:
    """Defect rate of each asked value, as the rows of `codes` have it."""
    size = max(codes.max(), codes_asked.max()) + 1
    rates = np.zeros(codes_asked.shape)
    for field in range(codes.shape[1]):
        count = np.bincount(codes[:, field], minlength=size)
        defects = np.bincount(codes[:, field], positive, minlength=size)
        rate = (defects + _PRIOR * positive.mean()) / (count + _PRIOR)
        rates[:, field] = rate[codes_asked[:, field]]
    return rates
