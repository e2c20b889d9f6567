"""Raw folder to manifest: clean, deduplicate, split, and say why.

    nexperia prepare RAW --out DIR

writes manifest.csv, duplicates.csv, summary.json and report.html. The raw folder is
only read. TensorFlow is not imported.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import tyro

from nexperia_tf import bounds, command, errors, files, labels
from nexperia_tf.data import images, manifest, progress
from nexperia_tf.data.duplicates import resolve, search
from nexperia_tf.data.measure import measurement, scan, scan_cache, signature
from nexperia_tf.data.prepare import (
    cleaning,
    decisions,
    device_score,
    kept_splits,
    label_leak,
    prepared,
    report,
    splits,
    summary,
)
from nexperia_tf.data.raw import layouts

SUMMARY = "summary.json"


def prepare(
    raw: str | os.PathLike,
    out: str | os.PathLike,
    *,
    layout: str | None = None,
    unboxed: str | None = None,
    good: str | None = None,
    group: str | None = None,
    seed: Annotated[int, *bounds.SEED] = 0,
    workers: Annotated[int | None, *bounds.within(ge=1, le=1024)] = None,
    cache: str | os.PathLike | None = None,
    fresh: bool = False,
    decided: str | os.PathLike | None = None,
    repair: bool = False,
    folds: Annotated[int | None, *bounds.within(ge=2, le=1_000_000)] = None,
    leave_one_out: str | None = None,
    calibration_share: float = 0.0,
    keep_splits: str | os.PathLike | kept_splits.Kept | None = kept_splits.AUTO,
    on_progress: progress.Callback = progress.silent,
) -> list[manifest.Row]:
    """Prepares a raw folder and publishes the findings as folder `out`.

    Args:
        raw: folder of one of the four forms; only read.
        out: folder to make; must not exist.
        layout: name of the form, found out by default.
        unboxed: `drop` or `keep` defects without a box; drop by default where the form
            has boxes, but never a type that has none by its nature.
        good: class name of good devices (form `folder`).
        group: column whose value keeps images in one split; the lot by default.
        seed: of the split.
        workers: processes of the pass over the files.
        cache: folder of measures by content hash; one in the user's cache by default.
        fresh: measure every image anew and keep nothing.
        decided: a decisions.csv; those in and beside the raw folder by default.
        repair: drop images whose copy or twin stands in another given split.
        folds: also write folds.csv with that many folds.
        leave_one_out: also write folds.csv with one fold per value of this column.
        calibration_share: share of the labelled devices, whole groups out of train,
            that become split `calibration`.
        keep_splits: run, prepared or data folder whose pictures keep their splits;
            `auto` takes the newest of the same raw folder that lies beside `out`, with
            the same calibration share where there is one; `none` deals anew.
        on_progress: called as `on_progress(step, done, total)`.

    Returns:
        The rows of the manifest, sorted by path.

    Raises:
        errors.BadInput: the raw folder, an option or `out` cannot be used.
    """
    raw, out = pathlib.Path(raw), pathlib.Path(out)
    _check_options(raw, out, unboxed, folds, leave_one_out)
    folder = layouts.scan(raw, layout, good=good, group=group)
    options = {
        "layout": folder.layout,
        "good": good,
        "group": group,
        "seed": seed,
        "calibration_share": calibration_share,
    }
    run = prepared.Prepared(raw, folder, options)
    keep = kept_splits.named(keep_splits)
    if keep_splits == kept_splits.AUTO:
        beside = kept_splits.beside(out.absolute().parent)
        keep = kept_splits.find(beside, raw, options)
    run.decided = decisions.read(decided and pathlib.Path(decided), raw, run.rows)
    cache = None if fresh else pathlib.Path(cache or scan_cache.default_folder())
    with files.new_folder(out) as beside:
        with _timed(run, "read"):
            measures = scan.measure(
                raw,
                [row.path for row in run.rows],
                workers=workers,
                cache=cache,
                on_progress=on_progress,
            )
            _fill(run, measures)
        with _timed(run, "copies and twins"):
            _find_copies(run, measures, workers, on_progress)
        with _timed(run, "clean"):
            _clean(run, unboxed)
        del measures
        with _timed(run, "split"):
            _split(run, seed, repair, calibration_share, keep)
        with _timed(run, "leak probe"):
            run.leak_probe = label_leak.probe(
                [row for row in run.rows if row.used], seed=seed
            )
        manifest.write(beside / "manifest.csv", run.rows)
        _write_pairs(beside / "duplicates.csv", run)
        if folds or leave_one_out:
            _write_folds(beside / "folds.csv", run.rows, folds, leave_one_out, seed)
        counted = summary.summary(run)
        with _timed(run, "report"):
            report.write(beside / "report.html", run, counted)
        # Its times are those of `run`, so the report's is in it by now.
        files.write_json(beside / SUMMARY, counted)
    return run.rows


def _check_options(raw, out, unboxed, folds, leave_one_out) -> None:
    files.refuse_existing(out)
    if out.resolve().is_relative_to(raw.resolve()):
        raise errors.BadInput(
            f"{out}: lies inside the raw folder, which is only read; name another one."
        )
    if unboxed not in (None, cleaning.DROP, cleaning.KEEP):
        raise errors.BadInput(f"--unboxed {unboxed}: unknown; write drop or keep.")
    if folds and leave_one_out:
        raise errors.BadInput("--folds and --leave-one-out: give one of the two.")


def _fill(run: prepared.Prepared, measures: dict[str, measurement.Measures]) -> None:
    for row in run.rows:
        measurement.fill(row, measures[row.path])
        if row.dropped_because:
            run.messages[row.path] = measures[row.path].message
    decisions.apply_labels(run.rows, run.decided)
    readable = [row for row in run.rows if row.path not in run.messages]
    if not readable:
        raise errors.BadInput(
            f"{run.raw}: none of its {len(run.rows)} files is a readable image; "
            f"{run.rows[0].path}: {run.messages[run.rows[0].path]}."
        )
    frames = signature.thumbnails([measures[row.path].signature for row in readable])
    for row, score in zip(readable, device_score.scores(frames)):
        row.device_score = round(float(score), 4)


def _find_copies(
    run: prepared.Prepared,
    measures: dict[str, measurement.Measures],
    workers: int | None,
    on_progress: progress.Callback,
) -> None:
    pictures = [
        search.Measured.of(row.path, measures[row.path])
        for row in run.rows
        if row.path not in run.messages
    ]
    found = search.find(
        pictures,
        load=functools.partial(_pixels, run.raw),
        workers=workers or os.cpu_count() or 1,
        on_progress=on_progress,
    )
    run.findings = decisions.without_denied(found, run.decided)
    resolve.name_groups(run.rows, run.findings)


def _pixels(raw: pathlib.Path, path: str):
    return images.load((raw / path).read_bytes()).pixels


def _clean(run: prepared.Prepared, unboxed: str | None) -> None:
    scores = [row.device_score for row in run.rows if row.device_score is not None]
    run.rules = cleaning.rules_for(
        run.folder, unboxed=unboxed, device_threshold=device_score.threshold(scores)
    )
    kept = run.decided.kept
    run.conflicts = resolve.drop_conflicts(run.rows, run.findings, kept=kept)
    cleaning.apply(run.rows, run.rules, spared=run.decided.looked_at)
    _check_classes(run)


def _split(
    run: prepared.Prepared,
    seed: int,
    repair: bool,
    calibration_share: float,
    keep: kept_splits.Kept | None,
) -> None:
    rows, kept, given = run.rows, run.decided.kept, run.folder.given_splits
    readable = [row for row in rows if row.path not in run.messages]
    if given:
        run.split_before = {row.path: row.split for row in readable}
    else:
        run.split_before = splits.at_random(readable, seed=seed) | {
            row.path: row.split for row in readable if not row.label
        }
    old = _old(run, keep, calibration=calibration_share > 0)
    resolve.drop_duplicates(
        rows, run.findings, kept=kept, across_splits=not given, settled=old
    )
    settled = _settle(run, keep, old)
    if given:
        note = splits.keep_given(rows, seed=seed, settled=settled)
        run.folder.notes += [note] if note else []
        dealt = splits.ASKED[:2] if note else ()
    else:
        splits.assign(rows, seed=seed, settled=settled)
        dealt = splits.ASKED
    run.lacking = splits.lacking(rows, dealt) or ""
    splits.cut_calibration(rows, calibration_share, seed=seed, settled=settled)
    if repair:
        run.repaired = resolve.repair(rows, run.findings, kept=kept)
    _check_classes(run)


def _old(
    run: prepared.Prepared, keep: kept_splits.Kept | None, *, calibration: bool
) -> dict[str, str]:
    """Splits, by path, of the pictures that had one before and may keep it.

    Given splits win: of a given train split stays what was cut from it.
    """
    if keep is None:
        return {}
    rows, may = [row for row in run.rows if row.used and row.label], manifest.SPLITS
    if run.folder.given_splits:
        rows = [row for row in rows if row.split == "train"]
        may = ("train", *(["validation"] * (not splits.has_validation(run.rows))))
        may += (manifest.CALIBRATION,) if calibration else ()
        if may == ("train",):
            run.folder.notes.append(f"Given splits win over those of {keep.source}.")
            return {}
    return {p: split for p, split in keep.splits_of(rows).items() if split in may}


def _settle(
    run: prepared.Prepared, keep: kept_splits.Kept | None, old: dict[str, str]
) -> dict[str, str]:
    """Splits, by path, of old pictures and of those that go with them."""
    if not old:
        return {}
    rows = run.rows
    if run.folder.given_splits:
        rows = [row for row in rows if row.split == "train"]
    run.kept = kept_splits.settle(
        rows, run.findings, keep, old, spared=run.decided.kept
    )
    return run.kept.settled


def _check_classes(run: prepared.Prepared) -> None:
    left = {row.label for row in run.rows if row.used} - {""}
    if left != set(labels.NAMES):
        gone = " and ".join(sorted(set(labels.NAMES) - left))
        raise errors.BadInput(
            f"{run.raw}: no {gone} image is left after cleaning; check the labels and "
            "boxes, or keep defects without a box with --unboxed keep."
        )


def _write_pairs(path: pathlib.Path, run: prepared.Prepared) -> None:
    crossing = {
        (pair.path_a, pair.path_b)
        for pair in resolve.leaks(run.findings.pairs, run.split_before).pairs
    }
    header = [
        "path_a",
        "path_b",
        "kind",
        "similarity",
        "max_local_residual",
        "cross_split_before",
    ]
    lines = (
        (
            pair.path_a,
            pair.path_b,
            pair.kind,
            f"{pair.similarity:.4f}",
            f"{pair.max_local_residual:.4f}",
            int((pair.path_a, pair.path_b) in crossing),
        )
        for pair in run.findings.pairs
    )
    files.write_csv(path, header, lines)


def _write_folds(
    path: pathlib.Path,
    rows: Sequence[manifest.Row],
    count: int | None,
    column: str | None,
    seed: int,
) -> None:
    if column:
        names = splits.leave_one_out(rows, column)
    else:
        names = splits.folds(rows, count, seed=seed)
    used = [(row.image_id, name) for row, name in zip(rows, names) if name]
    files.write_csv(path, ["image_id", "fold"], used)


@contextlib.contextmanager
def _timed(run: prepared.Prepared, step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    run.seconds[step] = round(time.perf_counter() - start, 2)


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Cleans, deduplicates and splits a raw folder, and says why."""

    raw: tyro.conf.Positional[pathlib.Path] = dataclasses.field(kw_only=True)
    """Folder of raw images; only read."""
    out: pathlib.Path = dataclasses.field(kw_only=True)
    """Folder to make."""
    layout: Literal["second_stage", "first_stage", "hand_over", "folder"] | None = None
    """Form of the raw folder; found out by default."""
    unboxed: Literal["drop", "keep"] | None = None
    """Defects without a box; dropped by default where the form has boxes."""
    good: str | None = None
    """Class name of good devices; good, ok or pass by default."""
    group: str | None = None
    """Column whose value keeps images in one split; the lot by default."""
    seed: Annotated[int, *bounds.SEED] = 0
    """Seed of the split."""
    workers: Annotated[int | None, *bounds.within(ge=1, le=1024)] = None
    """Processes that read the images; the number of cores by default."""
    cache: pathlib.Path | None = None
    """Folder of measures by content hash; one in the user's cache by default."""
    fresh: bool = False
    """Read every image anew and keep no measures."""
    decisions: pathlib.Path | None = None
    """A person's word on single images; decisions.csv in RAW and beside it by
    default."""
    repair: bool = False
    """Drop images whose copy or twin stands in another split, from train first."""
    folds: Annotated[int | None, *bounds.within(ge=2, le=1_000_000)] = None
    """Also write folds.csv with so many folds."""
    leave_one_out: str | None = None
    """Also write folds.csv with one fold per value of a column, as machine or lot."""
    calibration_share: Annotated[float, *bounds.CALIBRATION_SHARE] = 0.0
    """Share of the labelled devices, whole groups out of train, that chooses thresholds
    and nothing else: split calibration."""
    keep_splits: str = kept_splits.AUTO
    """Run, prepared or data folder whose pictures keep their splits, known by content;
    auto takes the newest of RAW that lies beside --out, none deals anew."""


def main(arguments: Arguments) -> None:
    """Runs `prepare` and prints what came of it."""
    if arguments.fresh:
        bounds.check_unused(arguments, ["cache"], "with --fresh")
    options = dataclasses.asdict(arguments)
    options["decided"] = options.pop("decisions")
    raw, out = options.pop("raw"), options.pop("out")
    options.pop("debug")
    with progress.reporting() as report_progress:
        rows = prepare(raw, out, on_progress=report_progress, **options)
    print(summary.in_words(rows))
    for line in summary.facts(files.read_json(arguments.out / SUMMARY)):
        print(line)
    for line in summary.warnings(files.read_json(arguments.out / SUMMARY)):
        print(f"warning: {line}")
    print(f"report: {arguments.out / 'report.html'}")
