"""report.html of a preparation: one file that opens offline.

It shows the counts of the summary beside pictures, for someone who has never seen
the tool.
"""

import collections
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import jinja2
import numpy as np

from nexperia_tf import files, labels
from nexperia_tf.data import manifest, pages
from nexperia_tf.data.duplicates import resolve, search
from nexperia_tf.data.measure import depth
from nexperia_tf.data.prepare import label_leak, pictures, prepared, summary
from nexperia_tf.data.raw import file_names, listing

EXAMPLES = 7  # pictures of one kind
# An exact copy has nothing to show but that it is one.
PAIRS_OF = {search.BYTE: 1, search.PIXEL: 1, search.PHOTOMETRIC: 4, search.GEOMETRIC: 4}
TWIN_PAIRS = 6
TWIN_GROUPS, TWINS = 12, 24  # the largest groups, and pictures of each
LOTS = 12  # the largest ones
MACHINES = 40
_BINS = 40

MEANING = {
    "unreadable": "The file is empty, cut off or damaged.",
    "unsupported": "The file is whole but of a kind that is not read.",
    "not_a_device": "The frame shows no device, although labelled good (or a defect "
    "without box and type).",
    "no_annotation": "A defect without a box, where such defects have one.",
    "duplicate": "The same photograph as another image, which stays.",
    "label_conflict": "Copies of one photograph, labelled good here and defect there; "
    "settle them in decisions.csv.",
    "invalid_box": "The box covers no pixel of the image.",
    "decision": "A person said so in decisions.csv.",
    manifest.NOT_LISTED: "In no class folder, or not in labels.csv.",
    "bridges_splits": "A new picture tied, as twin, copy or by its group, to pictures "
    "that were in two splits before; kept, it would join them.",
}
KIND_MEANING = {
    search.BYTE: "equal files",
    search.PIXEL: "equal pixels in different files",
    search.PHOTOMETRIC: "the same photograph with other brightness, noise or "
    "compression",
    search.GEOMETRIC: "the same photograph moved, turned or cropped",
    search.TWIN: "too alike to stand on both sides of a split",
}

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def write(
    path: pathlib.Path, run: prepared.Prepared, summary: Mapping[str, object]
) -> None:
    """Publishes the report."""
    files.write_text(path, _template().render(**context(run, summary)))


@functools.cache  # it is compiled
def _template() -> jinja2.Template:
    environment = pages.templates(_TEMPLATES)
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment.get_template("prepare.html")


def context(run: prepared.Prepared, summary: Mapping[str, object]) -> dict:
    """Everything that the template shows."""
    rows, used = run.rows, [row for row in run.rows if row.used]
    return {
        "name": file_names.as_text(run.raw.resolve().name),
        "summary": summary,
        "left_out": listing.in_words(run.folder.left_out),
        "depth_range": depth.in_words(summary),
        "meaning": MEANING,
        "kind_meaning": KIND_MEANING,
        "probe_limit": label_leak.WARN_ABOVE,
        "examples": _examples(run),
        "duplicate_pairs": _duplicate_pairs(run),
        "twin_pairs": _twin_pairs(run),
        "twin_groups": _twin_groups(run),
        "conflicts": [
            [_shown(run, row) for row in cluster] for cluster in run.conflicts[:8]
        ],
        "types": _balance(used, lambda row: row.defect_type or row.label),
        "machines": _balance(used, lambda row: row.machine)[:MACHINES],
        "grouped_by": _grouped_by(rows),
        "lots": _balance(used, _shared_group)[:LOTS],
        "lot_kinds": _lot_kinds(rows),
        "has_boxes": run.folder.has_boxes,
        "unboxed": _unboxed(run) if run.folder.has_boxes else [],
        "decided": run.decided.applied,
        "histogram": _histogram(run),
        "nearest": _nearest(run),
    }


def _examples(run: prepared.Prepared) -> list[dict]:
    """Some pictures of each reason, spread over the folder."""
    examples = []
    for reason in summary.dropped(run.rows):
        rows = [row for row in run.rows if row.dropped_because == reason]
        shown = [_shown(run, row) for row in _spread(rows, EXAMPLES)]
        examples.append({"reason": reason, "count": len(rows), "images": shown})
    return examples


def _duplicate_pairs(run: prepared.Prepared) -> list[dict]:
    """The least certain pairs of each kind."""
    shown_pairs = []
    for kind, count in PAIRS_OF.items():
        pairs = [pair for pair in run.findings.pairs if pair.kind == kind]
        pairs.sort(key=lambda pair: (pair.similarity, pair))
        shown_pairs += [_pair(run, pair) for pair in pairs[:count]]
    return shown_pairs


def _twin_pairs(run: prepared.Prepared) -> list[dict]:
    """The least and the most certain twins."""
    pairs = [pair for pair in run.findings.pairs if pair.kind == search.TWIN]
    pairs.sort(key=lambda pair: (pair.similarity, pair))
    half = TWIN_PAIRS // 2
    return [_pair(run, pair) for pair in dict.fromkeys([*pairs[:half], *pairs[-half:]])]


def _twin_groups(run: prepared.Prepared) -> list[dict]:
    """The largest groups, whole where they are not too large."""
    known = {row.path: row for row in run.rows}
    groups = sorted(run.findings.twin_groups, key=lambda group: (-len(group), group))
    return [
        {
            "count": len(group),
            "images": [_shown(run, known[path]) for path in sorted(group)[:TWINS]],
        }
        for group in groups[:TWIN_GROUPS]
    ]


def _pair(run: prepared.Prepared, pair: search.Pair) -> dict:
    known = {row.path: row for row in run.rows}
    a, b = known[pair.path_a], known[pair.path_b]
    crossing = resolve.leaks([pair], run.split_before).pairs
    return {
        "kind": pair.kind,
        "similarity": f"{pair.similarity:.3f}",
        "residual": f"{pair.max_local_residual:.1f}",
        "a": _shown(run, a),
        "b": _shown(run, b),
        "difference": pictures.difference(run.raw, a, b, **_reading(run)),
        "crossing": bool(crossing),
    }


def _unboxed(run: prepared.Prepared) -> list[dict]:
    """Defects without a box by kind: what --unboxed drop loses, or would lose."""
    kinds = collections.defaultdict(list)
    for row in summary.unboxed(run.rows):
        below = summary.is_below(row, run.rules.device_threshold)
        kinds[row.defect_type or ("no type, no device" if below else "no type")].append(
            row
        )
    boxed = collections.Counter(row.defect_type for row in run.rows if row.boxes)
    return [
        {
            "kind": kind,
            "count": len(rows),
            "dropped": sum(not row.used for row in rows),
            "boxed": boxed[kind],
            "by_nature": kind in run.rules.boxless_types,
            "images": [_shown(run, row) for row in _spread(rows, EXAMPLES)],
        }
        for kind, rows in sorted(kinds.items(), key=lambda item: -len(item[1]))
    ]


def _balance(
    rows: Iterable[manifest.Row], value: Callable[[manifest.Row], str]
) -> list[dict]:
    """Good and defect images of each value in each split, the largest value first."""
    counts: dict = collections.defaultdict(collections.Counter)
    rows = list(rows)
    splits = [s for s in manifest.SPLITS if s in {row.split for row in rows}]
    for row in rows:
        if row.label and value(row):
            counts[value(row)][row.split, row.label] += 1
    table = [
        {
            "value": name,
            "good": sum(n for (_, label), n in count.items() if label == labels.GOOD),
            "defect": sum(
                n for (_, label), n in count.items() if label == labels.DEFECT
            ),
            "splits": {
                split: (count[split, labels.GOOD], count[split, labels.DEFECT])
                for split in splits
            },
        }
        for name, count in counts.items()
    ]
    return sorted(table, key=lambda e: (-e["good"] - e["defect"], e["value"]))


def _lot_kinds(rows: Iterable[manifest.Row]) -> dict[str, int]:
    """How many groups hold good images only, defects only, or both."""
    labels_of = collections.defaultdict(set)
    for row in rows:
        if row.label and _shared_group(row):
            labels_of[row.group].add(row.label)
    kinds = collections.Counter(
        "both" if len(held) > 1 else next(iter(held)) for held in labels_of.values()
    )
    return {kind: kinds[kind] for kind in (labels.GOOD, labels.DEFECT, "both")}


def _grouped_by(rows: Iterable[manifest.Row]) -> str:
    """The report's word for what images share."""
    shared = [row for row in rows if _shared_group(row)]
    return "lot" if shared and all(row.lot == row.group for row in shared) else "group"


def _shared_group(row: manifest.Row) -> str:
    return row.group if row.group != row.image_id else ""


def _histogram(run: prepared.Prepared) -> dict:
    """Device scores as bars of a log scale, 0 to 100 high."""
    scores = [row.device_score for row in run.rows if row.device_score is not None]
    counts, _ = np.histogram(scores, bins=_BINS, range=(0, 1))
    heights = np.log1p(counts) / np.log1p(max(counts.max(), 1)) * 100
    bars = [
        {"x": i / _BINS * 100, "height": round(float(height), 1), "count": int(count)}
        for i, (height, count) in enumerate(zip(heights, counts))
    ]
    return {"bars": bars, "width": 100 / _BINS, "limit": run.rules.device_threshold}


def _nearest(run: prepared.Prepared) -> list[dict]:
    """Frames of good devices on either side of the threshold."""
    limit = run.rules.device_threshold
    if limit is None:
        return []
    rows = [r for r in run.rows if r.device_score is not None and r.label]
    rows.sort(key=lambda row: (row.device_score, row.path))
    below = [row for row in rows if row.device_score < limit][-4:]
    above = [row for row in rows if row.device_score >= limit][:4]
    return [_shown(run, row) for row in [*below, *above]]


def _spread(rows: Sequence[manifest.Row], count: int) -> list[manifest.Row]:
    """Up to `count` rows, evenly over the list."""
    if len(rows) <= count:
        return list(rows)
    return [rows[i * len(rows) // count] for i in range(count)]


def _reading(run: prepared.Prepared) -> dict:
    """How the preparation has pictures read."""
    depth_range = run.depth_range.range if run.depth_range else None
    return {"depth_range": depth_range, "max_pixels": run.max_pixels}


def _shown(run: prepared.Prepared, row: manifest.Row) -> dict:
    what = row.defect_type or row.label or manifest.UNLABELLED
    problem = run.messages.get(row.path, "")  # never open a pipe or a device again
    return {
        "path": row.path,
        "name": pathlib.PurePosixPath(row.path).name,
        "what": what,
        "picture": (
            "" if problem else pictures.thumbnail(run.raw, row, **_reading(run))
        ),
        "message": problem,
        "score": "" if row.device_score is None else f"{row.device_score:.2f}",
        "split": row.split,
        "reason": row.dropped_because,
        "of": row.duplicate_of,
    }
