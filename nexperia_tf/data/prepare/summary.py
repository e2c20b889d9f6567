"""The counts of a preparation, as numbers for summary.json and as words."""

import collections
import datetime
from collections.abc import Iterable, Mapping, Sequence

from nexperia_tf import labels
from nexperia_tf.data import manifest
from nexperia_tf.data.duplicates import resolve
from nexperia_tf.data.measure import depth
from nexperia_tf.data.prepare import kept_splits, label_leak, prepared
from nexperia_tf.data.raw import listing

SCHEMA = 1
REMEDIES = {  # what to do about pictures that were dropped for a reason
    "unreadable": "copy the files once more from where they come from",
    "unsupported": "convert the others likewise",
    "not_a_device": "the frames seem to show no device; keep those that do by "
    "decisions.csv (PATH,keep,)",
    "no_annotation": "write their boxes into the table, or keep defects without a box "
    "with --unboxed keep",
    "duplicate": "they are copies of pictures that stay; add others",
    "label_conflict": "copies of one picture carry both labels; settle them in "
    "decisions.csv (PATH,relabel,defect)",
    "invalid_box": "none of their boxes covers a pixel; correct the boxes, or leave "
    "them empty",
    "decision": "decisions.csv says so; take lines out of it",
    "bridges_splits": "they would tie splits of earlier pictures together; split anew "
    "with --keep-splits none",
}
NAMED = 5  # rows of decisions.csv that a line names


def summary(run: prepared.Prepared) -> dict:
    """Everything that is counted; images in = used + dropped with a reason."""
    rows, crossing = run.rows, leaks(run)
    return {
        "schema": SCHEMA,
        "manifest_schema": manifest.SCHEMA,
        "raw": str(run.raw.resolve()),
        "options": run.options,
        "made": datetime.datetime.now(datetime.UTC).isoformat(),
        "layout": run.folder.layout,
        "form": run.folder.form,
        "left_out": run.folder.left_out,
        "converted": dict(sorted(run.converted.items())),
        "images": len(rows),
        "used": sum(row.used for row in rows),
        "dropped": dropped(rows),
        "splits": counts_by_split(rows),
        "given_splits": run.folder.given_splits,
        "kept_splits": kept_splits.numbers(run.kept),
        "lacking": run.lacking,
        **depth.numbers(run.depth_range),
        "defect_types": _types(rows),
        "groups": len({row.group for row in rows}),
        "duplicates": {
            "pairs": _sorted_counts(pair.kind for pair in run.findings.pairs),
            "clusters": len(run.findings.clusters),
            "twin_groups": len(run.findings.twin_groups),
            "label_conflicts": [
                [row.path for row in cluster] for cluster in run.conflicts
            ],
            "settings": run.findings.settings,
        },
        "leaks": crossing,
        "repaired": run.repaired,
        "unboxed": {
            "rule": run.rules.unboxed,
            "types_without_box_by_nature": sorted(run.rules.boxless_types),
            "defects_without_a_box": _types(unboxed(rows)),
        },
        "device_score": {
            "threshold": run.rules.device_threshold,
            "below": sum(is_below(row, run.rules.device_threshold) for row in rows),
        },
        "probe": probe_numbers(run),
        "decisions": {
            "applied": _sorted_counts(d.kind for d in run.decided.applied),
            "unmatched": list(run.decided.unmatched),
            "closest": dict(run.decided.closest),
        },
        "problems": [
            {"path": row.path, "reason": row.dropped_because, "message": message}
            for row in rows
            if (message := run.messages.get(row.path))
        ],
        "warnings": run.folder.warnings,
        "notes": notes(run, crossing["after"]),
        "seconds": run.seconds,
    }


def in_words(rows: Sequence[manifest.Row]) -> str:
    """Two lines for the end of the command."""
    used = [row for row in rows if row.used]
    reasons = ", ".join(f"{n} {reason}" for reason, n in dropped(rows).items())
    parts = ", ".join(
        f"{name} {len(part)} ({sum(row.label == labels.DEFECT for row in part)} defect)"
        for name, part in by_split(rows).items()
    )
    gone = f"{len(rows) - len(used)} dropped" + (f" ({reasons})" if reasons else "")
    return f"{len(rows)} images = {len(used)} used + {gone}\n{parts}"


def facts(summary: Mapping) -> list[str]:
    """Lines about a summary.json, of any version, to print where it is used."""
    kept = summary.get("kept_splits")
    form = summary.get("form")
    lines = (
        f"form: {form}" if form else "",
        listing.in_words(summary.get("left_out", {})),
        _converted(summary.get("converted", {})),
        kept_splits.in_words(kept) if kept else "",
        depth.in_words(summary),
        _look(summary.get("probe", {})),
    )
    return [line for line in lines if line]


def _converted(kinds: Mapping[str, int]) -> str:
    shown = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    return shown and f"converted to 8-bit grey or RGB: {shown}"


def _look(probe: Mapping) -> str:
    """The number that alone tells much of the label; empty where none does."""
    by_look = probe.get("auc_by_look") or {"": 0.0}
    name, auc = next(iter(by_look.items()))
    if auc < label_leak.LOOK_ABOVE:
        return ""
    return (
        f"{name} alone: AUC {auc:.2f} (nexperia baseline says what more simple numbers "
        "reach)"
    )


def warnings(summary: Mapping) -> list[str]:
    """Warnings about a summary.json, of any version, to print at once."""
    lines = (
        *summary.get("warnings", ()),
        summary.get("lacking"),
        _unmatched(summary.get("decisions", {})),
    )
    return [line for line in lines if line]


def _unmatched(decided: Mapping) -> str:
    """The rows of decisions.csv that name no image, in one line."""
    names, closest = decided.get("unmatched", ()), decided.get("closest", {})
    if not names:
        return ""
    shown = ", ".join(
        f"{name} ({closest[name]}?)" if name in closest else name
        for name in names[:NAMED]
    )
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    rows = "1 row names" if len(names) == 1 else f"{len(names)} rows name"
    return f"decisions: {rows} no picture that is there: {shown}{more}"


def dropped(rows: Iterable[manifest.Row]) -> dict[str, int]:
    """Images by reason, in the order of the contract."""
    counts = collections.Counter(row.dropped_because for row in rows)
    return {reason: counts[reason] for reason in manifest.REASONS if counts[reason]}


def why_missing(run: prepared.Prepared, missing: Sequence[str]) -> str:
    """Why no picture with a label of `missing` is left: the reason that dropped most.

    With an example and what to do, in one line.
    """
    lost = [row for row in run.rows if row.label in missing]
    start = f"no {' and no '.join(missing)} picture is left"
    if not lost:
        return f"{start}: decisions.csv gives all of them another label; correct it"
    counts = dropped(lost)
    reason = max(counts, key=counts.get)
    first = next(row.path for row in lost if row.dropped_because == reason)
    why = f" ({message})" if (message := run.messages.get(first)) else ""
    most = "" if counts[reason] == len(lost) else f", {counts[reason]} of them"
    all_of_them = "the only one was" if len(lost) == 1 else f"all {len(lost)} were"
    return (
        f"{start}: {all_of_them} dropped{most} as {reason}, such as {first}{why}; "
        f"{REMEDIES[reason]}"
    )


def counts_by_split(rows: Sequence[manifest.Row]) -> dict[str, dict[str, int]]:
    """Images, good ones and defects of each split."""
    return {name: _counts(part) for name, part in by_split(rows).items()}


def by_split(rows: Iterable[manifest.Row]) -> dict[str, list[manifest.Row]]:
    """Used rows of each split that has any."""
    parts: dict[str, list] = {n: [] for n in (*manifest.SPLITS, manifest.UNLABELLED)}
    for row in rows:
        if row.used:
            parts[row.split].append(row)
    return {name: part for name, part in parts.items() if part}


def unboxed(rows: Iterable[manifest.Row]) -> list[manifest.Row]:
    """Readable defects without a box."""
    return [
        row
        for row in rows
        if row.label == labels.DEFECT and not row.boxes and row.width is not None
    ]


def is_below(row: manifest.Row, threshold: float | None) -> bool:
    """Whether a frame shows no device."""
    if threshold is None or row.device_score is None:
        return False
    return row.device_score < threshold


def leaks(run: prepared.Prepared) -> dict:
    """Pairs and groups in more than one split, before and after."""
    before, after = run.split_before, run.split_after
    counts = {"split_before": "given" if run.folder.given_splits else "random"}
    for when, split_of in (("before", before), ("after", after)):
        leaking = resolve.leaks(run.findings.pairs, split_of)
        counts[when] = {
            "duplicate_pairs": len(leaking.duplicates),
            "twin_pairs": len(leaking.twins),
            "with_unlabelled": sum(
                _touches_unlabelled(p, split_of) for p in leaking.pairs
            ),
            "groups_in_several_splits": resolve.split_groups(run.rows, split_of),
        }
    return counts


def probe_numbers(run: prepared.Prepared) -> dict:
    """The leak probe, rounded; None where there were too few images."""
    probe = run.leak_probe
    return {
        "auc": None if probe.auc is None else round(probe.auc, 4),
        "warns": probe.warns,
        "images": probe.n,
        "auc_by_field": {name: round(auc, 4) for name, auc in probe.by_field.items()},
        "auc_by_look": {name: round(auc, 4) for name, auc in probe.by_look.items()},
    }


def notes(run: prepared.Prepared, leaks_left: Mapping[str, int]) -> list[str]:
    """Sentences that a reader must not miss; `leaks_left` counts the leaks after."""
    sentences = [*run.folder.notes, *(f"{line}." for line in run.folder.warnings)]
    if run.kept:
        line = kept_splits.in_words(kept_splits.numbers(run.kept))
        sentences.append(f"{line[0].upper()}{line[1:]}.")
    if run.lacking:
        sentences.append(f"{run.lacking[0].upper()}{run.lacking[1:]}.")
    decided = {"unmatched": run.decided.unmatched, "closest": run.decided.closest}
    if unmatched := _unmatched(decided):
        sentences.append(f"{unmatched}.")
    if run.leak_probe.warns:
        fields = list(run.leak_probe.by_field)
        shared = [f"{name}s" for name in ("lot", "group", "machine") if name in fields]
        sentences.append(
            "The label can be predicted without looking at a pixel: AUC "
            f"{run.leak_probe.auc:.3f} from {', '.join(sorted(fields))} alone, most of "
            f"it from '{fields[0]}'."
            + (f" Test on {' and '.join(shared)} not trained on." if shared else "")
        )
    if look := _look(probe_numbers(run)):
        sentences.append(
            f"{look[0].upper()}{look[1:]}. Ask whether good and defective devices were "
            "photographed under the same light and focus."
        )
    lost = collections.Counter(
        row.defect_type or "defects without a type"
        for row in run.rows
        if row.dropped_because in ("no_annotation", "not_a_device")
        and row.label == labels.DEFECT
    )
    seen = {row.defect_type for row in run.rows if row.used}
    for kind, count in sorted(lost.items()):
        if kind not in seen:
            sentences.append(
                f"A model will never see {kind}: all {count} were dropped."
            )
    pairs = leaks_left["duplicate_pairs"] + leaks_left["twin_pairs"]
    if pairs:
        sentences.append(
            f"{pairs} pairs of copies or twins stand in different splits; --repair "
            "drops them from train first."
        )
    return sentences


def _touches_unlabelled(pair, split_of: dict[str, str]) -> bool:
    return manifest.UNLABELLED in (split_of[pair.path_a], split_of[pair.path_b])


def _counts(rows: Sequence[manifest.Row]) -> dict[str, int]:
    counts = collections.Counter(row.label for row in rows)
    return {"images": len(rows), "good": counts["good"], "defect": counts["defect"]}


def _types(rows: Iterable[manifest.Row]) -> dict[str, int]:
    return _sorted_counts(
        row.defect_type or "untyped" for row in rows if row.label == labels.DEFECT
    )


def _sorted_counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(collections.Counter(names).items()))
