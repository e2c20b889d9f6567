"""Judges scores: what is known of a model, what is not, and which threshold is safe."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files, predictions
from nexperia_tf.data.source import NOTHING, DataSource
from nexperia_tf.evaluation import candidates, golden
from nexperia_tf.evaluation.report import judging, page, pictures, results, terminal
from nexperia_tf.evaluation.subjects import Subject, average
from nexperia_tf.runs import training_pictures
from nexperia_tf.serving import thresholds
from nexperia_tf.statistics import certificate, choices, operating_point

GOLDEN_ESCAPED = 1  # exit code


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Evaluates runs on labelled devices; writes report.html and report.json."""

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Run folders, SavedModel folders (with --data) or predictions.csv files; several
    are compared on the same images."""

    split: Literal["train", "validation", "test", "calibration", "unlabelled"] = "test"
    """Split to evaluate."""

    out: str = ""
    """Folder for the report; when empty, next to the first RUN and named after it. An
    earlier report in it is replaced."""

    refuse_seen: bool = False
    """Refuse if a model was trained on an evaluated picture or its twin, or if that is
    unknown."""

    average: bool = False
    """Evaluate the mean of the runs' scores as a further run."""

    labels: Annotated[str, *bounds.a_file()] = ""
    """CSV of image_id,label with the labels to use in place of the scores' own."""

    source: DataSource = NOTHING
    """Pictures behind a SavedModel or a table. A run knows its own, and how they were
    read, where nothing else is named."""

    calibration: tuple[str, ...] = ()
    """Table of scores that chooses the threshold, one for each RUN; a run folder has
    its validation split for that."""

    choices: Annotated[int | None, *bounds.within(ge=1, le=10**9)] = None
    """How many models (epochs, settings) were compared on the devices that choose the
    threshold; known for run folders and their exports, unknown for older exports,
    otherwise taken to be 1."""

    max_escape: Annotated[float | None, *bounds.SHARE] = None
    """Escape rate to certify; .005 when not given. If given, the threshold is stored in
    the run and exported, or refused with the number of defects needed."""

    confidence: Annotated[float, *bounds.SHARE] = certificate.CONFIDENCE
    """Confidence of the guarantee and of every interval."""

    max_overkill: Annotated[float, *bounds.SHARE] = operating_point.MAX_OVERKILL
    """Good devices that may be rejected without review."""

    set_threshold: str = ""
    """Store and export this threshold in the RUN, without a guarantee: a score such as
    .3, or tpr=.99, the highest that catches that share of the calibration devices."""

    prevalence: Annotated[float | None, *bounds.SHARE] = None
    """Share of defects on the line, for yield loss and DPPM."""

    golden: Annotated[str, *bounds.a_file()] = ""
    """List of image ids that must never escape, or the golden.csv of a golden set,
    whose pictures are known by content; if one escapes, the exit code is 1."""

    submission: str = ""
    """Write id,defect_score of every device of the split to this file; no report."""

    heatmaps: bool = True
    """Draw heat maps and play the pointing game where model and pictures are known."""

    stage: Literal[
        "auto", "both", "map", "stem", "stage1", "stage2", "stage3", "stage4"
    ] = "auto"
    """What heat maps show: a layer, the earlier the finer; the map that the model has
    learned from places of defects; or both, the stem's times it. auto: both where there
    is a map, else stem."""

    repeat: Annotated[int, *bounds.within(ge=0, le=10**9)] = pictures.REPEATED
    """Devices of each class that a run judges again on pictures changed a little; 0
    leaves that out."""

    trust: bool = False
    """Run a SavedModel that no MANIFEST.sha256 vouches for: it is a program."""


def main(arguments: Arguments) -> int:
    """Opens, judges, writes; returns the exit code."""
    _check(arguments)
    judged = _open(arguments)
    if arguments.submission:
        _submit(arguments, judged)
        return 0
    listed = golden.read(arguments.golden) if arguments.golden else ()
    out = report_folder(arguments)
    judged, facts = _prepared(arguments, judged)
    settings = _settings(arguments, listed, judged[0])
    subjects = _compared(arguments, [candidate.subject for candidate in judged])
    report = page.report_of(subjects, settings, **facts)
    stage = arguments.stage if arguments.heatmaps else None
    shown, report = pictures.of_report(
        judged, report, split=arguments.split, stage=stage
    )
    refusal = None if arguments.max_escape is None else terminal.refusal(report)
    if arguments.max_escape is not None and not refusal:
        report = _store(judged, subjects, report)
    report = pictures.with_repeatability(
        judged, report, split=arguments.split, devices=arguments.repeat
    )
    page.write(out, report, subjects, shown)
    _print(report, judged, out)
    if refusal:
        raise errors.BadInput(refusal)
    return _golden_exit_code(report)


def _prepared(
    arguments: Arguments, judged: list[candidates.Candidate]
) -> tuple[list[candidates.Candidate], dict]:
    """The candidates with all that is known of them, and facts for the report."""
    facts: dict = {"split": _split(arguments, judged)}
    judged, facts["labels"] = _labelled(arguments, judged)
    if arguments.set_threshold:
        judged = [_set(arguments, judged[0])]
    judged, facts["notes"] = _with_records(arguments, judged)
    judged = candidates.with_overlap(judged)
    if arguments.refuse_seen:
        _refuse_seen(arguments, judged)
    return judged, facts


def _golden_exit_code(report: results.Report) -> int:
    escaped = terminal.escaped_golden(report)
    for line in escaped:
        print(line)
    return GOLDEN_ESCAPED if escaped else 0


def _check(arguments: Arguments) -> None:
    """Finds arguments that cannot work before any work is done."""
    if not arguments.runs:
        raise errors.BadInput(
            "RUN: name a run folder, a SavedModel folder or a predictions.csv."
        )
    if arguments.average and len(arguments.runs) < 2:
        raise errors.BadInput("--average: needs two runs or more.")
    if arguments.calibration and len(arguments.calibration) != len(arguments.runs):
        raise errors.BadInput(
            f"--calibration: one table for each RUN. Received "
            f"{len(arguments.calibration)} for {len(arguments.runs)} runs."
        )
    if not (arguments.source.data or any(map(_is_run, arguments.runs))):
        names = ("data_dir", "good", "group", "unboxed", "depth_range", "max_pixels")
        bounds.check_unused(arguments, names, "without --data")
    if not arguments.heatmaps:
        bounds.check_unused(arguments, ["stage"], "with --no-heatmaps")
    if arguments.submission:
        names = ("max_escape", "labels", "golden", "prevalence", "refuse_seen", "out")
        bounds.check_unused(arguments, names, "with --submission")
    if arguments.set_threshold:
        _check_set_threshold(arguments)


def _is_run(path: str | pathlib.Path) -> bool:
    return (pathlib.Path(path) / "config.json").is_file()


def _check_set_threshold(arguments: Arguments) -> None:
    thresholds.asked(arguments.set_threshold, flag="--set-threshold")
    for flag, given in (
        ("--max-escape", arguments.max_escape is not None),
        ("--submission", bool(arguments.submission)),
    ):
        if given:
            raise errors.BadInput(
                f"--set-threshold and {flag}: one of them at a time; leave one out."
            )
    if len(arguments.runs) > 1:
        raise errors.BadInput(
            f"--set-threshold: takes one RUN. Received {len(arguments.runs)}."
        )
    run = pathlib.Path(arguments.runs[0])
    if run.is_file():
        raise errors.BadInput(
            f"{run}: a table of scores keeps no threshold; name its run folder for "
            "--set-threshold."
        )
    if run.is_dir() and not _is_run(run):
        raise errors.BadInput(
            f"{run}: --set-threshold changes run folders only, a SavedModel's "
            "threshold is baked in; name its run, or give predict --threshold."
        )


def _open(arguments: Arguments) -> list[candidates.Candidate]:
    folders = [run for run in arguments.runs if pathlib.Path(run).is_dir()]
    if arguments.source.data or folders:
        command.import_tensorflow()  # tables alone do without it
    tables = arguments.calibration or (None,) * len(arguments.runs)
    judged = [
        candidates.load(
            run,
            split=arguments.split,
            named=arguments.source,
            calibration=table,
            trust=arguments.trust,
        )
        for run, table in zip(arguments.runs, tables)
    ]
    if arguments.choices is not None:
        stated = choices.stated(arguments.choices)
        judged = [candidate.selecting(stated) for candidate in judged]
    names = [candidate.subject.name for candidate in judged]
    if len(set(names)) == len(names):
        return judged
    # Runs of one name are distinguished by where they lie.
    return [
        dataclasses.replace(
            candidate, subject=dataclasses.replace(candidate.subject, name=run)
        )
        for candidate, run in zip(judged, arguments.runs)
    ]


def _submit(arguments: Arguments, judged: list[candidates.Candidate]) -> None:
    subjects = [candidate.subject for candidate in judged]
    if len(subjects) > 1 and not arguments.average:
        raise errors.BadInput(
            f"--submission: takes one run, or several with --average. Received "
            f"{len(subjects)}."
        )
    table = (average(subjects) if arguments.average else subjects[0]).scored
    names = [pathlib.PurePosixPath(name).name for name in table.image_id]
    if len(set(names)) < len(names):
        raise errors.BadInput(
            f"{table.source}: two devices share a file name; a submission tells them "
            "apart by nothing else."
        )
    rows = zip(names, (repr(float(score)) for score in table.score))
    files.write_csv(arguments.submission, ["id", "defect_score"], rows)
    print(f"Submission: {arguments.submission} ({len(names)} devices)")
    known = next((o for o in judged if o.run or o.dataset), None)
    if known is not None and arguments.split == "unlabelled":
        for name, reason in candidates.unscored(known).items():
            print(f"warning: {name} is not in it, its picture is {reason}")


def _refuse_seen(arguments: Arguments, judged: list[candidates.Candidate]) -> None:
    for candidate in judged:
        seen = candidate.subject.seen
        said = seen and training_pictures.described(seen.counts(), arguments.split)
        if seen is None or said:
            because = said or "whether its devices were trained on is not known"
            raise errors.BadInput(f"refused: {candidate.subject.name}: {because}.")


def _settings(
    arguments: Arguments, listed: Sequence[golden.Line], first: candidates.Candidate
) -> results.Settings:
    max_escape = arguments.max_escape
    names, note = golden.must_be_caught(listed, first, path=arguments.golden)
    if note:
        print(note)
    return results.Settings(
        max_escape=certificate.MAX_ESCAPE if max_escape is None else max_escape,
        max_overkill=arguments.max_overkill,
        confidence=arguments.confidence,
        prevalence=arguments.prevalence,
        golden=names,
    )


def report_folder(arguments: Arguments) -> pathlib.Path:
    """The report's folder; an earlier report of the same name is replaced."""
    if arguments.out:
        out = pathlib.Path(arguments.out)
        free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
        if not free and not page.is_report(out):
            files.refuse_existing(out)
        return out
    first = pathlib.Path(arguments.runs[0])
    kind = "comparison" if len(arguments.runs) > 1 else "report"
    place, name = first.parent, first.stem if first.is_file() else first.name
    if first.is_dir() and name.isdecimal():  # a version; servers watch the one above
        base = place.parent if place.name == "saved_model" else place
        place, name = base.parent, f"{base.name}-{name}"
    return place / f"{name}-{kind}"


def _split(arguments: Arguments, judged: Sequence[candidates.Candidate]) -> str | None:
    """The judged split; None for a table, which is judged whole."""
    first = judged[0]
    return None if first.run is None and first.dataset is None else arguments.split


def _labelled(
    arguments: Arguments, judged: list[candidates.Candidate]
) -> tuple[list[candidates.Candidate], results.OtherLabels | None]:
    """The runs under the labels they are judged by, and what these are."""
    labels = None
    if arguments.labels:
        given = judged[0].subject.scored
        verdicts = predictions.read_labels(arguments.labels)
        judged = [candidates.relabelled(o, arguments.labels, verdicts) for o in judged]
        now = judged[0].subject.scored.label
        labels = results.OtherLabels(
            source=arguments.labels,
            to_defect=int(np.sum((given.label == 0) & (now == 1))),
            to_good=int(np.sum((given.label == 1) & (now == 0))),
            auc_as_given=_auc_as_given(given, arguments.confidence),
        )
    for candidate in judged:
        table = candidate.subject.scored
        if not table.labelled:
            raise errors.BadInput(
                f"{table.source}: holds devices without a label; judge "
                "them with --labels FILE or write their scores with --submission FILE."
            )
    return judged, labels


def _auc_as_given(
    table: predictions.Predictions, confidence: float
) -> results.Auc | None:
    if not table.labelled or len(set(table.label)) < 2:
        return None
    return judging.auc(table, confidence)


def _with_records(
    arguments: Arguments, judged: list[candidates.Candidate]
) -> tuple[list[candidates.Candidate], tuple[str, ...]]:
    opened = [candidates.with_records(c, arguments.source) for c in judged]
    loaded = [candidate for candidate, _ in opened]
    notes = dict.fromkeys(note for _, note in opened if note)
    for candidate in judged:
        for warning in candidates.warnings(candidate, split=arguments.split):
            print(warning)
            notes[warning] = None
    notes |= dict.fromkeys(filter(None, map(candidates.depth_note, loaded)))
    return loaded, tuple(notes)


def _compared(arguments: Arguments, subjects: list[Subject]) -> list[Subject]:
    """The subjects on the same devices in the same order, their mean behind them."""
    tables = predictions.aligned([subject.scored for subject in subjects])
    first = subjects[0]
    subjects = [
        dataclasses.replace(subject, scored=table, columns=first.columns)
        for subject, table in zip(subjects, tables)
    ]
    return [*subjects, average(subjects)] if arguments.average else subjects


def _print(
    report: results.Report, judged: Sequence[candidates.Candidate], out: pathlib.Path
) -> None:
    folders = {
        candidate.subject.name: str(candidate.run.folder)
        for candidate in judged
        if candidate.run
    }
    for line in terminal.lines(report, folders):
        print(line)
    print(f"Report: {out / page.HTML}")


def _store(
    judged: Sequence[candidates.Candidate],
    subjects: Sequence[Subject],
    report: results.Report,
) -> results.Report:
    """Puts the guaranteed threshold into force, in the run and in its figures."""
    if len(judged) > 1 or judged[0].run is None:
        print("Threshold not stored: that takes one RUN, a run folder.")
        return report
    from nexperia_tf.runs import run_folders

    run, point = judged[0].run, report.runs[0].operating_point
    calibrated = dataclasses.replace(
        run.calibration,
        threshold=operating_point.serving_threshold(point.threshold),
        origin=run_folders.GUARANTEED,
        basis=certificate.promise(point),
        reject_from=operating_point.serving_reject_from(report.runs[0].band),
    )
    thresholds.store(run, calibrated)
    stored = dataclasses.replace(subjects[0], in_force=calibrated)
    now = judging.on_the_line(stored, report.settings, proposed=point.threshold)
    return report.with_run(report.runs[0].name, **vars(now))


def _set(arguments: Arguments, candidate: candidates.Candidate) -> candidates.Candidate:
    """The run with the threshold that a person asked for in force."""
    wanted = thresholds.asked(arguments.set_threshold, flag="--set-threshold")
    # Judged devices may be those that choose it: --split validation.
    in_force = thresholds.decided(
        candidate.run.calibration,
        wanted,
        candidate.subject.chosen_on,
        seen=candidates.seen_calibration(candidate),
    )
    thresholds.store(candidate.run, in_force)
    return dataclasses.replace(
        candidate,
        subject=dataclasses.replace(candidate.subject, in_force=in_force),
        run=dataclasses.replace(candidate.run),  # read again
    )
