"""What drifted, in sentences that an engineer reads once."""

import math

import numpy as np
from scipy import special

from nexperia_tf.drift import judging, measure

MOST = 8  # sentences: one cause moves many numbers
_DOWN_AND_UP = {
    measure.BRIGHTNESS: ("pictures are {} darker", "pictures are {} brighter"),
    measure.CONTRAST: ("contrast is {} lower", "contrast is {} higher"),
    measure.DARKS: ("the dark parts are {} darker", "the dark parts are {} brighter"),
    measure.BRIGHTS: (
        "the bright parts are {} darker",
        "the bright parts are {} brighter",
    ),
    measure.FINE: (
        "pictures are blurred: {} less fine detail",
        "pictures hold {} more fine detail (noise, sharpening)",
    ),
    measure.COARSE: ("{} less detail of middle size", "{} more detail of middle size"),
    measure.RED: ("red is {} weaker beside green", "red is {} stronger beside green"),
    measure.BLUE: (
        "blue is {} weaker beside green",
        "blue is {} stronger beside green",
    ),
}
_OF_A_PLACE = {
    measure.BRIGHTNESS: (
        "the picture's {place} is {} darker, beside the rest,",
        "the picture's {place} is {} brighter, beside the rest,",
    ),
    measure.FINE: (
        "the picture's {place} is blurred: {} less fine detail, beside the rest,",
        "the picture's {place} holds {} more fine detail, beside the rest,",
    ),
}
_CHECK = {
    measure.BRIGHTNESS: "the light, the exposure and the gain",
    measure.CONTRAST: "the light, the exposure and stray light",
    measure.DARKS: "stray light and the black level",
    measure.BRIGHTS: "the light and the exposure",
    measure.FINE: "focus, vibration, a dirty lens, and compression",
    measure.COARSE: "focus and the distance of the camera",
    measure.RED: "the lamp and the white balance",
    measure.BLUE: "the lamp and the white balance",
    judging.CALLED_DEFECT: "the rejects: a worse process, or a camera that changed",
    judging.SCORE: "pictures of good devices with the highest scores",
    judging.UNFAMILIAR: "the pictures with the highest distance: another product?",
}
_CHECK_OF_A_PLACE = "the lens and its window at that place, then the light"


def said(drift: judging.Drift, *, than: str = "when the model was trained") -> str:
    """One sentence on a window of pictures.

    Args:
        drift: what was found.
        than: what they were compared with.
    """
    if drift.state == judging.CHANGED:
        first = of_change(drift.changes[0], than=than)
        more = len(drift.changes) - 1
        return f"Changed: {first}{_more(more)}."
    if drift.state == judging.TOO_LITTLE:
        return _too_little(drift)
    return (
        f"No change found: {drift.pictures} pictures of {lots(drift.lots)} beside "
        f"{lots(drift.known)} that were fine.{_unseen(drift)}"
    )


def _more(count: int) -> str:
    if not count:
        return ""
    return f"; and {count} more number{'' if count == 1 else 's'}"


def lots(count: int) -> str:
    """
    >>> lots(1), lots(8)
    ('1 lot', '8 lots')
    """
    return f"{count} lot{'' if count == 1 else 's'}"


def _too_little(drift: judging.Drift) -> str:
    if not drift.lots:
        return (
            f"Too little to tell: {drift.pictures} pictures, but nothing tells their "
            "lots, and pictures of one lot resemble each other."
        )
    if not drift.known:
        return (
            f"Too little to tell: {drift.pictures} pictures of {lots(drift.lots)}, but "
            "none of the pictures that were fine has a lot to compare with."
        )
    return (
        f"Too little to tell: {lots(drift.lots)} beside {lots(drift.known)} that were "
        f"fine differ by chance in one of {1 / max(drift.least_p, 1e-9):.0f} cases at "
        f"best, and {percent(drift.false_alarms)} false alarms are allowed; about "
        f"{lots(drift.lots_needed)} can tell."
    )


def _unseen(drift: judging.Drift) -> str:
    """How large a change would go unseen."""
    limits = {each.name: each.unseen for each in drift.numbers}
    seen = [
        f"{name} by {percent(math.expm1(limits[name]))}"
        for name in (measure.BRIGHTNESS, measure.FINE)
        if math.isfinite(limits.get(name, math.inf))
    ]
    places = [each.unseen for each in drift.numbers if each.place]
    if places and math.isfinite(max(places)):
        seen.append(f"one place by {percent(math.expm1(float(np.median(places))))}")
    if not seen:
        return ""
    return f" One of two changes of {', of '.join(seen)} would have been found."


def of_change(change: judging.Change, *, than: str) -> str:
    """A change in words, without its full stop."""
    return (
        f"{_what(change, than)}, in {change.lots} of {lots(change.of)} "
        f"(p {p_value(change.p)})"
    )


def _what(change: judging.Change, than: str) -> str:
    if change.name == judging.CALLED_DEFECT:
        before, now = (percent(max(0.0, v)) for v in (change.before, change.now))
        return f"{now} are called defect, {before} {than}"
    if change.name in (judging.SCORE, judging.UNFAMILIAR):
        before, now = (f"{in_units(change.name, v):.2g}" for v in _two(change))
        what = "score" if change.name == judging.SCORE else "distance from the training"
        return f"good devices typically have {what} {now}, {before} {than}"
    rises = change.difference > 0
    size = percent(abs(math.expm1(change.difference)))
    if change.place:
        forms = _OF_A_PLACE[change.name.rsplit(" ", 2)[0]]
        what = forms[rises].format(size, place=place(*change.place))
    else:
        what = _DOWN_AND_UP[change.name][rises].format(size)
    return f"{what} than {than}"


def _two(change: judging.Change) -> tuple[float, float]:
    return change.before, change.now


def check(change: judging.Change) -> str:
    """What a person should look at."""
    return _CHECK_OF_A_PLACE if change.place else _CHECK[change.name]


def place(row: int, column: int) -> str:
    """Where a place of the grid lies.

    >>> place(0, 0), place(2, 1), place(3, 2), place(1, 3)
    ('upper left', 'lower left of the centre', 'lower middle', 'middle right')
    """
    last = measure.GRID - 1
    up = "upper" if 2 * row < last else "lower"
    left = "left" if 2 * column < last else "right"
    if 0 < row < last:
        return f"{up} {left} of the centre" if 0 < column < last else f"middle {left}"
    return f"{up} middle" if 0 < column < last else f"{up} {left}"


def in_units(name: str, value: float) -> float:
    """A number as a person knows it: levels, a share, a score, times the limit.

    >>> round(in_units("brightness", math.log(101)), 6), in_units("called defect", .1)
    (100.0, 0.1)
    """
    if name == judging.CALLED_DEFECT:
        return value
    if name == judging.SCORE:
        return float(special.expit(value))
    is_level = name in (measure.BRIGHTNESS, measure.DARKS, measure.BRIGHTS)
    return math.exp(value) - (1.0 if is_level or name == measure.CONTRAST else 0.0)


def percent(share: float) -> str:
    """
    >>> percent(0.0512), percent(0.123), percent(0.001)
    ('5.1 %', '12 %', '0.1 %')
    """
    value = 100 * share
    return f"{value:.{0 if abs(value) >= 10 else 1}f} %"


def p_value(p: float) -> str:
    """
    >>> p_value(0.00021), p_value(0.4)
    ('0.0002', '0.4')
    """
    return f"{p:.1g}"
