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
from nexperia_tf.data import images, manifest, progress, source
from nexperia_tf.data.duplicates import resolve, search
from nexperia_tf.data.measure import depth, measurement, scan, scan_cache, signature
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
from nexperia_tf.data.proof import jpeg_traces
from nexperia_tf.data.raw import file_names, layouts, masks

SUMMARY = "summary.json"


@dataclasses.dataclass(frozen=True)
class Reading(source.RawOptions):
    """How the raw folder is read."""

    layout: Literal["second_stage", "first_stage", "hand_over", "folder"] | None = None
    """Layout of the raw folder; detected by default."""

    decisions: str = ""
    """Table of decisions on single images; by default decisions.csv in RAW and next
    to it."""


@dataclasses.dataclass(frozen=True)
class Measuring:
    """The one pass over the files."""

    workers: Annotated[int | None, *bounds.within(ge=1, le=1024)] = None
    """Processes that read the images; the number of cores by default."""

    cache: str = ""
    """Folder of measures by content hash; one in the user's cache by default."""

    fresh: bool = False
    """Read every image anew and keep no measures."""

    @property
    def kept_in(self) -> pathlib.Path | None:
        """The folder of what earlier runs have found; None for a fresh one."""
        told = self.cache and pathlib.Path(self.cache)
        return None if self.fresh else told or scan_cache.default_folder()


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a preparation, in groups."""

    reading: Reading = dataclasses.field(default_factory=Reading)
    splitting: splits.Splitting = dataclasses.field(default_factory=splits.Splitting)
    measuring: Measuring = dataclasses.field(default_factory=Measuring)


def options_of(**values) -> Options:
    """The defaults but for these fields: `options_of(good="fine", seed=3)`."""
    return bounds.changed(Options(), values)


def prepare(
    raw: str | os.PathLike,
    out: str | os.PathLike,
    options: Options = Options(),
    *,
    keep: kept_splits.Kept | None = None,
    seen_by: depth.Model | None = None,
    on_progress: progress.Callback = progress.silent,
) -> list[manifest.Row]:
    """Prepares a raw folder and publishes the findings as folder `out`.

    Args:
        raw: folder of one of the four layouts; only read.
        out: folder to make; must not exist.
        options: how it is read, split and measured.
        keep: splits that stay, in place of those that `options` name.
        seen_by: the model that is to see the pictures, where there is one already.
        on_progress: called as `on_progress(step, done, total)`.

    Returns:
        The rows of the manifest, sorted by path.

    Raises:
        errors.BadInput: the raw folder, an option or `out` cannot be used.
    """
    raw, out = pathlib.Path(raw), pathlib.Path(out)
    _check(raw, out, options.splitting)
    run = _scanned(raw, options)
    keep = keep or _earlier(run, out, options.splitting.keep_splits)
    decided = options.reading.decisions
    decided = pathlib.Path(decided) if decided else None
    run.decided = decisions.read(decided, raw, run.rows)
    with files.new_folder(out) as partial:
        with _timed(run, "read"):
            measures = _measured(run, options.measuring, on_progress)
            _fill(run, measures)
        with _timed(run, "copies and twins"):
            _find_copies(run, measures, options.measuring, on_progress)
        with _timed(run, "clean"):
            _clean(run, options.reading)
        del measures
        with _timed(run, "split"):
            may_ask = not options.reading.depth_range and not seen_by
            _split(run, options.splitting, keep, needs_range=may_ask)
            run.depth_range = depth.find(
                run.rows,
                run.deep,
                run.raw,
                given=options.reading.depth_range,
                seed=options.splitting.seed,
                max_pixels=run.max_pixels,
                seen_by=seen_by,
            )
        with _timed(run, "leak probe"):
            used = [row for row in run.rows if row.used]
            run.leak_probe = label_leak.probe(used, seed=options.splitting.seed)
        _write(partial, run, options.splitting)
    return run.rows


def _check(raw: pathlib.Path, out: pathlib.Path, splitting: splits.Splitting) -> None:
    files.refuse_existing(out)
    if out.resolve().is_relative_to(raw.resolve()):
        raise errors.BadInput(
            f"{out}: lies inside the raw folder, which is only read; name another one."
        )
    if splitting.folds and splitting.leave_one_out:
        raise errors.BadInput("--folds and --leave-one-out: give one of the two.")


def _scanned(raw: pathlib.Path, options: Options) -> prepared.Prepared:
    """The raw folder's rows, with the options a later preparation recognises it by."""
    reading, splitting = options.reading, options.splitting
    folder = layouts.scan(raw, reading.layout, good=reading.good, group=reading.group)
    known_by = {
        "layout": folder.layout,
        "good": reading.named()["good"],
        "group": reading.named()["group"],
        "depth_range": reading.named()["depth_range"],
        "max_pixels": reading.named()["max_pixels"],
        "seed": splitting.seed,
        "calibration_share": splitting.calibration_share,
    }
    return prepared.Prepared(raw, folder, known_by, max_pixels=reading.max_pixels)


def _earlier(
    run: prepared.Prepared, out: pathlib.Path, keep_splits: str | os.PathLike
) -> kept_splits.Kept | None:
    """The splits that `--keep-splits` stands for."""
    if keep_splits != kept_splits.AUTO:
        return kept_splits.named(keep_splits)
    neighbours = kept_splits.neighbours(out.absolute().parent)
    return kept_splits.find(neighbours, run.raw, run.options)


def _measured(
    run: prepared.Prepared, measuring: Measuring, on_progress: progress.Callback
) -> dict[str, measurement.Measures]:
    return scan.measure(
        run.raw,
        [row.path for row in run.rows if row.path not in run.folder.messages],
        workers=measuring.workers,
        cache=measuring.kept_in,
        max_pixels=run.max_pixels,
        on_progress=on_progress,
    )


def _write(
    folder: pathlib.Path, run: prepared.Prepared, splitting: splits.Splitting
) -> None:
    """The manifest, the pairs, the folds, the report and the summary."""
    manifest.write(folder / "manifest.csv", run.rows)
    _write_pairs(folder / "duplicates.csv", run)
    if splitting.folds or splitting.leave_one_out:
        _write_folds(folder / "folds.csv", run.rows, splitting)
    counted = summary.summary(run)
    with _timed(run, "report"):
        report.write(folder / "report.html", run, counted)
    # Its times are those of `run`, so the report's is in it by now.
    files.write_json(folder / SUMMARY, counted)


def _fill(run: prepared.Prepared, measures: dict[str, measurement.Measures]) -> None:
    run.messages |= run.folder.messages
    for row in run.rows:
        if row.path not in measures:  # dropped by its name already
            continue
        measurement.fill(row, measures[row.path])
        if row.dropped_because:
            run.messages[row.path] = measures[row.path].message
        if kind := measures[row.path].converted:
            run.converted[kind] += 1
    run.deep = frozenset(path for path, each in measures.items() if each.depth == 16)
    masks.fit(run.rows, run.folder.mask_sizes)
    decisions.apply_labels(run.rows, run.decided)
    readable = [row for row in run.rows if row.path not in run.messages]
    if not readable:
        raise errors.BadInput(
            f"{run.raw}: none of its {len(run.rows)} files is a readable image; "
            f"{run.rows[0].path}: {run.messages[run.rows[0].path]}."
        )
    frames = signature.Thumbnails([measures[row.path].signature for row in readable])
    for row, score in zip(readable, device_score.scores(frames)):
        row.device_score = round(float(score), 4)


def _find_copies(
    run: prepared.Prepared,
    measures: dict[str, measurement.Measures],
    measuring: Measuring,
    on_progress: progress.Callback,
) -> None:
    pictures = [
        search.Measured.of(row.path, measures[row.path])
        for row in run.rows
        if row.path not in run.messages
    ]
    with search.pairs_known(measuring.kept_in) as known:
        findings = search.find(
            pictures,
            load=functools.partial(_pixels, run.raw, run.max_pixels),
            qualities=functools.partial(_qualities, run.raw),
            known=known,
            workers=measuring.workers or os.cpu_count() or 1,
            on_progress=on_progress,
        )
    run.findings = decisions.without_denied(findings, run.decided)
    resolve.name_groups(run.rows, run.findings)


def _pixels(raw: pathlib.Path, max_pixels: int, path: str):
    content = file_names.on_disk(raw, path).read_bytes()
    return images.load(content, max_pixels=max_pixels).pixels


def _qualities(raw: pathlib.Path, path: str) -> tuple[int, ...]:
    with file_names.on_disk(raw, path).open("rb") as file:
        return jpeg_traces.qualities(file)


def _clean(run: prepared.Prepared, reading: Reading) -> None:
    scores = [row.device_score for row in run.rows if row.device_score is not None]
    run.rules = cleaning.rules_for(
        run.folder,
        unboxed=reading.named()["unboxed"],
        device_threshold=device_score.threshold(scores),
    )
    kept = run.decided.kept
    run.conflicts = resolve.drop_conflicts(run.rows, run.findings, kept=kept)
    cleaning.apply(run.rows, run.rules, spared=run.decided.judged)
    _check_classes(run)


def _split(
    run: prepared.Prepared,
    splitting: splits.Splitting,
    keep: kept_splits.Kept | None,
    *,
    needs_range: bool,
) -> None:
    """Splits the rows; `needs_range` if only training can say that of 16 bits."""
    rows, kept, given = run.rows, run.decided.kept, run.folder.given_splits
    seed, share = splitting.seed, splitting.calibration_share
    readable = [row for row in rows if row.path not in run.messages]
    if given:
        run.split_before = {row.path: row.split for row in readable}
    else:
        run.split_before = splits.at_random(readable, seed=seed) | {
            row.path: row.split for row in readable if not row.label
        }
    old = _old(run, keep, calibration=share > 0)
    resolve.drop_duplicates(
        rows, run.findings, kept=kept, across_splits=not given, settled=old
    )
    settled = _settle(run, keep, old)
    if given:
        note = splits.keep_given(rows, seed=seed, settled=settled)
        run.folder.notes += [note] if note else []
        assigned = splits.ASKED[:2] if note else ()
    else:
        splits.assign(rows, seed=seed, settled=settled)
        assigned = splits.ASKED
    if needs_range:
        for row in depth.without_range(rows, run.deep):
            row.dropped_because, row.split = "unsupported", ""
            run.messages[row.path] = depth.NO_RANGE
    run.lacking = splits.lacking(rows, assigned) or ""
    splits.cut_calibration(rows, share, seed=seed, settled=settled)
    if splitting.repair:
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
    remaining = {row.label for row in run.rows if row.used}
    missing = [label for label in labels.NAMES if label not in remaining]
    if missing:
        raise errors.BadInput(f"{run.raw}: {summary.why_missing(run, missing)}.")


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
    path: pathlib.Path, rows: Sequence[manifest.Row], splitting: splits.Splitting
) -> None:
    if splitting.leave_one_out:
        names = splits.leave_one_out(rows, splitting.leave_one_out)
    else:
        names = splits.folds(rows, splitting.folds, seed=splitting.seed)
    used = [(row.image_id, name) for row, name in zip(rows, names) if name]
    files.write_csv(path, ["image_id", "fold"], used)


@contextlib.contextmanager
def _timed(run: prepared.Prepared, step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    run.seconds[step] = round(time.perf_counter() - start, 2)


@dataclasses.dataclass(frozen=True)
class Arguments(Options, command.Options):
    """Cleans, deduplicates and splits a raw folder, and says why."""

    raw: tyro.conf.Positional[pathlib.Path] = dataclasses.field(kw_only=True)
    """Folder of raw images; only read."""

    out: pathlib.Path = dataclasses.field(kw_only=True)
    """Folder to make."""


def main(arguments: Arguments) -> None:
    """Runs `prepare` and prints what came of it."""
    if arguments.measuring.fresh:
        bounds.check_unused(arguments, ["cache"], "with --fresh")
    with progress.reporting() as report_progress:
        rows = prepare(
            arguments.raw, arguments.out, arguments, on_progress=report_progress
        )
    print(summary.in_words(rows))
    counted = files.read_json(arguments.out / SUMMARY)
    for line in summary.facts(counted):
        print(line)
    for line in summary.warnings(counted):
        print(f"warning: {line}")
    print(f"report: {arguments.out / 'report.html'}")
