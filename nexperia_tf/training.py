"""One training run: a config in, a run folder out."""

import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
import subprocess
import sys
import time
import typing

import keras
import numpy as np
import rich
import tensorflow as tf

from nexperia_tf import (
    checkpoints,
    errors,
    export,
    files,
    labels,
    losses,
    metrics,
    optimizers,
    predictions,
    preprocess,
    runs,
    schedules,
)
from nexperia_tf.data import augment, manifest, pipeline, records
from nexperia_tf.evaluation import calibration, intervals
from nexperia_tf.models import classifier, pretrained

if typing.TYPE_CHECKING:
    from nexperia_tf.configs import Config

SCHEMA = 1  # of config.json, environment.json, metrics.json and history.csv
SMALLEST_BOX = 8  # pixels after resizing, under which a defect is hardly to be seen
HISTORY_TARGETS = (0.991, 0.995)  # FPR at these TPR is followed during training


def train(config: "Config", *, resume: bool = False) -> pathlib.Path:
    """Trains, scores and exports one model.

    Args:
        config: what to train on what; see configs.Config.
        resume: continue the run in `config.out` from its newest checkpoint.

    Returns:
        the run folder, complete with predictions, metrics and SavedModel.

    Raises:
        errors.BadInput: the data, the backbone or the folder cannot be used; nothing
            has been written then.
    """
    folder = _folder(config, resume=resume)
    if resume and (folder / files.MANIFEST).is_file():
        rich.print(f"{folder}: complete already")
        return folder
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.seed)
    data = _data(config)
    with _policy(_precision(config.precision)):
        model = _model(config, data)
        _open(folder, config, data)
        _fit(model, config, data, folder)
    _finish(folder, config, data)
    return folder


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run needs to know of its records.

    Attributes:
        dataset: the records.
        sizes: devices in each split.
        channels: 1 when every picture is grey, else 3.
        prior: share of defects in the training split.
    """

    dataset: records.Dataset
    sizes: dict[str, int]
    channels: int
    prior: float


def _folder(config: "Config", *, resume: bool) -> pathlib.Path:
    if resume:
        if not config.out:
            raise errors.BadInput("--resume: name the run to continue with --out.")
        if not (pathlib.Path(config.out) / runs.CONFIG).is_file():
            raise errors.BadInput(
                f"{config.out}: there is no run to resume; leave --resume out."
            )
        return pathlib.Path(config.out)
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = pathlib.Path(config.out or f"runs/{config.backbone}-{now}")
    files.refuse_existing(folder)
    files.check_writable(folder)  # before the hours, not after them
    return folder


def _data(config: "Config") -> Data:
    dataset = records.build(
        config.data,
        data_dir=config.data_dir,
        unboxed=None if config.unboxed == "auto" else config.unboxed,
        good=config.good or None,
        group=config.group or None,
    )
    rows = manifest.read(dataset.prepared / "manifest.csv")
    sizes = records.split_sizes(dataset)
    for split in ("train", "validation"):
        _check_classes(dataset, rows, split)
    if sizes["train"] < config.batch_size:
        raise errors.BadInput(
            f"{config.data}: {sizes['train']} training devices make no batch of "
            f"{config.batch_size}; pass a smaller --batch-size."
        )
    train_rows = [row for row in rows if row.split == "train"]
    _warn_of_small_boxes(train_rows, config.image_size)
    prior = np.mean([row.label == labels.DEFECT for row in train_rows])
    return Data(dataset, sizes, records.channels(dataset), float(prior))


def _check_classes(dataset: records.Dataset, rows: list, split: str) -> None:
    found = [row.label for row in rows if row.split == split]
    n_defect = found.count(labels.DEFECT)
    if not n_defect or n_defect == len(found):
        raise errors.BadInput(
            f"{dataset.prepared / 'manifest.csv'}: training needs good and defect "
            f"devices in split {split}. Received {len(found) - n_defect} good and "
            f"{n_defect} defect; add pictures or move some by a split column."
        )


def _warn_of_small_boxes(rows: list, image_size: int) -> None:
    sides = [
        min(x2 - x1, y2 - y1)
        * preprocess.letterbox_geometry(row.height, row.width, image_size)[0]
        for row in rows
        for x1, y1, x2, y2 in row.boxes
    ]
    if sides and (small := float(np.percentile(sides, 5))) < SMALLEST_BOX:
        wanted = int(np.ceil(image_size * SMALLEST_BOX / max(small, 0.1) / 32) * 32)
        rich.print(
            f"[yellow]warning:[/] at --image-size {image_size} the smallest 5 % of the "
            f"annotated boxes are at most {small:.1f} pixels narrow; --image-size "
            f"{wanted} would show them at {SMALLEST_BOX}."
        )


def _precision(name: str) -> str:
    if name != "auto":
        return name
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "float32"


class _policy:
    """Sets Keras' dtype policy for a while."""

    def __init__(self, name: str):
        self._name = name

    def __enter__(self):
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._name)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self._before)


def _model(config: "Config", data: Data) -> keras.Model:
    """The compiled classifier."""
    model = classifier.build(
        config.backbone,
        image_size=config.image_size,
        channels=data.channels,
        prior=data.prior,
    )
    pretrained.load(model, config.weights)
    steps = data.sizes["train"] // config.batch_size
    rate = schedules.warmup_cosine(
        config.learning_rate,
        steps=steps * config.epochs,
        warmup_steps=min(
            round(steps * config.warmup_epochs), steps * config.epochs // 2
        ),
    )
    model.compile(
        optimizer=_optimizer(config, rate),
        loss=losses.named(config.loss, alpha=config.alpha, gamma=config.gamma),
        jit_compile=False,  # XLA on a CPU spoils the grouped convolution
    )
    # Variables that are made while the first step is traced have it traced twice.
    model.optimizer.build(model.trainable_variables)
    return model


def _optimizer(
    config: "Config", rate: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    if config.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
        )
    else:
        optimizer = optimizers.AdamW(rate, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _open(folder: pathlib.Path, config: "Config", data: Data) -> None:
    """Makes the run folder, or checks that it was made for this config."""
    described = _describe(config, data)
    if folder.exists():
        before = files.read_json(folder / runs.CONFIG)
        for key, value in described.items():
            if before.get(key) != value and key not in ("out", "data_dir"):
                raise errors.BadInput(
                    f"{folder / runs.CONFIG}: the run was started with {key} "
                    f"{before.get(key)!r}, not {value!r}; resume with the same config."
                )
        return
    with files.new_folder(folder) as beside:
        files.write_json(beside / runs.CONFIG, described)
        files.write_json(beside / runs.ENVIRONMENT, _environment(config))


def _describe(config: "Config", data: Data) -> dict:
    facts = {
        "channels": data.channels,
        "prior": data.prior,
        "splits": data.sizes,
        "precision": _precision(config.precision),
        "labels": list(labels.NAMES),
    }
    return {"schema": SCHEMA} | dataclasses.asdict(config) | {"run": facts}


def _environment(config: "Config") -> dict:
    packages = ("nexperia_tf", "tensorflow", "keras", "tensorflow-datasets", "numpy")
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(g)["device_name"] for g in gpus]
    return {
        "schema": SCHEMA,
        "predictions_schema": predictions.SCHEMA,
        "versions": {name: _version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": names or [platform.processor() or platform.machine()],
        "git_commit": _git_commit(),
        "seed": config.seed,
        "deterministic": config.deterministic,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this code, when it runs from a checkout."""
    try:
        root = pathlib.Path(__file__).parents[1]
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        quiet = subprocess.DEVNULL
        return subprocess.check_output(command, text=True, stderr=quiet).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _fit(
    model: keras.Model, config: "Config", data: Data, folder: pathlib.Path
) -> None:
    follow = Follow(folder, _validation(config, data), patience=config.patience)
    state, warnings = checkpoints.restore(
        folder / runs.CHECKPOINTS, model=model, optimizer=model.optimizer
    )
    for warning in warnings:
        rich.print(f"[yellow]warning:[/] {warning}")
    first_epoch = follow.restore(state) if state else 0
    if follow.stopped or first_epoch >= config.epochs:
        return
    batches = pipeline.training_batches(
        data.dataset,
        image_size=config.image_size,
        channels=data.channels,
        batch_size=config.batch_size,
        seed=config.seed,
        epochs=config.epochs,
        first_epoch=first_epoch,
        augment=config.augment,
        policy=augment.Policy(flip=config.flip),
        cache=config.cache,
        deterministic=config.deterministic,
    )
    model.fit(
        batches,
        epochs=config.epochs,
        initial_epoch=first_epoch,
        steps_per_epoch=data.sizes["train"] // config.batch_size,
        callbacks=[
            follow,
            keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
        ],
        shuffle=False,  # the pipeline has done so
        verbose=1 if sys.stdout.isatty() else 2,
    )


def _validation(config: "Config", data: Data) -> tuple[tf.data.Dataset, np.ndarray]:
    batches = pipeline.evaluation_batches(
        data.dataset,
        "validation",
        image_size=config.image_size,
        channels=data.channels,
        batch_size=2 * config.batch_size,  # no gradients are kept
        cache=config.cache,
    )
    return batches, runs.metadata(data.dataset, "validation")["label"]


class Follow(keras.callbacks.Callback):
    """Judges each epoch on the validation split and keeps what must survive.

    After each epoch: exact AUC and FPR at TPR into `logs`, the best model into
    model.keras, the table into history.csv and a checkpoint of everything. Stops when
    `patience` epochs brought no better AUC.

    Args:
        folder: the run folder.
        validation: batches in record order and their labels of shape `(devices,)`.
        patience: epochs to wait for a better AUC.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        validation: tuple[tf.data.Dataset, np.ndarray],
        *,
        patience: int,
    ):
        super().__init__()
        self._folder = folder
        self._batches, self._labels = validation
        self._patience = patience
        self._history: list[dict] = []
        self._best_epoch = 0
        self._started = 0.0

    def restore(self, state: dict) -> int:
        """Takes up the state of a checkpoint; returns the epochs finished."""
        self._history = state["history"]
        self._best_epoch = state["best_epoch"]
        self._write_history()
        return state["epoch"]

    @property
    def stopped(self) -> bool:
        """Whether the run has waited long enough for a better model."""
        return len(self._history) - self._best_epoch >= self._patience

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self._started
        logs.update(self._judge())
        rate = float(self.model.optimizer.learning_rate)
        row = {"epoch": epoch + 1, "seconds": round(seconds, 3), "learning_rate": rate}
        row |= {name: float(value) for name, value in logs.items()}
        self._history.append(row)
        if not self._best_epoch or _rank(row) > _rank(
            self._history[self._best_epoch - 1]
        ):
            self._best_epoch = epoch + 1
            _save_model(self.model, self._folder / runs.MODEL)
        self._write_history()
        checkpoints.save(
            self._folder / runs.CHECKPOINTS,
            epoch=epoch + 1,
            model=self.model,
            optimizer=self.model.optimizer,
            state={"history": self._history, "best_epoch": self._best_epoch},
        )
        self.model.stop_training = self.stopped

    def _judge(self) -> dict[str, float]:
        logits = self.model.predict(self._batches, verbose=0).ravel()
        if not np.isfinite(logits).all():
            raise errors.BadInput(
                "the training diverged (validation logits are not finite); pass a "
                "smaller --learning-rate or --precision float32."
            )
        scores = runs.probability(logits)
        judged = {
            "val_auc": metrics.auc(self._labels, scores),
            "val_log_loss": metrics.log_loss(self._labels, scores),
        }
        for point in metrics.fpr_at_tpr(self._labels, scores, HISTORY_TARGETS):
            judged[f"val_fpr_at_tpr_{point.tpr}"] = point.fpr
        return judged

    def _write_history(self) -> None:
        header = list(self._history[0])
        rows = ([row[name] for name in header] for row in self._history)
        files.write_csv(self._folder / runs.HISTORY, header, rows)


def _rank(row: dict) -> tuple[float, float]:
    """How good an epoch is: by AUC, and by log loss among equals (AUC 1, say)."""
    return row["val_auc"], -row["val_log_loss"]


def _save_model(model: keras.Model, path: pathlib.Path) -> None:
    """Publishes the model alone, in float32: its scores are those of the SavedModel.

    Its optimizer is in the checkpoints.
    """
    beside = path.with_name(".best.keras")  # Keras insists on the ending
    classifier.in_float32(model).save(beside)
    files.move_into_place(beside, path)


def _finish(folder: pathlib.Path, config: "Config", data: Data) -> None:
    """Temperature, scores, metrics and SavedModel of the best model.

    The manifest, written last, ends the run.
    """
    model = runs.load_model(folder / runs.MODEL)
    logits = {
        split: runs.logits_of(
            model,
            data.dataset,
            split,
            image_size=config.image_size,
            channels=data.channels,
        )
        for split in runs.SCORED_SPLITS
        if split in data.sizes
    }
    truth = runs.metadata(data.dataset, "validation")["label"]
    temperature = calibration.fit(logits["validation"], truth)
    decides = runs.Calibration(temperature=temperature)
    runs.write_calibration(folder / runs.CALIBRATION, decides)
    scored = {
        split: runs.table(data.dataset, split, values, temperature)
        for split, values in logits.items()
    }
    (folder / "predictions").mkdir(exist_ok=True)
    for split, table in scored.items():
        predictions.write(folder / "predictions" / f"{split}.csv", table)
    files.write_json(folder / runs.METRICS, _metrics(scored))
    export.publish(
        model,
        folder / runs.SAVED_MODEL,
        image_size=config.image_size,
        channels=data.channels,
        calibration=decides,
        backbone=config.backbone,
    )
    files.write_manifest(folder)


def print_summary(folder: pathlib.Path) -> None:
    """Prints what a run reached and where its results lie."""
    reached = files.read_json(folder / runs.METRICS)
    for split in runs.SCORED_SPLITS:
        if split in reached:
            found = reached[split]
            auc = found["auc"]
            print(
                f"{split} AUC {auc['value']:.4f} (95 % interval {auc['low']:.4f} to "
                f"{auc['high']:.4f}; {found['n_defect']} defects of {found['n']})"
            )
    print(f"Run: {folder}")
    print(f"SavedModel: {export.find(folder)}")


def _metrics(scored: dict[str, predictions.Predictions]) -> dict:
    """Headline figures; evaluate.py gives the full report."""
    payload: dict = {"schema": SCHEMA}
    for split, table in scored.items():
        if len(set(table.label)) < 2:
            continue  # nothing can be judged on one class
        payload[split] = {
            "n": len(table),
            "n_defect": int(np.sum(table.label == labels.POSITIVE)),
            "auc": dataclasses.asdict(intervals.newcombe(table.label, table.score)),
            "fpr_at_tpr": [
                dataclasses.asdict(point)
                for point in metrics.fpr_at_tpr(table.label, table.score)
            ],
        }
    return payload
