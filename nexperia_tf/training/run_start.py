"""A run folder as it is begun: its config, its environment, its pictures."""

import pathlib
import shutil
from collections.abc import Callable, Mapping

from nexperia_tf import configs, errors, files, labels
from nexperia_tf.data.records import reading
from nexperia_tf.runs import environment, run_folders, training_pictures
from nexperia_tf.training import model_setup, run_data

# Which may differ when resumed.
PLACES = ("out", "data_dir", "weights_file", "search_plan")


def begin(
    folder: pathlib.Path,
    config: configs.Config,
    data: run_data.Data,
    facts: Mapping | None = None,
    *,
    more: Callable[[pathlib.Path], None] | None = None,
) -> None:
    """Makes the run folder, or checks that it was made for this config.

    Args:
        folder: of the run.
        config: for config.json.
        data: what it learns from.
        facts: what it has found out; by default what `facts_of` finds.
        more: writes what else stands in a new folder.

    Raises:
        errors.BadInput: the run was begun with another config.
    """
    facts = facts_of(config, data) if facts is None else facts
    if folder.exists():
        _check_same(folder / run_folders.CONFIG, config, facts)
        return
    with files.new_folder(folder) as partial:
        files.write_json(partial / run_folders.CONFIG, configs.to_json(config, facts))
        list_pictures(partial, data)
        made_with = environment.described(
            seed=config.run.seed,
            deterministic=config.run.deterministic,
            precision=config.network.precision,
        )
        files.write_json(partial / run_folders.ENVIRONMENT, made_with)
        if more:
            more(partial)


def _check_same(path: pathlib.Path, config: configs.Config, facts: Mapping) -> None:
    """Refuses to go on with a run that was begun with something else."""
    payload = files.read_json(path)
    stored = configs.from_json(payload, where=str(path)).flat()
    stored_facts = configs.facts_from(payload)
    for before, now in ((stored, config.flat()), (stored_facts, facts)):
        for name, value in now.items():
            # An older version found out less.
            if before.get(name, value) != value and name not in PLACES:
                raise errors.BadInput(
                    f"{path}: the run was started with {name} {before.get(name)!r}, "
                    f"not {value!r}; resume with the same config."
                )


def list_pictures(folder: pathlib.Path, data: run_data.Data) -> None:
    """Keeps the splits of all pictures, and what is learned from."""
    shutil.copyfile(
        data.dataset.prepared / run_data.MANIFEST, folder / run_folders.PICTURES
    )
    training_pictures.write(folder / training_pictures.TRAINED_ON, data.training_set)


def facts_of(config: configs.Config, data: run_data.Data) -> dict:
    """What the run has found out, for config.json."""
    return {
        "channels": data.pictures.channels,
        "prior": data.order.balance.share,
        "splits": reading.split_sizes(data.dataset),
        "precision": config.network.precision,
        "labels": list(labels.NAMES),
        **model_setup.weights_used(config),
    }
