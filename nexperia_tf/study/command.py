"""The study by one command: all its networks, forests and ensembles, and their tables.

nexperia study --data sample --out studies/sample
"""

import dataclasses
import datetime
import pathlib
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from nexperia_tf import (
    bounds,
    command,
    configs,
    errors,
    files,
    labels,
    locks,
    predictions,
    sizes,
)
from nexperia_tf.data import limits
from nexperia_tf.data.source import NOTHING, DataSource
from nexperia_tf.study import plan

if typing.TYPE_CHECKING:
    from nexperia_tf.data.records import store
    from nexperia_tf.models import costs
    from nexperia_tf.study import entries, results, tables

PLAN, COSTS = "plan.json", "costs.json"
SCHEMA = 1  # of plan.json
# What older studies do not say.
LATER = {"unboxed": "auto", "depth_range": None, "max_pixels": limits.MAX_PIXELS}


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Repeats the study: trains and compares its models; writes study.html."""

    source: DataSource = NOTHING
    """Pictures of the study: those of --config, else the sample, where nothing is
    named."""

    out: str = ""
    """Folder of the study; the same command with the same folder continues it."""

    scale: Literal["small", "paper"] = "small"
    """small: 26-layer networks, minutes on two cores. paper: the original recipe and
    ours on 101 layers, days on a GPU."""

    seeds: Annotated[int, *bounds.within(ge=0, le=1000)] = 0
    """How often each network is trained; 1, or 3 with --extended, when not given."""

    extended: bool = False
    """Add out-of-fold runs, bags of lots and more seeds: hours."""

    pretrained: Annotated[str, *bounds.a_file("imagenet")] = ""
    """Network behind column (a) of Table 1: imagenet or a torch-style .safetensors
    file. One trained on other drawn devices when empty (imagenet at scale paper)."""

    config: str = ""
    """Named experiment or config.json to use for all runs but the original recipe's, in
    place of the scale's own."""

    labels: Annotated[str, *bounds.a_file()] = ""
    """CSV of image_id,label with the labels to use for the test devices."""

    plan: bool = False
    """Show the planned runs and stop."""


def main(arguments: Arguments) -> None:
    """Plans, trains, combines, judges and writes; continues a study that was begun."""
    if arguments.plan:
        from nexperia_tf.study import networks

        networks.show(_planned(arguments, channels=1, train_devices=None))
        return
    out = _out(arguments)
    with locks.held(out):
        _study(arguments, out)


def _study(arguments: Arguments, out: pathlib.Path) -> None:
    verdicts = predictions.read_labels(arguments.labels) if arguments.labels else None
    command.import_tensorflow()
    from nexperia_tf.data.records import reading, store
    from nexperia_tf.study import entries, forest, networks, page

    forest.skops_io()  # its forests come last, hours after the networks
    named = _source(arguments)
    dataset = store.build(named)
    sizes = reading.split_sizes(dataset)
    _check_splits(named.data, dataset, sizes)
    planned = _planned(
        arguments,
        channels=reading.channels(dataset),
        train_devices=sizes["train"],
        image_size=_image_size(dataset),
    )
    _open(out, arguments)
    trained = networks.train(planned, out, dataset)
    scores = entries.Scores(trained, out, dataset, _relabelling(arguments, verdicts))
    study = _judged(arguments, planned, scores)
    page.write(out, study)
    for answer in page.answers(study.tables):
        print(f"{answer.question} {answer.answer}")
    print(f"Study: {out / page.HTML}")


def _planned(
    arguments: Arguments,
    *,
    channels: int,
    train_devices: int | None,
    image_size: int | str = sizes.AUTO,
) -> plan.Plan:
    from nexperia_tf.study import networks

    named = _source(arguments)
    # A network of grey devices cannot look at colour.
    drawn = not _pretrained(arguments) and channels == 1
    return plan.make(
        scale=arguments.scale,
        config=arguments.config,
        seeds=_seeds(arguments),
        extended=arguments.extended,
        train_devices=train_devices,
        backbone_data=networks.backbone_data(named.data_dir) if drawn else "",
        shared=dataclasses.asdict(named),
        image_size=image_size,
    )


def _image_size(dataset: "store.Dataset") -> int | str:
    """What auto is for the training pictures, folds and networks of column (a), too."""
    from nexperia_tf.data import manifest
    from nexperia_tf.training import image_size

    rows = manifest.read(dataset.prepared / "manifest.csv")
    training = [row for row in rows if row.split == "train"]
    return image_size.chosen(sizes.AUTO, training).plain


def _source(arguments: Arguments) -> DataSource:
    """The pictures, by what is named, else by the config that all runs start from."""
    stated = configs.load(arguments.config).data if arguments.config else DataSource()
    return arguments.source.over(stated)


def _seeds(arguments: Arguments) -> int:
    return arguments.seeds or (plan.EXTENDED_SEEDS if arguments.extended else 1)


def _pretrained(arguments: Arguments) -> str:
    return arguments.pretrained or ("imagenet" if arguments.scale == "paper" else "")


def _out(arguments: Arguments) -> pathlib.Path:
    """The study's folder, new or begun."""
    if not arguments.out:
        raise errors.BadInput("--out: name the folder of the study.")
    out = pathlib.Path(arguments.out)
    if out.exists() and not (out / PLAN).is_file():
        files.refuse_existing(out)
    if out.exists():
        _check_same(out, arguments)
    else:
        files.check_writable(out)
    return out


def _described(arguments: Arguments) -> dict:
    """What may not change while a study goes on; seeds and extensions may."""
    fixed = ("scale", "config", "pretrained")
    chosen = {name: getattr(arguments, name) for name in fixed}
    named = dataclasses.asdict(_source(arguments))
    named.pop("data_dir")  # may be moved
    if named["depth_range"]:
        named["depth_range"] = list(named["depth_range"])  # as JSON has it
    return {"schema": SCHEMA} | chosen | named


def _check_same(out: pathlib.Path, arguments: Arguments) -> None:
    before = files.read_json(out / PLAN)
    for name, value in _described(arguments).items():
        if before.get(name, LATER.get(name)) != value:
            raise errors.BadInput(
                f"{out / PLAN}: the study was begun with {name} {before.get(name)!r}, "
                f"not {value!r}; go on with the same, or name another --out."
            )


def _open(out: pathlib.Path, arguments: Arguments) -> None:
    if not out.exists():
        with files.new_folder(out) as partial:
            files.write_json(partial / PLAN, _described(arguments))


def _check_splits(data: str, dataset, sizes: Mapping[str, int]) -> None:
    """Refuses data that cannot be studied, before anything is trained."""
    from nexperia_tf.data import manifest

    rows = manifest.read(dataset.prepared / "manifest.csv")
    for split in manifest.SPLITS:
        if split == manifest.CALIBRATION and split not in sizes:
            continue
        given = [row.label for row in rows if row.split == split and row.used]
        n_defect = given.count(labels.DEFECT)
        if min(n_defect, len(given) - n_defect) < 2:
            raise errors.BadInput(
                f"{data}: a study needs two good and two defect devices in split "
                f"{split}. Received {len(given) - n_defect} good and {n_defect} "
                "defect; add pictures, or a column split."
            )


def _relabelling(arguments: Arguments, verdicts: Mapping | None) -> Callable:
    """Judges a table by the labels of --labels, where there are some."""

    def relabelled(table: predictions.Predictions) -> predictions.Predictions:
        if verdicts is None:
            return table
        return predictions.relabelled(table, verdicts, source=arguments.labels)

    return relabelled


def _judged(
    arguments: Arguments, planned: plan.Plan, scores: "entries.Scores"
) -> "results.Study":
    """Grows, combines and judges."""
    from nexperia_tf.study import entries, results

    trained, out = scores.trained, scores.out
    shown, chosen, notes = _tables(arguments, planned, scores)
    judged = results.judged(shown, _costs(out, trained))
    first = judged[1].rows[0]
    weights = sorted((out / entries.WEIGHTS).glob("*.json"))
    return results.Study(
        data=_source(arguments).data,
        scale=arguments.scale,
        seeds=_seeds(arguments),
        extended=arguments.extended,
        labels=arguments.labels,
        image_size=planned.base.pictures.image_size,
        epochs=planned.base.optimisation.epochs,
        n=first.n,
        n_defect=first.n_defect,
        tables=judged,
        runs=_runs(planned, scores, chosen),
        weights={path.stem: files.read_json(path) for path in weights},
        notes=notes,
        time=results.Time(
            datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            runs=len(trained),
            training=sum(run.seconds for run in trained.values()),
        ),
    )


def _tables(
    arguments: Arguments, planned: plan.Plan, scores: "entries.Scores"
) -> tuple[list["tables.Table"], dict[str, str], tuple[str, ...]]:
    """All tables, the run that stands for each member, and what to say besides."""
    from nexperia_tf.study import networks, tables, trees

    trained = scores.trained
    chosen_of = {
        family.name: {m: networks.best(trained, family.tried[m]) for m in plan.MEMBERS}
        for family in planned.families
    }
    first = chosen_of[planned.families[0].name]
    backbone, notes = _grow(arguments, planned, scores, first)
    shown = [tables.forests(scores, planned.families[0], first, backbone)]
    for family in planned.families:
        chosen = chosen_of[family.name]
        rows = tables.singles(scores, family, chosen)
        grown = tables.strongest(shown[0].rows) if shown[0].rows else None
        shown += [
            tables.ablation(rows, grown, family),
            tables.committees(rows, family),
        ]
    strongest = max(chosen.values(), key=lambda name: trained[name].auc)
    source = trees.Source("best", _network(trained[strongest]))
    trees.boost(scores.out, source, scores.dataset)
    shown.append(tables.better(scores, planned, rows))
    return shown, chosen, notes


def _grow(
    arguments: Arguments,
    planned: plan.Plan,
    scores: "entries.Scores",
    chosen: Mapping[str, str],
) -> tuple[str, tuple[str, ...]]:
    """Grows the forests of Table 1.

    Returns:
        what the network of column (a) is, and why forests were left out.
    """
    from nexperia_tf.study import trees

    trained = scores.trained
    opener, words = _backbone(arguments, planned, trained, scores.dataset)
    sources = {
        "pretrained": opener,
        "bce": _network(trained[chosen["resnext-bce"]]),
        "focal": _network(trained[chosen["resnext-focal"]]),
    }
    notes = []
    for key, opened in sources.items():
        problems = trees.grow(
            scores.out,
            trees.Source(key, opened),
            scores.dataset,
            small=arguments.scale == "small",
        )
        notes += [f"Left out: {problem}" for problem in problems.values()]
    return words, tuple(dict.fromkeys(notes))


def _network(run) -> Callable:
    from nexperia_tf.runs import run_folders

    return lambda: run_folders.load(run.folder).model()


def _backbone(
    arguments: Arguments, planned: plan.Plan, trained: Mapping, dataset
) -> tuple[Callable, str]:
    """The network of column (a), and what the table says of it."""
    if plan.PRETRAINED in trained:
        return _network(trained[plan.PRETRAINED]), "trained on other drawn devices"
    weights = _pretrained(arguments)

    def opened():
        import keras

        from nexperia_tf.data.records import reading
        from nexperia_tf.models import classifier, pretrained

        keras.utils.set_random_seed(0)  # of random weights
        model = classifier.build(
            planned.base.network.backbone,
            image_size=planned.base.pictures.image_size,
            channels=reading.channels(dataset),
        )
        pretrained.load(model, weights or "none", fixed=True)
        return model

    named = "ImageNet" if weights == "imagenet" else pathlib.Path(weights).name
    return opened, f"pretrained, {named}" if weights else "random weights"


def _costs(out: pathlib.Path, trained: Mapping) -> dict[str, "costs.Cost"]:
    """Parameters, multiplications and time of each run's network; measured once."""
    from nexperia_tf.models import costs
    from nexperia_tf.runs import run_folders

    path = out / COSTS
    known = files.read_json(path) if path.is_file() else {}
    of_run = {}
    for name, run in trained.items():
        key = f"{run.config.network.backbone} at {run.config.pictures.image_size}"
        if key not in known:
            model = run_folders.load(run.folder).model()
            known[key] = dataclasses.asdict(costs.of(model))
            files.write_json(path, known)
        of_run[name] = costs.Cost(**known[key])
    return of_run


def _runs(
    planned: plan.Plan, scores: "entries.Scores", chosen: Mapping[str, str]
) -> tuple["results.Run", ...]:
    """Each run with what differs and what it reached."""
    from nexperia_tf.runs import run_folders
    from nexperia_tf.statistics import metrics
    from nexperia_tf.study import results

    rows = []
    for step in planned.steps:
        run = scores.trained[step.name]
        test = None
        if step.judged_on_test:
            table = scores.of_run(step.name, step.name).subject.scored
            test = metrics.auc(table.label, table.score)
        taken = [plan.TITLES[m] for m, name in chosen.items() if name == step.name]
        rows.append(
            results.Run(
                name=step.name,
                differs=plan.differs(step, planned.base),
                loss=run.config.loss.loss,
                gamma=run.config.loss.gamma,
                alpha=run.config.loss.alpha,
                validation_auc=run.auc,
                validation_epoch=run.kept,
                threshold=run_folders.load(run.folder).calibration.words,
                test_auc=test,
                taken_for=", ".join(taken),
                seconds=run.seconds,
            )
        )
    return tuple(rows)
