"""The three files of an audit: suspects.csv, audit.json and review.html."""

import collections
import datetime
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import files, labels
from nexperia_tf.audit import auditing, items, look_alikes, photographs
from nexperia_tf.audit.review import page
from nexperia_tf.data import manifest, progress
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.raw import file_names
from nexperia_tf.evaluation import heatmaps
from nexperia_tf.evaluation.report import pictures

SCHEMA = 1  # of audit.json and suspects.csv
SUSPECTS, FACTS, PAGE = "suspects.csv", "audit.json", "review.html"
TOGETHER = 64  # pictures whose maps are drawn at once
APART = 10  # lots that audit.json names


def write(folder: pathlib.Path, found: auditing.Audit, *, seconds: float) -> None:
    """Writes the files.

    Args:
        folder: that is there.
        found: what they say.
        seconds: that finding it took.
    """
    files.write_csv(folder / SUSPECTS, items.COLUMNS, items.table(found.items))
    nearest = _nearest(found)
    html = page.render(
        found.items,
        page.Sources(_contents(found, nearest), _maps(found), nearest),
        name=_name(found),
        key=files.sha256(folder / SUSPECTS)[:16],
        kinds=_kinds(found.rows),
    )
    files.write_text(folder / PAGE, html)
    files.write_json(folder / FACTS, facts(found) | {"seconds": round(seconds, 1)})


def facts(found: auditing.Audit) -> dict:
    """What audit.json says, but for the time."""
    scores, ranked = found.scores, found.ranking
    of_class = zip(labels.NAMES, ranked.thresholds.tolist(), range(2))
    return {
        "schema": SCHEMA,
        "made": datetime.datetime.now(datetime.UTC).isoformat(),
        "data": _name(found),
        "manifest_sha256": files.sha256(found.named.dataset.prepared / "manifest.csv"),
        "method": scores.method,
        "caution": found.caution,
        **scores.facts,
        "seed": found.options.seed,
        "pictures": len(scores.rows),
        "auc_by_given_labels": scores.auc,
        "classes": {
            name: {
                "pictures": int(np.sum(scores.label == label)),
                "threshold": threshold,
                "estimated_wrong": ranked.wrong(label),
                "listed": _listed(found, name),
            }
            for name, threshold, label in of_class
        },
        "lots_apart": _lots_apart(found) if found.options.lots else [],
        "listed": {kind: found.count(kind) for kind in items.TITLES},
    }


def _listed(found: auditing.Audit, name: str) -> int:
    of_class = [item for item in found.items if item.row.label == name]
    return sum(item.kind == items.SUSPECT for item in of_class)


def _lots_apart(found: auditing.Audit) -> list[dict]:
    """The lots whose scores sit furthest from the others', in logits."""
    taken = dict(zip(found.scores.groups, found.ranking.allowance.tolist()))
    counts = collections.Counter(found.scores.groups)
    apart = sorted((n for n in taken if n and taken[n]), key=lambda n: -abs(taken[n]))
    return [
        {"group": name, "pictures": counts[name], "logits": round(taken[name], 3)}
        for name in apart[:APART]
    ]


def _name(found: auditing.Audit) -> str:
    """The raw folder's own name."""
    facts = files.read_json(found.named.dataset.prepared / prepare.SUMMARY)
    return file_names.as_text(pathlib.Path(facts["raw"]).name)


def _kinds(rows: Sequence[manifest.Row]) -> list[str]:
    """Kinds of defects, the most frequent first."""
    counts = collections.Counter(row.defect_type for row in rows if row.defect_type)
    return sorted(counts, key=lambda kind: (-counts[kind], kind))


def _nearest(found: auditing.Audit) -> dict[str, list[manifest.Row]]:
    """Look-alikes of each item that has scores, by its path: good ones and defects."""
    rows = found.scores.rows
    place = {row.path: i for i, row in enumerate(rows)}
    known = [item.row.path for item in found.items if item.row.path in place]
    space = look_alikes.Space.of(found.scores.looks, found.scores.label)
    at = [place[path] for path in known]
    of_class = [space.nearest(at, label) for label in range(len(labels.NAMES))]
    return {
        path: [rows[i] for i in (*good, *defects)]
        for path, good, defects in zip(known, *of_class)
    }


def _contents(
    found: auditing.Audit, nearest: Mapping[str, Sequence[manifest.Row]]
) -> dict[str, bytes]:
    rows = [item.row for item in found.items]
    rows += [item.other for item in found.items if item.other]
    rows += [row for alike in nearest.values() for row in alike]
    return photographs.contents(found.named.dataset, rows)


def _maps(found: auditing.Audit) -> dict[str, np.ndarray]:
    """The maps of items, each by the first run that judges it."""
    wanted, maps = {item.row.path for item in found.items}, {}
    for run, rows in auditing.judges(found.named):
        rows = [r for r in rows if r.path in wanted and r.path not in maps]
        examples = photographs.of_records(run.dataset, rows)
        explained = pictures.ExplainedModel(run, heatmaps.AUTO)
        starts = range(0, len(rows), TOGETHER)
        for start in progress.track(starts, "Drawing maps", total=len(starts)):
            some = rows[start : start + TOGETHER]
            drawn = explained.maps([examples[row.image_id] for row in some])
            maps |= {row.path: heatmap for row, heatmap in zip(some, drawn)}
    return maps
