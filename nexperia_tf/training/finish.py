"""What ends a run: its best model calibrated, scored, exported, and summed up."""

import dataclasses
import pathlib

import keras
import numpy as np
import rich
import rich.box
import rich.table

from nexperia_tf import configs, files, labels, predictions
from nexperia_tf.baseline import scoring
from nexperia_tf.data import manifest
from nexperia_tf.data.records import reading, store
from nexperia_tf.drift import reference
from nexperia_tf.evaluation import recipes_tried, serialise
from nexperia_tf.evaluation.report import (
    formats,
    judging,
    results,
    summary,
)
from nexperia_tf.models import classifier
from nexperia_tf.runs import (
    advice,
    curves,
    familiar,
    neighbours,
    run_folders,
    training_pictures,
)
from nexperia_tf.serving import export
from nexperia_tf.statistics import calibration, choices, clustered, metrics
from nexperia_tf.training import checkpoints, history

SCHEMA = 1  # of metrics.json


def finish(
    folder: pathlib.Path,
    config: configs.Config,
    dataset: store.Dataset,
    *,
    training_set: training_pictures.TrainingSet,
    epochs: dict,
) -> None:
    """Calibration, scores, metrics, what is kept of pictures, and the SavedModel.

    The manifest, written last, ends the run.

    Args:
        folder: the run's, with its model and what it was trained on.
        config: of the run.
        dataset: its records.
        training_set: the pictures that it has learned from.
        epochs: how many were judged and which was kept, for metrics.json.
    """
    model = run_folders.load_model(folder / run_folders.MODEL)
    in_force, scored = _score(folder, dataset, classifier.without_map(model))
    reached = _reached(folder, config, scored, training_set, epochs)
    reached[run_folders.BASELINE] = scoring.beside_network(
        dataset,
        scored,
        folder / run_folders.BASELINE,
        advice=advice.what_to_try(config, boxed=advice.has_boxes(folder)),
    )
    files.write_json(folder / run_folders.METRICS, reached)
    curves.draw(
        folder / run_folders.HISTORY,
        folder / run_folders.CURVES,
        kept=(epochs["best"], str(run_folders.KeptEpoch.of(epochs))),
    )
    kept = neighbours.of_model(
        model,
        dataset,
        seed=config.run.seed,
        without_defects=config.drawn.drawn_only,
    )
    neighbours.write(folder / neighbours.NEIGHBOURS, kept)
    known = familiar.of_model(model, dataset, seed=config.run.seed)
    if known:
        familiar.write(folder / familiar.FAMILIAR, known)
    fine = reference.of_model(model, dataset, familiar=known, seed=config.run.seed)
    reference.write(folder / reference.DRIFT, fine)
    with checkpoints.writing(folder / run_folders.SAVED_MODEL):
        export.publish(
            model,
            folder / run_folders.SAVED_MODEL,
            calibration=in_force,
            backbone=config.network.backbone,
            chose_among=reached["validation"][choices.CHOSE_AMONG],
            trained_on=training_set,
            depth_range=config.data.depth_range,
            familiar=known,
            drift=fine,
        )
    files.write_manifest(folder)


def _score(
    folder: pathlib.Path, dataset: store.Dataset, model: keras.Model
) -> tuple[run_folders.Calibration, dict[str, predictions.Predictions]]:
    """Writes calibration and predictions; gives both, the latter by split."""
    sizes = reading.split_sizes(dataset)
    logits = {
        split: run_folders.logits_of(model, dataset, split)
        for split in run_folders.SCORED_SPLITS
        if split in sizes
    }
    # Devices that selected no epoch say best what a logit is worth.
    fitted_on = next(split for split in run_folders.CALIBRATED_ON if split in logits)
    truth = reading.metadata(dataset, fitted_on, ["label"])["label"]
    in_force = calibration.fit(logits[fitted_on], truth, where=fitted_on)
    run_folders.write_calibration(folder / run_folders.CALIBRATION, in_force)
    scored = {
        split: run_folders.table(dataset, split, in_force.scores(values))
        for split, values in logits.items()
    }
    (folder / "predictions").mkdir(exist_ok=True)
    for split, table in scored.items():
        predictions.write(folder / "predictions" / f"{split}.csv", table)
    return in_force, scored


def _reached(
    folder: pathlib.Path,
    config: configs.Config,
    scored: dict[str, predictions.Predictions],
    training_set: training_pictures.TrainingSet,
    epochs: dict,
) -> dict:
    """What metrics.json holds, with how many models each split chose among."""
    hashes = training_pictures.hashes_of_rows(
        manifest.read(folder / run_folders.PICTURES)
    )
    overlaps = {
        split: training_pictures.overlap(table.image_id, hashes, training_set)
        for split, table in scored.items()
    }
    reached = _metrics(scored, overlaps, epochs)
    for split in set(reached) & set(scored):
        ids = scored[split].image_id
        counted = choices.count(folder, config, split, ids)
        reached[split][choices.CHOSE_AMONG] = counted
    return reached


def print_summary(folder: pathlib.Path) -> None:
    """Prints what a run reached and where its results lie."""
    reached = files.read_json(folder / run_folders.METRICS)
    simple = reached.get(run_folders.BASELINE, {})  # older runs have none
    shown = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
    for title in ("split", "devices", "defects", "AUC", "95 % interval"):
        side = "left" if title == "split" else "right"
        shown.add_column(title, justify=side, no_wrap=True)
    for target in history.TARGETS:
        shown.add_column(f"overkill\nat {target:.1%}", justify="right", min_width=8)
    for split in run_folders.SCORED_SPLITS:
        if split in reached:
            shown.add_row(split, *_summary(reached[split]))
        if split in simple.get("splits", {}):
            figures = reached[split] | simple["splits"][split]
            shown.add_row("  baseline", *_summary(figures))
    rich.print(shown)
    if said := _against_baseline(simple):
        print(said)
    if search := recipes_tried.of_run(folder):
        print(search.said)
    if epochs := reached.get("epochs"):  # older runs do not say
        print(f"validation: AUC of the {run_folders.KeptEpoch.of(epochs)}")
        if epochs["stopped"]:
            print(
                f"Stopped after epoch {epochs['trained']} of {epochs['planned']}: "
                f"{epochs['stopped']}"
            )
    for split in (split for split in run_folders.SCORED_SPLITS if split in reached):
        auc = clustered.Headline(**reached[split]["auc"])
        if auc.low is None:
            print(f"{split}: AUC {formats.auc(auc)}")
        elif against := formats.warning(auc):
            print(f"{split}: {against}")
    for split in run_folders.SCORED_SPLITS:
        seen = results.SeenInTraining.of(reached.get(split, {}).get("trained_on"))
        if said := summary.seen_in_training(seen, split):
            print(f"warning: {said}")
    in_force = run_folders.read_calibration(folder / run_folders.CALIBRATION)
    print(f"In force: {in_force.words}")
    print(f"Run: {folder}")
    print(f"SavedModel: {export.find(folder)}")


def _against_baseline(simple: dict) -> str:
    """Whether the network beats its baseline on the devices that chose least."""
    if "skipped" in simple:
        return f"baseline: skipped, {simple['skipped']}"
    judged = simple.get("splits", {})
    split = next((s for s in ("test", *run_folders.CALIBRATED_ON) if s in judged), "")
    return split and f"{split}: {judged[split]['said']}"


def _summary(figures: dict) -> list[str]:
    auc = figures["auc"]
    overkill = {point["tpr"]: point["fpr"] for point in figures["fpr_at_tpr"]}
    return [
        f"{figures['n']:,}",
        f"{figures['n_defect']:,}",
        f"{auc['value']:.4f}",
        "none" if auc["low"] is None else f"{auc['low']:.3f} to {auc['high']:.3f}",
        *(f"{overkill[target]:.1%}" for target in history.TARGETS),
    ]


def _metrics(
    scored: dict[str, predictions.Predictions],
    overlaps: dict[str, training_pictures.Overlap],
    epochs: dict,
) -> dict:
    """Headline figures; nexperia evaluate gives the full report."""
    payload: dict = {"schema": SCHEMA, "epochs": epochs}
    for split, table in scored.items():
        if len(set(table.label)) < 2:
            continue  # nothing can be judged on one class
        payload[split] = {
            "n": len(table),
            "n_defect": int(np.sum(table.label == labels.POSITIVE)),
            "auc": dataclasses.asdict(
                clustered.headline(
                    table.label,
                    table.score,
                    clustered.groups_of(table),
                    word=clustered.word_of(table),
                )
            ),
            "fpr_at_tpr": [
                dataclasses.asdict(point)
                for point in metrics.fpr_at_tpr(table.label, table.score)
            ],
            "trained_on": serialise.plain(
                judging.seen_in_training(table, overlaps[split])
            ),
        }
    if "validation" in payload:  # its AUC is that of the kept epoch, chosen by it
        payload["validation"]["epoch"] = str(run_folders.KeptEpoch.of(epochs))
    return payload
