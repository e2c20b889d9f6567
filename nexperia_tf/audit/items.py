"""What a person is to look at: each picture once, with every reason for it."""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

from nexperia_tf import labels
from nexperia_tf.audit import boxes, pairs
from nexperia_tf.audit.held_out import HeldOut
from nexperia_tf.audit.ranking import Ranking
from nexperia_tf.data import manifest
from nexperia_tf.data.duplicates import search

# Kinds of items, in the order in which they are looked at.
SUSPECT, CONFLICT, BOX, UNLIKE = "suspect", "conflict", "box", "unlike"
COPY, TWIN = "copy", "twin"
TITLES = {
    SUSPECT: "Labels in doubt",
    CONFLICT: "Alike, but labelled differently",
    BOX: "Boxes that miss the map",
    UNLIKE: "Unlike all others",
    COPY: "Copies that are not certain",
    TWIN: "Near duplicates that are not certain",
}
HIGH_LOT = 1.0  # logits that a lot sits apart from which it is named as a reason
COLUMNS = (
    "rank",
    "class_rank",
    "kind",
    "image_id",
    "path",
    "label",
    "suggested",
    "score",
    "margin",
    "group",
    "reasons",
    "copies",
)


@dataclasses.dataclass(frozen=True)
class Item:
    """One picture with what is doubtful about it.

    Attributes:
        kind: the first list that it stands in, one of `TITLES`.
        row: of the manifest.
        reasons: sentences, one for each list.
        suggested: the label that the scores speak for; "" where nothing is said of it.
        class_rank: place among the suspects with its label, from 1; None for others.
        score: held-out probability of defect; None where it has none.
        margin: of its label's doubt; None where it has none.
        other: the picture that it is compared with, for pairs.
        copies: paths of the same photograph, which share a decision on its label.
    """

    kind: str
    row: manifest.Row
    reasons: tuple[str, ...]
    suggested: str = ""
    class_rank: int | None = None
    score: float | None = None
    margin: float | None = None
    other: manifest.Row | None = None
    copies: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Lists:
    """What the audit found, before it is one list.

    Attributes:
        suspects: places in the held-out pictures, the most doubtful first.
        alike: conflicts and doubtful copies, in that order.
        missed: boxed defects whose map is elsewhere, the clearest first.
        unlike: places with how many times the usual distance their neighbours have.
    """

    suspects: Sequence[int]
    alike: Sequence[pairs.Pair] = ()
    missed: Sequence[boxes.Miss] = ()
    unlike: Sequence[tuple[int, float]] = ()


def of(held_out: HeldOut, ranking: Ranking, lists: Lists) -> list[Item]:
    """One item a picture, by kind and then as doubtful as it is."""
    found: dict[str, Item] = {}
    known = functools.partial(_known, _Judged(held_out, ranking))
    for item in _all(held_out, ranking, lists):
        before = found.get(item.row.path)
        if before is None:
            found[item.row.path] = known(item)
        else:
            found[item.row.path] = dataclasses.replace(
                before,
                reasons=(*before.reasons, *item.reasons),
                other=before.other or item.other,
            )
    order = list(TITLES)
    return sorted(found.values(), key=lambda item: order.index(item.kind))


def table(items: Sequence[Item]) -> Iterator[Sequence]:
    """The rows of suspects.csv, in the order of COLUMNS."""
    for rank, item in enumerate(items, 1):
        row = item.row
        yield (
            rank,
            item.class_rank,
            item.kind,
            row.image_id,
            row.path,
            label(row),
            item.suggested,
            None if item.score is None else f"{item.score:.6f}",
            None if item.margin is None else f"{item.margin:.6f}",
            row.group,
            "; ".join(item.reasons),
            "; ".join(item.copies),
        )


def with_copies(found: Sequence[Item], rows: Sequence[manifest.Row]) -> list[Item]:
    """The items, each with the other files of its photograph.

    Args:
        found: items.
        rows: all rows of the manifest, dropped ones among them.
    """
    of_cluster = collections.defaultdict(list)
    for row in rows:
        if row.cluster:
            of_cluster[row.cluster].append(row.path)
    return [
        dataclasses.replace(
            item,
            copies=tuple(
                path
                for path in of_cluster.get(item.row.cluster, ())
                if path != item.row.path
            ),
        )
        for item in found
    ]


@dataclasses.dataclass(frozen=True)
class _Judged:
    held_out: HeldOut
    ranking: Ranking

    @functools.cached_property
    def place(self) -> Mapping[str, int]:
        return {row.path: i for i, row in enumerate(self.held_out.rows)}


def _known(judged: _Judged, item: Item) -> Item:
    """The item with score and margin, where it has some."""
    place = judged.place.get(item.row.path)
    if place is None:
        return item
    return dataclasses.replace(
        item,
        score=float(judged.held_out.score[place]),
        margin=float(judged.ranking.margin[place]),
    )


def _all(held_out: HeldOut, ranking: Ranking, lists: Lists) -> Iterator[Item]:
    yield from _suspects(held_out, ranking, lists.suspects)
    for pair in lists.alike:
        yield from of_pair(pair)
    for miss in lists.missed:
        yield Item(BOX, miss.row, (miss.words,))
    for place, times in lists.unlike:
        said = f"its nearest pictures are {times:.1f} times as far as usual"
        yield Item(UNLIKE, held_out.rows[place], (said,))


def _suspects(
    held_out: HeldOut, ranking: Ranking, places: Sequence[int]
) -> Iterator[Item]:
    counts = [0, 0]
    for place in places:
        given = int(held_out.label[place])
        counts[given] += 1
        yield Item(
            SUSPECT,
            held_out.rows[place],
            tuple(_reasons(held_out, ranking, place)),
            suggested=labels.NAMES[1 - given],
            class_rank=counts[given],
        )


def _reasons(held_out: HeldOut, ranking: Ranking, place: int) -> Iterator[str]:
    given = labels.NAMES[held_out.label[place]]
    score = held_out.score[place]
    usual = ranking.thresholds[1 - held_out.label[place]]
    other = labels.NAMES[1 - held_out.label[place]]
    chance = score if other == labels.DEFECT else 1 - score
    words = f"labelled {given}, {other} by {100 * chance:.1f} %"
    if ranking.is_confident[place]:
        words += f", more than the {100 * usual:.1f} % that is usual for {other}"
    yield words
    if abs(taken := ranking.allowance[place]) >= HIGH_LOT:
        side = "higher" if taken > 0 else "lower"
        yield f"its lot scores {side} as a whole, which was allowed for"


def of_pair(pair: pairs.Pair) -> Iterator[Item]:
    """Both pictures where their labels differ, else the one that was dropped."""
    kind = TWIN if pair.kind == search.TWIN else COPY
    kind = CONFLICT if pair.differs else kind
    ends = [(pair.first, pair.second), (pair.second, pair.first)]
    if kind != CONFLICT:  # one that was dropped is the question
        ends = [end for end in ends if not end[0].used][:1] or ends[:1]
    for row, other in ends:
        said = f"{pair.words} of {other.path}, labelled {label(other)}"
        yield Item(kind, row, (said,), other=other)


def label(row: manifest.Row) -> str:
    """Label and kind of defect, as decisions.csv writes them."""
    return ":".join(filter(None, (row.label, row.defect_type)))
