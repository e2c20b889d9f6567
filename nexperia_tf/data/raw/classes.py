"""What names of classes and splits stand for."""

import pathlib
from collections.abc import Sequence

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest

NAMED = 6  # names that a line shows
GOOD_NAMES = ("good", "ok", "pass")  # in any case, unless --good names another
DEFECT_NAMES = ("defect", "defective", "bad", "ng", "fail", "1")  # no kind of defect
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "calibration": manifest.CALIBRATION,
    "unlabelled": manifest.UNLABELLED,
    "unlabeled": manifest.UNLABELLED,
    "": "",
}


def in_words(names: Sequence[str], good: str) -> str:
    """What these class names are taken for, in one line.

    >>> in_words(["NG", "crack", "ok"], "ok")
    'ok = good; NG = defect; crack = kind of defect'
    """
    others = [name for name in names if name and name != good]
    kinds = [name for name in others if label(name, good)[1]]
    plain = [name for name in others if name not in kinds]
    what = "kind of defect" if len(kinds) == 1 else "kinds of defect"
    taken = (([good], "good"), (plain, "defect"), (kinds, what))
    return "; ".join(f"{short(held)} = {word}" for held, word in taken if held)


def short(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def is_good(name: str) -> bool:
    """Whether this is a usual name of the class of good devices."""
    return name.lower() in GOOD_NAMES


def split(folder: str) -> str:
    """The split that a folder of this name holds, or none."""
    return SPLIT_NAMES.get(folder.lower(), "")


def label(text: str, good: str) -> tuple[str, str]:
    """Label and kind of defect that a class name stands for."""
    if not text:
        return "", ""
    if text == good:
        return labels.GOOD, ""
    return labels.DEFECT, "" if text.lower() in DEFECT_NAMES else text


def good_class(where: pathlib.Path, names: list[str], good: str) -> str:
    """The one of these class names that is good.

    Raises:
        errors.BadInput: none is, or more than one.
    """
    names = [name for name in names if name]
    if good:
        exact = [name for name in names if name == good]
        matches = exact or [name for name in names if name.lower() == good.lower()]
    else:
        matches = [name for name in names if name.lower() in GOOD_NAMES]
    if len(matches) == 1:
        return matches[0]
    if not names:
        raise errors.BadInput(f"{where}: holds no class; one is needed for good.")
    shown = ", ".join(names[:8])
    problem = "no class" if not matches else "more than one class"
    wanted = good or "good, ok or pass"
    raise errors.BadInput(
        f"{where}: {problem} named {wanted} among {shown}; say with --good NAME which "
        "class is good."
    )
