"""The settings of a training run, and the named experiments.

`groups` declares the fields with types, bounds and help, `checks` what does not go
together; one small file in `experiments` holds what differs from the defaults.
"""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from nexperia_tf import bounds, errors, files
from nexperia_tf.configs import experiments, groups, recipes

SCHEMA = 2  # of config.json; 1 had no groups but `run`, and that for FACTS alone
# Keys of `run` for what a run found out of its pictures and devices.
FACTS = (
    "channels",
    "prior",
    "splits",
    "precision",
    "labels",
    "weights_file",
    "weights_sha256",
    "search",
)
NOT_REPLAYED = ("out", "search_plan")
# What a key stands for that a run did not know yet, where not for today's default.
BEFORE = {"weights": "none", "fine_tuning": False}


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides the outcome of a training run, in groups.

    >>> Config().changed(epochs=3, backbone="resnet50").optimisation.epochs
    3
    """

    data: groups.Data = dataclasses.field(default_factory=groups.Data)
    recipe: groups.Recipe = dataclasses.field(default_factory=groups.Recipe)
    pictures: groups.Pictures = dataclasses.field(default_factory=groups.Pictures)
    network: groups.Network = dataclasses.field(default_factory=groups.Network)
    loss: groups.Loss = dataclasses.field(default_factory=groups.Loss)
    optimisation: groups.Optimisation = dataclasses.field(
        default_factory=groups.Optimisation
    )
    first: groups.First = dataclasses.field(default_factory=groups.First)
    drawn: groups.Drawn = dataclasses.field(default_factory=groups.Drawn)
    run: groups.Run = dataclasses.field(default_factory=groups.Run)

    def changed(self, **values) -> "Config":
        """The same with other values for these fields, each in whichever group it is.

        Raises:
            errors.BadInput: no group has a field of that name.
        """
        return bounds.changed(self, values)

    def flat(self) -> dict[str, object]:
        """Value of each field, without groups."""
        parts = (
            vars(getattr(self, field.name)) for field in dataclasses.fields(Config)
        )
        return {name: value for part in parts for name, value in part.items()}


def of(**values) -> Config:
    """The plain recipe but for these fields: `configs.of(epochs=3)`.

    Nothing is left open, as it is in `Config()`, whose recipe decides for itself.
    """
    plain = recipes.VALUES[recipes.PLAIN] | {"recipe": recipes.PLAIN}
    return Config().changed(**plain | values)


@functools.cache
def _declared() -> dict[str, tuple[str, object]]:
    """Group and declared type of each field."""
    return {
        field: (group, kind)
        for group, fields in bounds.declared(Config).items()
        for field, kind in bounds.declared(fields).items()
    }


def names() -> list[str]:
    """Names of the experiments."""
    return sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))


def load(name_or_file: str) -> Config:
    """The experiment of that name, or the one a config.json describes.

    `out` and `search_plan` of a file are not replayed: a repeated run goes to a folder
    of its own, and what was found by a plan stands in the file.

    Raises:
        errors.BadInput: no such experiment or file, or a key or value in it that this
            version does not take.
    """
    if name_or_file in names():
        module = importlib.import_module(f"{experiments.__name__}.{name_or_file}")
        return module.CONFIG
    if not name_or_file.endswith(".json"):
        said = bounds.unknown(name_or_file, names())
        raise errors.BadInput(f"--config {name_or_file}: {said}, or a config.json.")
    config = from_json(files.read_json(name_or_file), where=name_or_file)
    bounds.check(config, name=lambda field: f"{name_or_file}: {field}")
    return config


def from_json(payload: Mapping, *, where: str) -> Config:
    """A Config from the object in a config.json, with groups or, as it was, without.

    Keys that are missing, as in older files, stand for the plain recipe; in the file of
    a run those of `BEFORE` for what was done then. A finished run is read so: bounds
    that came later do not hold for it.

    Raises:
        errors.BadInput: a key, a type, a choice or a schema that this version does not
            know; `where` names the file.
    """
    values = {}
    for group, field, value in _written(payload, where):
        if field not in _declared():
            said = bounds.unknown(field, list(_declared()))
            raise errors.BadInput(f"{where}: key {field!r}: {said}.")
        own, declared = _declared()[field]
        if group not in (None, own):
            raise errors.BadInput(f"{where}: {field} stands in {group}, not in {own}.")
        kind = bounds.without_bounds(declared)
        value = tuple(value) if isinstance(value, list) else value  # JSON has no other
        if said := bounds.problem(value, kind):
            raise errors.BadInput(f"{where}: {field} {bounds.json_of(value)}: {said}.")
        values[field] = value
    if facts := facts_from(payload):
        values = BEFORE | values
        if (
            values.get("precision", recipes.AUTO) == recipes.AUTO
            and "precision" in facts
        ):
            values["precision"] = facts["precision"]  # an older version left it open
    return of(**{field: v for field, v in values.items() if field not in NOT_REPLAYED})


def facts_from(payload: Mapping) -> dict:
    """What a run found out, from the object in its config.json."""
    return {k: v for k, v in payload.get("run", {}).items() if k in FACTS}


def to_json(config: Config, facts: Mapping) -> dict:
    """What config.json holds: the schema and the groups; `run` with what it found out.

    Args:
        config: its settings.
        facts: what it found out, keys of `FACTS`.
    """
    payload = {"schema": SCHEMA} | dataclasses.asdict(config)
    payload["run"] |= facts
    return payload


def _written(payload: Mapping, where: str) -> Iterator[tuple[str | None, str, object]]:
    """Group (None where there is none), field and value of all in a config.json."""
    schema = payload.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise errors.BadInput(
            f"{where}: schema {schema} is newer than this version of nexperia_tf, "
            f"which reads up to {SCHEMA}; install a newer one."
        )
    for key, value in payload.items():
        if key in bounds.declared(Config) and isinstance(value, dict):
            facts = FACTS if key == "run" else ()
            yield from ((key, k, v) for k, v in value.items() if k not in facts)
        elif key != "schema":
            yield None, key, value
