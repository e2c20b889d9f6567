"""What names of classes and splits stand for."""

import collections
import difflib
import pathlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest, tables

NAMED = 6  # names that a line shows
GOOD_NAMES = ("good", "ok", "pass")  # in any case, unless --good names another
DEFECT_NAMES = ("defect", "defective", "bad", "ng", "fail", "1")  # no kind of defect
NO_VERDICT = (*tables.NO_NUMBER, "#n/a", "unknown", "unclear", "unsure", "tbd", "todo")
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
ALIKE = 0.75  # of difflib: `godo` and `good`
RARER = 3  # times rarer than what it is like: a typo
SHOWN = 5  # places that a line names


def folded(name: str) -> str:
    """What a name means whatever its case, spaces and width of letters.

    >>> folded(" GOOD "), folded("lead  Defect")
    ('good', 'lead defect')
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def in_words(names: Sequence[str], good: Sequence[str]) -> str:
    """What these class names are taken for, in one line.

    >>> in_words(["NG", "crack", "OK"], ["ok"])
    'OK = good; NG = defect; crack = kind of defect'
    """
    named = {name: label(name, good) for name in names if name}
    held = [name for name, found in named.items() if found[0] == labels.GOOD]
    others = [name for name in named if name not in held]
    kinds = [name for name in others if named[name][1]]
    plain = [name for name in others if name not in kinds]
    what = "kind of defect" if len(kinds) == 1 else "kinds of defect"
    taken = ((held, "good"), (plain, "defect"), (kinds, what))
    return "; ".join(f"{short(some)} = {word}" for some, word in taken if some)


def short(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(errors.cut, names[:NAMED])) + more


def is_good(name: str) -> bool:
    """Whether this is a usual name of the class of good devices."""
    return folded(name) in GOOD_NAMES


def split(folder: str) -> str:
    """The split that a folder of this name holds, or none."""
    return SPLIT_NAMES.get(folder.lower(), "")


def label(text: str, good: Sequence[str]) -> tuple[str, str]:
    """Label and kind of defect that a class name stands for.

    Args:
        text: the name.
        good: what `good_class` gave.
    """
    if not text:
        return "", ""
    if folded(text) in good:
        return labels.GOOD, ""
    return labels.DEFECT, "" if folded(text) in DEFECT_NAMES else text


def good_class(
    where: pathlib.Path, names: Mapping[str, Sequence[str]], good: str
) -> tuple[str, ...]:
    """The names that mean good, folded; more than one where `good` lists several.

    Args:
        where: what has these classes.
        names: of the classes; the places of each, where they have any.
        good: `--good`: a name, or several with commas; "" stands for GOOD_NAMES.

    Raises:
        errors.BadInput: no class is good, or more than one may be.
    """
    there = {folded(name) for name in names} - {""}
    if not there:
        raise errors.BadInput(f"{where}: holds no class; one is needed for good.")
    asked = _asked(there, good)
    found = [name for name in asked if name in there]
    if not found or (good and len(found) < len(asked)):
        lacking = next(name for name in asked if name not in there)
        wanted = lacking if good else "good, ok or pass"
        raise _undecided(where, names, f"no class named {wanted}")
    others = [name for name in GOOD_NAMES if name in there and name not in found]
    if (len(found) > 1 and not good) or (others and {*found} & {*GOOD_NAMES}):
        raise _several(where, names, [*found, *others])
    return tuple(found)


def _asked(there: set[str], good: str) -> list[str]:
    if not good:
        return list(GOOD_NAMES)
    if folded(good) in there:
        return [folded(good)]
    return [folded(part) for part in good.split(",")]


def _undecided(
    where: pathlib.Path, names: Mapping[str, Sequence[str]], problem: str
) -> errors.BadInput:
    shown = short([name for name in names if name])
    return errors.BadInput(
        f"{where}: {problem} among {shown}; say with --good NAME which class is good."
    )


def _several(
    where: pathlib.Path, names: Mapping[str, Sequence[str]], alike: Sequence[str]
) -> errors.BadInput:
    spelled = [name for name in names if folded(name) in alike]
    listed = ", ".join(
        f"{errors.cut(name)} ({rows_in_words(names[name])})" if names[name] else name
        for name in spelled
    )
    return errors.BadInput(
        f"{where}: more than one class may be good: {listed}; name all that are, as "
        f"--good {','.join(dict.fromkeys(map(folded, spelled)))}, or give the others "
        "another name."
    )


def rows_in_words(places: Sequence[str]) -> str:
    """How many rows, and the first of them.

    >>> rows_in_words(["labels.csv:3", "labels.csv:9"])
    '2 rows: 3, 9'
    """
    lines = [place.rpartition(":")[2] for place in places[:SHOWN]]
    more = ", ..." if len(places) > SHOWN else ""
    rows = "1 row" if len(places) == 1 else f"{len(places)} rows"
    return f"{rows}: {', '.join(lines)}{more}"


def spellings(names: Sequence[str]) -> dict[str, str]:
    """The most frequent spelling of each name, by what it means.

    >>> spellings(["Crack", "crack", "crack", "Chip"])
    {'crack': 'crack', 'chip': 'Chip'}
    """
    counts: dict[str, collections.Counter] = {}
    for name in names:
        counts.setdefault(folded(name), collections.Counter())[name] += 1
    return {key: min(c, key=lambda n: (-c[n], n)) for key, c in counts.items()}


def doubtful(
    names: Mapping[str, Sequence[str]], good: Sequence[str] = ()
) -> Iterator[str]:
    """A line for each name that looks like a typo, or like no verdict at all.

    Args:
        names: with the places of each, as `file:line`.
        good: what `good_class` gave; these are sure.
    """
    places: dict[str, list[str]] = {}
    for name, where in names.items():
        places.setdefault(folded(name), []).extend(where)
    shown = {folded(name): name for name in names}
    counts = {name: len(rows) for name, rows in places.items()}
    for name in (name for name in places if name not in ("", *good)):
        this = f"{errors.quoted(shown[name])} ({rows_in_words(places[name])})"
        if name in NO_VERDICT or not any(c.isalnum() for c in name):
            yield (
                f"{this} is taken for a kind of defect; leave the cell empty where "
                "there is no verdict"
            )
        elif meant := _meant(name, counts, good):
            yield f"{this} looks like {errors.quoted(shown[meant])}; is it?"


def _meant(name: str, counts: Mapping[str, int], good: Sequence[str]) -> str | None:
    """A much more frequent name that differs from this one in little."""
    often = [n for n, count in counts.items() if count >= RARER * counts[name]]
    # `crack 1` and `crack 2` are two kinds, `good2` may be none.
    words = [n for n in often if n in good or _letters(n) != _letters(name)]
    return next(iter(difflib.get_close_matches(name, words, 1, ALIKE)), None)


def _letters(name: str) -> str:
    return "".join(c for c in name if c.isalpha())
