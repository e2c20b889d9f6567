"""Trains a classifier: a config in, a run folder out.

nexperia train --backbone resnext
nexperia train --data PATH --backbone resnext26_32x4d --image-size 128
"""

import dataclasses
import pathlib

from nexperia_tf import command, configs
from nexperia_tf.configs import checks, recipes


@dataclasses.dataclass(frozen=True)
class Arguments(configs.Config, command.Options):
    """Trains a classifier on device photographs; writes a run folder."""

    config: str = ""
    """Start from a named experiment or a config.json; other flags win over it."""

    resume: bool = False
    """Continue the run in --out from its newest checkpoint."""


def defaults(argv: list[str]) -> Arguments:
    """The values that stand where no flag is given.

    They are those of `--config`, or of the run that `--resume --out RUN` continues. A
    recipe beside a config of another one decides anew what a recipe decides.
    """
    words = dict(zip(argv, [*argv[1:], ""]))
    words |= dict(token.split("=", 1) for token in argv if "=" in token)
    if name := words.get("--config"):
        config, recipe = configs.load(name), words.get("--recipe")
        if recipe in recipes.VALUES and recipe != config.recipe.recipe:
            config = recipes.reopened(config, recipe)
        return _from(config, config=name)
    out = words.get("--out", "")
    if "--resume" in argv and (pathlib.Path(out) / "config.json").is_file():
        return _from(configs.load(str(pathlib.Path(out) / "config.json")))
    return Arguments()


def _from(config: configs.Config, /, **more) -> Arguments:
    return Arguments(**vars(config), **more)


def main(arguments: Arguments) -> None:
    """Trains and says where the results are."""
    groups = [field.name for field in dataclasses.fields(configs.Config)]
    config = configs.Config(**{name: getattr(arguments, name) for name in groups})
    checks.check_asked(config, resume=arguments.resume)
    command.import_tensorflow()
    from nexperia_tf.training import finish, loop

    if folder := loop.train(config, resume=arguments.resume):
        finish.print_summary(folder)
