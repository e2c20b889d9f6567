"""The way in from Python: what the commands do, as functions.

    import nexperia_tf

    run = nexperia_tf.train(data="photos", out="runs/mine", backbone="resnext")
    rows = run.predict("new")

Each raises `errors.BadInput`, with the line that the command would print, where an
argument or the input cannot be used.
"""

import dataclasses
import functools
import os
import pathlib
import typing

from nexperia_tf import bounds, command, configs, files
from nexperia_tf.configs import checks
from nexperia_tf.data import limits, progress

if typing.TYPE_CHECKING:
    from nexperia_tf.data import manifest
    from nexperia_tf.serving import export

Path = str | os.PathLike


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained model on disk, the run of `train` or what `load` was given.

    Attributes:
        path: its run folder, or the folder of a SavedModel.
        trust: whether a SavedModel is run that no MANIFEST.sha256 vouches for.
    """

    path: pathlib.Path
    trust: bool = False

    @functools.cached_property
    def served(self) -> "export.Served":
        """The SavedModel, loaded when it is first asked."""
        command.import_tensorflow()
        from nexperia_tf.serving import predict

        return predict.open_model(self.path, trust=self.trust)

    def predict(
        self,
        folder: Path,
        *,
        threshold: float | None = None,
        batch_size: int = 32,
        max_pixels: int = limits.MAX_PIXELS,
    ) -> list[dict]:
        """Scores every picture below `folder`.

        Args:
            folder: BMP, JPEG and PNG of any size, searched with its subfolders.
            threshold: replaces the model's own, in [0, 1].
            batch_size: pictures scored at once.
            max_pixels: a picture with more is not read.

        Returns:
            One dict for each file, in order of path: path, score (probability of
            defect), label (good or defect), threshold, problem. What cannot be read has
            its problem and no score.
        """
        from nexperia_tf.serving import predict

        rows = predict.predict(
            self.served,
            folder,
            threshold=threshold,
            batch_size=batch_size,
            max_pixels=max_pixels,
        )
        return list(rows)


def train(
    config: configs.Config | str | None = None, *, resume: bool = False, **settings
) -> Model:
    """Trains a classifier, as `nexperia train` does.

    Args:
        config: what `settings` differ from: a Config, or the name or file of one.
        resume: go on with the run in `out` from its newest checkpoint.
        settings: fields of `Config`: data, out, backbone, image_size, epochs and more.

    Returns:
        The run, whose `path` is its folder.
    """
    if isinstance(config, str):
        config = configs.load(config)
    elif config is None and resume and "out" in settings:
        config = configs.load(str(pathlib.Path(settings["out"]) / "config.json"))
    settings = {name: _plain(value) for name, value in settings.items()}
    config = (config or configs.Config()).changed(**settings)
    checks.check_asked(config, resume=resume)  # before seconds of imports
    command.import_tensorflow()
    from nexperia_tf.training import loop

    folder = loop.train(config, resume=resume)
    # A worker that only helped knows the folder by its name.
    return Model(pathlib.Path(folder or config.run.out))


def prepare(
    raw: Path,
    out: Path,
    *,
    on_progress: progress.Callback = progress.silent,
    **options,
) -> "list[manifest.Row]":
    """Cleans, deduplicates and splits a raw folder, as `nexperia prepare` does.

    Args:
        raw: folder of one of the four layouts; only read.
        out: folder to make, which `train(data=out)` takes.
        on_progress: called as `on_progress(step, done, total)`.
        options: flags of the command: layout, good, group, seed, folds, ...

    Returns:
        The rows of its manifest.csv.
    """
    from nexperia_tf.data.prepare import command as preparing

    given = {name: value for name, value in options.items() if value is not None}
    asked = _changed(preparing.Options(), given)
    return preparing.prepare(raw, out, asked, on_progress=on_progress)


def evaluate(*runs: Path, out: Path = "", **options) -> dict:
    """Judges runs, as `nexperia evaluate` does.

    Args:
        runs: run folders, SavedModel folders (with `data`) or predictions.csv files.
        out: folder for the report; beside the first run when empty.
        options: flags of the command: split, average, labels, max_escape, ...

    Returns:
        What stands in report.json.
    """
    from nexperia_tf.evaluation import command as evaluation

    asked = _changed(
        evaluation.Arguments(),
        {"runs": tuple(map(os.fspath, runs)), "out": os.fspath(out), **options},
    )
    evaluation.main(asked)
    return files.read_json(evaluation.report_folder(asked) / "report.json")


def load(path: Path, *, trust: bool = False) -> Model:
    """A run folder or a SavedModel's as a model that predicts.

    Args:
        path: the folder.
        trust: run a SavedModel that no MANIFEST.sha256 vouches for: it is a program.

    Raises:
        errors.BadInput: there is none.
    """
    model = Model(pathlib.Path(path), trust)
    model.served  # noqa: B018  loads it, or says what is wrong
    return model


def _changed(values, changes: dict):
    """A dataclass with other values; a name or value it does not take is refused."""
    changed = {name: _plain(value) for name, value in changes.items()}
    values = bounds.changed(values, changed)
    bounds.check(values)
    bounds.check_files(values)
    return values


def _plain(value):
    if isinstance(value, list):
        return tuple(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value
